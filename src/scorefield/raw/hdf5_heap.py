"""Entries of variable length in HDF5, read and checked without the library.

The library does not end on some damaged heaps, and takes any length for true.  A reference to an entry is its length,
the address of a collection and a number; a collection is a row of numbered entries.

References:
    The HDF Group, "HDF5 file format specification", III.E, "Global heap", and IV.A.2.d, "Variable-length".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

REFERENCE = 16  # bytes
HEADER, ENTRY = 16, 16  # bytes before a collection's entries, and before the content of an entry
KEPT = 16  # collections in memory


class Heap:
    """The entries of variable length of an open file.

    Args:
        file: an ``h5py.File`` with addresses of 8 bytes and without a user block.
    """

    def __init__(self, file: Any):
        if file.id.get_create_plist().get_sizes() != (8, 8) or file.userblock_size:
            raise ValueError("its addresses are not those of a usual HDF5 file")
        self._path = Path(file.filename)
        self._size = self._path.stat().st_size
        self._collections: dict[int, dict[int, bytes]] = {}

    def bytes_at(self, place: int, count: int) -> bytes:
        """``count`` bytes of the file at a place."""
        if place is None or not 0 <= place <= self._size - count:
            raise ValueError("a part of it lies behind its end")
        with open(self._path, "rb", buffering=0) as file:
            file.seek(place)
            return file.read(count)

    def entry(self, reference: bytes, width: int = 1) -> bytes:
        """The content that a reference means, of items of ``width`` bytes."""
        length, address, number = np.frombuffer(reference, np.dtype("<u4, <u8, <u4"))[0].tolist()
        if not length:
            return b""
        if address not in self._collections:
            while len(self._collections) >= KEPT:
                self._collections.pop(next(iter(self._collections)))
            self._collections[address] = self._collection(address)
        content = self._collections[address].get(number, b"")
        if len(content) < length * width:
            raise ValueError("an entry of it is shorter than stated")
        return content[: length * width]

    def _collection(self, address: int) -> dict[int, bytes]:
        header = self.bytes_at(address, HEADER)
        size = int.from_bytes(header[8:], "little")
        if header[:4] != b"GCOL" or size < HEADER:
            raise ValueError("a heap of it has no beginning")
        raw, place, entries = self.bytes_at(address, size), HEADER, {}
        while place + ENTRY <= size:
            number, length = int.from_bytes(raw[place : place + 2], "little"), raw[place + 8 : place + 16]
            if not number:  # the free rest
                break
            end = place + ENTRY + int.from_bytes(length, "little")
            if end > size:
                raise ValueError("an entry of it reaches beyond its heap")
            entries[number] = raw[place + ENTRY : end]
            place = end + (-end) % 8
        return entries


class Table:
    """A one-dimensional dataset of compounds, read record by record.

    Args:
        dataset: of ``h5py``, contiguous or in chunks, not compressed.
        heap: of its file.
    """

    def __init__(self, dataset: Any, heap: Heap):
        properties = dataset.id.get_create_plist()
        if dataset.ndim != 1 or not len(dataset):
            raise ValueError("its table is empty")
        if properties.get_nfilters() or dataset.is_virtual or dataset.external:
            raise ValueError("its table is compressed or elsewhere")
        self._dataset, self._heap = dataset, heap
        self._width = dataset.id.get_type().get_size()
        self._rows = 0 if dataset.chunks is None else dataset.chunks[0]

    def __len__(self) -> int:
        return len(self._dataset)

    def offset(self, name: str) -> int:
        """Where a field begins in a record."""
        kind = self._dataset.id.get_type()
        return kind.get_member_offset(kind.get_member_index(name.encode()))

    def record(self, number: int) -> bytes:
        """The bytes of one record."""
        if not self._rows:
            return self._heap.bytes_at(self._dataset.id.get_offset() + number * self._width, self._width)
        chunk = self._dataset.id.get_chunk_info_by_coord((number - number % self._rows,))
        if chunk.byte_offset is None or chunk.size != self._rows * self._width:
            raise ValueError(f"record {number} of its table is missing")
        return self._heap.bytes_at(chunk.byte_offset + number % self._rows * self._width, self._width)


def text_of(dataset: Any, heap: Heap) -> bytes:
    """The text of a dataset of one string, of fixed or of variable length."""
    import h5py

    kind = h5py.check_string_dtype(dataset.dtype)
    if dataset.size != 1 or kind is None:
        raise ValueError("its header is no text")
    if kind.length is not None:
        return bytes(dataset[()] if dataset.shape == () else dataset[(0,) * dataset.ndim])
    if dataset.shape == ():
        return heap.entry(heap.bytes_at(dataset.id.get_offset(), REFERENCE))
    return heap.entry(_Strings(dataset, heap).record(0))


class _Strings(Table):
    """A table of strings of variable length; in memory they are pointers, in the file references."""

    def __init__(self, dataset: Any, heap: Heap):
        super().__init__(dataset, heap)
        self._width = REFERENCE
