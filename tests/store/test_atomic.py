from __future__ import annotations

import ctypes
import os

import pytest

from scorefield.errors import InputError
from scorefield.store import atomic
from scorefield.store.atomic import atomic_files, atomic_folder, atomic_path


class Stop(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


def fail(path, error):
    path.write_text("half")
    raise error


def test_a_file_appears_whole_and_keeps_its_suffixes(tmp_path):
    target = tmp_path / "new" / "mean.nii.gz"
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert temporary.parent == target.parent
        assert temporary.suffixes == [".nii", ".gz"]
        assert not target.exists()
    assert target.read_text() == "half"
    assert os.listdir(target.parent) == ["mean.nii.gz"]


@pytest.mark.parametrize("error", [ValueError, Stop])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "a.png"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        fail(temporary, error)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.png"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(target):
        pass
    assert target.read_text() == "old"


@pytest.mark.parametrize("write", [atomic_path, atomic_folder])
def test_bytes_reach_the_disk_before_the_name_does(tmp_path, monkeypatch, write):
    events, fsync, rename = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("flush"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda old, new: (events.append("rename"), rename(old, new)))
    with write(tmp_path / "a") as temporary:
        (temporary / "file" if temporary.is_dir() else temporary).write_text("")
    assert events == ["flush", "rename", "flush"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_new_files_have_the_usual_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    with atomic_path(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "prior"
    for text in ("one", "two"):
        with atomic_folder(target) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_text(text)
        assert (target / "deep" / "file").read_text() == text
        assert os.listdir(tmp_path) == ["prior"]


@pytest.mark.parametrize("error", [ValueError, Stop])
def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path, error):
    target = tmp_path / "prior"
    target.mkdir()
    (target / "file").write_text("old")
    with pytest.raises(error), atomic_folder(target) as folder:
        fail(folder / "file", error)
    assert (target / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["prior"]


def test_folders_are_exchanged_in_one_step(tmp_path, monkeypatch):
    """There is no moment without a folder: where the system can swap, nothing is renamed twice."""
    if not hasattr(ctypes.CDLL(None), "renameat2"):
        pytest.skip("this system cannot exchange folders")
    target = tmp_path / "prior"
    target.mkdir()
    (target / "file").write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: pytest.fail("renamed"))
    with atomic_folder(target) as folder:
        (folder / "file").write_text("new")
    assert (target / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["prior"]


def test_a_failing_rename_puts_the_old_folder_back(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_swap", lambda *_: False)  # a system that cannot exchange folders
    target = tmp_path / "prior"
    target.mkdir()
    (target / "file").write_text("old")
    rename, calls = os.replace, []

    def second_fails(source, destination):
        calls.append(source)
        if len(calls) == 2:
            raise OSError("disk gone")
        rename(source, destination)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(OSError, match="disk gone"), atomic_folder(target) as folder:
        (folder / "file").write_text("new")
    assert (target / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["prior"]


def test_a_folder_of_other_things_is_never_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match=r"delete thesis\.tex"), atomic_folder(tmp_path) as folder:
        (folder / "file").write_text("new")
    assert os.listdir(tmp_path) == ["thesis.tex"]
    assert os.listdir(tmp_path.parent).count(tmp_path.name) == 1


def test_files_and_folders_are_not_confused(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(InputError, match="is a folder"), atomic_path(tmp_path):
        pass
    with pytest.raises(InputError, match="is a file"), atomic_folder(tmp_path / "file"):
        pass
    assert os.listdir(tmp_path) == ["file"]


def test_files_get_the_permissions_of_any_new_file(tmp_path):
    """Also those of a library that writes its files for the owner alone."""
    (tmp_path / "plain").write_text("x")
    ordinary = (tmp_path / "plain").stat().st_mode
    with atomic_path(tmp_path / "one") as temporary:
        temporary.write_text("x")
        temporary.chmod(0o600)
    with atomic_folder(tmp_path / "many") as folder:
        (folder / "inner").write_text("x")
        (folder / "inner").chmod(0o600)
    assert (tmp_path / "one").stat().st_mode == ordinary
    assert (tmp_path / "many" / "inner").stat().st_mode == ordinary


def test_several_files_appear_together_and_replace_those_of_their_names(tmp_path):
    (tmp_path / "a.hdr").write_text("old")
    (tmp_path / "other").write_text("other")
    with atomic_files(tmp_path) as folder:
        (folder / "a.hdr").write_text("new")
        (folder / "a.img").write_text("pixels")
        assert (tmp_path / "a.hdr").read_text() == "old"
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert found == {"a.hdr": "new", "a.img": "pixels", "other": "other"}


def write_pair(path, *, stop=False):
    with atomic_files(path) as folder:
        (folder / "a.hdr").write_text("new")
        (folder / "a.img").write_text("new pixels")
        if stop:
            raise ValueError


@pytest.mark.parametrize("failing", ["block", "first", "second", "folder"])
def test_no_file_appears_when_one_of_several_fails(tmp_path, monkeypatch, failing):
    (tmp_path / "a.hdr").write_text("old")
    (tmp_path / "a.img").mkdir() if failing == "folder" else (tmp_path / "a.img").write_text("old pixels")
    moves, replace = [], os.replace

    def full(source, target):
        moves.append(target)
        if failing in ("first", "second") and len(moves) == {"first": 1, "second": 2}[failing]:
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises((OSError, InputError, ValueError)):
        write_pair(tmp_path, stop=failing == "block")
    assert sorted(os.listdir(tmp_path)) == ["a.hdr", "a.img"]
    assert (tmp_path / "a.hdr").read_text() == "old"
    assert failing == "folder" or (tmp_path / "a.img").read_text() == "old pixels"


def test_files_whose_names_are_new_leave_nothing_behind(tmp_path, monkeypatch):
    replace, count = os.replace, []

    def full(source, target):
        count.append(target)
        if len(count) == 2:
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_pair(tmp_path)
    assert os.listdir(tmp_path) == []
