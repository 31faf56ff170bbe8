"""Raw measurements on disk: the data, how they were taken, and how noisy they are.

A ``.scan`` is one safetensors file: the tensors "data" and "arrays.<name>", complex ones as pairs of real
numbers, and JSON metadata for the rest, under a checksum.  It never holds a pickle.  ``geometry["kind"]``
names the forward model in ``BUILDERS``; a new kind is one function and one line there.
"""

from __future__ import annotations

import difflib
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scorefield.data.frame import Frame
from scorefield.data.reading import reading
from scorefield.errors import InputError
from scorefield.store.atomic import atomic_path

if TYPE_CHECKING:
    from scorefield.measurement import Measurement
    from scorefield.operators.linear import Operator

suffixes = (".scan",)
VERSION = 1  # of the file layout


@dataclass(frozen=True, eq=False)
class Scan:
    r"""One raw scan: data, acquisition geometry, noise level, and where the image lies.

    Args:
        data: shaped like the operator's output, any floating or complex dtype, finite.
        geometry: plain JSON: "kind", "shape" (the image, (C, \*spatial)) and the kind's numbers (lengths in
            mm).
        arrays: tensors the kind needs: "angles" (radians), "mask", "coils".
        noise_std: standard deviation per real component, in the unit of the data.
        spacing: mm per spatial axis of the image, or None.
        unit: of the image values.
        affine: (4, 4), image indices to RAS+ mm, or None.

    Raises:
        InputError: NaN or infinite data, noise that is not positive, geometry without kind or not JSON.
    """

    data: Tensor
    geometry: dict[str, Any]
    arrays: dict[str, Tensor] = field(default_factory=dict, kw_only=True)
    noise_std: float = field(kw_only=True)
    spacing: tuple[float, ...] | None = field(default=None, kw_only=True)
    unit: str = field(default="a.u.", kw_only=True)
    affine: np.ndarray | None = field(default=None, kw_only=True)
    frame: Frame = field(init=False)

    def __post_init__(self):
        if not (self.data.is_floating_point() or self.data.is_complex()):
            raise InputError(f"The scan's data have dtype {self.data.dtype}; convert them to float or complex.")
        for name, values in {"data": self.data, **self.arrays}.items():
            bad = int((~values.isfinite()).sum())
            if bad:
                raise InputError(f"The scan's {name} hold {bad} values that are NaN or infinite; repair them first.")
        if not (np.isfinite(self.noise_std) and self.noise_std > 0):
            raise InputError(f"The scan's noise_std is {self.noise_std}; estimate it from the data, it is above 0.")
        object.__setattr__(self, "noise_std", float(self.noise_std))
        if "kind" not in self.geometry:
            raise InputError(f"The scan's geometry has no 'kind'; name one of {', '.join(BUILDERS)}.")
        try:
            plain = json.loads(json.dumps(self.geometry, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(f"The scan's geometry is not plain JSON ({error}); put arrays in 'arrays'.") from error
        object.__setattr__(self, "geometry", plain)
        frame = Frame(self.spacing, self.affine, self.unit, "The scan").fit(len(self.shape) - 1)
        for name, value in {"frame": frame, "spacing": frame.spacing, "affine": frame.affine}.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, ...]:
        r"""Shape of the image, (C, \*spatial).

        Raises:
            InputError: the geometry does not say it.
        """
        shape = self.need("shape")
        if not isinstance(shape, list) or len(shape) < 2 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise InputError(f"The scan's geometry has the shape {shape}; give the image's (C, *spatial).")
        return tuple(shape)

    @property
    def spatial(self) -> tuple[int, ...]:
        """Size of the image along each spatial axis."""
        return self.shape[1:]

    def need(self, name: str) -> Any:
        """The geometry's entry ``name``.

        Raises:
            InputError: there is none.
        """
        if name not in self.geometry:
            raise InputError(f"A scan of kind '{self.geometry['kind']}' needs '{name}' in its geometry; add it.")
        return self.geometry[name]

    def number(self, name: str) -> float:
        """The geometry's entry ``name``, a number.

        Raises:
            InputError: there is none, or it is something else.
        """
        value = self.need(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"The scan's geometry has '{name}' {value!r}; give a number.")
        return value

    def array(self, name: str) -> Tensor:
        """The tensor ``name``.

        Raises:
            InputError: there is none.
        """
        if name not in self.arrays:
            raise InputError(f"A scan of kind '{self.geometry['kind']}' needs '{name}' in its arrays; add it.")
        return self.arrays[name]

    def operator(self) -> Operator:
        """The forward model that made the data.

        Raises:
            InputError: unknown kind, or something it needs is missing.
        """
        kind = str(self.geometry["kind"])
        if kind not in BUILDERS:
            near = difflib.get_close_matches(kind, BUILDERS, n=1)
            hint = f", did you mean '{near[0]}'?" if near else ""
            raise InputError(f"The scan is of the unknown kind '{kind}'; known are {', '.join(BUILDERS)}{hint}")
        for name in self.geometry.keys() - KEYS:  # others may be anything, but no slip of the pen
            near = difflib.get_close_matches(name, KEYS - self.geometry.keys(), n=1, cutoff=0.8)
            if near:
                raise InputError(f"The scan's geometry has '{name}'; did you mean '{near[0]}'?")
        return BUILDERS[kind](self)

    def measurement(self) -> Measurement:
        """Data, forward model and white noise, ready for a posterior."""
        from scorefield.measurement import Measurement
        from scorefield.noise import White

        return Measurement(self.data, self.operator(), White(self.noise_std))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.scan`` file, whole or not at all; every dtype is kept exactly.

        Raises:
            InputError: another suffix.
        """
        from safetensors.torch import save_file

        path = Path(path)
        if not matches(path):
            raise InputError(f"A scan is saved under a name ending in .scan, not {path}; rename it.")
        tensors = {"data": self.data, **{f"arrays.{name}": values for name, values in self.arrays.items()}}
        record = {
            "version": VERSION,
            "geometry": self.geometry,
            "noise_std": self.noise_std,
            "spacing": self.spacing,
            "unit": self.unit,
            "affine": None if self.affine is None else self.affine.tolist(),
            "complex": [name for name, values in tensors.items() if values.is_complex()],
        }
        stored = {name: _stored(values) for name, values in tensors.items()}
        text = json.dumps(record, allow_nan=False)
        with atomic_path(path) as temporary:
            save_file(stored, temporary, metadata={"scorefield": text, "crc32": _checksum(text, stored)})
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scan:
        """Read a ``.scan`` file.

        Raises:
            InputError: missing, damaged, or of another program or a newer version.
        """
        from safetensors import safe_open

        path = Path(path)
        if not path.is_file():
            raise InputError(f"There is no scan {path}; check the name.")
        with reading(path, "it is damaged, cut short or no scorefield scan, so save it again with Scan.save"):
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            record = json.loads(metadata.get("scorefield", "{}"))
            if record.get("version") != VERSION:
                raise InputError(
                    f"{path} has scan layout {record.get('version')}, and this scorefield reads {VERSION};"
                    " save it again with this version."
                )
            if metadata.get("crc32") != _checksum(metadata["scorefield"], tensors):
                raise InputError(f"{path} was changed or damaged since it was written; copy it again.")
            tensors.update({name: torch.view_as_complex(tensors[name]) for name in record["complex"]})
            return cls(
                tensors.pop("data"),
                record["geometry"],
                arrays={name.removeprefix("arrays."): values for name, values in tensors.items()},
                noise_std=record["noise_std"],
                spacing=record["spacing"],
                unit=record["unit"],
                affine=None if record["affine"] is None else np.array(record["affine"]),
            )

    def __repr__(self) -> str:
        return f"Scan({self.geometry['kind']}, data {tuple(self.data.shape)}, noise_std {self.noise_std:g})"


def matches(path: Path) -> bool:
    """Whether the name ends in ``.scan``."""
    return path.name.lower().endswith(suffixes)


def read(path: Path) -> Scan:
    """The scan in ``path``; see :meth:`Scan.load`."""
    return Scan.load(path)


def _stored(values: Tensor) -> Tensor:
    values = values.detach().cpu()
    values = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    return values.clone(memory_format=torch.contiguous_format)  # safetensors refuses tensors that share memory


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    """CRC-32 of everything in the file; safetensors itself would not notice a flipped bit."""
    crc = zlib.crc32(text.encode())
    for name, values in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {values.dtype} {tuple(values.shape)}".encode(), crc)
        crc = zlib.crc32(values.reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def _parallel_beam(scan: Scan) -> Operator:
    from scorefield.operators import parallel_beam

    return parallel_beam(
        scan.shape,
        scan.array("angles"),
        scan.need("detectors"),
        detector_spacing=scan.number("detector_spacing"),
        pixel_spacing=scan.number("pixel_spacing"),
        center=_center(scan),
    )


def _center(scan: Scan) -> tuple[float, float] | None:
    """The axis of rotation (row, column) in pixels, where it is not the middle of the image."""
    if scan.geometry.get("center") is None:
        return None
    try:
        row, column = map(float, scan.geometry["center"])
    except (TypeError, ValueError):
        raise InputError(
            f"The scan's geometry has 'center' {scan.geometry['center']!r}; give a row and a column in pixels."
        ) from None
    return row, column


def _fan_beam(scan: Scan) -> Operator:
    from scorefield.operators import fan_beam

    return fan_beam(
        scan.shape,
        scan.array("angles"),
        scan.need("detectors"),
        source_distance=scan.number("source_distance"),
        detector_distance=scan.number("detector_distance"),
        detector_spacing=scan.number("detector_spacing"),
        pixel_spacing=scan.number("pixel_spacing"),
        center=_center(scan),
    )


def _mri(scan: Scan) -> Operator:
    from scorefield.operators import mri

    return mri(scan.array("mask"), scan.arrays.get("coils"))


def _mri_real(scan: Scan) -> Operator:
    from scorefield.operators import RealToComplex

    return _mri(scan) @ RealToComplex(scan.shape)


BUILDERS: dict[str, Callable[[Scan], Operator]] = {
    "parallel_beam": _parallel_beam,
    "fan_beam": _fan_beam,
    "mri": _mri,  # complex image
    "mri_real": _mri_real,  # real image, seen through complex coils
}
KEYS = {
    "kind", "shape", "detectors", "detector_spacing", "pixel_spacing", "source_distance", "detector_distance", "center",
}  # fmt: skip
