"""Laws of ``Posterior.replace``: options stay, and nothing is computed again that need not be."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from benches import tb_g
from test_posteriors import POSTERIORS

from scorefield.errors import InputError
from scorefield.kernels import Ancestral
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Matrix, Operator
from scorefield.posteriors import (
    DDNM,
    DDRM,
    DDS,
    DPS,
    MMPS,
    TMPD,
    AnnealedLikelihood,
    DiffPIR,
    Exact,
    NormMatched,
    PiGDM,
    Posterior,
    Projection,
    ScoreALD,
)
from scorefield.prior import Prior
from scorefield.priors import Gaussian
from scorefield.sampling import sample
from scorefield.schedules import Karras
from support import normal

BENCH = tb_g()
OTHER = Measurement(normal(5, seed=9), Matrix(normal(5, 8, seed=8).abs()), White(0.2))
X, SIGMA = normal(3, 8), 0.5
DOUBLE = torch.empty(0, dtype=torch.float64)


class Clipped(Posterior):
    """A user's class: an option of its own, and no method for it."""

    def __init__(self, prior: Prior, measurement: Measurement, *, ceiling: float = 1.0):
        super().__init__(prior, measurement)
        self.ceiling = ceiling

    def denoise(self, x, sigma):
        return self.prior.denoise(x, sigma).clamp(max=self.ceiling)


OPTIONS: dict[Any, dict[str, float]] = {
    AnnealedLikelihood: {"inflation": 0.3},
    Clipped: {"ceiling": 0.123},
    DDNM: {"iterations": 2},
    DDRM: {"eta": 0.1, "etab": 0.6},
    DDS: {"gamma": 4.0, "iterations": 2},
    DPS: {"weight": 0.7},
    DiffPIR: {"weight": 3.0},
    Exact: {},
    MMPS: {"iterations": 2, "tolerance": 0.5},
    NormMatched: {"weight": 0.2},
    PiGDM: {"data_std": 0.4},
    Projection: {"weight": 0.3, "iterations": 2},
    ScoreALD: {"inflation": 0.3},
    TMPD: {},
}


def options_of(cls: type[Posterior]) -> dict[str, Any]:
    """Those of its own example; it needs none if it has no options."""
    names = set(inspect.signature(cls).parameters) - {"prior", "measurement"}
    example: Any = vars(cls).get("example")
    assert example or not names, (
        f"{cls.__name__} is exported without an example of its options; add a classmethod example(cls, prior,"
        " measurement) that returns one with no option at its default."
    )
    return {name: getattr(cls.example(BENCH.prior, BENCH.measurement), name) for name in names}


OPTIONS = {cls: OPTIONS[cls] if cls in OPTIONS else options_of(cls) for cls in [*POSTERIORS, Clipped]}
every = pytest.mark.parametrize("cls", [*POSTERIORS, Clipped], ids=lambda cls: cls.__name__)


class Coin(Gaussian):
    """TB-G's prior with a random mean, fixed by ``draw``."""

    def draw(self, generator: torch.Generator | None = None) -> Prior:
        shift = torch.empty_like(self.mean).normal_(generator=generator)
        return Gaussian(self.mean + shift, self.covariance)


def coin() -> Coin:
    return Coin(BENCH.prior.mean, BENCH.prior.covariance)


@every
def test_every_option_is_tried(cls):
    """With another value than its default, or the laws below could not tell that it was lost."""
    parameters = inspect.signature(cls).parameters
    assert set(OPTIONS[cls]) == set(parameters) - {"prior", "measurement"}
    assert all(parameters[name].default != value for name, value in OPTIONS[cls].items())


@every
def test_another_prior_is_as_if_made_with_it(cls):
    first, second = coin(), Gaussian(BENCH.prior.mean + 1, 2 * BENCH.prior.covariance)
    posterior = cls(first, BENCH.measurement, **OPTIONS[cls])
    before = posterior.denoise(X, SIGMA)
    found, expected = posterior.replace(prior=second), cls(second, BENCH.measurement, **OPTIONS[cls])
    assert type(found) is cls
    assert found.prior is second
    assert torch.equal(found.denoise(X, SIGMA), expected.denoise(X, SIGMA))
    assert torch.equal(found.score(X, SIGMA), expected.score(X, SIGMA))
    assert posterior.prior is first  # the original stays
    assert torch.equal(posterior.denoise(X, SIGMA), before)


@every
def test_another_measurement_is_as_if_made_with_it(cls):
    posterior = cls(BENCH.prior, BENCH.measurement, **OPTIONS[cls])
    before = posterior.denoise(X, SIGMA)
    found, expected = posterior.replace(measurement=OTHER), cls(BENCH.prior, OTHER, **OPTIONS[cls])
    assert torch.equal(found.denoise(X, SIGMA), expected.denoise(X, SIGMA))
    assert posterior.measurement is BENCH.measurement
    assert torch.equal(posterior.denoise(X, SIGMA), before)
    if cls is not Clipped:
        assert not torch.equal(found.denoise(X, SIGMA), before)


def test_a_measurement_of_other_images_brings_their_shape():
    given = Measurement(torch.zeros(2), Matrix(normal(2, 3)), White(1.0))
    prior = Gaussian(torch.zeros(3), torch.eye(3))
    assert MMPS(BENCH.prior, BENCH.measurement).replace(prior=prior, measurement=given).event_shape == (3,)


@every
def test_the_priors_coin_is_the_posteriors(cls):
    """Drawing conditions the drawn prior, with the same options."""
    prior, generator = coin(), torch.Generator().manual_seed(4)
    drawn = cls(prior, BENCH.measurement, **OPTIONS[cls]).draw(generator)
    generator.manual_seed(4)
    expected = cls(prior.draw(generator), BENCH.measurement, **OPTIONS[cls])
    if cls is Projection:  # has a coin of its own, thrown after the prior's
        expected = expected.draw(generator)
    assert isinstance(drawn, cls)
    assert torch.equal(drawn.denoise(X, SIGMA), expected.denoise(X, SIGMA))
    assert not torch.allclose(drawn.denoise(X, SIGMA), cls(prior, BENCH.measurement).denoise(X, SIGMA))
    still = cls(BENCH.prior, BENCH.measurement, **OPTIONS[cls])
    assert still.draw() is still


def test_a_projection_keeps_its_coin():
    thrown = Projection(BENCH.prior, BENCH.measurement).draw(torch.Generator().manual_seed(1))
    again = thrown.replace(measurement=OTHER).replace(measurement=BENCH.measurement)
    assert torch.equal(again.denoise(X, SIGMA), thrown.denoise(X, SIGMA))


def test_a_random_prior_does_not_decompose_the_operator_again():
    """The spectrum is the measurement's: 40 steps of a walk add no product with the unit vectors to it."""

    class Counted(Matrix):
        units = 0

        def _apply(self, x: torch.Tensor) -> torch.Tensor:
            Counted.units += len(x)
            return super()._apply(x)

    def cost(posterior_of: Prior) -> int:
        Counted.units = 0
        operator: Operator = Counted(BENCH.matrix)
        posterior = DDRM(posterior_of, Measurement(BENCH.measurement.y, operator, BENCH.measurement.noise))
        sample(posterior, Ancestral(), Karras(0.01, 10.0).grid(41), n=1, seed=0, like=DOUBLE)
        return Counted.units

    assert cost(coin()) == cost(BENCH.prior)


@every
def test_the_method_of_version_0_1_names_what_takes_its_place(cls):
    with pytest.raises(InputError, match=rf"{cls.__name__} has no method 'given' any more; write replace\(prior="):
        cls(BENCH.prior, BENCH.measurement).given(BENCH.prior)
