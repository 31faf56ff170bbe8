"""Learned energies: exactly conservative, exact for Gaussians, and sums of patch energies."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scorefield.densities.potential import log_ratio
from scorefield.errors import InputError
from scorefield.kernels import HMC, MALA, Absolute
from scorefield.nets import PatchMLP, Patchwise, UNet
from scorefield.nets.overlaps import Overlaps
from scorefield.objectives import NoiseConditional
from scorefield.priors import EDM, Energy, Homogeneous, Network, StationaryGaussian, Unitless
from scorefield.sampling import walk
from support import assert_slope, normal

LEVELS = torch.tensor([0.05, 0.4, 3.0], dtype=torch.float64)


def randomized(net: nn.Module) -> nn.Module:
    net.double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


def mlp() -> nn.Module:
    return randomized(Patchwise(PatchMLP(levels=1)))


def unet() -> nn.Module:
    return randomized(UNet(widths=(4, 6), blocks=1))


EXAMPLES = [Energy(mlp(), Unitless()), Energy(unet(), EDM(0.3)), Energy(unet(), Homogeneous())]
every = pytest.mark.parametrize("energy", EXAMPLES, ids=["patches", "edm", "homogeneous"])


class Wiener(nn.Module):
    """F with ``x + sigma F = D`` for a stationary Gaussian of mean 0."""

    def __init__(self, prior: StationaryGaussian):
        super().__init__()
        self.prior = prior

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.prior.score(x, (4 * noise).exp()) * (4 * noise).exp().reshape(-1, 1, 1, 1)


class Smooth(nn.Module):
    """A network without kinks, where the rule for line integrals converges fast."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.outward = nn.Conv2d(1, 5, 3, padding=1), nn.Conv2d(5, 1, 3, padding=1)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.outward(torch.tanh(self.inward(x)))


def stationary(side: int = 4) -> StationaryGaussian:
    frequency = torch.fft.fftshift(torch.fft.fftfreq(side, dtype=torch.float64))
    squared = frequency[:, None].square() + frequency.square()
    spectrum = (1 / (0.1 + 4 * squared)).reshape(1, side, side)
    return StationaryGaussian(torch.zeros(1, side, side, dtype=torch.float64), spectrum)


def jacobian(prior, x: Tensor, sigma: float) -> Tensor:
    return torch.autograd.functional.jacobian(lambda u: prior.denoise(u, sigma), x).reshape(x.numel(), x.numel())


# --- a density


@every
def test_the_score_is_the_slope_of_the_density(energy):
    x, v = normal(3, 1, 6, 5), normal(3, 1, 6, 5, seed=1)
    assert_slope(lambda z: (energy.score(z, LEVELS) * v).flatten(1).sum(1), lambda z: energy.log_prob(z, LEVELS), x, v)
    tweedie = x + LEVELS.square().reshape(-1, 1, 1, 1) * energy.score(x, LEVELS)
    torch.testing.assert_close(energy.denoise(x, LEVELS), tweedie)


@every
def test_the_jacobian_is_symmetric_as_a_covariance_is(energy):
    x = normal(1, 1, 4, 5)
    found = jacobian(energy, x, 0.4)
    torch.testing.assert_close(found, found.T, rtol=1e-9, atol=1e-9)
    free = jacobian(Network(energy.net, energy.preconditioning), x, 0.4)  # the same network as a denoiser
    assert (free - free.T).norm().item() > 1e-3 * free.norm().item()


@every
def test_the_denoiser_is_the_formula(energy):
    """D = (f + J_f^T x) / 2."""
    x = normal(1, 1, 5, 4)
    f, vjp = Network(energy.net, energy.preconditioning).linearize(x, 0.4)
    torch.testing.assert_close(energy.denoise(x, 0.4), (f + vjp(x)) / 2)


def test_the_way_does_not_matter():
    """Line integrals of the score are differences of the density, whatever the path; a free network's are not."""
    start, middle, end = normal(3, 2, 1, 4, 4).unbind(0)
    energy = Energy(randomized(Smooth()), Unitless())

    def detour(prior) -> Tensor:
        return log_ratio(prior, start, middle, 0.5, 256) + log_ratio(prior, middle, end, 0.5, 64)

    torch.testing.assert_close(detour(energy), energy.log_prob(end, 0.5) - energy.log_prob(start, 0.5))
    free = Network(energy.net, Unitless())
    assert (detour(free) - log_ratio(free, start, end, 0.5, 256)).abs().max().item() > 1e-2


def test_a_gaussian_is_exact():
    """A network that is the Wiener filter has the Gaussian's density, score and Jacobian at every level."""
    exact = stationary()
    energy = Energy(Wiener(exact), Unitless())
    x = normal(3, 1, 4, 4)
    torch.testing.assert_close(energy.score(x, LEVELS), exact.score(x, LEVELS))
    for sigma in LEVELS.tolist():
        apart = energy.log_prob(x, sigma) - exact.log_prob(x, sigma)
        torch.testing.assert_close(apart, apart[:1].expand(3))  # the constant, which it cannot know
        torch.testing.assert_close(jacobian(energy, x[:1], sigma), jacobian(exact, x[:1], sigma))


def test_white_images_need_no_network():
    class Zero(nn.Module):
        def forward(self, x, noise):
            return torch.zeros_like(x)

    x = normal(3, 1, 3, 3)
    expected = x * 0.09 / (0.09 + LEVELS.reshape(-1, 1, 1, 1).square())
    torch.testing.assert_close(Energy(Zero(), EDM(0.3)).denoise(x, LEVELS), expected)


def test_the_density_of_experts_is_the_sum_over_patches():
    net, x, sigma = randomized(PatchMLP(size=2, levels=1)), normal(1, 1, 4, 3), torch.tensor(0.3, dtype=torch.float64)
    patches = Overlaps(2).cut(x).reshape(-1, 1, 2, 2)
    alone = Energy(net, Unitless()).log_prob(patches, sigma)
    found = Energy(Patchwise(net), Unitless()).log_prob(x, sigma)
    torch.testing.assert_close(found, (alone * Overlaps(2).votes(4, 3).flatten()).sum().reshape(1) / 4)


# --- sampled by Metropolis


@pytest.mark.parametrize("kernel", [MALA(Absolute(0.25)), HMC(Absolute(0.4), leapfrogs=3)], ids=str)
def test_metropolis_leaves_it_as_it_is(kernel):
    """Exact draws of the Gaussian stay exact: each variance of the spectrum within 5 standard errors."""
    exact, n, sigma = stationary(), 2000, 0.3
    energy = Energy(Wiener(exact), Unitless())
    g = torch.Generator().manual_seed(0)
    x = exact.rsample(n, g) + sigma * normal(n, 1, 4, 4, seed=3)
    *_, last = walk(energy, kernel, x, torch.full((6,), sigma, dtype=torch.float64), g)
    assert 0.2 < last.info.acceptance.mean().item() < 0.99
    power = torch.fft.fft2(last.x, norm="ortho").abs().square()
    expected = exact.power + sigma**2
    error = power.std(0) / math.sqrt(n)
    assert bool(((power.mean(0) - expected).abs() < 5 * error).all())


# --- trained


@every
def test_objectives_reach_every_weight(energy):
    energy.zero_grad()
    NoiseConditional(weight=energy.weight)(energy, normal(2, 1, 6, 6), torch.Generator().manual_seed(0)).backward()
    slopes = {name: p.grad for name, p in energy.named_parameters()}
    assert all(slope is not None and bool(slope.isfinite().all()) for slope in slopes.values())
    # a constant added to the energy is no force: only the last bias of a network may be without
    assert sum(bool((slope != 0).any()) for slope in slopes.values()) >= len(slopes) - 1  # pyright: ignore


def test_there_is_no_density_of_clean_images():
    energy = Energy(mlp(), Unitless())
    x = normal(2, 1, 4, 4)
    for ask in (energy.log_prob, energy.score):
        with pytest.raises(InputError, match="sigma = 0"):
            ask(x, 0.0)
    assert torch.equal(energy.denoise(x, 0.0), x)
    torch.testing.assert_close(energy.denoise(x, torch.tensor([0.0, 0.3]))[1:], energy.denoise(x[1:], 0.3))
