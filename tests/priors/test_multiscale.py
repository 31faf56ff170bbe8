"""Multi-scale priors: the Haar transform, exact factors of a Gaussian, and Jacobians through all scales."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.kernels import Ancestral, Heun
from scorefield.lessons.crops import Crops
from scorefield.nets import LocalCNN, UNet
from scorefield.objectives import GivenChannels
from scorefield.prior import Denoiser, level
from scorefield.priors import EDM, Conditional, Gaussian, Given, Homogeneous, MultiScale, Network
from scorefield.priors.multiscale import coarse_to_fine, haar, inverse_haar, pyramid
from scorefield.runs.cost import meter
from scorefield.schedules import Karras
from scorefield.training.trainer import Steps, train
from support import monte_carlo_floor, normal, relative_wasserstein

SIDE = 8


def randomized(net: nn.Module) -> nn.Module:
    net.double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net.eval()


def learned(channels: int = 1) -> MultiScale:
    nets = [randomized(LocalCNN(reach=5, channels=4 * channels, width=5, depth=3)) for _ in range(2)]
    details = [Conditional(net, EDM(0.3), known=channels) for net in nets]
    return MultiScale(Network(randomized(UNet(channels=channels, widths=(4, 6), blocks=1)), EDM(0.4)), details)


class Details(Denoiser):
    """N(M low, S) details given the coarser image."""

    def __init__(self, gain: Tensor, covariance: Tensor):
        super().__init__()
        self.gain, self.covariance = gain, covariance

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        bands, low = x[:, :-1], x[:, -1:]
        variance = level(sigma, x).flatten().square().reshape(-1, 1, 1)
        mean = (low.flatten(1) @ self.gain.T).reshape(bands.shape)
        noisy = self.covariance + variance * torch.eye(len(self.covariance), dtype=x.dtype)
        moved = torch.linalg.solve(noisy, (bands - mean).flatten(1).unsqueeze(-1))
        return torch.cat([mean + (self.covariance @ moved).reshape(bands.shape), low], 1)


def smooth() -> Tensor:
    """Covariance of smooth images."""
    place = torch.cartesian_prod(*[torch.arange(SIDE, dtype=torch.float64)] * 2)
    return torch.exp(-torch.cdist(place, place) / 3)


def factors(covariance: Tensor) -> MultiScale:
    """The exact factors of N(0, covariance) at one scale."""
    images = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, 1, SIDE, SIDE)
    low, bands = haar(images)
    low, bands = (low / 2).flatten(1).T, bands.flatten(1).T  # as matrices on images
    coarse, cross, fine = low @ covariance @ low.T, bands @ covariance @ low.T, bands @ covariance @ bands.T
    gain = cross @ torch.linalg.inv(coarse)
    left = fine - gain @ cross.T
    half = SIDE // 2
    return MultiScale(
        Gaussian(torch.zeros(1, half, half, dtype=torch.float64), coarse), [Details(gain, (left + left.T) / 2)]
    )


# --- the transform


@pytest.mark.parametrize("shape", [(2, 1, 4, 6), (1, 3, 2, 2)])
def test_haar_is_orthonormal(shape):
    """D10: energy is kept and the image comes back, to 1e-6 and better."""
    x, y = normal(*shape), normal(*shape, seed=1)
    low, bands = haar(x)
    torch.testing.assert_close(low.square().sum() + bands.square().sum(), x.square().sum())
    torch.testing.assert_close(inverse_haar(low, bands), x)
    other = haar(y)
    torch.testing.assert_close((low * other[0]).sum() + (bands * other[1]).sum(), (x * y).sum())


def test_a_constant_has_no_details_and_ramps_have_one():
    low, bands = haar(torch.full((1, 1, 4, 4), 3.0))
    assert torch.equal(low, torch.full((1, 1, 2, 2), 6.0))
    assert not bool(bands.any())
    _, bands = haar(torch.arange(4.0).expand(1, 1, 4, 4))
    assert bool((bands[:, 0] != 0).all())
    assert not bool(bands[:, 1:].any())


def test_the_pyramid_is_what_the_parts_see():
    image = normal(2, 16, 8)
    fine, middle, coarse = pyramid(image, 2)
    assert (fine.shape, middle.shape, coarse.shape) == ((8, 8, 4), (8, 4, 2), (2, 4, 2))
    torch.testing.assert_close(coarse, nn.functional.avg_pool2d(image, 4))
    torch.testing.assert_close(inverse_haar(2 * coarse[None], middle[None, :6])[0], fine[6:])
    torch.testing.assert_close(inverse_haar(2 * fine[None, 6:], fine[None, :6])[0], image)


# --- the factors of a Gaussian


def test_coarse_to_fine_draws_the_whole_gaussian():
    """The covariance of all pixels within the error of as many exact draws."""
    covariance, n = smooth(), 4000
    sigmas = Karras(0.002, 20.0).grid(40)
    draws = coarse_to_fine(factors(covariance), Heun(), sigmas, n=n, shape=(1, SIDE, SIDE), seed=0)
    mean = torch.zeros(SIDE**2, dtype=torch.float64)
    assert relative_wasserstein(draws.flatten(1), mean, covariance) < 1.2 * monte_carlo_floor(mean, covariance, n)


def test_denoising_is_exact_without_noise_and_close_else():
    covariance = smooth()
    prior, exact = factors(covariance), Gaussian(torch.zeros(1, SIDE, SIDE, dtype=torch.float64), covariance)
    x0 = exact.rsample(200, torch.Generator().manual_seed(0))
    noise = normal(200, 1, SIDE, SIDE, seed=3)
    for sigma, worst in ((1e-3, 1.001), (0.1, 1.05), (1.0, 1.05)):
        x = x0 + sigma * noise
        error = (prior.denoise(x, sigma) - x0).square().mean() / (exact.denoise(x, sigma) - x0).square().mean()
        assert 1 - 1e-3 < error.item() < worst
        assert (prior.denoise(x, sigma) - x0).square().mean().item() < (x - x0).square().mean().item()


def test_independent_pixels_are_exact():
    prior = factors(0.7 * torch.eye(SIDE**2, dtype=torch.float64))
    x, sigma = normal(3, 1, SIDE, SIDE), torch.tensor([0.1, 1.0, 5.0], dtype=torch.float64)
    torch.testing.assert_close(prior.denoise(x, sigma), x * 0.7 / (0.7 + sigma.square().reshape(-1, 1, 1, 1)))


# --- as a prior


@pytest.mark.parametrize("channels", [1, 2])
def test_the_jacobian_is_autograds(channels):
    prior = learned(channels)
    x, v, sigma = normal(2, channels, 8, 12), normal(2, channels, 8, 12, seed=1), torch.tensor([0.2, 1.0]).double()
    denoised, vjp = prior.linearize(x, sigma)
    leaf = x.clone().requires_grad_()
    again = prior.denoise(leaf, sigma)
    torch.testing.assert_close(denoised, again.detach())
    torch.testing.assert_close(vjp(v), torch.autograd.grad(again, leaf, v)[0])
    torch.testing.assert_close(prior.denoise(x[:1], 0.2), again[:1].detach())


def test_each_scale_is_counted():
    prior, x = learned(), normal(3, 1, 8, 8)
    with meter(prior, Ancestral(), draws=3) as run:
        _, vjp = run.prior.linearize(x, 0.3)
        vjp(x)
    assert (run.cost.forward, run.cost.backward) == (9, 9)


def test_given_channels_are_fixed():
    conditional = learned().details[0]
    x, known = normal(2, 3, 4, 4), normal(2, 1, 4, 4, seed=2)
    given = Given(conditional, known)
    torch.testing.assert_close(given.denoise(x, 0.3), conditional.denoise(torch.cat([x, known], 1), 0.3)[:, :3])
    denoised, vjp = given.linearize(x, 0.3)
    leaf = x.clone().requires_grad_()
    again = given.denoise(leaf, 0.3)
    torch.testing.assert_close(denoised, again.detach())
    torch.testing.assert_close(vjp(x), torch.autograd.grad(again, leaf, x)[0])


@pytest.mark.parametrize("shape", [(3, 1, 4, 4), (1, 1, 4, 4), (2, 1, 2, 4)])
def test_given_channels_are_those_of_the_batch(shape):
    x, given = normal(2, 3, 4, 4), Given(learned().details[0], normal(*shape))
    for method in (given.denoise, given.linearize, given.score):
        with pytest.raises(InputError, match="one known image, of the same size, for each image of the batch"):
            method(x, 0.3)


def test_details_are_local():
    """D11: a detail does not depend on coarse pixels outside of the window, to the bit."""
    conditional = learned().details[0]
    x = normal(1, 4, 15, 15).requires_grad_()
    slope = torch.autograd.grad(conditional.denoise(x, 0.3)[0, 0, 7, 7], x)[0][0]
    assert not bool(slope[:, :5].any() or slope[:, 10:].any() or slope[:, :, :5].any() or slope[:, :, 10:].any())
    assert bool(slope[3, 5:10, 5:10].any())


def test_its_parts_train():
    torch.manual_seed(0)
    images = [pyramid(torch.randn(1, 16, 16), 1)[0] for _ in range(2)]
    conditional = Conditional(LocalCNN(reach=5, channels=4, width=6, depth=3), Homogeneous(), known=1, crop=8)
    before = [p.clone() for p in conditional.parameters()]
    objective = GivenChannels(known=1)
    train(conditional, images, objective=objective, batches=Crops(images, 8, 4, augment=()), budget=Steps(3))
    assert all(not torch.equal(a, b) for a, b in zip(before, conditional.parameters(), strict=True))


def test_what_does_not_fit_is_refused():
    prior = learned()
    with pytest.raises(InputError, match="even sides"):
        prior.denoise(normal(1, 1, 6, 8), 0.1)
    with pytest.raises(InputError, match="multiples of 4"):
        coarse_to_fine(prior, Heun(), Karras().grid(4), n=1, shape=(1, 6, 8))
    with pytest.raises(InputError, match="at least one scale"):
        MultiScale(prior.coarse, [])
