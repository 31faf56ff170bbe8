"""K-space that a scanner would not give: zeros for what was not measured, zero frequency at another place."""

# what is wrong on purpose, or known only when it runs
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportAbstractUsage=false
from __future__ import annotations

import pytest
import torch

from scorefield.data import sample_scans
from scorefield.errors import InputError
from scorefield.noise import White
from scorefield.operators import Fourier, birdcage, cartesian_mask
from scorefield.priors import StationaryGaussian, Supported
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.scans import Cartesian

IMAGE = sample_scans.mr_slice().pixels[:, ::2, ::2]
SHAPE = tuple(IMAGE.shape)


def kspace(coils: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    full = Fourier((coils, *SHAPE[1:]))((birdcage(coils, SHAPE) * IMAGE)[None])[0]
    return full + torch.view_as_complex(0.1 * torch.randn(*full.shape, 2, generator=generator))


def scan(data: torch.Tensor, mask: torch.Tensor) -> Cartesian:
    return Cartesian(data[:, mask[0]], mask, birdcage(len(data), SHAPE), noise=White(0.1))


FULL = torch.ones(SHAPE, dtype=torch.bool)
LINES = cartesian_mask(SHAPE, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mask", [FULL, LINES], ids=["full", "lines"])
def test_right_scans_are_accepted(mask):
    assert scan(kspace(), mask).shape == SHAPE


@pytest.mark.parametrize("axes", [(1, 2), (1,), (2,)])
def test_zero_frequency_in_a_corner_is_refused(axes):
    with pytest.raises(InputError, match="fftshift"):
        scan(torch.fft.ifftshift(kspace(), dim=axes), FULL)


def test_zeros_that_were_not_measured_are_refused():
    stored = kspace() * LINES
    with pytest.raises(InputError, match="exactly zero"):
        scan(stored, FULL)
    assert scan(stored, stored.abs().sum(0, keepdim=True) > 0).shape == SHAPE


def test_a_scan_before_it_is_taken_is_all_zeros():
    assert scan(torch.zeros_like(kspace()), FULL).shape == SHAPE


def test_noise_alone_is_accepted():
    for seed in range(20):
        noise = torch.randn(2, *SHAPE[1:], 2, generator=torch.Generator().manual_seed(seed))
        assert scan(torch.view_as_complex(noise), FULL).shape == SHAPE


@pytest.mark.parametrize("real", [True, False])
def test_the_image_is_zero_where_no_coil_sees(real):
    """Maps that vanish outside the body; the prior is correlated over the whole image and has its mean at 1."""
    inside = torch.zeros(SHAPE, dtype=torch.bool)
    inside[:, 8:40, 12:52] = True
    maps = birdcage(4, SHAPE) * inside
    data = Fourier((4, *SHAPE[1:]))((maps * IMAGE)[None])[0]
    taken = Cartesian(data[:, LINES[0]], LINES, maps, noise=White(0.1), real=real)
    dtype = torch.float32 if real else torch.complex64
    spectrum = torch.full(SHAPE, 100.0)
    prior = StationaryGaussian(torch.full(SHAPE, 50.0, dtype=dtype), spectrum)
    samples = reconstruct(prior, taken, n=2, seed=0)
    assert float(samples.mean[~inside].abs().max()) < 0.05 * float(samples.mean[inside].abs().max())
    assert samples.provenance["seen"] == pytest.approx(float(inside.double().mean()))
    assert float((samples.mean - IMAGE)[inside].abs().mean()) < 0.2 * float(IMAGE[inside].mean())


def test_the_support_of_products():
    inside = torch.zeros(SHAPE, dtype=torch.bool)
    inside[:, 8:40] = True
    for real in (True, False):
        taken = Cartesian(torch.ones(4, int(FULL.sum()), dtype=torch.complex64), FULL, birdcage(4, SHAPE) * inside,
                          noise=White(1.0), real=real)  # fmt: skip
        assert torch.equal((2 * taken.operator()).support(), inside)
    assert scan(kspace(), FULL).operator().support() is None


def test_an_empty_support_is_refused():
    with pytest.raises(InputError, match="empty"):
        Supported(Supported.example().prior, torch.zeros(1, 4, 4))
