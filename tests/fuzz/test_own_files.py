"""Damaged files of ours: each is refused in one sentence, or read as what was written.

The judge reads the damaged bytes with the libraries of the formats alone, and does not know ours.
"""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from mutations import budget, mutate

from scorefield.cli.options import Options, read_options
from scorefield.errors import InputError
from scorefield.kernels import Heun
from scorefield.nets import PatchMLP, UNet
from scorefield.noise import Weighted, White
from scorefield.priors import FieldOfExperts, Gaussian, Homogeneous, Network
from scorefield.reconstruction.results import load_draws, load_record, save_run
from scorefield.samples import OnDisk, Reservoir, Running, Samples, Summary
from scorefield.sampling import sample
from scorefield.scans import Cartesian, FanBeam
from scorefield.scans.scan import Scan
from scorefield.schedules import Karras
from scorefield.store import checkpoint
from scorefield.training.record import Record, Snapshot

LONGEST = 700  # characters of a sentence, with the path of a test in it


class FuzzOptions(Options):
    images: list[str]
    steps: int = 3
    rate: float = 0.1
    out: Path = Path("prior")


@dataclass(frozen=True)
class Case:
    """A file of ours.

    Args:
        file: its path inside a folder of tests.
        read: reads what the file belongs to.
        judge: what the bytes hold, by an independent reader; it raises what it likes.
    """

    file: str
    read: Callable[[Path], Any]
    judge: Callable[[bytes], Any]


def tensors_and_record(raw: bytes) -> Any:
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    tensors = safetensors.torch.load(raw)
    numbers = {n: (str(t.dtype), tuple(t.shape), t.numpy().tobytes()) for n, t in sorted(tensors.items())}
    return header.get("__metadata__"), numbers


def snapshot(folder: Path) -> Any:
    found = Record(folder, resume=True).begin({})
    assert found is not None
    return found


def run(folder: Path) -> Any:
    return load_record(folder), load_draws(folder)


CASES = {
    "k-space": Case("cartesian.scan", lambda folder: Scan.load(folder / "cartesian.scan"), tensors_and_record),
    "fan beam": Case("fan.scan", lambda folder: Scan.load(folder / "fan.scan"), tensors_and_record),
    "description of a network": Case("network/prior.json", lambda f: checkpoint.load(f / "network"), json.loads),
    "weights": Case("network/weights.safetensors", lambda f: checkpoint.load(f / "network"), tensors_and_record),
    "reference": Case("network/reference.safetensors", lambda f: checkpoint.load(f / "network"), tensors_and_record),
    "description of patches": Case("patch/prior.json", lambda f: checkpoint.load(f / "patch"), json.loads),
    "table of patches": Case("patch/weights.safetensors", lambda f: checkpoint.load(f / "patch"), tensors_and_record),
    "step": Case("training/training.json", lambda f: snapshot(f / "training"), json.loads),
    "snapshot": Case("training/training.safetensors", lambda f: snapshot(f / "training"), tensors_and_record),
    "record of a run": Case("run/run.json", lambda f: run(f / "run"), json.loads),
    "draws": Case("run/samples.safetensors", lambda f: run(f / "run"), tensors_and_record),
    "mean": Case("run/mean.nii.gz", lambda f: run(f / "run"), bytes),
    "lower bound": Case("run/lower.nii.gz", lambda f: run(f / "run"), bytes),
    "array": Case("run/mean.npy", lambda f: run(f / "run"), bytes),
    "picture": Case("run/mean.png", lambda f: run(f / "run"), bytes),
    "unfinished draws": Case("draws.safetensors", lambda f: OnDisk(f / "draws.safetensors"), tensors_and_record),
    "summary": Case("summary.safetensors", lambda f: Summary.load(f / "summary.safetensors"), tensors_and_record),
    "subsample": Case("subsample.safetensors", lambda f: Samples.load(f / "subsample.safetensors"), tensors_and_record),
    "options": Case("options.yaml", lambda f: read_options(f / "options.yaml", FuzzOptions), yaml.safe_load),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One sound file of each kind."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("own")
    scan = Cartesian.example()
    scan.save(place / "cartesian.scan")
    fan = FanBeam.example()
    weighted = Weighted(torch.full_like(fan.data, 0.1))
    FanBeam(**{**vars(fan), "noise": weighted}).save(place / "fan.scan")
    network = Network(UNet(widths=(4, 4), blocks=1), Homogeneous(), crop=16)
    checkpoint.save(network, place / "network", beside={"reference": {"moments": torch.randn(3, 4)}})
    checkpoint.save(FieldOfExperts(PatchMLP(size=2, levels=1), levels=3), place / "patch")
    kept = {"step": 7, "seconds": 1.5, "finished": False, "seed": 0, "settings": {"rate": 0.1}, "validation": []}
    Record(place / "training").write(network, Snapshot({"model.a": torch.randn(5), "average.a": torch.randn(5)}, kept))
    prior = Gaussian(torch.zeros(4).double(), torch.eye(4).double())
    options: Any = {"n": 6, "seed": 1, "like": torch.empty(0, dtype=torch.float64)}
    sigmas = Karras(0.1, 3.0).grid(3)
    sample(prior, Heun(), sigmas, keep=OnDisk(place / "draws.safetensors", batch=4), **options)
    sample(prior, Heun(), sigmas, keep=Running(), **options).save(place / "summary.safetensors")
    sample(prior, Heun(), sigmas, keep=Reservoir(3), **options).save(place / "subsample.safetensors")
    draws = Samples(torch.randn(4, *scan.shape), provenance={"seed": 1, "sigmas": [0.3, 0.1]})
    save_run(draws, place / "run", scan=Cartesian(scan.data, scan.mask, scan.coils, noise=White(0.1)))
    (place / "options.yaml").write_text("images: [a.png, 'b.png']\nsteps: 12\nrate: 1.5e-3  # fast\nout: new\n")
    return place


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # NaN equals itself here


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_file_is_refused_or_read_as_it_was_written(folder, name):
    case = CASES[name]
    path = folder / case.file
    sound = path.read_bytes()
    content = case.judge(sound)
    refused = 0
    try:
        for number in range(budget(1 / len(CASES)) + 1):
            kind, damaged = mutate(sound, number)
            path.write_bytes(damaged)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    case.read(folder)
            except InputError as error:
                text = str(error)
                assert number > 0, text
                assert len(text) < LONGEST, text[:LONGEST]
                assert "\n" not in text, text
                refused += 1
                continue
            assert judged_equal(case, name, damaged, content), f"mutation {number} ({kind}) was believed"
    finally:
        path.write_bytes(sound)
    assert refused > 0 or name == "options"


def judged_equal(case: Case, name: str, damaged: bytes, content: Any) -> bool:
    """Whether an independent reader finds the same in the damaged bytes; options have no checksum, and may differ."""
    if name != "options":
        return same(case.judge(damaged), content)
    plain = case.judge(damaged)
    return isinstance(plain, dict) and plain.keys() <= FuzzOptions.model_fields.keys()


FLIPPED = [name for name in CASES if name != "options"]


@pytest.mark.parametrize("name", FLIPPED)
def test_a_flipped_bit_is_refused(folder, name):
    """The law of checksums: one bit of any byte.  Of a long file some bytes are tried, evenly spaced."""
    case = CASES[name]
    path = folder / case.file
    sound = path.read_bytes()
    tries = budget(0.1)
    try:
        for k in range(tries):
            place = k * len(sound) // tries
            damaged = bytearray(sound)
            damaged[place] ^= 1 << (k % 8)
            path.write_bytes(bytes(damaged))
            with pytest.raises(InputError) as refusal:
                case.read(folder)
            assert len(str(refusal.value)) < LONGEST
    finally:
        path.write_bytes(sound)


@pytest.mark.parametrize(
    "text",
    [
        '{"prior": ' * 2000 + "1" + "}" * 2000,
        '{"prior": 1' + "0" * 5000 + "}",
        '{"prior": {"class": "nets.UNet", "fields": {"widths": [6000, 6000], "blocks": 1}}, "card": {"name": "x"}}',
        '{"prior": {"class": "nets.UNet", "fields": {"widths": [4, 4], "blocks": 1000000}}, "card": {"name": "x"}}',
        '{"prior": {"class": "priors.Network", "fields": {"net": {"class": "nets.UNet", "fields": {"widths": [4, 4],'
        ' "blocks": 1}}, "preconditioning": 5, "crop": 16}}, "card": {"name": "x"}}',
        '{"prior": 3, "card": {"name": "x"}}',
        '{"prior": {"class": ["x"]}, "card": 3}',
        '{"prior": {"class": "priors.Gamma", "fields": {"shape": "x", "rate": {}}}, "card": {"name": "x"}}',
        '{"card": {"name": "x", "amplitude": 0}}',
    ],
    ids=["nested", "digits", "widths", "blocks", "preconditioning", "number", "list", "types", "amplitude"],
)
def test_a_description_without_a_checksum_is_checked_for_sense(folder, text):
    """Files of version 0.1 have none, and people write some by hand."""
    path = folder / "network" / "prior.json"
    sound = path.read_bytes()
    if '"prior"' not in text:
        text = json.dumps({**json.loads(text), "prior": json.loads(sound)["prior"]})
    path.write_text(text)
    try:
        with pytest.raises(InputError) as refusal:
            checkpoint.load(folder / "network")
        assert len(str(refusal.value)) < LONGEST
        assert "\n" not in str(refusal.value)
    finally:
        path.write_bytes(sound)


def test_the_judge_sees_a_change(folder):
    raw = (folder / "draws.safetensors").read_bytes()
    tensors = safetensors.torch.load(raw)
    tensors["0"][0, 0] = math.nextafter(float(tensors["0"][0, 0]), 1)
    assert not same(tensors_and_record(safetensors.torch.save(tensors))[1], tensors_and_record(raw)[1])
