"""Learned denoisers: what each preconditioning promises, whatever the network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.nets import UNet
from scorefield.priors import EDM, Homogeneous, Network, Unitless
from support import assert_slope, normal

LEVELS = torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0], dtype=torch.float64)
CONDITIONINGS = [EDM(0.5), EDM(0.2), Homogeneous(0.3), Unitless()]
every = pytest.mark.parametrize("conditioning", CONDITIONINGS, ids=str)


class Zero(nn.Module):
    def forward(self, x, noise):
        return torch.zeros_like(x)


class Affine(nn.Module):
    """Keeps what it was called with."""

    def forward(self, x, noise):
        self.x, self.noise = x, noise
        return 0.7 * x + 0.1


def unet(**options) -> UNet:
    net = UNet(widths=(4, 6), blocks=1, **options).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


@pytest.mark.parametrize("std", [0.5, 0.2])
def test_edm_of_white_images_needs_no_network(std):
    """D6: for N(0, sigma_data^2 I) the optimal F is 0."""
    prior = Network(Zero(), EDM(std))
    x = normal(5, 1, 4, 4)
    exact = x * std**2 / (std**2 + LEVELS.reshape(-1, 1, 1, 1).square())
    torch.testing.assert_close(prior.denoise(x, LEVELS), exact, rtol=1e-12, atol=0)


@pytest.mark.parametrize("std", [0.5, 0.2])
def test_edm_inputs_targets_and_weights_are_of_unit_size(std):
    """Var(c_in x) = 1; the target (x0 - c_skip x)/c_out has variance 1 at every level; the weight is 1/c_out^2."""
    c = EDM(std).coefficients(LEVELS)
    one = torch.ones_like(LEVELS)
    torch.testing.assert_close(c.inner**2 * (std**2 + LEVELS**2), one)
    target = ((1 - c.skip) ** 2 * std**2 + c.skip**2 * LEVELS**2) / c.out**2
    torch.testing.assert_close(target, one)
    torch.testing.assert_close(EDM(std).weight(LEVELS) * c.out**2, one)
    torch.testing.assert_close(c.noise, LEVELS.log() / 4)


@every
def test_the_denoiser_is_the_formula(conditioning):
    net = Affine()
    x = normal(5, 1, 3, 4)
    found = Network(net, conditioning).denoise(x, LEVELS)
    c = conditioning.coefficients(LEVELS)
    for i in range(5):
        inner = c.inner[i] * x[i]
        torch.testing.assert_close(net.x[i], inner)
        torch.testing.assert_close(found[i], c.skip[i] * x[i] + c.out[i] * (0.7 * inner + 0.1))
    assert torch.equal(net.noise, c.noise)


@every
def test_one_level_serves_the_whole_batch(conditioning):
    prior = Network(unet(), conditioning)
    x = normal(3, 1, 5, 6)
    several = prior.denoise(x, torch.full((3,), 0.4, dtype=torch.float64))
    torch.testing.assert_close(prior.denoise(x, 0.4), several)
    torch.testing.assert_close(prior.denoise(x[1:2], 0.4), several[1:2])
    torch.testing.assert_close(prior.score(x, 0.4), (several - x) / 0.16)


@every
def test_tiny_levels_are_finite_and_leave_the_image(conditioning):
    prior = (
        Network(Affine(), conditioning) if not isinstance(conditioning, Homogeneous) else Network(unet(), conditioning)
    )
    x = normal(2, 1, 4, 4)
    for sigma in (0.0, 1e-300):
        found = prior.denoise(x, sigma)
        assert bool(found.isfinite().all())
        if not isinstance(conditioning, Homogeneous):  # its network decides
            torch.testing.assert_close(found, x)


def test_homogeneous():
    """D(c x, c sigma) = c D(x, sigma) to 1e-10, with random weights."""
    prior = Network(unet(), Homogeneous())
    x, sigma = normal(3, 1, 7, 8), torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64)
    for c in (1e-3, 0.37, 55.0):
        expected = c * prior.denoise(x, sigma)
        assert ((prior.denoise(c * x, c * sigma) - expected).norm() / expected.norm()).item() < 1e-10
    other = Network(unet(), EDM())  # which has a scale of its own
    assert ((other.denoise(3 * x, 3 * sigma) - 3 * other.denoise(x, sigma)).norm() / x.norm()).item() > 1e-3


@every
def test_the_weight_makes_white_images_count_alike(conditioning):
    """The weighted optimal error of N(0, s^2) is 1 at each level where the weight knows s, else at most 1."""
    std = getattr(conditioning, "sigma_data", 0.5)
    error = std**2 * LEVELS**2 / (std**2 + LEVELS**2)
    weighted = conditioning.weight(LEVELS) * error
    if isinstance(conditioning, Unitless):
        torch.testing.assert_close(weighted, std**2 / (std**2 + LEVELS**2))
    else:
        torch.testing.assert_close(weighted, torch.ones_like(LEVELS))
    assert torch.equal(Network(Zero(), conditioning).weight(LEVELS), conditioning.weight(LEVELS))


def test_the_jacobian_is_autograds():
    prior = Network(unet(), EDM())
    x, v, u = (normal(2, 1, 5, 5, seed=seed) for seed in range(3))
    denoised, vjp = prior.linearize(x, 0.3)
    torch.testing.assert_close(denoised, prior.denoise(x, 0.3))

    def along(image: Tensor) -> Tensor:
        return (image * u).flatten(1).sum(1)

    assert_slope(
        lambda z: (prior.linearize(z, 0.3)[1](u) * v).flatten(1).sum(1), lambda z: along(prior.denoise(z, 0.3)), x, v
    )
    assert not denoised.requires_grad
    torch.testing.assert_close(vjp(u), vjp(u))  # as often as asked


@pytest.mark.parametrize("make", [lambda: EDM(0), lambda: EDM(-1), lambda: EDM(math.nan), lambda: Homogeneous(0)])
def test_bad_numbers_are_refused(make):
    with pytest.raises(InputError, match="sigma_data > 0"):
        make()
