"""Files of named tensors: they give back every bit, are written whole or not at all, and show any damage."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file

from scorefield.errors import InputError
from scorefield.store.tensors import TensorFile, digest
from support import complex_normal, normal

FILE = TensorFile("scorefield.test", "a test", "write it again")
RECORD = {"words": ["a", None, True], "numbers": {"one": 1, "half": 0.5, "none": float("inf")}, "text": "größer"}
REAL = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
COMPLEX = [torch.complex64, torch.complex128]


@pytest.mark.parametrize("dtype", [*REAL, *COMPLEX], ids=str)
@pytest.mark.parametrize("shape", [(1,), (0, 3), (4, 5)], ids=str)
def test_a_file_gives_back_every_bit(tmp_path, dtype, shape):
    values = (3 * complex_normal(*shape) if dtype.is_complex else 3 * normal(*shape).abs()).to(dtype)
    tensors, record = FILE.read(FILE.write(tmp_path / "a", {"values": values, "other": normal(2)}, RECORD))
    assert record == RECORD
    assert tensors["values"].dtype == dtype
    assert torch.equal(tensors["values"], values)
    assert torch.equal(tensors["other"], normal(2))


VIEWS = {
    "conjugate": lambda z: z.conj(),
    "negative": lambda z: z.conj().imag,
    "transposed": lambda z: z.mT,
    "strided": lambda z: z[:, ::2],
    "expanded": lambda z: z[:1].expand(3, 5),
    "with gradient": lambda z: z.real.requires_grad_(),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_is_written_with_its_numbers(tmp_path, view):
    values = view(complex_normal(4, 5))
    tensors, _ = FILE.read(FILE.write(tmp_path / "a", {"values": values}))
    assert torch.equal(tensors["values"], values)
    assert not tensors["values"].requires_grad


def test_single_numbers_have_no_axis(tmp_path):
    tensors, _ = FILE.read(FILE.write(tmp_path / "a", {"x": torch.tensor(2.5), "z": torch.tensor(1 + 2j)}))
    assert (tensors["x"].shape, tensors["z"].shape) == ((), ())
    assert (float(tensors["x"]), complex(tensors["z"])) == (2.5, 1 + 2j)


def test_tensors_may_share_memory(tmp_path):
    x = normal(4)
    tensors, record = FILE.read(FILE.write(tmp_path / "a", {"whole": x, "same": x, "part": x[1:]}))
    assert torch.equal(tensors["same"], x)
    assert torch.equal(tensors["part"], x[1:])
    assert record == {}


def test_a_record_that_json_does_not_know_leaves_the_old_file(tmp_path):
    path = FILE.write(tmp_path / "a", {"x": normal(2)})
    before = path.read_bytes()
    with pytest.raises(TypeError, match="JSON"):
        FILE.write(path, {"x": normal(3)}, {"no JSON": object()})
    assert path.read_bytes() == before


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = FILE.write(tmp_path / "a", {"x": normal(2)})
    before = path.read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="disk full"):
        FILE.write(path, {"x": normal(3)})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_every_flipped_bit_is_noticed(tmp_path):
    """But in the padding behind the header: what it holds is not read."""
    path = FILE.write(tmp_path / "a", {"x": normal(3), "z": complex_normal(2)}, {"n": 1})
    whole = path.read_bytes()
    for place in range(len(whole)):
        if whole[place : place + 1] != b" ":
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(InputError, match=r"a cannot be read as a test \(.*\); write it again\."):
                FILE.read(path)


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "cut in its header": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "no JSON": lambda path: save_file({"x": torch.zeros(2)}, path, metadata={FILE.key: "{"}),
    "a number": lambda path: save_file({"x": torch.zeros(2)}, path, metadata={FILE.key: "3"}),
    "not pairs": lambda path: save_file({"x": torch.zeros(3)}, path, metadata={FILE.key: '{"complex": true}'}),
    "no checksum": lambda path: save_file({"x": torch.zeros(2)}, path, metadata={FILE.key: '{"complex": []}'}),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_gives_one_sentence(tmp_path, damage):
    path = FILE.write(tmp_path / "a", {"x": normal(2)})
    damage(path)
    with pytest.raises(InputError, match=r"a cannot be read as a test \(.*\); write it again\.$") as caught:
        FILE.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("want", "reason"), [(lambda t, r: t["y"], "no 'y'"), (lambda t, r: int(r["words"][0]), "invalid literal")]
)
def test_a_missing_entry_gives_one_sentence(tmp_path, want, reason):
    path = FILE.write(tmp_path / "a", {"x": normal(2)}, RECORD)
    with pytest.raises(InputError, match=reason), FILE.reading(path) as (tensors, record):
        want(tensors, record)


def test_refusals_of_the_reader_stay_their_own(tmp_path):
    path = FILE.write(tmp_path / "a", {"x": normal(2)})
    with pytest.raises(InputError, match=r"^another sampling$"), FILE.reading(path):
        raise InputError("another sampling")


def test_the_layouts_of_version_0_1_are_read(tmp_path):
    """No checksum (but of scans), and complex pairs all at once or none; no record at all."""
    z, x = complex_normal(2, 3), normal(4)
    pair = torch.view_as_real(z)
    save_file({"draws": pair}, tmp_path / "samples", metadata={FILE.key: json.dumps({"complex": True, "n": 2})})
    save_file({"draws": x}, tmp_path / "real", metadata={FILE.key: json.dumps({"complex": False})})
    save_file({"z": z.to(torch.complex64), "x": x}, tmp_path / "weights")
    assert torch.equal(FILE.read(tmp_path / "samples")[0]["draws"], z)
    assert FILE.read(tmp_path / "samples")[1] == {"n": 2}
    assert torch.equal(FILE.read(tmp_path / "real")[0]["draws"], x)
    assert torch.equal(FILE.read(tmp_path / "weights")[0]["z"], z.to(torch.complex64))


def test_equal_tensors_have_the_same_digest():
    x = normal(3, 4)
    assert digest([x]) == digest([x.clone()]) == digest([x.T.contiguous().T]) == digest([x.requires_grad_()])
    z = complex_normal(3, 4)
    assert digest([z.conj()]) == digest([z.conj().resolve_conj()])
    assert digest([]) == digest(iter(()))


def test_different_tensors_have_different_digests():
    x = normal(3, 4)
    moved = x.clone()
    moved[1, 2] += 1e-15
    others = [[x], [x.float()], [x.T], [x.reshape(4, 3)], [moved], [x, moved], [moved, x], [torch.complex(x, 0 * x)]]
    assert len({digest(these) for these in others} | {digest([x], "a"), digest([x], "b")}) == len(others) + 2
