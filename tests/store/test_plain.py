"""JSON files that notice every change."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import json

import pytest

from scorefield.errors import InputError
from scorefield.store.plain import JsonFile
from scorefield.store.tensors import TensorFile
from support import normal

FILE = JsonFile("a record", "write it again")
PLAIN = {"text": "größer", "none": None, "numbers": [1, 0.5, float("inf")], "inner": {"crc32": "00000000", "format": 7}}


def test_a_record_comes_back(tmp_path):
    path = FILE.write(tmp_path / "a.json", PLAIN)
    assert FILE.read(path) == {"format": 2, **PLAIN}
    assert json.loads(path.read_text())["text"] == "größer"


def test_a_flipped_bit_in_any_byte_is_refused(tmp_path):
    path = FILE.write(tmp_path / "a.json", PLAIN)
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(bytes(damaged))
        with pytest.raises(InputError, match="cannot be read as a record"):
            FILE.read(path)


def test_spaces_count_too(tmp_path):
    path = FILE.write(tmp_path / "a.json", PLAIN)
    path.write_text(json.dumps(json.loads(path.read_text())))
    with pytest.raises(InputError, match="changed or damaged"):
        FILE.read(path)


def test_a_file_of_version_0_1_has_no_checksum(tmp_path):
    for plain in ({"format": 1, "a": 2}, {"a": 2}):
        (tmp_path / "a.json").write_text(json.dumps(plain))
        assert FILE.read(tmp_path / "a.json") == plain
    (tmp_path / "a.json").write_text(json.dumps({"format": 2, "a": 2}))
    with pytest.raises(InputError, match="changed or damaged"):
        FILE.read(tmp_path / "a.json")


def test_files_beside_are_checked(tmp_path):
    (tmp_path / "b").write_text("one")
    plain = FILE.read(FILE.write(tmp_path / "a.json", {}, files=[tmp_path / "b"]))
    FILE.check(tmp_path / "b", plain)
    FILE.check(tmp_path / "unlisted", plain)
    (tmp_path / "b").write_text("two")
    with pytest.raises(InputError, match="b is not the file that was written"):
        FILE.check(tmp_path / "b", plain)
    (tmp_path / "b").unlink()
    with pytest.raises(InputError, match="b cannot be read"):
        FILE.check(tmp_path / "b", plain)


def test_a_missing_file_is_no_bad_json(tmp_path):
    with pytest.raises(InputError, match="No such file") as refusal:
        FILE.read(tmp_path / "a.json")
    assert "JSON" not in str(refusal.value)


def test_a_full_disk_is_no_defect(tmp_path, monkeypatch):
    """The library of the format has an error of its own for it, which is no OSError."""
    import safetensors.torch
    from safetensors import SafetensorError

    def full(tensors, path, metadata):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space left") as refusal:
        TensorFile("scorefield.test", "a test", "x").write(tmp_path / "a", {"x": normal(2)})
    assert refusal.value.filename == str(tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_too_little_memory_is_no_damage(tmp_path, error):
    file = TensorFile("scorefield.test", "a test", "write it again")
    path = file.write(tmp_path / "a", {"x": normal(2)})
    with pytest.raises(InputError, match="memory is not enough to read"), file.reading(path):
        raise error
