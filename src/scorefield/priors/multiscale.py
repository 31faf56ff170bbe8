r"""Multi-scale priors: the coarse image, then the details of each finer scale given the coarser image.

The orthonormal Haar transform splits an image :math:`x_{j-1}` into :math:`2 x_j`, half its size and in its units, and
three bands of details :math:`d_j`,

.. math:: p(x_0) \propto p(x_J) \prod_{j=J}^{1} p(d_j \mid x_j).

Given the coarser image, details depend on each other over short distances only: a conditional denoiser with a small
receptive field (:class:`scorefield.nets.LocalCNN`) at each scale is enough where a local model of the image is not, and
only the smallest image needs a global one.

**Sampling** goes from coarse to fine, exactly by the factors (:func:`coarse_to_fine`).  **Denoising** does too: noise
of level sigma in :math:`x_{j-1}` is noise of level sigma in the details and sigma/2 in :math:`x_j`, and

.. math:: \hat x_{j-1} = W^T \bigl( 2 \hat x_j,\ D_j(d_j + noise,\ \hat x_j, \sigma) \bigr)

puts the denoised coarser image in the place of the true one, as the reference does.  So :meth:`denoise` is exact in
two limits, for little noise and for details that say nothing of the coarser image, and a good approximation elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.prior import Denoiser, Prior, Vjp, level
from scorefield.randomness import stream
from scorefield.sampling import sample

if TYPE_CHECKING:
    from typing import Self

    from scorefield.lessons.lesson import Lesson


class MultiScale(Denoiser):
    """A prior on images whose sides are multiples of :math:`2^J`, made of J + 1 smaller ones.

    Each part is trained on its own, on the images that :func:`pyramid` makes.

    Args:
        coarse: prior of the smallest images (C, H/2^J, W/2^J), in the units of the images.
        details: denoisers of details given the coarser image, the finest scale first
            (:class:`scorefield.priors.Conditional` with 4 C channels, of which the last C are known).

    Raises:
        InputError: no details.

    References:
        Kadkhodaie, Guth, Mallat, Simoncelli, ICLR 2023, arXiv 2303.02984.
    """

    def __init__(self, coarse: Prior, details: Sequence[Prior]):
        super().__init__()
        if not len(details):
            raise InputError("MultiScale needs the details of at least one scale; without any, use the coarse prior.")
        self.coarse = coarse
        self._scales = nn.ModuleList(details)

    def lesson(self) -> Lesson[Self]:
        raise InputError(
            "MultiScale is trained part by part: make pyramid(image, scales) of each image, and train prior.coarse and"
            " each of prior.details on their parts."
        )

    @property
    def details(self) -> tuple[Prior, ...]:
        """Denoisers of details, the finest scale first."""
        return tuple(self._scales)  # pyright: ignore[reportReturnType]

    @property
    def coarser(self) -> Prior:
        """The prior of the images of half the size."""
        return MultiScale(self.coarse, self.details[1:]) if len(self.details) > 1 else self.coarse

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        s, (low, bands) = level(sigma, x), haar(x)
        clean = self.coarser.denoise(low / 2, _flat(s) / 2)
        fine = self.details[0].denoise(torch.cat([bands, clean], 1), _flat(s))
        return inverse_haar(2 * clean, fine[:, : bands.shape[1]])

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        s, (low, bands) = level(sigma, x), haar(x)
        clean, pull_low = self.coarser.linearize(low / 2, _flat(s) / 2)
        fine, pull_details = self.details[0].linearize(torch.cat([bands, clean], 1), _flat(s))
        count = bands.shape[1]

        def pull(v: Tensor) -> Tensor:
            v_low, v_bands = haar(v)  # the transform is orthonormal: its inverse is its adjoint
            back = pull_details(torch.cat([v_bands, torch.zeros_like(v_low)], 1))
            return inverse_haar(pull_low(2 * v_low + back[:, count:]) / 2, back[:, :count])

        return inverse_haar(2 * clean, fine[:, :count]), pull


class Given(Denoiser):
    """The conditional prior of some channels, at one value of the known ones.

    Args:
        prior: over all channels, the last of them known.
        known: their value (n, K, *spatial), one for each image of a batch.

    Raises:
        InputError: on denoising, images of another number or size than the known channels.
    """

    def __init__(self, prior: Prior, known: Tensor):
        super().__init__()
        self.prior = prior
        self.register_buffer("known", known)

    @property
    def extent(self) -> float:
        return self.amplitude or self.prior.extent

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.prior.denoise(torch.cat([x, self._known_for(x)], 1), sigma)[:, : x.shape[1]]

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        known = self._known_for(x)
        denoised, vjp = self.prior.linearize(torch.cat([x, known], 1), sigma)
        count = x.shape[1]
        return denoised[:, :count], lambda v: vjp(torch.cat([v, torch.zeros_like(known)], 1))[:, :count]

    def _known_for(self, x: Tensor) -> Tensor:
        known = torch.as_tensor(self.known)
        if len(known) != len(x) or known.shape[2:] != x.shape[2:]:
            raise InputError(
                f"The known channels have shape {tuple(known.shape)} and the images {tuple(x.shape)}; give one known"
                " image, of the same size, for each image of the batch."
            )
        return known.to(x)


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """One scale of the orthonormal Haar transform: low band (B, C, H/2, W/2) and details (B, 3 C, H/2, W/2).

    Raises:
        InputError: an image with an odd side.
    """
    if x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2:
        raise InputError(f"Scales halve images (B, C, H, W) with even sides, got {tuple(x.shape)}; crop or pad them.")
    a, b, c, d = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    return (a + b + c + d) / 2, torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], 1) / 2


def inverse_haar(low: Tensor, details: Tensor) -> Tensor:
    """The inverse of :func:`haar`."""
    columns, rows, both = details.chunk(3, 1)
    x = low.new_empty(*low.shape[:2], 2 * low.shape[2], 2 * low.shape[3])
    x[..., ::2, ::2], x[..., ::2, 1::2] = (low + columns + rows + both) / 2, (low - columns + rows - both) / 2
    x[..., 1::2, ::2], x[..., 1::2, 1::2] = (low + columns - rows - both) / 2, (low - columns - rows + both) / 2
    return x


def pyramid(image: Tensor, scales: int) -> list[Tensor]:
    """The training images of each part of a :class:`MultiScale`, from an image (C, H, W).

    Returns:
        Details and the coarser image (4 C, H/2, W/2) for each scale, the finest first, and the coarsest image.
    """
    parts = []
    for _ in range(scales):
        low, bands = haar(image[None])
        image = low[0] / 2
        parts.append(torch.cat([bands[0], image]))
    return [*parts, image]


def coarse_to_fine(
    prior: MultiScale, kernel: Kernel, sigmas: Tensor, *, n: int, shape: tuple[int, ...], seed: int = 0
) -> Tensor:
    """``n`` draws (n, *shape): the coarsest image, then the details of each scale given the coarser image.

    Args:
        sigmas: noise levels of every walk.
        shape: of the images, (C, H, W).
    """
    channels, height, width = shape
    factor = 2 ** len(prior.details)
    if height % factor or width % factor:
        raise InputError(f"Images of {len(prior.details)} scales have sides that are multiples of {factor}.")
    smallest = (channels, height // factor, width // factor)
    like = sigmas.new_empty(0)
    x = sample(prior.coarse, kernel, sigmas, n=n, seed=stream(seed, "coarse"), like=like.new_empty(smallest)).draws
    for k, details in enumerate(reversed(prior.details)):
        bands = (3 * channels, *x.shape[2:])
        given = Given(details, x)
        drawn = sample(given, kernel, sigmas, n=n, seed=stream(seed, k), like=like.new_empty(bands)).draws
        x = inverse_haar(2 * x, drawn)
    return x


def _flat(s: Tensor) -> Tensor:
    return s.reshape(()) if s.numel() == 1 else s.flatten()
