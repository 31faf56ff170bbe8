"""What a sampling leaves behind: its draws, or what is kept of them."""

from scorefield.samples.draws import Samples
from scorefield.samples.keep import All, Keep
from scorefield.samples.on_disk import OnDisk
from scorefield.samples.reservoir import Reservoir, Subsample
from scorefield.samples.running import Running, Summary

__all__ = ["All", "Keep", "OnDisk", "Reservoir", "Running", "Samples", "Subsample", "Summary"]
