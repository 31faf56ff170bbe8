"""Posteriors: priors that have seen data.  Each is one paper's approximation of ``E[x0 | x, y]``."""

from scorefield.posteriors.annealed import AnnealedLikelihood
from scorefield.posteriors.base import Posterior
from scorefield.posteriors.dps import DPS
from scorefield.posteriors.exact import Exact
from scorefield.posteriors.mmps import MMPS
from scorefield.posteriors.pigdm import PiGDM

__all__ = ["DPS", "MMPS", "AnnealedLikelihood", "Exact", "PiGDM", "Posterior"]
