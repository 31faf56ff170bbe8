"""Results of a sampling (draws, a part of them, or their statistics), and the objects that choose among them."""

from scorefield.samples.draws import Samples
from scorefield.samples.keep import All, Keep
from scorefield.samples.on_disk import OnDisk
from scorefield.samples.reservoir import Reservoir, Subsample
from scorefield.samples.running import Running, Summary

__all__ = ["All", "Keep", "OnDisk", "Reservoir", "Running", "Samples", "Subsample", "Summary"]
