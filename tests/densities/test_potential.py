"""Densities from scores: exact where the rule is exact, of its order elsewhere, honest about curl."""

from __future__ import annotations

import math

import pytest
import torch
from closed_forms import dense_mixture, diagonal_complex, gaussian, mixture, some
from torch import Tensor

from scorefield.densities.potential import log_density, log_ratio, rise
from scorefield.errors import InputError
from scorefield.prior import Score
from scorefield.priors import Gamma, GaussianMixture


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def one_dimensional() -> GaussianMixture:
    return GaussianMixture(column(-1.0, 2.0), torch.tensor([0.5, 1.5]).double(), torch.tensor([0.4, 0.6]).double())


def close(a: Tensor, b: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_the_density_on_a_line_is_of_second_order(sigma):
    prior, errors = one_dimensional(), []
    for n in (201, 401):
        x = torch.linspace(-12, 14, n, dtype=torch.float64)
        result = log_density(prior, x, sigma)
        assert torch.trapezoid(result.exp(), x).item() == pytest.approx(1, abs=1e-12)
        errors.append((result.exp() - prior.log_prob(x.unsqueeze(1), sigma).exp()).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_uneven_points_and_points_of_little_mass_do_no_harm():
    # cubes: fine in the middle, coarse outside; at 40 the density itself would underflow
    x = 40 * torch.linspace(-1, 1, 20_001, dtype=torch.float64) ** 3
    close(log_density(one_dimensional(), x), one_dimensional().log_prob(x.unsqueeze(1)), 1e-4)


def test_an_event_may_be_an_image_of_one_pixel():
    flat = one_dimensional()
    image = GaussianMixture(flat.means.reshape(2, 1, 1, 1), flat.covariances, flat.weights)
    x = torch.linspace(-12, 14, 201, dtype=torch.float64)
    assert torch.equal(log_density(image, x), log_density(flat, x))


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (torch.tensor([0.0]), "increasing"),
        (torch.tensor([0.0, 0.0, 1.0]), "increasing"),
        (torch.zeros(3, 1), "increasing"),
        (torch.tensor([-0.5, 0.5, 1.0]), "not finite at -0.5"),
    ],
)
def test_the_line_refuses(points, sentence):
    with pytest.raises(InputError, match=sentence):
        log_density(Gamma(2.0, 1.0), points)


@pytest.mark.parametrize("make", [gaussian, diagonal_complex])
def test_the_segment_is_exact_where_the_score_is_linear(make):
    prior = make()
    start, end = some(prior), some(prior, seed=2)
    levels = torch.tensor([0.1, 0.3, 1.0, 2.0, 0.5], dtype=torch.float64)
    for sigma in (0.4, levels):
        exact = prior.log_prob(end, sigma) - prior.log_prob(start, sigma)
        close(log_ratio(prior, start, end, sigma, intervals=2), exact)


@pytest.mark.parametrize("make", [mixture, dense_mixture])
def test_the_segment_is_of_fourth_order(make):
    prior = make()
    start, end = some(prior, n=200), some(prior, n=200, seed=2)
    end = start + (end - start) / (end - start).norm(dim=1, keepdim=True)  # moves of unit length
    exact = prior.log_prob(end, 0.5) - prior.log_prob(start, 0.5)
    errors = [(log_ratio(prior, start, end, 0.5, n) - exact).abs().mean().item() for n in (4, 8, 16)]
    assert errors[1] / errors[2] == pytest.approx(16, rel=0.1)
    assert errors[0] < 1e-3


@pytest.mark.parametrize("intervals", [16, 32])
def test_the_error_of_the_segment_is_estimated(intervals):
    """By Richardson: the mean estimate is the mean error; by the trapezoidal rule it is above."""
    prior = mixture()
    start, end = some(prior, n=400), some(prior, n=400, seed=2)
    end = start + (end - start) / (end - start).norm(dim=1, keepdim=True)
    exact = prior.log_prob(end, 0.5) - prior.log_prob(start, 0.5)
    found = rise(prior, start, end, 0.5, intervals)
    assert found.error.mean().item() == pytest.approx((found.value - exact).abs().mean().item(), rel=0.1)
    coarse = rise(prior, start, end, 0.5, intervals - 2)
    assert bool((coarse.error >= 0).all())
    assert coarse.error.mean() > 5 * (coarse.value - exact).abs().mean()


def test_simpson_of_the_tutorials_mixture():
    # A14: four intervals are good to 1e-3 on moves of unit length
    prior = GaussianMixture(column(3.0, 13.0), torch.tensor([1.0, 9.0]).double(), torch.tensor([0.4, 0.6]).double())
    start = torch.linspace(-2, 22, 5001, dtype=torch.float64).unsqueeze(1)
    exact = prior.log_prob(start + 1) - prior.log_prob(start)
    assert (log_ratio(prior, start, start + 1, 0.0) - exact).abs().max() < 1e-3


class Rotation(Score):
    """A field that is no gradient: its curl is 2."""

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return torch.stack([-x[:, 1], x[:, 0]], dim=1)


def test_without_a_potential_the_path_matters_and_the_way_back_cancels():
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    a, b, c = (corner.unsqueeze(0) for corner in corners)
    around = sum(log_ratio(Rotation(), p, q, 0.0).item() for p, q in ((a, b), (b, c), (c, a)))
    assert around == pytest.approx(1)  # Stokes: curl 2 times the area 1/2
    assert log_ratio(Rotation(), b, c, 0.0).item() == pytest.approx(-log_ratio(Rotation(), c, b, 0.0).item())
    start, end = some(mixture()), some(mixture(), seed=2)
    close(log_ratio(mixture(), start, end, 0.3), -log_ratio(mixture(), end, start, 0.3), 1e-13)
    assert bool((log_ratio(mixture(), start, start, 0.3) == 0).all())


class Counting(Rotation):
    calls = 0

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        self.calls += 1
        return super().score(x, sigma)


def test_the_segment_costs_one_call_a_node():
    prior, x = Counting(), torch.ones(3, 2)
    log_ratio(prior, x, 2 * x, 0.0, intervals=6)
    assert prior.calls == 7


@pytest.mark.parametrize("intervals", [0, 1, 3, -2])
def test_the_segment_refuses_odd_rules(intervals):
    with pytest.raises(InputError, match="even number of intervals"):
        log_ratio(mixture(), some(mixture()), some(mixture()), 0.1, intervals)


def test_the_segment_refuses_other_ends():
    with pytest.raises(InputError, match="one shape"):
        log_ratio(mixture(), some(mixture()), some(mixture(), n=4), 0.1)
    with pytest.raises(InputError, match="sigma must"):
        log_ratio(mixture(), some(mixture()), some(mixture()), math.nan)
