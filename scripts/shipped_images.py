"""The images behind the shipped priors: what each is trained on, and what it is validated on.

The folders are those of the project's shared data. Each function gives single-channel tensors (1, H, W) in the units of
its prior: photographs over white, MR over the 99th percentile of the volume, CT as 1 + HU/1000.  Subjects are kept
apart: nothing here reads the slices that ``benchmarks/shipped.py`` tests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SMALLEST = 64  # pixels; smaller and nearly empty images teach nothing


def shrink(volume: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Block means; what does not fill a block is cut off."""
    for axis, factor in enumerate(factors):
        keep = volume.shape[axis] // factor * factor
        volume = np.moveaxis(volume, axis, 0)[:keep]
        volume = np.moveaxis(volume.reshape(-1, factor, *volume.shape[1:]).mean(1), 0, axis)
    return volume


def usable(images: Iterable[np.ndarray], side: int = SMALLEST) -> list[Tensor]:
    """Tensors (1, H, W), padded with zeros to ``side``; too small and nearly empty ones left out."""
    found = []
    for image in images:
        if min(image.shape) < SMALLEST or image.std() <= 0.02:
            continue
        missing = [max(0, side - length) for length in image.shape]
        padded = np.pad(image, [(gap // 2, gap - gap // 2) for gap in missing])
        found.append(torch.from_numpy(np.ascontiguousarray(padded, np.float32))[None])
    return found


def volume(path: Path) -> np.ndarray:
    """The voxels of a NIfTI file."""
    import nibabel

    return np.asarray(nibabel.load(path).dataobj, np.float32)  # pyright: ignore[reportAttributeAccessIssue]


def over_percentile(image: np.ndarray) -> np.ndarray:
    """An MR image or volume over the 99th percentile of what is not air."""
    return image / np.percentile(image[image > 0.1 * image.max()], 99)


def attenuation(hounsfield: np.ndarray) -> np.ndarray:
    """CT as attenuation over that of water: air 0, water 1."""
    return np.clip(1 + hounsfield.astype(np.float32) / 1000, 0, 3)


def planes(stack: np.ndarray, every: int = 1) -> Iterator[np.ndarray]:
    """The slices of a volume along its three axes."""
    for axis in range(3):
        yield from np.moveaxis(stack, axis, 0)[::every]


def gray(path: Path) -> np.ndarray:
    """A picture file as gray values in [0, 1]."""
    from skimage.color import rgb2gray
    from skimage.io import imread

    pixels = imread(path)
    return rgb2gray(pixels[..., :3]) if pixels.ndim == 3 else pixels / np.iinfo(pixels.dtype).max


def photo(data: Path) -> Iterator[np.ndarray]:
    """CC0 photographs of scikit-image, every second one of Kodak, at 1 to 1/4 of their resolution (sharper pixels)."""
    free = sorted((data / "natural-skimage").iterdir())
    for path in (*free, *kodak(data)[1::2]):
        if path.suffix in {".png", ".jpg"} and path.stem != "clock_motion":
            yield from (shrink(gray(path), (factor, factor)) for factor in (1, 2, 3, 4))


HELD_OUT = ("camera", "coffee")  # what the pages on EPLL restore


def photo_mixture(data: Path) -> Iterator[np.ndarray]:
    """The photographs of :func:`photo` but two, at 1 and 1/2 of their resolution."""
    free = sorted((data / "natural-skimage").iterdir())
    for path in (*free, *kodak(data)[1::2]):
        if path.suffix in {".png", ".jpg"} and path.stem not in {"clock_motion", *HELD_OUT}:
            yield from (shrink(gray(path), (factor, factor)) for factor in (1, 2))


def photo_validation(data: Path) -> Iterator[np.ndarray]:
    """The other Kodak photographs, at half their resolution."""
    for path in kodak(data)[::2]:
        yield shrink(gray(path), (2, 2))


def kodak(data: Path) -> list[Path]:
    """The files of sixteen photographs: odd places are trained on, even ones tested."""
    return sorted((data / "natural-kodak16").glob("*.png"))


def recolor(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another tissue contrast: a random piecewise-linear curve of the intensity that keeps 0 (air) at 0."""
    knots = np.array([0, 0.15, 0.35, 0.55, 0.75, 1.0, 1.5])
    return np.interp(image, knots, np.concatenate([[0], rng.uniform(0.1, 1.0, 6)]))


def retouch(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same kind of contrast on another scanner: a random increasing curve of the intensity that keeps 0 (air) at 0
    and 1 at 1, its slope at most three times as large in one place as in another."""
    knots = np.linspace(0, 1.5, 7)
    curve = np.concatenate([[0], np.cumsum(rng.uniform(0.5, 1.5, 6))])
    return np.interp(image, knots, curve / curve[4])


def head(data: Path) -> np.ndarray:
    """The T1-weighted head of one adult, 0.7 mm."""
    return over_percentile(volume(data / "brain-t1-studyforrest" / "sub02_T1w_brain_slices140-375.nii.gz"))


def brain(data: Path) -> Iterator[np.ndarray]:
    """One T1 head at 0.7, 1.3 and 2 mm, three orientations, and each slice in another contrast too."""
    whole, rng = head(data), np.random.default_rng(0)
    for factor, every in ((1, 6), (2, 1), (3, 1)):
        for image in planes(shrink(whole, (factor,) * 3), every):
            yield image
            yield recolor(image, rng)


def t1(data: Path) -> Iterator[np.ndarray]:
    """The head of one adult, and two templates without a skull, at 0.7 to 2 mm."""
    whole = head(data)
    for factor, every in ((1, 6), (2, 1), (3, 1)):
        yield from planes(shrink(whole, (factor,) * 3), every)
    for name in ("ch2", "mni_icbm152_t1_tal_nlin_sym_09a_converted"):
        template = over_percentile(volume(data / "brain-templates" / f"{name}.nii.gz"))
        yield from planes(template, 2)
        yield from planes(shrink(template, (2, 2, 2)), 2)


TRAINED_BRAINS = slice(0, 3)  # of the six people whose axial slice is in the data; the others are tested on


def axial(data: Path) -> list[np.ndarray]:
    """One axial T1 slice without the skull of each of six people, without its black margin."""
    from skimage.io import imread

    paths = sorted((data / "brain-slices-ants").glob("*.jpg"))
    return [over_percentile(imread(path).astype(np.float32))[32:224, 48:208] for path in paths]


def brain_t1(data: Path) -> Iterator[np.ndarray]:
    """T1 only: each slice as it is and retouched; the axial slices of three people in 120 variants each."""
    from scipy.ndimage import zoom

    rng = np.random.default_rng(0)
    for image in t1(data):
        yield image
        yield retouch(image, rng)
    for image in axial(data)[TRAINED_BRAINS]:
        for k in range(120):
            yield retouch(zoom(image, rng.uniform(0.85, 1.15), order=3) if k % 2 else image, rng)


def brain_validation(data: Path) -> Iterator[np.ndarray]:
    """The T1 coronal slice of another adult."""
    yield over_percentile(np.load(data / "mri-small-nibabel-dipy" / "t1_coronal_slice.npy").squeeze())


VALIDATION_HEAD = slice(9, 12)  # slices of the head CT that are validated on


def body(data: Path) -> Iterator[np.ndarray]:
    """CT of torso and head at 0.5 to 3 mm; the contrast-enhanced thorax is kept for tests."""
    import pydicom

    torso = data / "ct-torso-totalseg"
    yield from planes(attenuation(volume(torso / "example_ct.nii.gz")))
    for path in sorted((torso / "example_ct_dicom").glob("*.dcm")):
        scan = pydicom.dcmread(path)
        image = attenuation(scan.pixel_array * float(scan.RescaleSlope) + float(scan.RescaleIntercept))
        yield from (shrink(image, (factor, factor)) for factor in (1, 2, 3))
    slices = np.load(data / "ct-head-ge" / "ge_head_hu.npz")["hu"]
    for image in attenuation(np.delete(slices, VALIDATION_HEAD, 0)):
        yield from (shrink(image, (factor, factor)) for factor in (2, 3, 4))


def body_validation(data: Path) -> Iterator[np.ndarray]:
    """Three slices of the head CT at 1.5 mm."""
    slices = np.load(data / "ct-head-ge" / "ge_head_hu.npz")["hu"]
    yield from (shrink(image, (3, 3)) for image in attenuation(slices[VALIDATION_HEAD]))
