"""Temporary names that say who writes there, and the removal of those whose writer was killed.

A name is ``.STEM-HOST-PROCESS-RANDOM-scorefield.SUFFIXES``.  It keeps the suffixes, because libraries choose a format
by them.  A file is an orphan if its process, on this machine, is dead; one of another machine if it is a day old.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import time
import zlib
from pathlib import Path

NAME = re.compile(r"\..*-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}-scorefield(\..*)?")
DAY = 86_400.0  # seconds
LONGEST = 100  # characters of the stem; a name has at most 255 bytes
CLEANED: set[tuple[int, Path]] = set()  # folders in which this process has looked; a child process looks again


def temporary_beside(target: Path) -> Path:
    """A new name beside ``target``, with its suffixes."""
    suffixes = "".join(target.suffixes)
    stem = target.name.removesuffix(suffixes).lstrip(".")[:LONGEST].encode(errors="replace").decode()
    return target.with_name(f".{stem}-{_host()}-{os.getpid()}-{secrets.token_hex(4)}-scorefield{suffixes}")


def remove_orphans(folder: Path) -> None:
    """Remove from a folder what writers of ours left that were killed; once for each folder and process."""
    if (os.getpid(), folder) in CLEANED:
        return
    CLEANED.add((os.getpid(), folder))
    try:
        entries = [(entry, NAME.fullmatch(entry.name)) for entry in os.scandir(folder)]
    except OSError:
        return
    for entry, name in entries:
        if name is not None and _is_orphan(entry, name[1], int(name[2])):
            _remove(Path(entry.path))


def _is_orphan(entry: os.DirEntry[str], host: str, process: int) -> bool:
    if host == _host() and os.name != "nt":  # Windows has no harmless question whether a process lives
        return process != os.getpid() and not _lives(process)
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > DAY
    except OSError:  # another process has removed it
        return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode(errors='replace')):08x}"
