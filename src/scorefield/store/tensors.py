"""Named tensors in one file with a record of plain data: written whole or not at all, checked when read.

A file is safetensors, never a pickle.  Its metadata hold the record as JSON, and a CRC-32 checksum of everything in the
file, because the format itself does not notice a flipped bit.  Complex tensors are stored as pairs of real numbers,
because the format has only one complex precision; the entry ``"complex"`` of the record lists their names.  Files of
version 0.1 have the same layout, but only scans had a checksum, and weights had no record.

References:
    https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError, is_out_of_memory, shorten
from scorefield.store.atomic import atomic_path

DAMAGES = (OSError, LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError, MemoryError)


@dataclass(frozen=True)
class TensorFile:
    """A kind of file, for instance ``TensorFile("scorefield.samples", "samples", "give a file that ... wrote")``.

    Args:
        key: the name of the record among the metadata.
        content: the content of such files, for the sentence about a file that cannot be read.
        mend: what to do about a file that cannot be read.
    """

    key: str
    content: str
    mend: str

    def write(
        self, path: str | os.PathLike[str], tensors: Mapping[str, Tensor], record: Mapping[str, Any] | None = None
    ) -> Path:
        """Write a file, whole or not at all.

        Args:
            path: the file; an existing one stays as it is when this fails.
            tensors: of any dtype, device and memory layout; each is stored with the numbers that it shows.
            record: JSON-able; an entry ``"complex"`` is overwritten.

        Raises:
            TypeError: the record is not JSON-able.
            OSError: the disk is full, or takes no files.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        pairs = [name for name, values in tensors.items() if values.is_complex()]
        text = json.dumps({**(record or {}), "complex": pairs})
        stored = {name: _stored(values) for name, values in tensors.items()}
        with atomic_path(path) as temporary:
            try:
                save_file(stored, temporary, metadata={self.key: text, "crc32": _checksum(text, stored)})
            except SafetensorError as error:  # the library wraps what the system says
                raise OSError(errno.EIO, shorten(error), str(path)) from error
        return Path(path)

    @contextmanager
    def reading(self, path: str | os.PathLike[str]) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
        """Read a file: the block gets its tensors and its record, and an error in the block becomes one sentence.

        A file without a record, as weights of version 0.1 are, has an empty one.

        Raises:
            InputError: the file is missing or damaged, or the block does not find an entry in it.
        """
        from safetensors import SafetensorError

        try:
            yield self._read(path)
        except InputError:
            raise
        except (*DAMAGES, SafetensorError) as error:
            reason = shorten((str(error).splitlines() or [type(error).__name__])[0]).rstrip(".")
            if is_out_of_memory(error):
                raise InputError(
                    f"The memory is not enough to read {path}; free some, or use a larger machine."
                ) from error
            if isinstance(error, KeyError):
                reason = f"it has no {reason}"
            raise InputError(f"{path} cannot be read as {self.content} ({reason}); {self.mend}.") from error

    def read(self, path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and the record of a file; see :meth:`reading`."""
        with self.reading(path) as content:
            return content

    def _read(self, path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        from safetensors import safe_open

        with safe_open(os.fspath(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = metadata.get(self.key, "{}")
        record = dict(json.loads(text))
        pairs = record.pop("complex", False)
        without_checksum = isinstance(pairs, bool) and "crc32" not in metadata  # samples of version 0.1
        if not without_checksum and metadata.get("crc32") != _checksum(text, tensors):
            raise ValueError("it was changed or damaged since it was written")
        if isinstance(pairs, bool):
            pairs = [*tensors] if pairs else []
        return {**tensors, **{name: torch.view_as_complex(tensors[name]) for name in pairs}}, record


def digest(tensors: Iterable[Tensor], *words: str) -> str:
    """SHA-256 of the dtypes, shapes and numbers of tensors, in their order, and of words after them; hexadecimal."""
    result = hashlib.sha256()
    for tensor in tensors:
        values = _plain(tensor)
        result.update(str((values.dtype, tuple(values.shape))).encode())
        result.update(_bytes(values))
    for word in words:
        result.update(word.encode())
    return result.hexdigest()


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    crc = zlib.crc32(text.encode())
    for name, values in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {values.dtype} {tuple(values.shape)}".encode(), crc)
        crc = zlib.crc32(_bytes(values), crc)
    return f"{crc:08x}"


def _stored(values: Tensor) -> Tensor:
    """The numbers of a tensor in memory of its own: safetensors refuses tensors that share memory."""
    plain = _plain(values)
    return (torch.view_as_real(plain) if plain.is_complex() else plain).clone()


def _plain(values: Tensor) -> Tensor:
    """A contiguous tensor on the CPU with the numbers that ``values`` shows, conjugate and negative views undone."""
    return values.detach().cpu().resolve_conj().resolve_neg().contiguous()


def _bytes(values: Tensor) -> memoryview:
    return values.contiguous().reshape(-1).view(torch.uint8).numpy().data
