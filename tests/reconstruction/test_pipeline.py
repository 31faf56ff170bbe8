"""The default reconstruction: units, complex images, batches, and how near it comes to an exact posterior."""

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_g
from torch import nn

from scorefield.kernels import DPMpp2M, Heun
from scorefield.measurement import Measurement
from scorefield.nets import UNet
from scorefield.noise import White
from scorefield.operators import Identity, Mask, Matrix, birdcage, cartesian_mask, mri
from scorefield.posteriors import MMPS, AnnealedLikelihood, Exact
from scorefield.priors import EDM, AsComplex, Gaussian, Homogeneous, IndependentParts, Network
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import initial_image, reconstruct
from scorefield.store.checkpoint import Card
from support import complex_normal, monte_carlo_floor, normal, relative_wasserstein

BENCH = tb_g()


def network(conditioning=None, amplitude: float | None = 1.0) -> Network:
    """A random network that is tame enough to sample, in double precision; a card states its units."""
    prior = Network(UNet(widths=(4, 6), blocks=1).double(), conditioning or Homogeneous())
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.05)
    if amplitude is not None:
        prior.card = Card("test", amplitude=amplitude)
    return prior


def image_scan(scale: float = 1.0) -> Measurement:
    x = 0.5 + 0.2 * normal(1, 12, 12, seed=2)
    weights = (normal(1, 12, 12, seed=3) > 0).double()
    y = weights * x + 0.02 * normal(1, 12, 12, seed=4)
    return Measurement(scale * y, Mask(weights, (1, 12, 12)), White(scale * 0.02))


def complex_scan(scale: float = 1.0) -> Measurement:
    shape = (1, 12, 12)
    mask = cartesian_mask(shape, 2, center_fraction=0.2, generator=torch.Generator().manual_seed(0))
    operator = mri(mask, birdcage(3, shape).to(torch.complex128))
    x = 1 + 0.3 * complex_normal(1, *shape)
    y = operator(x)
    y = y + White(0.02).sample(y, torch.Generator().manual_seed(1))
    return Measurement(scale * y, operator, White(scale * 0.02))


# --- units


@pytest.mark.parametrize("scan", [image_scan, complex_scan])
@pytest.mark.parametrize("conditioning", [Homogeneous(), EDM(0.3)], ids=["homogeneous", "edm"])
@pytest.mark.parametrize("c", [1e-4, 37.0])
def test_a_scan_in_other_units_is_the_same_scan(scan, conditioning, c):
    """Scaling data and noise scales every draw, whatever the network: its card fixes the units."""
    prior = network(conditioning)
    one, other = (reconstruct(prior, scan(s), n=2, seed=3) for s in (1.0, c))
    scale = one.draws.abs().max()
    torch.testing.assert_close(other.draws / c / scale, one.draws / scale, rtol=1e-6, atol=1e-6)
    assert other.provenance["intensity"] == pytest.approx(c * one.provenance["intensity"])


def test_a_homogeneous_network_needs_no_units():
    """Without a card too, and with a card in any other unit: D(c x, c sigma) = c D(x, sigma)."""
    prior = network(amplitude=None)
    one, other = (reconstruct(prior, image_scan(s), n=2, seed=3).draws for s in (1.0, 37.0))
    torch.testing.assert_close(other / 37, one, rtol=1e-6, atol=1e-6)
    prior.card = Card("test", amplitude=500.0)
    torch.testing.assert_close(reconstruct(prior, image_scan(), n=2, seed=3).draws, one, rtol=1e-6, atol=1e-6)


def test_the_cards_amplitude_is_what_the_intensity_is_mapped_to():
    """A prior in units a thousand times finer, with a card that says so, is the same prior."""

    class Fine(Network):
        def denoise(self, x, sigma):
            return 1000 * super().denoise(x / 1000, sigma / 1000)

    plain = network(EDM(0.3), amplitude=1.5)
    fine = Fine(plain.net, EDM(0.3))
    fine.card = Card("test", amplitude=1500.0)
    expected = reconstruct(plain, image_scan(), n=2, seed=0).draws
    torch.testing.assert_close(reconstruct(fine, image_scan(), n=2, seed=0).draws, expected, rtol=1e-6, atol=1e-6)


def test_a_closed_form_is_in_the_users_units_already():
    kernel = DPMpp2M(eta=1.0)  # its last step asks both for the same
    exact, matched = (
        reconstruct(BENCH.prior, BENCH.measurement, n=4, seed=0, method=Method(posterior, kernel))
        for posterior in (Exact, MMPS)
    )
    torch.testing.assert_close(matched.draws, exact.draws, rtol=1e-3, atol=1e-3)  # the solver's tolerance


# --- complex images, shapes, batches


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_images(dtype):
    scan = complex_scan()
    scan = Measurement(scan.y.to(dtype), scan.operator, scan.noise)
    prior = network() if dtype == torch.complex128 else network().float()
    drawn = reconstruct(prior, scan, n=3, seed=0)
    assert drawn.draws.shape == (3, 1, 12, 12)
    assert drawn.draws.dtype == dtype
    assert drawn.cost.evaluations == 2 * (Method().steps + 2)  # two images of the prior for each complex one
    blind = reconstruct(prior, scan, n=3, seed=0, method=Method(posterior=lambda prior, measurement: prior))
    # the network knows nothing of images, so what fits the scan came from the scan
    assert scan.residual(drawn.draws).norm() < 0.1 * scan.residual(blind.draws).norm()


@pytest.mark.parametrize("lift", [AsComplex, IndependentParts])
def test_a_prior_on_complex_images_stays_one(lift):
    """What was trained on complex images reconstructs them."""
    prior = lift(Network(UNet(channels=2 if lift is AsComplex else 1, widths=(4, 6), blocks=1).double(), Homogeneous()))
    prior.card = Card("test")
    drawn = reconstruct(prior, complex_scan(), n=2, seed=0)
    assert drawn.draws.dtype == torch.complex128
    assert drawn.cost.evaluations == prior.copies * (Method().steps + 2)


@pytest.mark.parametrize("scan", [image_scan, complex_scan])
def test_double_data_do_with_a_network_in_single_precision(scan):
    """The draws are in the precision of the data, and those of the same network in double to that of the network."""
    single, double = network().float(), network()
    double.load_state_dict(single.state_dict())
    one, other = (reconstruct(prior, scan(), n=2, seed=0).draws for prior in (single, double))
    assert one.dtype == other.dtype == (torch.complex128 if other.is_complex() else torch.float64)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


def test_scarce_memory_means_one_draw_at_a_time(monkeypatch):
    from scorefield.reconstruction import memory

    prior, scan = network(), image_scan()
    plenty = reconstruct(prior, scan, n=3, seed=0)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    scarce = reconstruct(prior, scan, n=3, seed=0)
    assert scarce.provenance["batch"] == 1
    assert plenty.provenance["batch"] == 3
    assert scarce.draws.shape == plenty.draws.shape
    assert scarce.cost.forward == plenty.cost.forward


def test_same_seed_same_bits():
    prior, scan = network(), image_scan()
    runs = [reconstruct(prior, scan, n=2, seed=seed).draws for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_the_method_is_the_callers():
    method = Method(posterior=AnnealedLikelihood, kernel=Heun(), steps=5, sigma_max=2.0, sigma_min=0.1)
    drawn = reconstruct(network(), image_scan(), n=2, seed=0, method=method)
    levels, intensity = drawn.provenance["sigmas"], drawn.provenance["intensity"]
    assert len(levels) == 6
    assert levels[0] == pytest.approx(2 * intensity)
    assert levels[-2] == pytest.approx(0.1 * intensity)
    assert drawn.provenance["kernel"]["class"] == "kernels.Heun"
    assert drawn.cost.evaluations == 10
    assert drawn.cost.backward == 0


# --- the scan's scale


def test_the_initial_image_is_regularized_least_squares():
    a, y = normal(30, 20, seed=1), normal(30, seed=2)
    back = a.T @ y
    ridge = 1e-3 * (a @ back).square().sum() / back.square().sum()
    expected = torch.linalg.solve(a.T @ a + ridge * torch.eye(20), back)
    found = initial_image(Measurement(y, Matrix(a), White(1.0)))[0]
    assert ((found - expected).norm() / expected.norm()).item() < 0.02
    full = normal(20)
    assert torch.allclose(initial_image(Measurement(full, Identity((20,)), White(1.0)))[0], full, rtol=2e-3)


def test_an_empty_scan_is_no_trouble():
    scan = Measurement(torch.zeros(1, 12, 12).double(), Identity((1, 12, 12)), White(0.1))
    assert bool(reconstruct(network(), scan, n=1, seed=0).draws.isfinite().all())


# --- how near


def test_near_the_exact_posterior():
    """Relative W2 of 5000 draws on TB-G, from where noise hides the prior: within twice the Monte-Carlo floor."""
    method = Method(posterior=Exact, sigma_max=10.0)
    drawn = reconstruct(BENCH.prior, BENCH.measurement, n=5000, seed=1, method=method)
    floor = monte_carlo_floor(BENCH.mean, BENCH.covariance, 5000)
    assert relative_wasserstein(drawn.draws, BENCH.mean, BENCH.covariance) < 2 * floor
    assert drawn.cost.evaluations <= 50


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_default_levels_suit_images(seed):
    """The same law as an image: mean 1 and standard deviations of 0.04 to 0.35; the floor is 0.02."""
    bench = tb_g(seed)
    prior = Gaussian(1 + bench.prior.mean / 4, bench.prior.covariance / 16)
    y = bench.measurement.y[0] / 4 + bench.matrix.sum(1)
    given = Measurement(y, Matrix(bench.matrix), White(0.1 / 4))
    law = prior.posterior(given)
    drawn = reconstruct(prior, given, n=5000, seed=1, method=Method(posterior=Exact))
    assert relative_wasserstein(drawn.draws, law.mean, law.covariance) < 0.06


def test_statistics_of_a_reconstruction():
    drawn = reconstruct(BENCH.prior, BENCH.measurement, n=400, seed=5, method=Method(posterior=Exact, sigma_max=10.0))
    error = (drawn.mean - BENCH.mean) / BENCH.covariance.diagonal().sqrt()
    assert error.abs().max().item() < 4.5 / math.sqrt(400)
