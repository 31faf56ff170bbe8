"""ISMRMRD HDF5 (``.h5``, ``.mrd``): an XML header and a table of readouts with their samples.

Only the lines of the chosen image are read.  Readouts of a volume are transformed along the readout as they are read,
and one column is kept: a slice across the readout is an image of its own.

References:
    Inati et al., "ISMRM raw data format: a proposed standard for MRI raw datasets", Magn. Reson. Med. 2017;
    Kellman and McVeigh, Magn. Reson. Med. 2005 (noise bandwidth).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.raw.acquisition import Acquisition
from scorefield.raw.choice import Choice
from scorefield.raw.contents import Contents
from scorefield.raw.geometry import Geometry
from scorefield.raw.hdf5 import is_hdf5, opened
from scorefield.raw.ismrmrd_header import Header
from scorefield.raw.ismrmrd_lines import FIRST, REVERSE, Lines, lines_of_choice, read_lines
from scorefield.raw.ismrmrd_table import Readouts, group_of
from scorefield.raw.rooms import check_grid

name = "ISMRMRD HDF5"
suffixes = (".h5", ".mrd", ".hdf5")
LOOK = 400  # readout headers of which the contents are told, 344 bytes each


def recognizes(path: Path) -> bool:
    """Whether a file is HDF5 with a group that holds ``xml`` and ``data``."""
    if not is_hdf5(path):
        return False
    try:
        with opened(path) as file:
            return group_of(file) is not None
    except InputError:
        return False


def contents(path: Path, choice: Choice) -> Contents:
    """What the header and the first readouts say; at most ``LOOK`` readout headers are read, and no samples."""
    del choice
    with opened(path) as file:
        data = Readouts(file)
        header, lines = data.header, read_lines(data, LOOK)
        remarks = [] if len(data) <= LOOK else [f"The first {LOOK} of {len(data)} readouts were looked at."]
        return _contents(path, header, lines, remarks)


def read(path: Path, choice: Choice) -> Acquisition:
    """K-space of the chosen slice, echo and repetition.

    Raises:
        InputError: damaged, refused, or without what was chosen.
    """
    with opened(path) as file:
        data = Readouts(file)
        header, lines = data.header, read_lines(data)
        _contents(path, header, lines, []).check()
        images, calibration = lines_of_choice(lines, header, choice, path)
        coils = int(images.heads["active_channels"][0])
        column = None if not header.is_volume else choice.slice_of(header.width)
        grid = _Grid(path, header, coils, column)
        check_grid(path, coils, grid.shape, path.stat().st_size)
        kspace, counts = grid.fill(data, images)
        return Acquisition(
            kspace,
            counts,
            kspace.shape[1] if header.is_volume else header.width,
            _noise(data, lines.of_noise, images, header, coils),
            grid.fill(data, calibration)[0] if len(calibration) else None,
            grid.geometry(images),
            _source(path, choice, lines, header),
            tuple(_remarks(header, lines)),
        )


def _contents(path: Path, header: Header, lines: Lines, remarks: list[str]) -> Contents:
    images = lines.of_image
    coils = int(images.heads["active_channels"][0]) if len(images) else header.coils
    seen = {n: len(np.unique(images.counter(n))) if len(images) else 1 for n in ("slice", "contrast", "repetition")}
    several = {n: max(count, header.count(n)) if remarks else count for n, count in seen.items()}
    averages = 1 + int(images.counter("average").max(initial=0))
    refusal = header.refusal or images.refusal
    return Contents(
        path,
        name,
        coils,
        header.encoded.size,
        header.width if header.is_volume else several["slice"],
        several["contrast"],
        several["repetition"],
        averages,
        _facts(header, lines),
        (*remarks, *_remarks(header, lines)),
        refusal,
    )


def _facts(header: Header, lines: Lines) -> dict[str, str]:
    size, extent = header.image.size, header.image.extent
    noise, calibration = lines.of_noise, lines.of_image.of_calibration
    return {
        "image": f"{' x '.join(map(str, size))}, {' x '.join(f'{mm:g}' for mm in extent)} mm",
        "trajectory": header.trajectory,
        "noise scan": f"{len(noise)} readouts" if len(noise) else "none",
        "calibration": f"{len(calibration)} lines" if len(calibration) else "none marked",
        **header.facts,
    }


def _remarks(header: Header, lines: Lines) -> list[str]:
    images = lines.of_image
    remarks = []
    if not len(lines.of_noise):
        remarks.append("There is no noise scan, so the noise is estimated from k-space itself.")
    if len(images) and not _placed(header, images):
        remarks.append("The directions of the readouts are missing, so the image has no place in the patient.")
    for counter, words in FIRST.items():
        count = len(np.unique(images.counter(counter)))
        remarks += [f"There are {count} {words}, of which the first is taken."] if count > 1 else []
    if len(lines) and bool((lines.heads["encoding_space_ref"] != 0).any()):
        remarks.append("There are several encodings, of which the first is taken.")
    return remarks


def _placed(header: Header, images: Lines) -> bool:
    return _geometry(header, images.heads[0]).is_placed


def _geometry(header: Header, head: np.void) -> Geometry:
    """Position and directions of a readout; the axes of the image are those of readout and phase encoding."""
    steps = header.encoded.steps
    directions = [np.array(head[f"{axis}_dir"], np.float64) for axis in ("read", "phase", "slice")]
    position = np.array(head["position"], np.float64)
    if not header.is_volume or steps is None:
        return Geometry(steps, position, directions)
    return Geometry((steps[1], steps[2], steps[0]), position, [directions[1], directions[2], directions[0]])


def _source(path: Path, choice: Choice, lines: Lines, header: Header) -> str:
    count = header.width if header.is_volume else len(np.unique(lines.of_image.counter("slice")))
    return f"{path} [slice {choice.slice_of(count)}, echo {choice.echo}, repetition {choice.repetition}]"


def _noise(data: Readouts, noise: Lines, images: Lines, header: Header, coils: int) -> Tensor | None:
    """Samples without signal, of the variance in the bandwidth of the image's readouts, or None."""
    same = noise.where(noise.heads["active_channels"] == coils)
    if not len(same):
        return None
    times = [float(lines.heads["sample_time_us"][0]) for lines in (same, images)]
    known = all(np.isfinite(t) and t > 0 for t in times) and header.bandwidth > 0
    scale = times[0] / (times[1] * header.bandwidth) if known else 1.0
    pieces = [data.samples(number, head) for number, head in zip(same.numbers, same.heads, strict=True)]
    return torch.from_numpy(np.concatenate(pieces, axis=1) * np.float32(scale**0.5))


@dataclass(frozen=True)
class _Grid:
    """The Cartesian grid of one image.

    Args:
        path: the file.
        header: of the file.
        coils: receive coils.
        column: of the readout's image, where the image is a slice across the readout of a volume; else None.
    """

    path: Path
    header: Header
    coils: int
    column: int | None

    @property
    def shape(self) -> tuple[int, int]:
        size = self.header.encoded.size
        return (size[0], size[1]) if self.column is None else (size[1], size[2])

    def geometry(self, images: Lines) -> Geometry:
        """Where the grid lies."""
        plain = _geometry(self.header, images.heads[0])
        if self.column is None or not plain.is_placed:
            return plain
        assert plain.steps is not None
        assert plain.position is not None
        assert plain.directions is not None
        offset = (self.column - self.header.width // 2) * plain.steps[2]
        return Geometry(plain.steps, plain.position + offset * plain.directions[2], plain.directions)

    def fill(self, data: Readouts, lines: Lines) -> tuple[Tensor, Tensor]:
        """K-space (coils, *shape), the mean of what was measured several times, and how often it was."""
        kspace, counts = np.zeros((self.coils, *self.shape), np.complex64), np.zeros(self.shape, np.float32)
        reverse = lines.has(REVERSE)
        for number, head, flip in zip(lines.numbers, lines.heads, reverse, strict=True):
            samples = data.samples(number, head)
            if len(samples) != self.coils:
                raise ValueError(f"readout {number} has {len(samples)} coils and the first one {self.coils}")
            place, values = self._placed(head, samples, bool(flip))
            kspace[(slice(None), *place)] += values
            counts[place] += 1
        return torch.from_numpy(kspace / np.maximum(counts, 1)), torch.from_numpy(counts)

    def _placed(self, head: np.void, samples: np.ndarray, flip: bool) -> tuple[tuple[slice | int, int], np.ndarray]:
        """Where the samples of a readout belong, and their values there."""
        first, last = int(head["discard_pre"]), samples.shape[1] - int(head["discard_post"])
        size, center = self.header.encoded.size, int(head["center_sample"])
        start = size[0] // 2 - center + first
        values = samples[:, first:last]
        if flip:
            start, values = size[0] // 2 + 1 + center - last, values[:, ::-1]
        line = self._index(head, 1)
        if first > last or start < 0 or start + values.shape[1] > size[0]:
            raise ValueError(f"a readout of {samples.shape[1]} samples around {center} does not fit {size[0]} samples")
        if self.column is None:
            return (slice(start, start + values.shape[1]), line), values
        if values.shape[1] != size[0]:
            raise InputError(f"{self.path} is a volume with partial echoes, which is not supported; take whole ones.")
        return (line, self._index(head, 2)), values @ self._transform

    def _index(self, head: np.void, axis: int) -> int:
        """The index of a line or partition on the grid, its center at ``n // 2``."""
        counter, size = f"kspace_encode_step_{axis}", self.header.encoded.size[axis]
        limit = self.header.limits.get(f"kspace_encoding_step_{axis}")
        index = int(head["idx"][counter]) + (0 if limit is None else size // 2 - limit[2])
        if not 0 <= index < size:
            raise ValueError(f"line {int(head['idx'][counter])} does not fit a grid of {size}")
        return index

    @property
    def _transform(self) -> np.ndarray:
        """The row of the centered orthonormal inverse transform of the readout that gives the column."""
        assert self.column is not None
        n = self.header.encoded.size[0]
        pixel = self.column - self.header.width // 2
        return (np.exp(2j * np.pi * pixel * (np.arange(n) - n // 2) / n) / np.sqrt(n)).astype(np.complex64)
