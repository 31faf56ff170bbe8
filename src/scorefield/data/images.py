"""Sequences of images, each read when it is needed."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch
from cachetools import LRUCache, cachedmethod

from scorefield.data.image import Image
from scorefield.data.plausible import check_cut, check_hounsfield
from scorefield.data.reading import Header, Slices
from scorefield.data.sources import PathLike, Source, expand
from scorefield.errors import InputError
from scorefield.randomness import stream
from scorefield.units import intensity_of

__all__ = ["Image", "Images"]

OPEN_VOLUMES = 16  # each may hold a file open, of which a process may have about a thousand
LOOKS = 16  # slices of a volume that give its amplitude


class Images(Sequence[Image]):
    """The images of files, folders and globs, read one at a time; a data set with ``len`` and ``[i]``.

    With ``axis`` the items are the 2-D slices of the volumes along it (2-D images stay whole); the number of
    slices comes from the headers, so nothing is decoded before it is needed.  The last images stay in
    memory.  A volume that does not fit among them is never read whole: its slices are read one by one, at the cost of a
    slice from ``.npy``, ``.nii`` and along the last axis of a DICOM series, of the whole series across its other axes,
    and of all the file up to the slice from ``.nii.gz`` (see :class:`scorefield.data.formats.nifti.Streamed`).

    Args:
        paths: a file, folder or glob, or a list of them; the DICOM files of a folder or glob are one volume.
        axis: spatial axis along which volumes are cut, 0 to 2, or None to keep them whole.
        cache_bytes: memory for images already read; the last one always stays.  With 0 every slice is read by itself.
        unit: of the values in files that do not say theirs, such as "HU".

    Raises:
        InputError: nothing to read; a damaged file says so when it is read.
    """

    def __init__(
        self,
        paths: PathLike | Sequence[PathLike],
        *,
        axis: int | None = None,
        cache_bytes: int = 2**28,
        unit: str | None = None,
    ):
        if axis is not None and not -3 <= axis < 3:
            raise InputError(f"Volumes have the axes 0, 1 and 2, so none can be cut along axis {axis}.")
        self.paths, self.axis, self.cache_bytes, self.unit = paths, axis, cache_bytes, unit
        self._across = None if axis is None else axis % 3
        places = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        listed = [source for path in places for source in expand(path)]
        self._sources: list[Source] = list(dict.fromkeys(listed))
        self._headers: dict[Source, Header] = {}
        self._amplitudes: dict[Source, float] = {}
        self._items = [(source, cut) for source in listed for cut in self._numbers_of_slices(source)]
        if not self._items:
            raise InputError("An empty list holds no images; give at least one path.")
        self._forget()

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Image:  # type: ignore[override]  # integers only
        source, cut = self._items[index]
        return self._read(source, cut, self._across)

    def __repr__(self) -> str:
        return f"Images({len(self)} from {self.paths})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_recent", "_open")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def header(self, index: int) -> Header:
        """Channels, size and type of item ``index``, without reading its pixels."""
        source, cut = self._items[index]
        header = self._header(source)
        return header if cut is None or self._across is None else header.without(self._across)

    def name(self, index: int) -> str:
        """The file or series of item ``index``, for messages."""
        return str(self._items[index][0])

    def amplitude(self, index: int) -> float:
        """The amplitude of the source of item ``index``: its intensity (:mod:`scorefield.units`).

        CT in HU is measured as attenuation.  That of a volume is one for all its slices, so that empty ones at its ends
        are not blown up to the size of the others; it is taken from up to 16 evenly spaced slices across the last axis,
        whichever the items are cut along.

        Raises:
            InputError: all pixels are zero; or no unit is known and the values look like HU.
        """
        source = self._items[index][0]
        if source not in self._amplitudes:
            self._amplitudes[source] = self._measure(source)
        return self._amplitudes[source]

    def check_cut(self) -> None:
        """Check by the headers that slices across ``axis`` are images; for an axis that nobody chose.

        Raises:
            InputError: the slices of a volume are slender, or the colors of a picture.
        """
        if self._across is not None:
            for source in self._sources:
                check_cut(self._header(source).spatial, self._across, str(source))

    def split(self, fraction: float, *, seed: int = 0) -> tuple[Images, Images]:
        """The images in two parts, to train on and to hold out, no source (file or series) in both.

        Slices of one volume are so alike that one held out from among them tests nothing.  Of two sources or more
        each part gets at least one; a single source goes to the first part, and the second is empty.  Files of one
        patient stay together only if they are one DICOM series: split others by folder.

        Args:
            fraction: of the sources to hold out, 0 to 1.
            seed: decides which; a larger fraction holds out the same ones and more.

        Raises:
            InputError: a fraction outside 0 to 1.
        """
        if not 0 <= fraction <= 1:
            raise InputError(f"A fraction of the images lies between 0 and 1, got {fraction:g}.")
        count = len(self._sources)
        out = min(max(round(fraction * count), 1 if fraction else 0), count - 1)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(stream(seed, "split"))).tolist()
        return self._part(sorted(order[out:])), self._part(sorted(order[:out]))

    def _part(self, numbers: list[int]) -> Images:
        """The items of some of the sources."""
        part = copy.copy(self)
        part._sources = [self._sources[k] for k in numbers]
        chosen = set(part._sources)
        part._items = [item for item in self._items if item[0] in chosen]
        return part

    def _forget(self) -> None:
        """Start with nothing in memory, and no file open."""
        budget = max(1, self.cache_bytes)
        # an image above the budget counts as all of it, so that the last one always stays, alone
        self._recent: LRUCache[Any, Image] = LRUCache(budget, lambda image: min(max(1, _size(image)), budget))
        self._open: LRUCache[Any, Slices] = LRUCache(OPEN_VOLUMES)

    def _header(self, source: Source) -> Header:
        if source not in self._headers:
            self._headers[source] = source.header()
        return self._headers[source]

    def _numbers_of_slices(self, source: Source) -> Sequence[int | None]:
        if self._across is None or len(self._header(source).spatial) == 2:
            return [None]
        return range(self._header(source).spatial[self._across])

    def _read(self, source: Source, cut: int | None, axis: int | None) -> Image:
        """A whole source, or its slice number ``cut`` across ``axis``."""
        return self._load(source, cut, axis).with_unit(self.unit)

    def _load(self, source: Source, cut: int | None, axis: int | None) -> Image:
        if cut is None or axis is None:
            return self._whole(source)
        if self._header(source).nbytes <= self.cache_bytes:
            return self._whole(source).slice(cut, axis)
        return self._slice(source, cut, axis)

    @cachedmethod(attrgetter("_recent"))
    def _whole(self, source: Source) -> Image:
        return source.read()

    @cachedmethod(attrgetter("_recent"))
    def _slice(self, source: Source, cut: int, axis: int) -> Image:
        # a forked process must not share its parent's place in an open file
        return self._volume(source, os.getpid()).slice(cut, axis)

    @cachedmethod(attrgetter("_open"))
    def _volume(self, source: Source, process: int) -> Slices:
        return source.slices()

    def _measure(self, source: Source) -> float:
        spatial = self._header(source).spatial
        few = min(LOOKS, spatial[-1])
        cuts = [(2 * k + 1) * spatial[2] // (2 * few) for k in range(few)] if len(spatial) == 3 else [None]
        # across the last axis, where every format that is read slice by slice is quickest
        looks = [self._read(source, cut, 2) for cut in cuts]
        if self.unit is None:
            for look in looks:
                check_hounsfield(look)
        pixels = torch.cat([look.attenuation().pixels.abs().flatten() for look in looks])
        if not pixels.count_nonzero():
            raise InputError(f"{source} is zero everywhere, so it has no amplitude; leave it out.")
        return intensity_of(pixels)


def _size(image: Image) -> int:
    return image.pixels.numel() * image.pixels.element_size()
