"""What a file says of its image is used by the commands, and what it leaves open is asked: modality, unit, axes."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import torch
from pydicom.data import get_testdata_file

from scorefield.data import Frame, Image, read_image, write
from scorefield.reconstruction.results import save_run
from scorefield.runs.cost import Cost
from scorefield.samples import Samples
from scorefield.scans.protocols import ParallelCT, simulate


@pytest.fixture
def hounsfield(tmp_path):
    """A CT slice of 32 x 32 pixels in a DICOM file."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.PixelData = dataset.pixel_array[48:80, 48:80].tobytes()
    dataset.Rows = dataset.Columns = 32
    if "DataSetTrailingPadding" in dataset:
        del dataset.DataSetTrailingPadding
    dataset.save_as(tmp_path / "hu.dcm")
    return tmp_path / "hu.dcm"


@pytest.fixture
def run(tmp_path, hounsfield):
    """A run in 1/mm whose draws are the truth with an error of a percent of water."""
    truth = read_image(hounsfield)
    scan = simulate(truth, ParallelCT(views=4))
    noise = 2e-4 * torch.randn(4, *truth.pixels.shape, generator=torch.Generator().manual_seed(0))
    samples = Samples(truth.attenuation().pixels + noise, cost=Cost())
    return save_run(samples, tmp_path / "run", scan=scan)


def flipped(image):
    """The same image, stored from the other end of both axes (LPS for RAS)."""
    affine = image.affine.copy()
    for a in (0, 1):
        affine[:, 3] += (image.spatial[a] - 1) * affine[:, a]
        affine[:, a] *= -1
    return Image(image.pixels.flip(1, 2), frame=Frame(affine=affine, unit=image.unit))


def scores(call, run, truth, *options):
    status, _, err = call("evaluate", run, "--truth", truth, "--out", run.parent / "e.json", *options)
    assert status == 0, err
    return json.loads((run.parent / "e.json").read_text())


def test_a_truth_in_another_unit_and_orientation_gives_the_same_scores(call, tmp_path, run, hounsfield):
    truth = read_image(hounsfield)
    expected = scores(call, run, write(truth.attenuation().pixels, tmp_path / "mu.npy"))
    assert expected["psnr"] > 40
    for path, options in [
        (hounsfield, ()),
        (write(flipped(truth), tmp_path / "lps.nii.gz"), ()),
        (write(flipped(truth.attenuation()), tmp_path / "mu.nii"), ()),
        (write(truth.pixels, tmp_path / "hu.npy"), ("--unit", "HU")),
    ]:
        found = scores(call, run, path, *options)
        assert found["psnr"] == pytest.approx(expected["psnr"], abs=1e-3), path
        assert found["coverage"] == pytest.approx(expected["coverage"], abs=1e-3)


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_truth_that_cannot_be_converted_is_refused(call, tmp_path, run, hounsfield, command):
    truth = read_image(hounsfield)
    moved = truth.affine.copy()
    moved[2, 3] += 30
    for path, words in [
        (write(truth.pixels, tmp_path / "hu.npy"), "--unit HU"),
        (write(Image(truth.pixels, affine=moved, unit="HU"), tmp_path / "next.nii"), "another part of the patient"),
        (write(Image(truth.pixels, unit="BQML"), tmp_path / "pet.nii"), "is in BQML and 1/mm is needed"),
    ]:
        status, _, err = call(command, run, "--truth", path)
        assert status == 2
        assert words in err
    assert not (run / "report.html").exists()


def test_a_report_takes_a_truth_in_hounsfield(call, run, hounsfield):
    assert call("report", run, "--truth", hounsfield)[0] == 0
    assert (run / "report.html").exists()


def test_the_modality_is_that_of_the_file(call, tmp_path, hounsfield):
    out = tmp_path / "s.scan"
    status, said, _ = call("simulate", hounsfield, "--views", 4, "--out", out)
    assert status == 0
    assert "Simulating ct" in said
    assert "it is CT" in said
    status, _, err = call("simulate", hounsfield, "--modality", "mri", "--out", tmp_path / "m.scan")
    assert status == 2
    assert "CT in HU" in err
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((16, 16)))
    arguments = ("simulate", tmp_path / "a.npy", "--coils", 2, "--out", out, "--overwrite")
    said = call(*arguments)[1]
    assert "Simulating mri" in said
    assert "names no modality" in said
    assert "Simulating" not in call(*arguments, "--modality", "mri")[1]


def test_the_slice_of_a_volume_is_said_and_odd_ones_are_asked_about(call, tmp_path):
    out = tmp_path / "s.scan"
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((5, 24, 32)))
    status, _, err = call("simulate", tmp_path / "a.npy", "--coils", 2, "--out", out)
    assert status == 2
    assert "(5, 24, 32)" in err
    assert "--axis 0" in err
    status, said, _ = call("simulate", tmp_path / "a.npy", "--coils", 2, "--axis", 0, "--out", out)
    assert status == 0
    assert "Took slice 2 of 5 across axis 0 of a volume (5, 24, 32)" in said
    arguments = ("--coils", 2, "--axis", 2, "--slice", 7, "--out", out, "--overwrite")
    status, said, _ = call("simulate", tmp_path / "a.npy", *arguments)
    assert status == 0  # whoever names the axis is believed
    status, _, err = call("train", "--images", tmp_path / "a.npy", "--steps", 1, "--out", tmp_path / "p")
    assert status == 2
    assert "--axis 0" in err


def test_training_in_hounsfield_asks_for_the_unit(call, tmp_path):
    volume = torch.randn(1, 32, 32, 2, generator=torch.Generator().manual_seed(0)) * 50
    volume[:, :8] = -1000
    path = write(volume, tmp_path / "ct.nii.gz")
    options = ("--steps", 1, "--batch", 8, "--out", tmp_path / "p")
    status, _, err = call("train", "--images", path, *options)
    assert status == 2
    assert "--unit HU" in err
    assert not (tmp_path / "p").exists()
    assert call("train", "--images", path, "--unit", "HU", *options)[0] == 0
