"""Plain data in a JSON file that notices every change, and the list of the files that lie beside it.

The last entry, ``"crc32"``, is the CRC-32 checksum of the bytes of the file with that entry's own digits as zeros.  The
entry ``"files"`` holds the checksums of other files of the folder, so that a file of another folder in their place is
noticed too.  Files of version 0.1 have ``"format": 1``, or no such entry, and no checksum.

References:
    RFC 8259 (JSON); RFC 1952, section 8 (CRC-32).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorefield.errors import InputError, is_out_of_memory, shorten
from scorefield.store.atomic import atomic_path

FORMAT = 2
LARGEST = 1 << 26  # bytes; a record of a long training has a few megabytes
CRC, ZEROS = b'"crc32": "', b"00000000"
CHUNK = 1 << 20
CHANGED = "it was changed or damaged since it was written"


@dataclass(frozen=True)
class JsonFile:
    """A kind of file, for instance ``JsonFile("the record of a run", "reconstruct again")``.

    Args:
        content: the content of such files, for the sentence about a file that cannot be read.
        mend: what to do about a file that cannot be read.
    """

    content: str
    mend: str

    def write(self, path: Path, plain: Mapping[str, Any], *, files: Iterable[Path] = ()) -> Path:
        """Write a file, whole or not at all.

        Args:
            path: the file.
            plain: JSON-able; entries "format", "files" and "crc32" are overwritten.
            files: files whose checksums are listed, in the folder of ``path``.
        """
        listed = {file.name: checksum(file) for file in files}
        body = {name: value for name, value in plain.items() if name not in ("format", "files", "crc32")}
        whole = {"format": FORMAT, **body, **({"files": listed} if listed else {}), "crc32": ZEROS.decode()}
        content = (json.dumps(whole, indent=2) + "\n").encode()
        place = content.rindex(CRC) + len(CRC)
        digits = f"{zlib.crc32(content):08x}".encode()
        with atomic_path(path) as temporary:
            temporary.write_bytes(content[:place] + digits + content[place + len(ZEROS) :])
        return path

    def read(self, path: Path) -> dict[str, Any]:
        """The content of a file, without its checksum.

        Raises:
            InputError: the file is missing, changed or damaged, or holds no entries.
        """
        try:
            return self._read(path)
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            reason = "too little memory" if is_out_of_memory(error) else shorten(error).rstrip(".")
            reason = reason if isinstance(error, (OSError, _Damage)) else f"it is not valid JSON: {reason}"
            raise InputError(f"{path} cannot be read as {self.content} ({reason}); {self.mend}.") from error

    def _read(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise _Damage(f"it is longer than {LARGEST} bytes")
        plain = json.loads(content.decode())
        if not isinstance(plain, dict):
            raise _Damage("it holds no entries")
        stated = plain.pop("crc32", None)
        if (stated is not None or plain.get("format", 1) != 1) and stated != _own_checksum(content):
            raise _Damage(CHANGED)
        return plain

    def check(self, file: Path, plain: Mapping[str, Any]) -> None:
        """Check a file against its checksum in ``plain``, where there is one.

        Raises:
            InputError: the file is missing, or another one than when the list was written.
        """
        stated = plain.get("files", {})
        if file.name not in stated:
            return
        try:
            same = checksum(file) == stated[file.name]
        except OSError as error:
            raise InputError(f"{file} cannot be read ({shorten(error.strerror)}); {self.mend}.") from error
        if not same:
            raise InputError(f"{file} is not the file that was written ({CHANGED}); {self.mend}.")


class _Damage(ValueError):
    """What is wrong with a file, in words."""


def checksum(file: Path) -> str:
    """CRC-32 of the bytes of a file, 8 hexadecimal digits."""
    crc = 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            crc = zlib.crc32(chunk, crc)
    return f"{crc:08x}"


def _own_checksum(content: bytes) -> str:
    place = content.rfind(CRC) + len(CRC)
    return f"{zlib.crc32(content[:place] + ZEROS + content[place + len(ZEROS) :]):08x}"
