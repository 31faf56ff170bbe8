"""Sampling kernels: each takes images from one noise level to the next."""

from scorefield.kernel import Kernel, Repeat, State, Then
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.ascent import Ascent
from scorefield.kernels.dpm import DPMpp2M
from scorefield.kernels.heun import Heun
from scorefield.kernels.hold import Hold
from scorefield.kernels.langevin import Langevin

__all__ = ["Ancestral", "Ascent", "DPMpp2M", "Heun", "Hold", "Kernel", "Langevin", "Repeat", "State", "Then"]
