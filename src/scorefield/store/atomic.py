"""Files and folders written whole or not at all: under a temporary name, which changes when everything is on disk.

A process that is killed cannot remove its temporary files.  Their names say who wrote them
(:mod:`scorefield.store.orphans`), and the next writer in the same folder removes those whose writer is dead.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from scorefield.errors import InputError
from scorefield.store.orphans import remove_orphans, temporary_beside


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file name beside ``path`` that becomes ``path`` when the block succeeds.

    The name keeps every suffix, because libraries choose a format by it.  When the block raises, the temporary file is
    removed and an existing target stays as it was.  Missing parent folders are made; a link is followed.

    Args:
        path: the file to write.

    Raises:
        InputError: ``path`` is a folder.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    if target.is_dir():
        raise InputError(f"Cannot write a file to {path}, which is a folder; give a file name inside it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_orphans(target.parent)
    temporary = temporary_beside(target)
    try:
        yield temporary
        _share(temporary)
        _flush(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush(target.parent)


@contextmanager
def atomic_files(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder whose files move into the folder ``path`` when the block succeeds: all of them, or none.

    For formats of several files.  Files of the same names are replaced; when the block raises, or a file cannot be put
    in its place, the folder is as it was.  Missing folders are made.  A machine that stops between two files leaves the
    first of them: no file system renames two at once.

    Args:
        path: the folder for the files; other files in it stay.

    Raises:
        InputError: the folder has a folder with the name of one of the files.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    target.mkdir(parents=True, exist_ok=True)
    remove_orphans(target)
    temporary = temporary_beside(target / "files")
    new, old = temporary / "new", temporary / "old"
    try:
        for folder in (temporary, new, old):
            folder.mkdir()
        yield new
        for file in new.iterdir():
            if (target / file.name).is_dir():
                raise InputError(f"Cannot write a file to {target / file.name}, which is a folder; give another name.")
            _share(file)
            _flush(file)
        _move_all(new, target, old)
        _flush(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, obsolete: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder beside ``path`` that becomes ``path`` when the block succeeds.

    An existing folder is exchanged for the new one and only then removed; when the block raises it stays as it was.  It
    is replaced only if the new folder has every entry of the old one, so that saving into a folder of other things
    never deletes them.

    Args:
        path: the folder to write.
        obsolete: entries of the old folder that may go.

    Raises:
        InputError: ``path`` is a file, or holds entries that the new folder would not have.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    _refuse_file(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_orphans(target.parent)
    recover(target)
    temporary = temporary_beside(target)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _share(file)
            _flush(file)
        check_replaceable(target, {entry.name for entry in temporary.iterdir()} | {*obsolete})
        _exchange(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _flush(target.parent)


def check_replaceable(path: str | os.PathLike[str], names: Collection[str]) -> None:
    """Check that a folder can be written, before the work that fills it.

    Args:
        path: the folder to write.
        names: entries that it may hold already.

    Raises:
        InputError: ``path`` is a file, or holds other entries, or its place takes no new files.
    """
    target = Path(path).expanduser()
    _refuse_file(target)
    check_writable(target)
    others = sorted({entry.name for entry in target.iterdir()} - {*names}) if target.exists() else []
    if others:
        raise InputError(
            f"Replacing the folder {path} would delete {', '.join(others[:5])}; move them away or save elsewhere."
        )


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file or folder can be made at ``path``, before the work that fills it: a trial file is made there.

    Args:
        path: the file or folder; missing parent folders are not made, the nearest that exists is tried.

    Raises:
        InputError: its folder takes no new files.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    place = next(folder for folder in target.parents if folder.exists())
    trial = temporary_beside(place / "trial")
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise InputError(
            f"Cannot write {path}: {place} takes no new files ({error.strerror or error}); choose another place."
        ) from error


def _refuse_file(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise InputError(f"Cannot write a folder to {target}, which is a file; give another name.")


def _move_all(new: Path, target: Path, old: Path) -> None:
    """Move the files of ``new`` into ``target``, each in one step; files of these names there also stay in ``old``.

    On an error it is undone.
    """
    done: list[str] = []
    try:
        for file in sorted(new.iterdir()):
            if (target / file.name).exists():
                _second_name(target / file.name, old / file.name)
            done.append(file.name)
            os.replace(file, target / file.name)
    except BaseException:
        for name in done:
            (target / name).unlink(missing_ok=True)
        for file in old.iterdir():
            os.replace(file, target / file.name)
        raise


def _second_name(file: Path, other: Path) -> None:
    """A second name of a file, or a copy on disks that have one name a file: it never is without a name."""
    try:
        os.link(file, other)
    except OSError:
        shutil.copy2(file, other)


def recover(path: str | os.PathLike[str]) -> None:
    """Put back a folder whose writer was killed between two names.

    Only where the system cannot exchange two folders in one step is there a moment in which the old folder has another
    name, and the new one not yet its own.  Whoever reads or writes a folder of ours calls this first.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    old = _set_aside(target)
    if not old.exists():
        return
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(old, target)


def _set_aside(target: Path) -> Path:
    """The name of the old folder while the new one moves to its place."""
    return target.with_name(f".{target.name}.old")


def _exchange(new: Path, target: Path) -> None:
    if not target.exists():
        os.replace(new, target)
        return
    if _swap(new, target):
        shutil.rmtree(new)
        return
    old = _set_aside(target)
    os.replace(target, old)
    try:
        os.replace(new, target)
    except BaseException:
        os.replace(old, target)
        raise
    shutil.rmtree(old)


def _swap(a: Path, b: Path) -> bool:
    """Exchange two folders in one step, where the system and the disk can: a kill then leaves one of them in place.

    Linux has renameat2, which network disks refuse, and macOS has renamex_np.
    """
    here, exchange = -100, 2  # AT_FDCWD; RENAME_EXCHANGE and RENAME_SWAP are the same number
    names = os.fsencode(a), os.fsencode(b)
    try:
        system = ctypes.CDLL(None)
        if hasattr(system, "renameat2"):
            return system.renameat2(here, names[0], here, names[1], exchange) == 0
        return hasattr(system, "renamex_np") and system.renamex_np(*names, exchange) == 0
    except (OSError, TypeError):  # Windows
        return False


def _share(file: Path) -> None:
    """Give a file the permissions of the user's umask; some libraries write files for the owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    file.chmod(0o666 & ~mask)


def _flush(path: Path) -> None:
    """Push a file or folder to the disk, so that its bytes are there before its new name is."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
