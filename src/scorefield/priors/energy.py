r"""Energies: a prior whose log-density is a network, and whose score is the exact gradient of that.

With :math:`f = c_{skip}\,x + c_{out}\,F(c_{in}\,x,\ c_{noise})`, which is the denoiser of
:class:`scorefield.priors.Network`, the log-density at level sigma is, up to a constant that depends on sigma,

.. math::
    \log p_\sigma(x) = -\frac{\langle x,\ x - f(x, \sigma) \rangle}{2 \sigma^2}, \qquad
    D = x + \sigma^2 \nabla \log p_\sigma = \tfrac12 \bigl( f + J_f^T x \bigr).

For every Gaussian prior with mean 0, f = D is linear and symmetric, and this is its log-density.  In general f is not
the denoiser; training makes the gradient so.  For the experts of :class:`scorefield.nets.Patchwise`,
:math:`\langle x, M^T G_c^T F(G_c M x) \rangle = \langle G_c M x, F(G_c M x) \rangle`: a sum of energies of patches.

A network that models the score is only nearly a gradient: its denoiser's Jacobian is not symmetric, and it has no
density.  Here Metropolis tests, line searches and :math:`\sigma^2 J = Cov` hold to rounding, for twice the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.lessons.lesson import LEVELS, Lesson
from scorefield.lessons.windows import Windows
from scorefield.objectives.denoising import NoiseConditional
from scorefield.prior import Density, level
from scorefield.priors.network import EDM, Preconditioning

if TYPE_CHECKING:
    from typing import Self


class Energy(Density):
    """A learned density of whole images.

    Args:
        net: called as ``net(x, noise)``, image to image, as for :class:`scorefield.priors.Network`.
        preconditioning: how the network becomes f.
        crop: side of the training crops in pixels.

    References:
        Salimans & Ho, "Should EBMs model the energy or the score?", ICLR 2021 workshop on energy-based models; Cohen et
        al., "It has potential: gradient-driven denoisers for convergent solutions to inverse problems", NeurIPS 2021.
    """

    def __init__(self, net: nn.Module, preconditioning: Preconditioning | None = None, *, crop: int = 64):
        super().__init__()
        self.net, self.preconditioning, self.crop = net, preconditioning or EDM(), crop

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma(x)`` up to a constant that depends on sigma: (B,).

        Raises:
            InputError: sigma = 0.
        """
        s = level(sigma, x)
        if bool((s == 0).any()):
            raise InputError("A learned energy has no density at sigma = 0; ask for it at a small positive sigma.")
        c = self.preconditioning.coefficients(s)
        away = (1 - c.skip) * x - c.out * self.net(c.inner * x, c.noise.reshape(-1))
        return -(x * away / (2 * s.square())).flatten(1).sum(1)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        s = level(sigma, x)
        return x + s.square() * self.score(x, s.clamp(min=1e-8).flatten())  # without noise, x itself

    def weight(self, sigma: Tensor) -> Tensor:
        """Training weight of the squared denoising error at ``sigma``."""
        return self.preconditioning.weight(sigma)

    def lesson(self) -> Lesson[Self]:
        return Lesson(self, self, Windows(self.crop), NoiseConditional(LEVELS, self.weight))
