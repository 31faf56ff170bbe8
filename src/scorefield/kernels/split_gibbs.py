r"""Split Gibbs sampling: prior and data take turns on two copies of the image.

The joint law :math:`\pi(x_0, z) \propto p(x_0)\, \exp(-\|z - x_0\|^2/2\rho^2)\, p(y \mid z)` has two conditionals that
can be drawn from without approximation:

.. math:: x_0 \mid z \propto p(x_0)\, N(z; x_0, \rho^2 I), \qquad z \mid x_0 \propto N(z; x_0, \rho^2 I)\, p(y \mid z).

The first is that of a clean image given a noisy one of level :math:`\rho`: a reverse diffusion from :math:`\rho` to 0
that starts *at* z, without more noise.  So z is an image at level :math:`\rho`, and the sigma of the walk is
:math:`\rho`: a step from sigma to target draws :math:`x_0` given z at sigma, then z given :math:`x_0` at target, and
the step to 0 ends at :math:`x_0`.

At a constant level :math:`x_0` has the posterior under data of noise covariance :math:`R + \rho^2 A A^H`; walking the
level down anneals this inflation away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.kernel import Kernel, State
from scorefield.kernels.ancestral import Ancestral
from scorefield.kernels.descent import Descent
from scorefield.kernels.likelihood import LikelihoodStep, PerturbAndMap
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.schedules import Karras


@dataclass(frozen=True)
class SplitGibbs(Kernel[None]):
    """One sweep of split Gibbs; walked down a grid of levels it is PnP-DM.

    Walk it with the unconditional prior.  More sweeps at each level are ``Then(SplitGibbs(given),
    Repeat(Hold(SplitGibbs(given)), 3))``.  PnP-DM's levels fall by a factor 0.9 from 10 to 0.3, for images in [-1, 1],
    and stay there, 100 in all.

    Args:
        measurement: the data.
        descent: draws x0 given z, by a kernel of the reverse SDE on a grid.  PnP-DM has 100 Euler-Maruyama steps on the
            levels of EDM, those below rho; here all of them are below rho.
        likelihood: draws z given x0.

    References:
        Vono, Dobigeon, Chainais, IEEE TSP 2019, arXiv 1804.05809; Wu, Sun, Chen, Zhang, Yue, Bouman, NeurIPS 2024,
        arXiv 2405.18782.
    """

    measurement: Measurement = field(repr=False)
    descent: Descent = field(default=Descent(Ancestral(), Karras(0.002, 80.0), 100))
    likelihood: LikelihoodStep = field(default=PerturbAndMap())

    def step(
        self, prior: Prior, state: State[None], sigma: Tensor, target: Tensor, generator: torch.Generator
    ) -> State[None]:
        clean = self.descent(prior, state.x, sigma, generator)
        if not bool(target > 0):
            return state.at(clean)
        return state.at(self.likelihood.at(target / prior.extent).draw(self.measurement, clean, target, generator))
