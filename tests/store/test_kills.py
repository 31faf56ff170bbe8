"""A writer that is killed anywhere leaves the old content or the new, and nothing hidden after the next start."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scorefield.store import atomic, orphans
from scorefield.store.atomic import atomic_files, atomic_folder, atomic_path, recover
from scorefield.store.orphans import remove_orphans, temporary_beside
from scorefield.store.plain import JsonFile
from scorefield.store.tensors import TensorFile

KILLED, MOST = 9, 400
RECORD, TENSORS = JsonFile("a record", "write it again"), TensorFile("scorefield.test", "a test", "write it again")


def write_file(place: Path, text: str) -> None:
    with atomic_path(place / "a.nii.gz") as temporary:
        temporary.write_text(text)


def write_files(place: Path, text: str) -> None:
    with atomic_files(place) as folder:
        (folder / "a.nii.gz").write_text(text)


def write_folder(place: Path, text: str) -> None:
    with atomic_folder(place / "run") as folder:
        (folder / "a.nii.gz").write_text(text)


def write_record(place: Path, text: str) -> None:
    RECORD.write(place / "a.json", {"text": text})


def write_tensors(place: Path, text: str) -> None:
    TENSORS.write(place / "a.safetensors", {"x": torch.arange(8)}, {"text": text})


READERS: dict[Callable[[Path, str], None], Callable[[Path], str]] = {
    write_file: lambda place: (place / "a.nii.gz").read_text(),
    write_files: lambda place: (place / "a.nii.gz").read_text(),
    write_folder: lambda place: (place / "run" / "a.nii.gz").read_text(),
    write_record: lambda place: RECORD.read(place / "a.json")["text"],
    write_tensors: lambda place: TENSORS.read(place / "a.safetensors")[1]["text"],
}


def killed(write: Callable[[], None], point: int) -> bool:
    """Run ``write`` in a child process that dies, as by SIGKILL, at its call number ``point`` of the system."""
    child = os.fork()
    if child == 0:
        left = point

        def count(event: str, arguments: object) -> None:
            nonlocal left
            if event == "open" or event.startswith(("os.", "shutil.", "ctypes.")):
                left -= 1
                if left < 0:
                    os._exit(KILLED)

        sys.addaudithook(count)
        try:
            write()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def _name(value: object) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot copy a process")
@pytest.mark.parametrize(
    ("write", "exchange"), [*((write, True) for write in READERS), (write_folder, False)], ids=_name
)
def test_a_kill_leaves_the_old_or_the_new_content(tmp_path, monkeypatch, write, exchange):
    if not exchange:  # a network disk
        monkeypatch.setattr(atomic, "_swap", lambda *_: False)
    place, read = tmp_path / "place", READERS[write]
    place.mkdir()
    write(place, "old")
    names, seen = sorted(os.listdir(place)), set()
    for point in range(MOST):
        orphans.CLEANED.clear()  # each round is a start
        if not killed(lambda: write(place, "new"), point):
            break
        recover(place / "run")
        content = read(place)
        assert content in ("old", "new"), f"kill at call {point}"
        seen.add(content)
        write(place, "old")
        assert sorted(os.listdir(place)) == names, f"kill at call {point}"
    else:
        pytest.fail(f"more than {MOST} points")
    assert point > 3
    assert "old" in seen
    assert read(place) == "new"


def test_only_files_of_dead_writers_are_removed(tmp_path, monkeypatch):
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    now, mine = time.time(), temporary_beside(tmp_path / "a.npy").name
    of = lambda process: mine.replace(f"-{os.getpid()}-", f"-{process}-")  # noqa: E731
    foreign = mine.replace(mine.split("-")[1], "00000000")
    ages = {mine: 9, of(os.getppid()): 9, of(dead): 0, f"x{foreign}": 0, foreign: 0, "." + foreign: 2, ".hidden": 9}
    for name, days in ages.items():
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (now, now - days * 86_400))
    orphans.CLEANED.clear()
    remove_orphans(tmp_path)
    assert set(os.listdir(tmp_path)) == set(ages) - {of(dead), "." + foreign}


@pytest.mark.parametrize("name", ["a", "a.b.nii.gz", "." * 3 + "x", "x" * 250, "größer.npy", "\udcff.npy"])
def test_a_temporary_name_keeps_the_suffixes_and_is_known_again(tmp_path, name):
    temporary = temporary_beside(tmp_path / name)
    assert temporary.suffixes == (tmp_path / name).suffixes
    assert orphans.NAME.fullmatch(temporary.name)
    assert len(os.fsencode(temporary.name)) < 256
    temporary.write_text("x")
