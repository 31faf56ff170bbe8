"""The batch only groups draws: each has a stream of random numbers of its own, for every kernel that treats each image
alone.  Others say so by ``group``."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import inspect

import pytest
import torch
from benches import tb_g
from registry import exported

from scorefield import kernels
from scorefield.kernel import is_group
from scorefield.kernels import Alternate, Corrector, Heun, Hold, Kernel, Langevin, Repeat, Then
from scorefield.measurement import Measurement
from scorefield.nets import UNet
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.posteriors import MMPS, Projection
from scorefield.priors import IndependentParts, Network, Tiling, Unitless
from scorefield.randomness import PER_BATCH, DrawStreams, exponential_like, normal_like, uniform_like
from scorefield.samples import All
from scorefield.sampling import sample
from scorefield.schedules import Karras
from scorefield.start import Uniform

BENCH = tb_g()
SIGMAS = Karras(0.1, 5.0).grid(3)
LIKE = torch.empty(0, dtype=torch.float64)
ROUNDING = 1e-9  # of double numbers; sums of one image do not depend on the others but for their order


def example(cls: type[Kernel]) -> Kernel:
    parameters = inspect.signature(cls).parameters
    if "measurement" in parameters:
        return cls(BENCH.measurement)
    if "kernel" in parameters and parameters["kernel"].default is inspect.Parameter.empty:
        return {Repeat: lambda: Repeat(Langevin(), 2)}.get(cls, lambda: cls(Langevin()))()
    return Then(Heun(), Hold(Langevin())) if cls is Then else cls()


EXPORTED = sorted(exported(kernels, Kernel) - {Alternate}, key=lambda cls: cls.__name__)
ALONE = [cls for cls in EXPORTED if not is_group(example(cls))]


def draws(kernel: Kernel, batch: int, *, n: int = 8, prior=BENCH.prior, **options) -> torch.Tensor:
    options = {"like": LIKE, "seed": 3, **options}
    return sample(prior, kernel, SIGMAS, n=n, keep=All(batch=batch), **options).draws


@pytest.mark.parametrize("cls", ALONE, ids=lambda cls: cls.__name__)
def test_draws_do_not_depend_on_the_batch(cls):
    kernel = example(cls)
    whole = draws(kernel, 8)
    torch.testing.assert_close(draws(kernel, 3), whole, rtol=ROUNDING, atol=ROUNDING)
    torch.testing.assert_close(draws(kernel, 1, n=2), whole[:2], rtol=ROUNDING, atol=ROUNDING)
    assert cls.__name__ in ("RedDiff",) or len({tuple(draw.tolist()) for draw in whole}) == 8


def test_groups_are_those_that_let_images_compete():
    assert {cls.__name__ for cls in EXPORTED} - {cls.__name__ for cls in ALONE} == {
        "Corrector", "MCGDiff", "Particles", "ResampledGibbs",
    }  # fmt: skip
    assert is_group(Then(Heun(), Repeat(Hold(Corrector()), 2)))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("wrap", [lambda prior: prior, IndependentParts], ids=["real", "complex"])
def test_random_priors_and_posteriors_have_one_coin(batch, wrap):
    """The offsets of tiles are those of all draws; the noise of projected data is each draw's own."""
    torch.manual_seed(0)
    prior = wrap(Tiling(Network(UNet(channels=3, widths=(4, 4), blocks=1), Unitless()).double(), size=8, pad=4))
    like = torch.zeros(1, 12, 12, dtype=torch.float64 if not isinstance(prior, IndependentParts) else torch.complex128)
    given = Measurement(like + 0.3, Identity((1, 12, 12)), White(0.2))
    for law in (prior, MMPS(prior, given), Projection(prior, given, weight=0.5)):
        whole = draws(Heun(), 5, n=5, prior=law, like=like)
        torch.testing.assert_close(draws(Heun(), batch, n=5, prior=law, like=like), whole, rtol=1e-6, atol=1e-6)
        assert len({complex(draw[0, 5, 5]) for draw in whole}) == 5


def test_solvers_stop_each_draw_alone():
    """MMPS solves to a thousandth: a draw that stops with the slowest of its batch would show it."""
    for law in (MMPS(BENCH.prior, BENCH.measurement), MMPS(BENCH.prior, BENCH.measurement, iterations=2)):
        whole = draws(Heun(), 8, prior=law)
        torch.testing.assert_close(draws(Heun(), 3, prior=law), whole, rtol=ROUNDING, atol=ROUNDING)
        torch.testing.assert_close(draws(Heun(), 1, n=2, prior=law), whole[:2], rtol=ROUNDING, atol=ROUNDING)


def test_starts_do_not_depend_on_the_batch():
    whole = draws(Heun(), 8, start=Uniform(-1.0, 2.0))
    torch.testing.assert_close(draws(Heun(), 3, start=Uniform(-1.0, 2.0)), whole, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("like", [normal_like, uniform_like, exponential_like])
@pytest.mark.parametrize("shape", [(), (3,), (300,), (2, 200), (4, 300)], ids=str)
def test_rows_are_streams(like, shape):
    """Draw 4 has the same numbers in every batch, at each call others; also across blocks of few numbers."""
    many, few = DrawStreams(7, 0, 8), DrawStreams(7, 3, 2)
    seen = []
    for _ in range(3):
        whole, part = like(torch.empty(8, *shape), many), like(torch.empty(2, *shape), few)
        assert torch.equal(whole[3:5], part)
        seen += whole.flatten().tolist()
    assert len(set(seen)) > 0.99 * len(seen)  # single numbers may meet


def test_rows_have_the_law_of_their_name():
    generator = DrawStreams(0, 0, 400)
    normal, uniform, exponential = (f(torch.empty(400, 100).double(), generator) for f in
                                    (normal_like, uniform_like, exponential_like))  # fmt: skip
    n = normal.numel()
    for values, mean, variance in ((normal, 0, 1), (uniform, 0.5, 1 / 12), (exponential, 1, 1)):
        assert float(values.mean()) == pytest.approx(mean, abs=5 * (variance / n) ** 0.5)
        assert float(values.var()) == pytest.approx(variance, abs=5 * variance * (8 / n) ** 0.5)
        between = values.mean(0).var() * 400  # rows are independent: their means have the variance of one number
        assert float(between) == pytest.approx(variance, abs=5 * variance * (2 / 100) ** 0.5)


def test_neighboring_seeds_and_draws_meet_nowhere():
    def first(seed: int, draw: int) -> float:
        return float(normal_like(torch.empty(1, 2, dtype=torch.float64), DrawStreams(seed, draw, 1))[0, 0])

    assert len({first(seed, draw) for seed in range(12) for draw in range(12)}) == 144


def test_the_rule_of_version_0_1_is_a_stream_a_batch():
    kept = [sample(BENCH.prior, Langevin(), SIGMAS, n=6, seed=3, like=LIKE, keep=All(batch=b, rule=PER_BATCH)).draws
            for b in (3, 3, 2)]  # fmt: skip
    assert torch.equal(kept[0], kept[1])
    assert not torch.allclose(kept[0], kept[2])


def test_other_free_memory_gives_the_same_draws(monkeypatch):
    from scorefield.reconstruction import pipeline
    from scorefield.store.checkpoint import Card

    torch.manual_seed(0)
    prior = Network(UNet(widths=(4, 4), blocks=1), Unitless()).requires_grad_(False)
    prior.card = Card("tiny")
    measurement = Measurement(torch.ones(1, 8, 8), Identity((1, 8, 8)), White(0.1))
    kept = []
    for fit in (8, 5, 1):
        monkeypatch.setattr(pipeline, "draws_that_fit", lambda *_, fit=fit: fit)
        kept.append(pipeline.reconstruct(prior, measurement, n=8, method=pipeline.Method(steps=6), seed=0).draws)
    torch.testing.assert_close(kept[1], kept[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(kept[2], kept[0], rtol=1e-4, atol=1e-4)
