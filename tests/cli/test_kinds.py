"""Every kind of scan and of prior from the command line, and results for programs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from scorefield.errors import InputError
from scorefield.lessons import Windows
from scorefield.lessons.augmentations import Amplitude, Dihedral
from scorefield.lessons.crops import Balance
from scorefield.nets import UNet
from scorefield.noise import PoissonTransmission
from scorefield.priors import Homogeneous, Network
from scorefield.scans import FanBeam, LowResolution, NoisyImage, ParallelBeam
from scorefield.scans.scan import Scan
from scorefield.schedules import Geometric
from scorefield.store import checkpoint
from scorefield.training.trainer import Epochs, Settings, Steps


@pytest.fixture
def picture(tmp_path):
    """A 16 x 17 image of attenuation in 1/mm, a smooth blob."""
    rows, columns = np.mgrid[:16, :17]
    np.save(tmp_path / "blob.npy", 0.02 * np.exp(-((rows - 7) ** 2 + (columns - 8) ** 2) / 20).astype("f4")[None])
    return tmp_path / "blob.npy"


@pytest.fixture
def prior(tmp_path):
    torch.manual_seed(0)
    card = checkpoint.Card("tiny")
    return checkpoint.save(Network(UNet(widths=(4,), blocks=1), Homogeneous()), tmp_path / "tiny", card=card)


KINDS = {
    "ct": ((), ParallelBeam),
    "ct counts": (("--counts",), ParallelBeam),
    "fan": ((), FanBeam),
    "fan counts": (("--counts",), FanBeam),
    "denoising": (("--noise", 0.2), NoisyImage),
    "superresolution": (("--factor", 4), LowResolution),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_scan_to_its_report(call, tmp_path, picture, prior, name):
    options, kind = KINDS[name]
    scan, run = tmp_path / "s.scan", tmp_path / "run"
    status, out, err = call("simulate", picture, "--modality", name.split()[0], "--out", scan, *options)
    assert status == 0, err
    loaded = Scan.load(scan)
    assert type(loaded) is kind
    assert isinstance(loaded.noise, PoissonTransmission) == name.endswith("counts")
    status, out, err = call(
        "reconstruct", scan, "--prior", prior, "--out", run, "--draws", 2, "--steps", 2, "--batch", 1, "--json"
    )
    assert status == 0, err
    assert json.loads(out)["draws"] == 2
    status, out, err = call("evaluate", run, "--truth", tmp_path / "s.truth.npy", "--json")
    assert status == 0, err
    assert np.isfinite(json.loads(out)["psnr"])
    status, _, err = call("report", run, "--truth", tmp_path / "s.truth.npy", "--baseline", "linear")
    assert status == 0, err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--modality", "ct", "--coils", 4), "'coils' is for mri"),
        (("--modality", "mri", "--views", 9), "'views' is for ct, fan"),
        (("--photons", 9), "'photons' is for ct, fan"),
        (("--modality", "denoising", "--factor", 3), "'factor' is for superresolution"),
        (("--modality", "superresolution", "--factor", 99), "lower the factor"),
        (("--modality", "mri", "--counts"), "'counts' is for ct, fan"),
        (("--modality", "mri", "--unit", "HU"), "no MRI"),
    ],
)
def test_options_of_another_scanner_are_refused(call, tmp_path, picture, arguments, words):
    status, _, err = call("simulate", picture, "--out", tmp_path / "s.scan", *arguments)
    assert status == 2
    assert words in err
    assert not (tmp_path / "s.scan").exists()


def test_the_file_decides_the_scanner_and_it_is_said(call, tmp_path, picture):
    status, out, _ = call("simulate", picture, "--out", tmp_path / "s.scan", "--unit", "HU")
    assert status == 0
    assert "Simulating ct" in out
    assert type(Scan.load(tmp_path / "s.scan")) is ParallelBeam


def test_another_method_from_the_line_and_from_yaml(call, tmp_path, picture, prior):
    scan = tmp_path / "s.scan"
    assert call("simulate", picture, "--modality", "denoising", "--out", scan)[0] == 0
    (tmp_path / "m.yaml").write_text("method:\n  posterior: {name: DiffPIR, weight: 2.0}\n  kernel: {name: Heun}\n")
    few = ("--prior", prior, "--draws", 2)
    line = call("reconstruct", scan, *few, "--out", tmp_path / "a", "--steps", 2, "--method", "diffpir:weight=2",
                "--kernel", "heun")  # fmt: skip
    yaml = call("reconstruct", scan, *few, "--out", tmp_path / "b", "--steps", 2, "--config", tmp_path / "m.yaml")
    assert line[0] == yaml[0] == 0, (line[2], yaml[2])
    np.testing.assert_array_equal(np.load(tmp_path / "a/mean.npy"), np.load(tmp_path / "b/mean.npy"))
    status, _, err = call("reconstruct", scan, *few, "--out", tmp_path / "c", "--method", "diffpir:weigth=2")
    assert status == 2
    assert "it has weight" in err


def test_a_device_that_is_not_here(call, tmp_path, picture, prior):
    assert call("simulate", picture, "--modality", "denoising", "--out", tmp_path / "s.scan")[0] == 0
    status, _, err = call("reconstruct", tmp_path / "s.scan", "--prior", prior, "--device", "toaster")
    assert status == 2
    assert "toaster" in err


@pytest.mark.parametrize("kind", ["patch", "network", "localcnn", "energy", "tiling"])
def test_each_kind_of_prior_is_trained(call, tmp_path, picture, kind):
    few = ("--steps", 1, "--batch", 2, "--crop", 8)
    status, out, err = call("train", "--images", picture, "--out", tmp_path / "p", "--kind", kind, *few)
    assert status == 0, err
    assert "after 1 steps" in out
    made = {"patch": "FieldOfExperts", "energy": "Energy", "tiling": "Tiling"}.get(kind, "Network")
    assert type(checkpoint.load(tmp_path / "p")).__name__ == made


def test_each_option_of_a_training_arrives(call, tmp_path, picture, monkeypatch):
    given = {}

    def stop(lesson, images, **rest):
        given.update(rest, lesson=lesson, images=images)
        raise InputError("Stop here.")

    monkeypatch.setattr("scorefield.training.trainer.train", stop)
    start = ("train", "--images", picture, "--out", tmp_path / "p", "--kind")
    options = {"crop": 8, "memory": 0.5, "amplitude": 2, "balance": 0.3, "sigma-min": 0.01, "sigma-max": 0.7,
               "batch": 6, "parts": 2, "rate": 0.02, "warmup": 0.1, "clip": 3, "average": 0.9, "steps": 7, "seed": 5,
               "validate-on": picture, "validate-every": 11, "patience": 4, "snapshot": 2,
               }  # fmt: skip
    flags = ("--half", "--reference", "--resume")
    words = (word for name, value in options.items() for word in (f"--{name}", value))
    assert "Stop here." in call(*start, "network", *flags, *words)[2]
    lesson, check, record = given["lesson"], given["validation"], given["record"]
    augment = (Dihedral(), Amplitude(0.5, 2.0))
    assert lesson.cut == Windows(8, augment=augment, balance=Balance(0.3), memory=2**29)
    assert lesson.objective.noise == Geometric(0.01, 0.7)
    assert given["settings"] == Settings(6, 0.02, warmup=0.1, clip=3, average=0.9, parts=2, half=True)
    assert (given["budget"], given["seed"]) == (Steps(7), 5)
    assert (check.every, check.patience, len(check.images)) == (11, 4, 1)
    assert (record.path, record.minutes, record.tensorboard) == (tmp_path / "p", 2, None)
    assert record.resume is record.reference is True
    call(*start, "patch", "--epochs", 3)
    assert given["settings"] == Settings(batch=1024, rate=0.015 / 3)
    assert given["budget"] == Epochs(3)
    assert given["lesson"].cut == replace(lesson.cut, side=3, augment=(Dihedral(),), balance=None, memory=2**31)
    assert (given["validation"], given["seed"]) == (None, 0)


@pytest.mark.parametrize(("kind", "words"), [("multiscale", "part by part"), ("vp", "elsewhere")])
def test_a_prior_with_nothing_to_train_is_refused_by_name(call, tmp_path, picture, kind, words):
    status, _, err = call("train", "--images", picture, "--out", tmp_path / "p", "--kind", kind, "--steps", 1)
    assert status == 2
    assert words in err


def test_the_card_of_a_prior_is_for_people_and_its_json_for_programs(call):
    status, out, _ = call("priors", "brain-t1")
    assert status == 0
    assert len(out.splitlines()) < 40
    assert "UNet" in out
    assert json.loads(call("priors", "brain-t1", "--json")[1])["card"]["name"] == "brain-t1"


def test_the_shell_completes_commands_and_options(monkeypatch, call):
    monkeypatch.setenv("_SCOREFIELD_COMPLETE", "complete_bash")
    for words, completed in (("scorefield rec", "reconstruct"), ("scorefield reconstruct --me", "--method")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert completed in call()[1]
