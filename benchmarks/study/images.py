"""The images: 96 x 96, one subject never both trained on and tested on.

The folders are those of the project's shared data, read by ``scripts/shipped_images.py``.  MR is in units of the 99th
percentile of what is not air, CT is 1 + HU/1000.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from shipped_images import (  # pyright: ignore[reportMissingImports]
    attenuation,
    gray,
    head,
    over_percentile,
    shrink,
    usable,
    volume,
)

SIDE = 96
SLICES = 6  # of a test set
T = TypeVar("T")


def fitted(image: np.ndarray) -> np.ndarray:
    """The middle 96 x 96 pixels, zeros around smaller images."""
    for axis, length in enumerate(image.shape):
        start = max(0, length - SIDE) // 2
        image = np.moveaxis(np.moveaxis(image, axis, 0)[start : start + SIDE], 0, axis)
    return np.pad(image, [((SIDE - n) // 2, SIDE - n - (SIDE - n) // 2) for n in image.shape])


def evenly(items: Sequence[T], n: int) -> list[T]:
    """``n`` of the items, as far apart as possible; the middle one for n = 1."""
    return [items[int((i + 0.5) * len(items) / n)] for i in range(n)]


def axial(stack: np.ndarray) -> Iterator[np.ndarray]:
    """The slices along the last axis."""
    yield from np.moveaxis(stack, 2, 0)


# --- training and tuning


def brain_training(data: Path) -> Iterator[np.ndarray]:
    """T1 at 2 mm: one adult and two templates."""
    yield from axial(shrink(head(data), (3, 3, 3)))
    for name in ("ch2", "mni_icbm152_t1_tal_nlin_sym_09a_converted"):
        yield from axial(shrink(over_percentile(volume(data / "brain-templates" / f"{name}.nii.gz")), (2, 2, 2)))


def body_training(data: Path) -> Iterator[np.ndarray]:
    """Abdomen and pelvis of one subject at 3 mm, and 20 slices of the torso at 3.9 mm."""
    import pydicom

    torso = data / "ct-torso-totalseg"
    yield from axial(attenuation(volume(torso / "example_ct.nii.gz")))
    for path in sorted((torso / "example_ct_dicom").glob("*.dcm")):
        scan = pydicom.dcmread(path)
        image = scan.pixel_array * float(scan.RescaleSlope) + float(scan.RescaleIntercept)
        yield shrink(attenuation(image), (4, 4))


TRAINING: dict[str, Callable[[Path], Iterator[np.ndarray]]] = {"brain": brain_training, "body": body_training}


@cache
def training(data: Path, kind: str, n: int) -> tuple[Tensor, ...]:
    """``n`` training slices (1, H, W), H and W at least 96, spread evenly over all."""
    return tuple(evenly(usable(TRAINING[kind](data), SIDE), n))


@cache
def tuning(data: Path, kind: str) -> Tensor:
    """The one slice that every method's number is chosen on, of another subject again: (1, 96, 96)."""
    if kind == "brain":
        slice_ = np.load(data / "mri-small-nibabel-dipy" / "t1_coronal_slice.npy").squeeze()
        image = over_percentile(shrink(slice_.astype(np.float32), (2, 2)))
    else:
        hounsfield = np.load(data / "ct-head-ge" / "ge_head_hu.npz")["hu"]
        image = shrink(attenuation(hounsfield[len(hounsfield) // 2]), (4, 4))
    return _tensor(image)


# --- tests


def brain(data: Path, factor: int = 2) -> Iterator[np.ndarray]:
    """T1 slices of six subjects, at 2 mm or, with factor 1, what 96 pixels of 1 mm show of them."""
    for path in sorted((data / "brain-slices-ants").glob("*.jpg")):
        yield over_percentile(shrink(gray(path).astype(np.float32), (factor, factor)))


def inverted(data: Path) -> Iterator[np.ndarray]:
    """The same slices in another contrast: dark tissue bright and bright tissue dark, air dark."""
    for image in brain(data):
        yield np.interp(image, [0, 0.15, 0.3, 1.0, 1.5], [0, 0.15, 1.0, 0.25, 0.2]).astype(np.float32)


def spine(data: Path) -> Iterator[np.ndarray]:
    """Cervical cord, T2*, at 1 mm."""
    stack = shrink(volume(data / "mri-spine-sct" / "t2s_t2s_uncropped.nii.gz"), (2, 2, 1))
    yield from axial(over_percentile(stack))


def heart(data: Path) -> Iterator[np.ndarray]:
    """Thorax with the heart at 2.5 mm; the middle half of the slab."""
    stack = volume(data / "mri-heart-seg3d" / "heart_tfl3d_44x640x640.nii.gz")[:, :, 11:33]
    for image in axial(shrink(stack, (4, 4, 1))):
        yield over_percentile(fitted(image))


def thorax(data: Path) -> Iterator[np.ndarray]:
    """CT of another subject than the training's, with contrast agent, at 1.5 mm."""
    for name in ("aorta", "pulmonary"):
        stack = attenuation(volume(data / "ct-torso-totalseg" / f"{name}_ct_cropped.nii.gz"))
        yield from evenly(list(axial(stack)), SLICES // 2)


TESTS: dict[str, Callable[[Path], Iterator[np.ndarray]]] = {
    "brain": brain,
    "zoomed": lambda data: brain(data, 1),
    "inverted": inverted,
    "spine": spine,
    "heart": heart,
    "CT": lambda data: (over_percentile(fitted(image)) for image in thorax(data)),
    "body": thorax,
}


@cache
def tests(data: Path, name: str) -> tuple[Tensor, ...]:
    """The six test slices (1, 96, 96) of a test set, by the names in ``TESTS``."""
    return tuple(_tensor(image) for image in evenly(list(TESTS[name](data)), SLICES))


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(fitted(image), np.float32))[None]
