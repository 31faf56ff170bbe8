"""Files of version 0.1 are still read: scans, priors, runs, and samplings and trainings that were interrupted.

``tests/fixtures/v0_1`` was written by that version; ``expected.json`` holds what it said of each file.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import scorefield as sf
from scorefield.kernels import DPMpp2M
from scorefield.nets import UNet
from scorefield.priors import Homogeneous, Network
from scorefield.reconstruction.results import load_draws
from scorefield.samples import OnDisk as Partial

FOLDER = Path(__file__).parents[1] / "fixtures" / "v0_1"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


@pytest.mark.parametrize("name", ["parallel", "fan", "mri", "single", "mri_real"])
def test_scans_mean_what_they_meant(name):
    expected = EXPECTED[name]
    scan = sf.Scan.load(FOLDER / f"{name}.scan")
    measurement = scan.measurement()
    assert list(measurement.shape) == expected["shape"]
    assert scan.unit == expected["unit"]
    back = measurement.operator.H(measurement.y)
    probe = torch.rand(1, *measurement.shape, generator=torch.Generator().manual_seed(1)).to(back.dtype)
    found = measurement.log_likelihood(probe * float(back.abs().max()))
    assert float(found) == pytest.approx(expected["log_likelihood"], rel=1e-4)


@pytest.mark.parametrize("name", ["patch", "network"])
def test_priors_denoise_as_they_did(name):
    expected, prior = EXPECTED[name], sf.load(FOLDER / name)
    z = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(2))
    assert float(prior.denoise(z, 0.1).double().square().sum()) == pytest.approx(expected["denoised"], rel=1e-4)


def again(**options) -> sf.Samples:
    """The sampling behind ``run`` and ``unfinished.safetensors``."""
    scan, prior = sf.Scan.load(FOLDER / "run" / "scan.scan"), sf.load(FOLDER / "patch")
    told = EXPECTED["run"]
    method = sf.Method(steps=told["steps"], batch=told["batch"], kernel=DPMpp2M(eta=1.0))  # the mean at the end
    return sf.reconstruct(prior, scan.measurement(), n=told["draws"], method=method, seed=told["seed"], **options)


def test_runs_hold_their_draws():
    samples = load_draws(FOLDER / "run")
    assert len(samples) == EXPECTED["run"]["draws"]
    assert float(samples.mean.double().sum()) == pytest.approx(EXPECTED["run"]["mean"], rel=1e-6)
    torch.testing.assert_close(again().draws, samples.draws, rtol=1e-3, atol=1e-4)


def test_an_unfinished_run_goes_on(tmp_path):
    path = Path(shutil.copy(FOLDER / "unfinished.safetensors", tmp_path))
    kept = Partial(path).draws[0]
    samples = again(partial=Partial(path))
    assert torch.equal(samples.draws[: len(kept)], kept)
    torch.testing.assert_close(samples.draws, load_draws(FOLDER / "run").draws, rtol=1e-3, atol=1e-4)


def test_an_unfinished_training_goes_on(tmp_path):
    folder = Path(shutil.copytree(FOLDER / "training", tmp_path / "training"))
    begun = json.loads((folder / "training.json").read_text())["step"]
    images = list(torch.from_numpy(np.load(FOLDER / "images.npy")))
    prior = Network(UNet(widths=(4, 4), blocks=1), Homogeneous(), crop=16)
    sf.train(
        prior, images, budget=sf.Steps(12), settings=sf.Settings(batch=2), record=sf.Record(folder, resume=True), seed=0
    )
    assert begun < prior.trained_steps == 12
    assert json.loads((folder / "training.json").read_text())["finished"]
