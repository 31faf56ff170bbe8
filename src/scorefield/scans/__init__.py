"""Raw scans, one frozen class a kind, and the protocols that take them.

This list is the registry: the law suite tests every kind of scan named here, and a ``.scan`` file names its kind.
"""

from scorefield.scans.cartesian import Cartesian
from scorefield.scans.fan_beam import FanBeam
from scorefield.scans.low_resolution import LowResolution
from scorefield.scans.noisy_image import NoisyImage
from scorefield.scans.parallel_beam import ParallelBeam
from scorefield.scans.scan import Scan

__all__ = ["Cartesian", "FanBeam", "LowResolution", "NoisyImage", "ParallelBeam", "Scan"]
