"""Objectives: definitions, draws and refusals, and trained networks; their minimizers are in the law suite."""

from __future__ import annotations

import math

import pytest
import torch
from objective_cases import NAMES, SIGMA, Linear, Nothing, objectives, standard
from torch import Tensor

from scorefield.errors import InputError
from scorefield.nets import PatchMLP, UNet
from scorefield.objectives import (
    Denoising,
    Explicit,
    Hutchinson,
    Implicit,
    Likelihood,
    NoiseConditional,
    Objective,
    Regularized,
    Sliced,
)
from scorefield.prior import Score
from scorefield.priors import AsComplex, Gaussian, GaussianMixture, Network, Unitless
from scorefield.schedules import Geometric, Karras
from scorefield.training.trainer import Settings, Steps, descend
from support import normal

every = pytest.mark.parametrize("name", NAMES)


@every
def test_complex_images_are_pairs_of_real_ones(name):
    """Lifting a prior over two channels changes nothing: the same terms on the same draws."""
    flat = Gaussian(normal(2, 3, seed=2), torch.diag(torch.linspace(0.5, 2, 6).double()) + 0.2)
    lifted = AsComplex(flat)
    x = normal(7, 2, 3, seed=1)
    on_real, on_complex = objectives(standard(2, 3))[name], objectives(AsComplex(standard(2, 3)))[name]
    drawn = on_real.draw(x, torch.Generator().manual_seed(0))
    joined = [torch.complex(part[:, :1], part[:, 1:]) if part.ndim > 1 else part for part in drawn]
    torch.testing.assert_close(on_complex.terms(lifted, *joined), on_real.terms(flat, *drawn), rtol=1e-8, atol=1e-8)
    assert [part.shape for part in on_complex.draw(joined[0])] == [part.shape for part in joined]


def test_clean_data_are_not_perturbed():
    x = normal(5, 3)
    for objective in (Likelihood(), Explicit(standard(3)), Implicit(), Regularized(1.0)):
        (result,) = objective.draw(x)
        assert result is x
    assert Sliced().draw(x)[0] is x


# --- definitions


def test_definitions_by_hand():
    """Sums over pixels with the literature's 1/2: a linear score -a x on images of N = 24 pixels."""
    a, x, n = 0.7, normal(5, 2, 3, 4), 24
    square = x.square().sum((1, 2, 3))
    prior = Linear(a)

    def terms(objective: Objective, *drawn: Tensor) -> Tensor:
        return objective.terms(prior, x, *drawn)

    v = normal(5, 2, 3, 4, seed=9)
    along = (v * x).sum((1, 2, 3))
    expected = {
        Explicit(Linear(0.2)): 0.5 * (a - 0.2) ** 2 * square,
        Implicit(): -a * n + 0.5 * a**2 * square,
        Regularized(0.3): -a * n + 0.5 * a**2 * square + 0.3 * n * a**2,
    }
    for objective, value in expected.items():
        torch.testing.assert_close(terms(objective), value)
    length = v.square().sum((1, 2, 3))
    torch.testing.assert_close(terms(Implicit(trace=Hutchinson()), v), -a * length + 0.5 * a**2 * square)
    torch.testing.assert_close(terms(Sliced(), v), -a * length + 0.5 * a**2 * along.square())
    torch.testing.assert_close(terms(Denoising(0.5), v), 0.5 * (-a * x + v / 0.5).square().sum((1, 2, 3)))
    mixture = GaussianMixture(normal(2, 4), torch.ones(2), torch.ones(2) / 2)
    y = normal(6, 4, seed=3)
    torch.testing.assert_close(Likelihood(0.4).terms(mixture, y), -mixture.log_prob(y, 0.4))


def test_each_image_has_its_own_level_and_the_weight_is_per_level():
    """w(sigma) |D - x|^2 / 2, written out on the very draws: first the levels, then the noise."""
    x = normal(50, 2, 3, 4)
    law, weight = Geometric(0.1, 2.0), (lambda s: 1 / (1 + s))
    result = NoiseConditional(law, weight)(Linear(0.4), x, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    sigma = law.draw(50, generator)
    noise = torch.empty_like(x).normal_(generator=generator)
    total = 0.0
    for i in range(50):
        noisy = x[i] + sigma[i] * noise[i]
        denoised = noisy - sigma[i] ** 2 * 0.4 * noisy
        total += (0.5 * weight(sigma[i]) * (denoised - x[i]).square().sum()).item() / 50
    assert result.item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_noise_that_stays_costs_a_half_per_component(dtype):
    """The default weight is sigma^2 on the squared score error: the same cost at every level."""
    x = torch.zeros(2000, 5, dtype=dtype)
    components = 10 if dtype.is_complex else 5
    for law in (Karras(0.01, 0.0101), Karras(3.0, 3.001)):
        value = NoiseConditional(law)(Nothing(), x, torch.Generator().manual_seed(0)).item()
        assert value == pytest.approx(components / 2, abs=5 * 0.5 * math.sqrt(2 * components / 2000))


def test_draws_follow_the_data():
    """Single precision stays single, and the direction of a batch has its shape."""
    x = torch.zeros(4, 2, 3, 4, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    for name, objective in objectives(standard(2, 3, 4)).items():
        drawn = objective.draw(x, torch.Generator().manual_seed(0))
        assert all(part.dtype == torch.float32 for part in drawn), name
        assert all(part.shape in (x.shape, (4,)) for part in drawn), name
    drawn = Implicit(SIGMA).draw(x)
    result = Implicit(SIGMA).terms(Linear(1.0), *drawn)
    torch.testing.assert_close(result, -24 + 0.5 * drawn[0].square().sum((1, 2, 3)))


# --- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Denoising(0.0), "sigma > 0, got 0"),
        (lambda: Denoising(math.inf), "finite"),
        (lambda: Denoising(math.nan), "finite"),
        (lambda: Likelihood(-1.0), "got -1"),
        (lambda: Explicit(standard(2), -0.1), "got -0.1"),
        (lambda: Implicit(math.nan), "finite"),
        (lambda: Sliced(sigma=-2.0), "got -2"),
        (lambda: Regularized(0.1, -1.0), "got -1"),
        (lambda: Regularized(-0.4), "strength >= 0, got -0.4"),
    ],
)
def test_levels_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@every
def test_what_is_no_batch_is_refused(name):
    objective = objectives(standard(3))[name]
    for x in (torch.zeros(3), torch.zeros(()), torch.zeros(0, 3), torch.zeros(2, 3, dtype=torch.int64)):
        with pytest.raises(InputError, match="An objective needs"):
            objective.draw(x)


class Narrow(Score):
    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return -x.sum(1, keepdim=True)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return self.score(x, sigma)


@every
def test_a_score_of_another_shape_is_refused(name):
    with pytest.raises(InputError, match=r"shaped like x, \(4, 3\), but is \(4, 1\)"):
        objectives(standard(3))[name](Narrow(), normal(4, 3))


def test_other_refusals():
    x = normal(4, 2)
    with pytest.raises(InputError, match="no log-density"):
        Likelihood()(Linear(1.0), x)
    with pytest.raises(InputError, match="no score at sigma = 0"):
        Implicit()(Nothing(), x)
    with pytest.raises(InputError, match=r"\(4,\), but gives \(4, 1\)"):
        NoiseConditional(weight=lambda s: s[:, None])(Linear(1.0), x)

    class Detached(Score):
        def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
            return -x.detach()

    for objective in (Implicit(), Sliced(), Regularized(0.1)):
        with pytest.raises(InputError, match="cannot be differentiated"):
            objective(Detached(), x)


# --- B2: trained networks reach the closed form


def patches(tau: float, n: int, generator: torch.Generator) -> Tensor:
    """v = c 1 + tau e on 2 x 2 pixels: flat patches of random gray, and texture."""
    gray = torch.empty(n, 1, 1, 1).normal_(generator=generator)
    return gray + tau * torch.empty(n, 1, 2, 2).normal_(generator=generator)


NETS = {
    "tutorial": (lambda: PatchMLP(size=2), 600),
    "conditional": (lambda: PatchMLP(size=2, levels=1), 600),
    "unet": (lambda: UNet(widths=(32, 32), blocks=1), 120),
}


@pytest.mark.parametrize("name", NETS)
def test_training_at_one_level_reaches_the_score(name):
    """B2: relative L2 error below 10 per cent against the closed form of covariance (tau^2 + sigma^2) I + 1 1^T."""
    tau, sigma = 0.1, 0.2
    make, steps = NETS[name]
    prior = Network(make(), Unitless(), crop=2)
    objective, settings = NoiseConditional(Karras(sigma, 1.0001 * sigma)), Settings(rate=5e-3)
    for _ in descend(prior, lambda _, g: patches(tau, 256, g), objective, Steps(steps), settings=settings):
        pass
    generator = torch.Generator().manual_seed(0)
    x = patches(tau, 4000, generator)
    x = x + sigma * torch.empty_like(x).normal_(generator=generator)
    flat, one = x.flatten(1), torch.ones(4, 4)
    exact = -torch.linalg.solve((tau**2 + sigma**2) * torch.eye(4) + one, flat.T).T
    with torch.no_grad():
        result = prior.eval().score(x, sigma).flatten(1)
    assert ((result - exact).norm() / exact.norm()).item() < 0.1
