"""The table of readouts in an ISMRMRD file: header and samples of each, read one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from scorefield.raw.hdf5_heap import REFERENCE, Heap, Table, text_of
from scorefield.raw.ismrmrd_header import Header, parse

NEEDED = ("flags", "number_of_samples", "active_channels", "discard_pre", "discard_post", "center_sample",
          "encoding_space_ref", "sample_time_us", "position", "read_dir", "phase_dir", "slice_dir", "idx")  # fmt: skip


class Readouts:
    """The readouts of an open file, and its XML header.

    Args:
        file: an ``h5py.File``.
    """

    def __init__(self, file: Any):
        import h5py

        group = group_of(file)
        if group is None:
            raise ValueError("it has no group with 'xml' and 'data'")
        self._heap = Heap(file)
        self.header: Header = parse(text_of(group["xml"], self._heap))
        kind = group["data"].dtype
        if not {"head", "data"} <= set(kind.names or ()) or not set(NEEDED) <= set(kind["head"].names or ()):
            raise ValueError("its table has not the fields of readouts")
        if h5py.check_vlen_dtype(kind["data"]) != np.dtype("<f4"):
            raise ValueError("its samples are not in single precision")
        self._table = Table(group["data"], self._heap)
        self._kind = kind["head"]
        self._head, self._samples = self._table.offset("head"), self._table.offset("data")

    def __len__(self) -> int:
        return len(self._table)

    def heads(self, most: int | None = None) -> np.ndarray:
        """The headers of the first ``most`` readouts, or of all."""
        count = len(self) if most is None else min(most, len(self))
        end = self._head + self._kind.itemsize
        return np.array([np.frombuffer(self._table.record(n)[self._head : end], self._kind)[0] for n in range(count)])

    def samples(self, number: int, head: np.void) -> np.ndarray:
        """(coils, samples) of a readout, complex."""
        coils, count = int(head["active_channels"]), int(head["number_of_samples"])
        reference = self._table.record(int(number))[self._samples : self._samples + REFERENCE]
        values = np.frombuffer(self._heap.entry(reference, 4), "<f4")
        if values.size != 2 * coils * count or not values.size:
            raise ValueError(f"readout {number} holds {values.size} numbers where {2 * coils * count} are stated")
        samples = values.astype(np.float32).view(np.complex64).reshape(coils, count)
        if not np.isfinite(samples).all():
            raise ValueError(f"readout {number} holds numbers that are NaN or infinite")
        return samples


def group_of(file: Any) -> Any:
    """The group with ``xml`` and ``data``, which may have any name; None if there is none."""
    import h5py

    for key in file:
        group = file.get(key)
        if isinstance(group, h5py.Group) and all(isinstance(group.get(n), h5py.Dataset) for n in ("xml", "data")):
            return group
    return None
