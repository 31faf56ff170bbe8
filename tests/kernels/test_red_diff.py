"""RED-diff: its fixed point in closed form, and Adam."""

from __future__ import annotations

import pytest
import torch
from benches import tb_g

from scorefield.errors import InputError
from scorefield.kernels import RedDiff
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity, Matrix, RealToComplex
from scorefield.operators.consistency import pseudo_inverse
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.sampling import walk
from scorefield.schedules import Geometric, Karras
from support import complex_normal, normal

BENCH = tb_g()
EYE = torch.eye(8, dtype=torch.float64)


def g() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_fixed_point():
    """Methods E21: solve(A'A + lambda (m/n) E[sigma^2 (S + sigma^2)^-1]) within 1%, m = 4, n = 8, at random levels.

    Adam's second moment is slow and its step small, so that the iterates' mean has a mean gradient of zero.
    """
    schedule, weight, prior = Geometric(0.05, 5.0), 0.25, BENCH.prior
    levels = schedule.quantile((torch.arange(2000).double() + 0.5) / 2000)
    shrunk = torch.stack([s**2 * torch.linalg.inv(prior.covariance + s**2 * EYE) for s in levels]).mean(0)
    y, matrix = BENCH.measurement.y[0], BENCH.matrix
    weak = weight * 4 / 8 * shrunk
    expected = torch.linalg.solve(matrix.T @ matrix + weak, matrix.T @ y + weak @ prior.mean)
    generator = torch.Generator().manual_seed(0)
    kernel = RedDiff(BENCH.measurement, rate=0.01, betas=(0.9, 0.999))
    late = torch.zeros(8, dtype=torch.float64)
    for i, state in enumerate(walk(prior, kernel, normal(32, 8), schedule.draw(3000, generator), generator)):
        late += state.x.mean(0) / 2000 if i > 1000 else 0
    assert (late - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize(("amplitude", "gain"), [(1.0, 1.0), (2.5, 0.7)])
def test_it_is_the_published_loop(amplitude, gain):
    """The public code: means of both terms, the noise of the chain with variance 1, Adam of torch, in its own units."""
    sigmas, start = Karras(0.02, 40.0).grid(60), normal(3, 8)
    found = [state.x for state in walk(
        BENCH.prior, RedDiff(BENCH.measurement, amplitude=amplitude, gain=gain), start, sigmas, g())]  # fmt: skip
    matrix, y = BENCH.matrix / gain, BENCH.measurement.y[0] / (gain * amplitude)
    mu = (y @ torch.linalg.pinv(matrix).T).expand(3, 8).clone().requires_grad_()
    optimizer, stream = torch.optim.Adam([mu], lr=0.1, betas=(0.9, 0.99)), g()
    for sigma, image in zip((sigmas[:-1] / amplitude).tolist(), found[1:], strict=True):
        alpha = 1 / (1 + sigma**2)
        noise = torch.empty_like(mu).normal_(generator=stream)
        x = alpha**0.5 * mu + (1 - alpha) ** 0.5 * noise
        x0 = BENCH.prior.denoise(amplitude * x.detach() / alpha**0.5, amplitude * sigma) / amplitude
        predicted = ((x - alpha**0.5 * x0) / (1 - alpha) ** 0.5).detach()
        loss = (y - mu @ matrix.T).square().mean() / 2 + 0.25 * sigma * ((predicted - noise) * mu).mean()
        optimizer.zero_grad()
        (len(mu) * loss).backward()  # the code means over a batch of one image
        optimizer.step()
        torch.testing.assert_close(image, amplitude * mu.detach(), rtol=1e-6, atol=1e-6)


def test_data_and_pixels_are_counted_in_real_numbers():
    """A real image of 4 pixels with 2 complex data has as many of each; a complex image has twice."""
    operator = Matrix(complex_normal(2, 4)) @ RealToComplex((4,))
    given, sigma = Measurement(complex_normal(2), operator, White(0.1)), torch.tensor(1.0).double()
    prior = DiagonalGaussian(torch.zeros(4).double(), torch.tensor(0.0))  # D = 0
    kernel = RedDiff(given, weight=2.0)
    first = kernel.step(prior, kernel.start(normal(1, 4)), sigma, sigma, g())
    x = normal(1, 4, seed=3)
    second = kernel.step(prior, first.at(x), sigma, sigma, g())
    points = pseudo_inverse(operator, given.y), x
    gradients = [2 / 4 * at - operator.H(given.y - operator(at)) / 4 for at in points]
    mean, square = 0.0, 0.0
    for gradient in gradients:
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
    step = mean / (1 - 0.9**2) / ((square / (1 - 0.99**2)).sqrt() + 1e-8)
    torch.testing.assert_close(second.x, x - 0.1 * step)


def test_without_the_prior_it_is_least_squares():
    kernel = RedDiff(BENCH.measurement, weight=0.0, rate=0.01)
    *_, last = walk(BENCH.prior, kernel, normal(2, 8), Karras().grid(500), torch.Generator().manual_seed(0))
    y = BENCH.measurement.y[0]
    found = last.x @ BENCH.matrix.T - y  # A has full row rank: the data are met
    assert found.abs().max() < 1e-3 * y.norm()
    assert torch.equal(last.x[0], last.x[1])


@pytest.mark.parametrize("draw", [normal, complex_normal])
def test_it_starts_at_the_pseudo_inverse_and_steps_as_adam(draw, generator):
    given = Measurement(draw(5), 3 * Identity((5,)), White(0.7))
    prior = DiagonalGaussian(torch.zeros_like(given.y[0]), torch.tensor(1.0))
    kernel, levels = RedDiff(given, weight=0.0), torch.tensor([1.0, 0.5]).double()
    first = kernel.step(prior, kernel.start(draw(2, 5)), *levels, generator)
    torch.testing.assert_close(first.x, given.y.expand(2, 5) / 3)  # where the gradient vanishes
    # a second step elsewhere, from moments that are still empty; one size for both parts of a complex pixel
    x = draw(2, 5, seed=3)
    second = kernel.step(prior, first.at(x), *levels, generator)
    gradient = 3 * (3 * x - given.y) / (5 * (1 + x.is_complex()))  # a mean over real numbers
    mean, square = 0.1 * gradient / (1 - 0.9**2), 0.01 * gradient.abs().square() / (1 - 0.99**2)
    torch.testing.assert_close(second.x, x - 0.1 * mean / (square.sqrt() + 1e-8))


def test_many_steps_are_adams(generator):
    given = Measurement(normal(5), 3 * Identity((5,)), White(0.7))
    prior = DiagonalGaussian(torch.zeros(5).double(), torch.tensor(0.0))  # D = 0 whatever x
    kernel = RedDiff(given, weight=2.0)
    mu = (given.y / 3).clone().requires_grad_()
    optimizer = torch.optim.Adam([mu], lr=0.1, betas=(0.9, 0.99))
    for state in walk(prior, kernel, normal(1, 5), torch.full((20,), 0.3).double(), generator):
        if state.memory is None:
            continue
        optimizer.zero_grad()
        loss = (given.y - 3 * mu).square().mean() / 2 + 2.0 * mu.square().mean() / 2
        loss.backward()
        optimizer.step()
        torch.testing.assert_close(state.x, mu.detach())


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"weight": -1.0}, "weight"),
        ({"rate": 0.0}, "rate"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"amplitude": 0.0}, "amplitude"),
        ({"gain": -1.0}, "gain"),
    ],
)
def test_bad_numbers_are_refused(fields, match):
    with pytest.raises(InputError, match=match):
        RedDiff(BENCH.measurement, **fields)
