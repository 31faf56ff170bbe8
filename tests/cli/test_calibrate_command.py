"""``scorefield calibrate``: from a prior and images to a page, resumed where it stopped."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from scorefield.calibration import FromWalk, Scanner
from scorefield.errors import InputError
from scorefield.nets import UNet
from scorefield.priors import Homogeneous, Network
from scorefield.reconstruction.method import Method
from scorefield.scans import protocols
from scorefield.schedules import Karras
from scorefield.store import checkpoint
from scorefield.units import WATER


@pytest.fixture
def picture(tmp_path):
    rows, columns = np.mgrid[:32, :30]
    path = tmp_path / "image.npy"
    np.save(path, (np.exp(-((rows - 20) ** 2 + (columns - 18) ** 2) / 90) + 0.2).astype(np.float32)[None])
    return path


@pytest.fixture
def prior(tmp_path):
    torch.manual_seed(0)
    card = checkpoint.Card("tiny")
    return checkpoint.save(Network(UNet(widths=(4, 8), blocks=1), Homogeneous()), tmp_path / "tiny", card=card)


SMALL = ("--scans", 3, "--draws", 3, "--steps", 2, "--size", 24)
OWN = {"ct": ("--views", 6), "mri": ("--coils", 2)}


@pytest.mark.parametrize("operator", ["ct", "mri"])
def test_a_calibration_writes_page_numbers_and_scans(call, tmp_path, prior, picture, operator):
    out = tmp_path / "out"
    status, printed, err = call("calibrate", prior, "--operator", operator, "--images", picture, "--out", out, *SMALL,
                               *OWN[operator])  # fmt: skip
    assert status == 0, err
    assert "intervals" in printed
    assert len(list((out / "scans").iterdir())) == 3
    page = (out / "calibration.html").read_text()
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)  # nothing is fetched
    for words in ("50%", "80%", "90%", "95%", "Ranks of pixels", "factor on the spread", "What to do", picture.name):
        assert words in page
    assert str(picture.parent) not in page
    numbers = json.loads((out / "calibration.json").read_text())
    assert numbers["scans"] == 3
    assert [entry["level"] for entry in numbers["pixels"]["coverage"]] == [0.5, 0.8, 0.9, 0.95]
    assert (
        numbers["regions"]["factor_range"][0] <= numbers["regions"]["factor"] <= numbers["regions"]["factor_range"][1]
    )


def test_the_same_command_continues(call, tmp_path, prior, picture):
    out = tmp_path / "out"
    command = ("calibrate", prior, "--images", picture, "--out", out, *SMALL, *OWN["mri"])
    assert call(*command)[0] == 0
    first = (out / "calibration.json").read_text()
    (out / "scans" / "scan-00001.safetensors").unlink()
    kept = (out / "scans" / "scan-00000.safetensors").stat().st_mtime_ns
    assert call(*command)[0] == 0
    strip = re.compile(r'"(seconds": [0-9.e-]+|crc32": "[0-9a-f]+")')
    assert strip.sub("", (out / "calibration.json").read_text()) == strip.sub("", first)
    assert (out / "scans" / "scan-00000.safetensors").stat().st_mtime_ns == kept
    status, _, err = call(*command, "--seed", 1)
    assert status == 2
    assert "another calibration" in err


def test_without_images_the_truths_are_draws_of_the_prior(call, tmp_path, prior):
    assert call("calibrate", prior, "--operator", "ct", "--out", tmp_path / "out", *SMALL, *OWN["ct"])[0] == 0
    assert "the truths are draws of the prior" in (tmp_path / "out" / "calibration.html").read_text()


@pytest.fixture
def arrived(call, monkeypatch, prior, tmp_path):
    """What a command line gives to the calibration, which does not begin."""

    def run(*options):
        given = {}

        def stop(prior, experiment, **rest):
            given.update(rest, truths=experiment.truths, scanner=experiment.simulate)
            raise InputError("Stop here.")

        monkeypatch.setattr("scorefield.calibration.calibrate", stop)
        assert "Stop here." in call("calibrate", prior, "--out", tmp_path / "out", *options)[2]
        return given

    return run


SCANNERS = {
    "ct": (("--views", 7, "--photons", 300), protocols.ParallelCT(7, 300.0), WATER),
    "fan": (("--counts",), protocols.Counting(protocols.FanCT(30, 2e4)), WATER),
    "mri": (("--acceleration", 3, "--coils", 5, "--center", 0.2), protocols.CartesianMRI(3.0, 5, 0.01, 0.2), 1.0),
    "denoising": ((), protocols.Denoising(0.1), 1.0),
    "superresolution": (("--factor", 4, "--noise", 0.3), protocols.SuperResolution(0.3, 4), 1.0),
}


@pytest.mark.parametrize("name", SCANNERS)
def test_each_option_of_a_calibration_arrives(arrived, picture, tmp_path, name):
    options, protocol, intensity = SCANNERS[name]
    common = ("--scans", 4, "--draws", 5, "--steps", 6, "--batch", 2, "--seed", 8, "--spacing", 1.5)
    given = arrived("--operator", name, *options, *common)
    assert (given["n_scans"], given["draws"], given["seed"]) == (4, 5, 8)
    assert (given["method"], given["folder"]) == (Method(steps=6, batch=2), tmp_path / "out" / "scans")
    assert given["scanner"] == Scanner(protocol, 1.5)
    assert given["truths"] == FromWalk(given["truths"].prior, (1, 64, 64), Karras(0.005, 3.0), intensity=intensity)
    walk = arrived("--operator", name, "--size", 20, "--intensity", 0.7)["truths"]
    assert (walk.shape, walk.intensity) == ((1, 20, 20), 0.7)
    whole = arrived("--operator", name, "--images", picture, "--axis", 1, "--unit", "1/mm")["truths"]
    assert (whole.source.images.axis, whole.source.images.unit) == (1, "1/mm")
    assert arrived("--operator", name, "--images", picture, "--size", 20)["truths"].source.size == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "'prior' is missing"), (("nothing",), "There is no prior"), (("brain", "--scans", "1"), "scans")],
)
def test_wrong_input_is_one_sentence(call, arguments, words):
    status, _, err = call("calibrate", *arguments)
    assert status == 2
    assert words in err
    assert "Traceback" not in err
