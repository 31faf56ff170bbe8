"""fastMRI's HDF5: ``kspace`` (slices, coils, readout, lines), with the ``ismrmrd_header`` or without it.

The readout is oversampled; without a header the size of the file's own reconstruction says by how much.  The lines are
padded with zeros to the size of the field of view, and those that a mask leaves out are zero too.

References:
    Zbontar et al., "fastMRI: an open dataset and benchmarks for accelerated MRI", 2018, arXiv:1811.08839.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorefield.errors import InputError, shorten
from scorefield.raw import hdf5_array
from scorefield.raw.acquisition import Acquisition
from scorefield.raw.arrays import NamedArray
from scorefield.raw.choice import Choice
from scorefield.raw.contents import Contents
from scorefield.raw.hdf5 import SIGNATURE, opened
from scorefield.raw.hdf5_heap import Heap, text_of
from scorefield.raw.ismrmrd_header import CARTESIAN, Header, parse
from scorefield.raw.rooms import begins

name = "fastMRI HDF5"
suffixes = (".h5",)
AXES = {3: ("slice", "readout", "line"), 4: ("slice", "coil", "readout", "line")}
RECONSTRUCTIONS = ("reconstruction_rss", "reconstruction_esc")


def recognizes(path: Path) -> bool:
    """Whether a file is HDF5 with an array ``kspace`` of three or four axes at its root."""
    if not begins(path, SIGNATURE):
        return False
    try:
        with opened(path) as file:
            return hdf5_array.is_array(file.get("kspace")) and file["kspace"].ndim in AXES
    except InputError:
        return False


def contents(path: Path, choice: Choice) -> Contents:
    """What header, attributes and sizes say."""
    del choice
    return _array(path).contents()


def read(path: Path, choice: Choice) -> Acquisition:
    """K-space of the chosen slice.

    Raises:
        InputError: damaged, refused, or without what was chosen.
    """
    return _array(path).acquisition(choice)


def _array(path: Path) -> NamedArray:
    with opened(path) as file:
        kspace = file["kspace"]
        hdf5_array.check_size(kspace, path)
        header = parse(text_of(file["ismrmrd_header"], Heap(file))) if "ismrmrd_header" in file else None
        rows, lines = kspace.shape[-2:]
        width = _width_of_reconstruction(file, rows) if header is None else _width(header, rows)
        steps = None if header is None else _steps(header, lines)
        return NamedArray(
            path,
            name,
            kspace.shape,
            AXES[kspace.ndim],
            lambda index: hdf5_array.load(path, "kspace", index),
            hdf5_array.is_complex(kspace),
            width,
            steps,
            _facts(file, header, width),
            "" if header is None else header.refusal,
        )


def _width(header: Header, rows: int) -> int:
    """Samples of the readout that the image keeps."""
    return max(1, round(rows * header.width / header.encoded.size[0]))


def _width_of_reconstruction(file: Any, rows: int) -> int:
    """The same by the size of the file's own reconstruction, which is cut out of the middle; else all of them."""
    sizes = (file[one].shape[-2] for one in RECONSTRUCTIONS if one in file and file[one].ndim > 1)
    return min(next(sizes, rows), rows)


def _steps(header: Header, lines: int) -> tuple[float, float, float] | None:
    """mm between samples of the image: k-space is padded to ``lines``, which the header may not count."""
    steps = header.encoded.steps
    return None if steps is None else (steps[0], header.encoded.extent[1] / lines, steps[2])


def _facts(file: Any, header: Header | None, width: int) -> dict[str, str]:
    facts = {"readout kept": f"{width} samples", "trajectory": CARTESIAN if header is None else header.trajectory}
    acquisition = file.attrs.get("acquisition")
    facts |= {"acquisition": shorten(acquisition, 40)} if isinstance(acquisition, str) else {}
    return facts | {"header": "none"} if header is None else facts | dict(header.facts)
