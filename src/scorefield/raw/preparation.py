r"""From raw k-space to a scan that can be reconstructed: noise, oversampling, coil maps.

1. The noise covariance C between coils, from the best source that the file offers (:mod:`scorefield.raw.covariance`).
2. The oversampling of the readout is removed: transform along it, cut the middle out, transform back.  All three are
   orthonormal, so the noise stays what it was.
3. Coils are whitened, :math:`y \leftarrow C^{-1/2} y`: the noise of each sample is white of level 1, and the image has
   the unit of that noise.  A sample that is the mean of n has the level :math:`1/\sqrt n`.
4. Coil maps from the fully sampled center of the whitened calibration lines (:func:`scorefield.operators.coil_maps`).

References:
    Pruessmann et al., "Advances in sensitivity encoding with arbitrary k-space trajectories", MRM 2001.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise import Gaussian, Weighted, White
from scorefield.operators import coil_maps
from scorefield.raw.acquisition import Acquisition
from scorefield.raw.covariance import Covariance, fully_sampled_width, noise_covariance, readout_to_image, whitener
from scorefield.scans.cartesian import Cartesian

WIDEST, NARROWEST = 24, 6  # samples of the center from which coil maps are made


@dataclass(frozen=True, eq=False)
class Preparation:
    """A scan, and how it was made from raw data.

    Args:
        scan: whitened, with coil maps and position.
        covariance: of the noise in the file's unit, before whitening.
        notes: sentences on what was done.
    """

    scan: Cartesian
    covariance: Covariance
    notes: tuple[str, ...]


def prepare(raw: Acquisition) -> Preparation:
    """The scan behind raw k-space.

    Raises:
        InputError: nothing was measured, the noise cannot be estimated, or several coils have no fully sampled center.
    """
    if not bool(raw.mask.any()) or not bool(raw.kspace.any()):
        raise InputError(f"{raw.source} holds no k-space that is not zero; choose another slice, or copy it again.")
    covariance = noise_covariance(raw)
    notes = [f"Noise from {covariance.source}; the coils are whitened, and the image is in units of it.", *raw.remarks]
    whole = bool(((raw.counts > 0).all(0) | (raw.counts == 0).all(0)).all())
    size = raw.kspace.shape[1]
    if raw.width < size and whole:
        raw = without_oversampling(raw)
        notes.append(f"Readout oversampling removed: {size} samples became {raw.width}.")
    elif raw.width < size:
        notes.append("The echo is not sampled as a whole, so the image keeps the oversampled field of view.")
    matrix = whitener(covariance.matrix)
    kspace = _mix(matrix, raw.kspace)
    maps, note = _maps(raw, kspace, matrix)
    data = kspace[:, raw.mask[0]]
    frame = raw.geometry.frame(tuple(kspace.shape[1:]), raw.source)
    scan = Cartesian(data, raw.mask, maps, noise=_noise(raw.counts[raw.mask[0]]), frame=frame)
    notes += [note, *_on_averages(raw)]
    return Preparation(scan, covariance, tuple(notes))


def without_oversampling(raw: Acquisition) -> Acquisition:
    """The raw data of the middle ``width`` columns of the field of view, on a grid of as many samples."""
    kspace = _crop(raw.kspace, raw.width)
    calibration = None if raw.calibration is None else _crop(raw.calibration, raw.width)
    counts = raw.counts.amax(0, keepdim=True).expand(raw.width, -1)
    return replace(raw, kspace=kspace, counts=counts, calibration=calibration)


def _crop(kspace: Tensor, width: int) -> Tensor:
    first = kspace.shape[1] // 2 - width // 2
    columns = torch.fft.ifftshift(readout_to_image(kspace)[:, first : first + width], dim=1)
    return torch.fft.fftshift(torch.fft.fft(columns, dim=1, norm="ortho"), dim=1)


def _mix(matrix: Tensor, kspace: Tensor) -> Tensor:
    return (matrix @ kspace.to(torch.complex128).flatten(1)).reshape(kspace.shape).to(torch.complex64)


def _noise(counts: Tensor) -> Gaussian:
    """The law of whitened samples, each the mean of ``counts``."""
    if bool((counts == counts[0]).all()):
        return White(float(counts[0].rsqrt()))
    return Weighted(counts.rsqrt().unsqueeze(0))


def _maps(raw: Acquisition, kspace: Tensor, matrix: Tensor) -> tuple[Tensor | None, str]:
    """Coil maps of the whitened scan, and a sentence on where they come from."""
    sources = [("k-space", kspace)]
    if raw.calibration is not None:
        sources.insert(0, ("the calibration lines", _mix(matrix, raw.calibration)))
    for name, values in sources:
        width = fully_sampled_width((values != 0).any(0), WIDEST)
        if width >= NARROWEST:
            return coil_maps(values, width=width), f"Coil maps from the central {width} x {width} samples of {name}."
    if len(kspace) == 1:
        return None, "No coil map: the center of k-space is not sampled fully, and there is one coil."
    raise InputError(
        f"{raw.source} has {len(kspace)} coils and less than {NARROWEST} x {NARROWEST} fully sampled samples in the"
        " center of k-space, too few for coil maps; give a scan with calibration lines."
    )


def _on_averages(raw: Acquisition) -> list[str]:
    counts = raw.counts[raw.mask[0]]
    low, high = int(counts.min()), int(counts.max())
    many = f"{low}" if low == high else f"{low} to {high}"
    return [f"Averages combined: each sample was measured {many} times."] if high > 1 else []
