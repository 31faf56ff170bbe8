r"""Fields of experts: the image's score is the sum of the scores of all its overlapping patches.

.. math:: s(x, \sigma) = w(\sigma) \sum_c a_c M^T G_c^T\, s_V(G_c M x, \sigma), \qquad s_V = \nabla \log p_{patch},

where M mirrors the image at its border, :math:`G_c` cuts out patch c, and the votes :math:`a_c` are 1 except for
patches across the border (:mod:`scorefield.nets.overlaps`).  The adjoint of the mirroring adds the scores of mirrored
pixels to those of their originals; so if :math:`s_V` is a gradient, s is one.

**The weight.**  Denoising score matching on patches makes :math:`s_V` the score of the patch *marginal*; every pixel
lies in :math:`(p/t)^2` patches of side p at stride t, so the plain sum counts its evidence about that many times.  With
w = :math:`(t/p)^2` Tweedie's formula gives the average of the overlapping patch denoisers, exact for independent
pixels.  In general the weight is not a matter of taste but one-dimensional score matching: the image-level denoising
error is quadratic in w and smallest at

.. math:: w^*(\sigma) = -\frac{E\langle \sigma n,\ \sigma^2 S \rangle}{E\|\sigma^2 S\|^2}, \qquad
    S = \sum_c a_c M^T G_c^T s_V(G_c M (x_0 + \sigma n), \sigma),

which training estimates from its own images on a grid of levels.

**Three ways to train** one patch network F, the unitless score :math:`\sigma s_V`:

==================================================== ======================== ========================================
Prior                                                Trained on               Weight
==================================================== ======================== ========================================
``FieldOfExperts(F)``                                single patches           w*, fitted afterwards
``Network(Patchwise(F), Unitless())``                image crops, as one      1: training fits the size of F, too
``Energy(Patchwise(F), Unitless())``                 image crops, as one      1, and the score is an exact gradient
==================================================== ======================== ========================================

For Gaussian images all three are in closed form: with :math:`s_V = -K v`, :math:`B = \sum_c a_c M^T G_c^T K G_c M` and
N the covariance of the noisy image, the error is :math:`\sigma^4 \|(w B - N^{-1}) N^{1/2}\|^2`, hence :math:`w^* = tr B
/ tr(B N B^T)`, which is 1 at the best K.  Training on single patches gives the inverse of the patch's covariance, and
the sum of these is not proportional to :math:`N^{-1}`: in the limit, training on whole images has the smaller error.
In a minute of training on one thread the first two are alike, and the energy, two to three times slower a step, is
behind (``benchmarks/patch_training.py``).

References:
    Roth & Black, CVPR 2005; Fessler 2023, slides on patch models (this module corrects the minus signs and the missing
    weight there).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.lessons.lesson import Lesson
from scorefield.nets.overlaps import Overlaps, chunk_for
from scorefield.prior import Score, level
from scorefield.priors.network import Network, Unitless
from scorefield.randomness import normal_like

if TYPE_CHECKING:
    from typing import Self


class FieldOfExperts(Score):
    """A prior on images of any size, made of one network on p x p patches.

    Args:
        net: patch network with ``size`` p and ``channels`` (:class:`scorefield.nets.PatchMLP`), called as
            ``net(patch, noise)``; it predicts the unitless patch score sigma s_V.
        stride: pixels between neighboring patches; the work is inverse to its square.
        levels: how many noise levels carry a weight; between them it is interpolated in log sigma.
        sigma_min: smallest of these levels.
        sigma_max: largest of these levels.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        stride: int = 1,
        levels: int = 12,
        sigma_min: float = 0.01,
        sigma_max: float = 1.0,
    ):
        super().__init__()
        if levels < 2 or not 0 < sigma_min < sigma_max:
            raise InputError("FieldOfExperts needs levels >= 2 and 0 < sigma_min < sigma_max.")
        self.net, self.stride, self.levels = net, stride, levels
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self.size, self.channels = int(net.size), int(net.channels)  # pyright: ignore[reportArgumentType]
        self._overlaps = Overlaps(self.size, stride)
        self.register_buffer("weights", torch.full((levels,), (stride / self.size) ** 2))

    def lesson(self) -> Lesson[Self]:
        """The network learns as a prior on single patches; :meth:`finish` then sets the weights of the overlaps."""
        patches = Network(self.net, Unitless(), crop=self.size).lesson()
        return Lesson(self, patches.trainee, patches.cut, patches.objective, self.finish)

    def weight(self, sigma: Tensor) -> Tensor:
        """``w(sigma)``, shaped like sigma."""
        low, high = torch.log(torch.tensor([self.sigma_min, self.sigma_max], dtype=sigma.dtype))
        position = (sigma.clamp(min=1e-12).log() - low) / (high - low) * (self.levels - 1)
        below = position.clamp(0, self.levels - 1).floor().clamp(max=self.levels - 2)
        fraction = (position - below).clamp(0, 1)
        weights = torch.as_tensor(self.weights).to(sigma)
        index = below.long()
        return weights[index] * (1 - fraction) + weights[index + 1] * fraction

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        s = level(sigma, x)
        if bool((s == 0).any()):
            raise InputError("A field of experts has no score at sigma = 0; ask for it at a small positive sigma.")
        return self.weight(s) * self.overlap(x, s) / s

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        s = level(sigma, x)
        return x + self.weight(s) * s * self.overlap(x, s)

    def overlap(self, x: Tensor, sigma: Tensor) -> Tensor:
        """``sigma sum_c G_c^T s_V(G_c x, sigma)``, unweighted; x (B, C, H, W), sigma (B or 1, 1, 1, 1).

        Raises:
            InputError: an image that is not (B, channels, H, W) with H, W >= p.
        """
        if x.ndim != 4 or x.shape[1] != self.channels or min(x.shape[2:]) < self.size:
            raise InputError(
                f"FieldOfExperts takes images (B, {self.channels}, H, W), H and W at least {self.size},"
                f" got {tuple(x.shape)}."
            )
        noise = Unitless().coefficients(sigma).noise.reshape(-1).expand(len(x))
        return self._overlaps.map(x, lambda patches, image: self.net(patches, noise[image]), chunk_for(x))

    @torch.no_grad()
    def finish(self, images: Sequence[Tensor], generator: torch.Generator) -> None:
        """Set the weights: image-level denoising score matching in closed form, over ``images`` (C, H, W)."""
        sigmas = torch.logspace(0, 1, self.levels, base=self.sigma_max / self.sigma_min) * self.sigma_min
        top, bottom = torch.zeros(2, self.levels, dtype=torch.float64)
        for image in images:
            clean = _center(image[None].to(self.weights.device), 128)  # pyright: ignore
            for i, sigma in enumerate(sigmas.to(clean)):
                noise = sigma * normal_like(clean.cpu(), generator).to(clean)
                correction = sigma * self.overlap(clean + noise, sigma.reshape(1, 1, 1, 1))
                top[i] -= (noise * correction).sum()
                bottom[i] += correction.square().sum()
        self.weights = (top / bottom.clamp(min=1e-300)).clamp(min=0).to(torch.as_tensor(self.weights))


def _center(x: Tensor, side: int) -> Tensor:
    """The middle of images (B, C, H, W), at most ``side`` pixels wide and high."""
    top, left = (max(n - side, 0) // 2 for n in x.shape[2:])
    return x[:, :, top : top + side, left : left + side]
