"""Posteriors: priors given data.  Each is one paper's approximation of ``E[x0 | x, y]``."""

from scorefield.posteriors.annealed import AnnealedLikelihood
from scorefield.posteriors.base import Posterior
from scorefield.posteriors.ddnm import DDNM
from scorefield.posteriors.ddrm import DDRM
from scorefield.posteriors.dds import DDS
from scorefield.posteriors.diffpir import DiffPIR
from scorefield.posteriors.dps import DPS
from scorefield.posteriors.exact import Exact
from scorefield.posteriors.joint import join
from scorefield.posteriors.mmps import MMPS
from scorefield.posteriors.norm_matched import NormMatched
from scorefield.posteriors.pigdm import PiGDM
from scorefield.posteriors.projection import Projection
from scorefield.posteriors.score_ald import ScoreALD
from scorefield.posteriors.tmpd import TMPD

__all__ = [
    "Posterior",
    # moments of x0 given x
    "Exact",
    "MMPS",
    "TMPD",
    "PiGDM",
    "DPS",
    # corrections of the denoised image, no Jacobian
    "DiffPIR",
    "DDS",
    "DDNM",
    "DDRM",
    "Projection",
    # the data against the noisy image
    "AnnealedLikelihood",
    "ScoreALD",
    "NormMatched",
    # two measurements as one
    "join",
]
