r"""The covariance of the noise between coils, from what a scan offers: three sources, the best one first.

1. Readouts without excitation: :math:`C = \tfrac{1}{2m} \sum n n^H`.
2. Samples beyond the field of view of an oversampled readout: columns of the image that the patient does not reach.
   Columns with more than twice the power of the quietest quarter are left out.
3. The border of k-space, the tenth of the samples that is farthest from zero frequency.  It still contains the image,
   so its scale is too large.  Where several coils are sampled in the center, neighborhoods of k-space tell signal and
   noise apart: over all coils they have few degrees of freedom, and the singular vectors beyond those hold noise only.

A covariance is that of each real component of a sample that was measured once.

References:
    Kellman and McVeigh, "Image reconstruction in SNR units", Magn. Reson. Med. 2005; Veraart et al., "Denoising of
    diffusion MRI using random matrix theory", NeuroImage 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.raw.acquisition import Acquisition

BORDER = 0.1  # of the samples
QUIET = 2.0  # times the power of the quietest quarter of the columns
EDGE = 32  # the last part of the readout's field of view that the receiver's filter reaches
KERNEL, LARGEST, SMALLEST = 5, 32, 12  # samples along a neighborhood, and along the center that is cut into them
ABOVE = 1.1  # a singular value of the signal, over the largest one of noise


@dataclass(frozen=True, eq=False)
class Covariance:
    """Covariance (coils, coils) of each real component, and where it comes from, in words."""

    matrix: Tensor
    source: str


def noise_covariance(scan: Acquisition) -> Covariance:
    """The covariance of the noise of a scan, by the first source that it offers.

    Raises:
        InputError: no source gives a positive definite matrix.
    """
    for source in (from_noise_scan, beyond_the_field_of_view, from_the_border):
        found = source(scan)
        if found is not None and _is_definite(found.matrix):
            return found
    raise InputError(
        f"The noise of {scan.source} cannot be estimated: there is no noise scan, and its border of k-space is zero or"
        " the same in several coils; give k-space as it was measured."
    )


def from_noise_scan(scan: Acquisition) -> Covariance | None:
    """From readouts without excitation; None where there are fewer samples than twice the coils."""
    if scan.noise is None or scan.noise.shape[1] < 2 * len(scan.noise):
        return None
    return Covariance(_of(scan.noise), f"a noise scan of {scan.noise.shape[1]} samples")


def beyond_the_field_of_view(scan: Acquisition) -> Covariance | None:
    """From the oversampled part of the readout; None where it is not oversampled, or not sampled as a whole."""
    size = scan.kspace.shape[1]
    whole = (scan.counts > 0).all(0)
    if size - scan.width < 16 or not bool(whole.any()):
        return None
    lines = scan.kspace[:, :, whole] * scan.counts[:, whole].sqrt()
    columns = readout_to_image(lines)
    kept = slice(size // 2 - scan.width // 2, size // 2 - scan.width // 2 + scan.width)
    outside = torch.ones(size, dtype=torch.bool)
    outside[kept] = outside[: size // EDGE] = outside[-(size // EDGE) :] = False
    if int(outside.sum()) < 8:
        return None
    columns = columns[:, outside]
    power = columns.abs().square().sum((0, 2))
    quiet = columns[:, power <= QUIET * power.quantile(0.25)].flatten(1)
    return Covariance(_of(quiet), f"{quiet.shape[1]} samples beyond the field of view of the oversampled readout")


def from_the_border(scan: Acquisition) -> Covariance:
    """From the border of k-space, its scale corrected by neighborhoods of the center where that is possible."""
    grid = torch.meshgrid(*((torch.arange(n) - n // 2) / (n / 2) for n in scan.kspace.shape[1:]), indexing="ij")
    radius = torch.stack(grid).square().sum(0).sqrt()
    measured = scan.counts > 0
    border = measured & (radius >= radius[measured].quantile(1 - BORDER))
    matrix = _of(scan.kspace[:, border] * scan.counts[border].sqrt())
    if not _is_definite(matrix):
        return Covariance(matrix, "the border of k-space")
    scale = _scale_by_neighborhoods(scan, matrix)
    if scale is None:
        return Covariance(matrix, "the border of k-space, which still contains the image: an upper bound")
    return Covariance(matrix * min(scale, 1.0), "the border of k-space, scaled by neighborhoods of its center")


def whitener(covariance: Tensor) -> Tensor:
    """:math:`C^{-1/2}`, symmetric, in double precision."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.pow(-0.5)) @ vectors.mH


def readout_to_image(kspace: Tensor) -> Tensor:
    """The centered orthonormal inverse transform along axis 1, zero at ``n // 2`` on both sides."""
    shifted = torch.fft.ifftshift(kspace, dim=1)
    return torch.fft.fftshift(torch.fft.ifft(shifted, dim=1, norm="ortho"), dim=1)


def fully_sampled_width(mask: Tensor, most: int) -> int:
    """The largest width <= ``most`` of a square around ``n // 2`` of a mask (rows, columns) that is True all over."""
    width = 0
    for size in range(1, min(most, *mask.shape) + 1):
        first = [n // 2 - size // 2 for n in mask.shape]
        if not bool(mask[first[0] : first[0] + size, first[1] : first[1] + size].all()):
            break
        width = size
    return width


def _of(samples: Tensor) -> Tensor:
    double = samples.to(torch.complex128)
    return double @ double.mH / (2 * samples.shape[1])


def _is_definite(matrix: Tensor) -> bool:
    values = torch.linalg.eigvalsh(matrix) if bool(matrix.isfinite().all()) else torch.zeros(1)
    return bool(values[0] > 1e-10 * values[-1]) and bool(values[0] > 0)


def _scale_by_neighborhoods(scan: Acquisition, matrix: Tensor) -> float | None:
    """The variance of white noise in the neighborhoods of the center, after whitening by ``matrix``."""
    mask = scan.counts > 0
    width, coils = fully_sampled_width(mask, LARGEST), len(scan.kspace)
    if width < SMALLEST or coils < 3:
        return None
    first = [n // 2 - width // 2 for n in mask.shape]
    window = (slice(None), *(slice(f, f + width) for f in first))
    center = whitener(matrix) @ (scan.kspace[window] * scan.counts[window[1:]].sqrt()).to(torch.complex128).flatten(1)
    generator = torch.Generator().manual_seed(0)
    white = torch.view_as_complex(torch.randn(*center.shape, 2, dtype=torch.float64, generator=generator))
    signal, noise = (_spectrum(values.reshape(coils, width, width)) for values in (center, white))
    half = len(noise) // 2
    level = float(signal[half:].mean() / noise[half:].mean())
    for _ in range(10):  # the border between signal and noise, and the level of the noise, from each other
        rank = int((signal > ABOVE * level * noise[0]).sum())
        if rank > half:
            return None
        level = float(signal[rank:].mean() / noise.mean())
    return level


def _spectrum(center: Tensor) -> Tensor:
    """The squared singular values of the matrix of all neighborhoods, over their number, falling."""
    pieces = center.unfold(1, KERNEL, 1).unfold(2, KERNEL, 1).permute(1, 2, 0, 3, 4)
    rows = pieces.reshape(pieces.shape[0] * pieces.shape[1], -1)
    return torch.linalg.svdvals(rows).square() / len(rows)
