"""From raw k-space to a scan: whitening, oversampling, coil maps, and where the noise is known from."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ismrmrd_files import complex_noise

from scorefield import operators, raw
from scorefield.errors import InputError
from scorefield.noise import White
from scorefield.raw import covariance
from scorefield.raw.preparation import without_oversampling

COILS, SIZE = 4, 48
IMAGE = np.exp(-((np.mgrid[:SIZE, :SIZE] - 23) ** 2).sum(0) / 60) * np.exp(0.05j * np.arange(SIZE))
MAPS = operators.birdcage(COILS, (1, SIZE, SIZE)).numpy()
MIX = np.linalg.cholesky(np.eye(COILS) + 0.4 + 0.2j * np.subtract.outer(np.arange(COILS), np.arange(COILS)) / COILS)


def acquisition(level: float = 0.02, *, oversampled: bool = False, seed: int = 0, **options) -> raw.Acquisition:
    """A Gaussian in four coils, with noise of the covariance ``level^2 MIX MIX^H`` per real component."""
    images = MAPS * IMAGE
    if oversampled:
        images = np.pad(images, ((0, 0), (SIZE // 2, SIZE // 2), (0, 0)))
    clean = operators.Fourier(images.shape)(torch.from_numpy(images)[None])[0]
    noise = level * complex_noise(*clean.shape, seed=seed)
    kspace = clean.numpy() + np.einsum("ij,jkl->ikl", MIX, noise)
    given = {"counts": torch.ones(kspace.shape[1:]), "width": SIZE} | options
    return raw.Acquisition(torch.from_numpy(kspace.astype(np.complex64)), **given)


def test_oversampling_is_removed_without_a_trace():
    """The small grid has the samples of the image's own transform; the noise stays what it was."""
    wide, narrow = acquisition(0, oversampled=True), acquisition(0)
    torch.testing.assert_close(without_oversampling(wide).kspace, narrow.kspace, rtol=1e-5, atol=1e-5)
    noise = torch.from_numpy(complex_noise(COILS, 2 * SIZE, SIZE))
    alone = raw.Acquisition(noise, torch.ones(noise.shape[1:]), SIZE)
    power = float(without_oversampling(alone).kspace.abs().square().mean()) / 2
    assert power == pytest.approx(1.0, abs=4 / math.sqrt(COILS * SIZE * SIZE))


def test_the_coils_are_whitened_by_the_noise_scan():
    samples = torch.from_numpy(0.02 * MIX @ complex_noise(COILS, 4000, seed=1))
    raw_scan = acquisition(noise=samples.to(torch.complex64))
    preparation = raw.prepare(raw_scan)
    truth = torch.from_numpy(0.02**2 * MIX @ MIX.conj().T)
    torch.testing.assert_close(
        preparation.covariance.matrix, truth, rtol=0, atol=6 * float(truth.real.max()) / 4000**0.5
    )
    assert "noise scan of 4000 samples" in preparation.notes[0]
    assert isinstance(preparation.scan.noise, White)
    clean = covariance.whitener(preparation.covariance.matrix) @ acquisition(0).kspace.flatten(1).to(torch.complex128)
    residual = preparation.scan.data - clean
    measured = residual @ residual.mH / (2 * residual.shape[1])
    torch.testing.assert_close(measured, torch.eye(COILS) + 0j * measured, rtol=0, atol=0.1)


def test_the_scan_explains_its_data():
    """Image and maps predict the whitened data to within the noise.

    The image takes one of the coils' degrees of freedom, the maps at most those of the center they are made from.
    """
    preparation = raw.prepare(acquisition(oversampled=True))
    measurement = preparation.scan.measurement()
    image = measurement.operator.H(measurement.y)  # maps are normalized and everything is sampled
    misfit = float(measurement.residual(image).abs().square().mean()) / 2
    free = 1 - 1 / COILS
    assert free * (1 - (24 / SIZE) ** 2) < misfit < 1.05 * free


@pytest.mark.parametrize("oversampled", [True, False])
@pytest.mark.parametrize("level", [0.01, 0.05])
def test_noise_is_known_without_a_noise_scan(oversampled, level):
    found = raw.prepare(acquisition(level, oversampled=oversampled)).covariance
    truth = torch.from_numpy(level**2 * MIX @ MIX.conj().T)
    ratio = math.sqrt(float(found.matrix.diagonal().real.mean() / truth.diagonal().real.mean()))
    assert ratio == pytest.approx(1.0, abs=0.05 if oversampled else 0.12)
    correlation = found.matrix[0, 1] / found.matrix[0, 0].real
    assert abs(complex(correlation - truth[0, 1] / truth[0, 0].real)) < 0.15
    assert ("beyond the field of view" if oversampled else "border of k-space") in found.source


def test_a_patient_beyond_the_field_of_view_is_left_out():
    """A fifth of the columns outside shows the patient."""
    scan = acquisition(0.02, oversampled=True)
    images = covariance.readout_to_image(scan.kspace)
    images[:, 6:11] += 3.0
    inside = torch.fft.fftshift(torch.fft.fft(torch.fft.ifftshift(images, dim=1), dim=1, norm="ortho"), dim=1)
    found = covariance.noise_covariance(raw.Acquisition(inside, scan.counts, SIZE))
    assert float(found.matrix[0, 0].real) == pytest.approx(0.02**2 * (MIX @ MIX.conj().T)[0, 0].real, rel=0.1)


def test_partial_echoes_keep_the_oversampled_field_of_view():
    scan = acquisition(oversampled=True)
    counts = scan.counts.clone()
    counts[:10] = 0
    preparation = raw.prepare(raw.Acquisition(scan.kspace * (counts > 0), counts, SIZE))
    assert preparation.scan.spatial == (2 * SIZE, SIZE)
    assert any("not sampled as a whole" in note for note in preparation.notes)


def test_calibration_lines_make_the_maps_of_an_undersampled_scan():
    scan = acquisition()
    counts = torch.zeros_like(scan.counts)
    counts[:, ::3] = 1
    lines = torch.zeros(SIZE, dtype=torch.bool)
    lines[18:30] = True
    undersampled = raw.Acquisition(scan.kspace * counts, counts, SIZE, calibration=scan.kspace * lines)
    preparation = raw.prepare(undersampled)
    assert "Coil maps from the central 12 x 12 samples of the calibration lines." in preparation.notes
    assert preparation.scan.coils is not None
    assert bool(preparation.scan.coils.isfinite().all())
    with pytest.raises(InputError, match="calibration lines"):
        raw.prepare(raw.Acquisition(scan.kspace * counts, counts, SIZE))


def test_one_coil_needs_no_maps():
    scan = acquisition()
    counts = torch.zeros_like(scan.counts)
    counts[:, ::3] = 1
    single = raw.prepare(raw.Acquisition(scan.kspace[:1] * counts, counts, SIZE)).scan
    assert single.coils is None
    assert single.data.shape == (1, SIZE * SIZE // 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda k: k * 0, "not zero"), (lambda k: k[:1].expand_as(k), "same in several coils")],
)
def test_what_cannot_be_prepared_is_one_sentence(change, words):
    scan = acquisition()
    with pytest.raises(InputError, match=words):
        raw.prepare(raw.Acquisition(change(scan.kspace), scan.counts, SIZE))
