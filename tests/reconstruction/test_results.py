"""A run on disk: every kind of image, hung for viewing where the scan knows the patient."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from scorefield.data import Frame, read_image
from scorefield.noise import White
from scorefield.reconstruction.results import FILES, REPORTS, save_run
from scorefield.reports import report
from scorefield.samples import Samples
from scorefield.scans import Cartesian
from support import complex_normal, normal

AFFINE = np.array([[2.0, 0, 0, -20], [0, 3.0, 0, -30], [0, 0, 5.0, 0], [0, 0, 0, 1]])  # axes to the right, front, top


def scan_of(shape: tuple[int, ...], affine: np.ndarray | None) -> Cartesian:
    mask = torch.zeros(shape)
    mask.view(-1)[:2] = 1
    data = torch.ones(1, 2, dtype=torch.complex64)
    return Cartesian(data, mask, noise=White(1), frame=Frame(affine=affine))


@pytest.mark.parametrize("affine", [None, AFFINE], ids=["array", "patient"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=["real", "complex"])
@pytest.mark.parametrize("shape", [(1, 6, 8), (1, 6, 8, 5)], ids=["slice", "volume"])
def test_a_run_holds_its_images_and_a_picture_as_it_is_hung(tmp_path: Path, shape, dtype, affine):
    scan, draws = scan_of(shape, affine), normal(3, *shape).to(dtype)
    samples = Samples(draws)
    folder = save_run(samples, tmp_path / "run", scan=scan, record={"note": "x"}, beside={"truth": draws[0].abs()})
    names = {path.name for path in folder.iterdir()}
    assert names == {*FILES, "truth.npy"} - set(REPORTS)
    mean = samples.magnitudes.mean
    torch.testing.assert_close(read_image(folder / "mean.nii.gz").pixels, mean)
    torch.testing.assert_close(read_image(folder / "mean.npy").pixels, samples.mean)
    array = mean[0].numpy()
    if affine is None:
        shown = array if array.ndim == 2 else array[3]
    else:  # the last axis is down, the front is up, the patient's right on the left
        plane = array if array.ndim == 2 else array[:, :, ::-1][:, :, 2]
        shown = plane[::-1, ::-1].T
    picture = np.asarray(Picture.open(folder / "mean.png"))
    np.testing.assert_allclose(picture, 255 * (shown - shown.min()) / np.ptp(shown), atol=0.51)
    assert json.loads((folder / "run.json").read_text())["note"] == "x"


def test_mean_spread_and_bounds_of_a_complex_run_are_of_one_quantity(tmp_path: Path):
    """In a background of noise ``|mean|`` is far below every magnitude; the files are all of the magnitude."""
    draws = complex_normal(19, 1, 16, 16)
    folder = save_run(Samples(draws), tmp_path / "run", scan=scan_of((1, 16, 16), None))
    mean, std, lower, upper = (
        read_image(folder / f"{name}.nii.gz").pixels.double() for name in ("mean", "std", "lower", "upper")
    )
    torch.testing.assert_close(mean, draws.abs().mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(std, draws.abs().std(0), rtol=1e-5, atol=0)
    assert bool(((lower <= mean) & (mean <= upper)).all())
    assert torch.equal(torch.stack([lower, upper]).float(), torch.stack([*draws.abs().aminmax(dim=0)]).float())


def test_parameters_of_the_operator_are_in_the_record_and_on_the_page(tmp_path: Path):
    theta = torch.tensor([[1.0, -2.0], [3.0, -4.0], [5.0, -9.0]])
    scan = scan_of((1, 6, 8), None)
    samples = Samples(complex_normal(3, 1, 6, 8).to(torch.complex64), nuisance={"drift": theta})
    folder = save_run(samples, tmp_path / "run", scan=scan)
    assert json.loads((folder / "run.json").read_text())["nuisance"] == {
        "drift": {"mean": [3.0, -5.0], "std": [2.0, pytest.approx(13**0.5)]}
    }
    text = report(samples, scan.measurement(), path=tmp_path / "r.html").read_text()
    assert "drift · mean" in text
    assert "3, -5" in text
