r"""Noise: the law of data given what they would be without it.

Additive Gaussian laws (:class:`White`, :class:`Weighted`, :class:`Colored`) derive from :class:`Gaussian`, have a
covariance R and serve every method.  The others (:class:`PoissonEmission`, :class:`PoissonTransmission`,
:class:`Rician`) derive from :class:`Noise`: they have a log-density and a score, for methods that ask for no more.

Convention: a standard deviation is that of *each real component*, so complex noise of level ``std`` has
:math:`E|n|^2 = 2\,\mathrm{std}^2`.
"""

from scorefield.noise.base import Noise
from scorefield.noise.colored import Colored
from scorefield.noise.gaussian import Gaussian
from scorefield.noise.independent import Independent
from scorefield.noise.poisson import PoissonEmission, PoissonTransmission
from scorefield.noise.rician import Rician
from scorefield.noise.weighted import Weighted
from scorefield.noise.white import White

__all__ = [
    "Colored",
    "Gaussian",
    "Independent",
    "Noise",
    "PoissonEmission",
    "PoissonTransmission",
    "Rician",
    "Weighted",
    "White",
]
