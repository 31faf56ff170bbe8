"""Sequences of images, read when asked for."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence

from scorefield.data.image import Image
from scorefield.data.sources import PathLike, Source, expand
from scorefield.errors import InputError

__all__ = ["Image", "Images"]


class Images(Sequence[Image]):
    """The images of files, folders and globs, read one at a time; a data set with ``len`` and ``[i]``.

    With ``axis`` the items are the 2-D slices of the volumes along it (2-D images stay whole); the number of
    slices comes from the headers, so nothing is decoded before it is asked for.  The last images read are
    kept.

    Args:
        paths: a file, folder or glob, or a list of them; the DICOM files of a folder or glob are one volume.
        axis: spatial axis along which volumes are cut, 0 to 2, or None to keep them whole.
        cache_bytes: memory for images already read; the last one is always kept.

    Raises:
        InputError: nothing to read; a damaged file says so when it is read.
    """

    def __init__(self, paths: PathLike | Sequence[PathLike], *, axis: int | None = None, cache_bytes: int = 2**28):
        if axis is not None and not -3 <= axis < 3:
            raise InputError(f"Volumes have the axes 0, 1 and 2, so none can be cut along axis {axis}.")
        self.paths, self.axis, self.cache_bytes = paths, axis, cache_bytes
        places = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        self._items: list[tuple[Source, int | None]] = []
        for path in places:
            for source in expand(path):
                self._items += _cuts(source, axis)
        if not self._items:
            raise InputError("An empty list holds no images; give at least one path.")
        self._cache: OrderedDict[Source, Image] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Image:  # type: ignore[override]  # integers only
        source, cut = self._items[index]
        image = self._read(source)
        return image if cut is None or self.axis is None else image.slice(cut, self.axis)

    def __repr__(self) -> str:
        return f"Images({len(self)} from {self.paths})"

    def _read(self, source: Source) -> Image:
        if source not in self._cache:
            image = source.read()
            self._cache[source] = image
            while len(self._cache) > 1 and sum(_size(kept) for kept in self._cache.values()) > self.cache_bytes:
                self._cache.popitem(last=False)
        self._cache.move_to_end(source)
        return self._cache[source]


def _cuts(source: Source, axis: int | None) -> list[tuple[Source, int | None]]:
    if axis is None:
        return [(source, None)]
    shape = source.shape()
    return [(source, None)] if len(shape) == 2 else [(source, index) for index in range(shape[axis])]


def _size(image: Image) -> int:
    return image.pixels.numel() * image.pixels.element_size()
