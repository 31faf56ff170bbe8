"""``scorefield calibrate``: from a prior and images to a page, resumed where it stopped."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from scorefield.nets import UNet
from scorefield.priors import Homogeneous, Network
from scorefield.store import checkpoint


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "'prior' is missing"), (("nothing",), "There is no prior"), (("brain", "--scans", "1"), "scans")],
)
def test_wrong_input_is_one_sentence(call, arguments, words):
    status, _, err = call("calibrate", *arguments)
    assert status == 2
    assert words in err
    assert "Traceback" not in err
