"""Scans of version 0.1: one class for all kinds, with a dictionary of numbers, one of arrays, and white noise.

"kind" named the forward model.  Version 0.1 stored the side of a pixel twice, in the geometry for the operator and as
spacing for the image; here that of the operator counts.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from scorefield.data.frame import Frame
from scorefield.errors import InputError
from scorefield.noise import White

CLASSES = {"mri": "Cartesian", "mri_real": "Cartesian", "parallel_beam": "ParallelBeam", "fan_beam": "FanBeam"}
NUMBERS = ("detector_spacing", "center", "source_distance", "detector_distance")


def upgrade(record: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """Kind and fields of the typed scan, its frame among them.

    Args:
        record: the file's metadata.
        tensors: the file's tensors: "data" and "arrays.<name>".

    Raises:
        InputError: a kind that version 0.1 did not know.
    """
    geometry = record["geometry"]
    kind = geometry["kind"]
    if kind not in CLASSES:
        raise InputError(f"The scan is of the unknown kind '{kind}'; known are {', '.join(CLASSES)}.")
    make = _k_space if CLASSES[kind] == "Cartesian" else _sinogram
    fields = make(geometry, tensors)
    pixel = geometry.get("pixel_spacing")
    return CLASSES[kind], {**fields, "noise": White(record["noise_std"]), "frame": _frame(record, pixel)}


def _k_space(geometry: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    data, coils = tensors["data"], tensors.get("arrays.coils")
    data = data if data.is_complex() else data.to(torch.promote_types(data.dtype, torch.complex64))
    return {"data": data, "mask": tensors["arrays.mask"], "coils": coils, "real": geometry["kind"] == "mri_real"}


def _sinogram(geometry: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    numbers = {name: geometry[name] for name in NUMBERS if name in geometry}
    return {"data": tensors["data"], "angles": tensors["arrays.angles"], "size": geometry["shape"][1:], **numbers}


def _frame(record: dict[str, Any], pixel: float | None) -> Frame:
    spacing, affine, unit = record["spacing"], record["affine"], record["unit"]
    unplaced = spacing is None and affine is None
    same = spacing is not None and all(math.isclose(step, pixel or step, rel_tol=1e-3) for step in spacing)
    if pixel is not None and not same and not (unplaced and pixel == 1.0):
        spacing = (pixel, pixel)
    try:
        return Frame(spacing, affine, unit)
    except InputError:  # 0.1 did not compare the two
        return Frame(spacing, None, unit)
