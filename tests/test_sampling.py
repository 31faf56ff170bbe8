"""The sampling loop: its start, its levels, its batches and its record."""

from __future__ import annotations

import json
import math

import pytest
import torch
from benches import tb_g

from scorefield.errors import Diverged, InputError
from scorefield.kernels import Ancestral, Ascent, DPMpp2M, Heun, Langevin
from scorefield.posteriors import MMPS
from scorefield.prior import Denoiser, Prior
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.runs.progress import Silent
from scorefield.sampling import sample, walk
from scorefield.schedules import Karras
from scorefield.start import begin
from support import LinearDenoiser, normal

BENCH = tb_g()
SIGMAS = Karras(0.05, 5.0).grid(5)
DOUBLE = torch.empty(0, dtype=torch.float64)


class Coin(Denoiser):
    """A prior that flips a coin for each step, and remembers how often."""

    def __init__(self):
        super().__init__()
        self.flips: list[float] = []

    def denoise(self, x, sigma):
        raise AssertionError("the coin was not flipped")

    def draw(self, generator=None) -> Prior:
        self.flips.append(torch.rand((), generator=generator).item())
        return LinearDenoiser(torch.eye(2))


def test_a_walk_visits_every_level_once(generator):
    x = 5 * normal(2, 8)
    states = list(walk(BENCH.prior, Heun(), x, SIGMAS, generator))
    assert len(states) == len(SIGMAS)
    assert states[0].x is x
    kernel = Heun()
    for state, after, s, t in zip(states[:-1], states[1:], SIGMAS[:-1], SIGMAS[1:], strict=True):
        assert torch.equal(after.x, kernel.step(BENCH.prior, state, s, t, generator).x)


def test_the_coin_is_flipped_for_each_step_from_the_walks_generator():
    first, second = Coin(), Coin()
    for coin in (first, second):
        list(walk(coin, Heun(), torch.zeros(1, 2), SIGMAS, torch.Generator().manual_seed(1)))
    assert len(first.flips) == len(set(first.flips)) == len(SIGMAS) - 1
    assert first.flips == second.flips


def test_no_graph_is_built(generator):
    prior = LinearDenoiser(torch.nn.Parameter(torch.eye(8, dtype=torch.float64)))
    prior.matrix.requires_grad_()
    *_, last = walk(prior, Heun(), normal(1, 8), SIGMAS, generator)
    assert not last.x.requires_grad
    assert not sample(prior, Heun(), SIGMAS, n=1, shape=(8,), seed=0, like=DOUBLE).draws.requires_grad


def test_the_start_has_the_mean_and_the_variance_of_the_noisy_law(generator):
    """x = D(sigma z', sigma) + sigma z on N(m, v): mean J m short of m, variance sigma^2 (1 + J + J^2)."""
    n, sigma = 50_000, torch.tensor(2.0, dtype=torch.float64)
    variance = torch.tensor([[0.1], [1.0], [4.0]], dtype=torch.float64)
    prior = DiagonalGaussian(torch.full((3, n), 1.5, dtype=torch.float64), variance)
    x = begin(prior, torch.empty(1, 3, n, dtype=torch.float64), sigma, generator)[0]
    jacobian = variance[:, 0] / (variance[:, 0] + 4)
    spread = 4 * (1 + jacobian + jacobian**2)
    assert ((x.mean(1) - 1.5 * (1 - jacobian)).abs() < 4 * (spread / n).sqrt()).all()
    assert ((x.var(1) / spread - 1).abs() < 4 * math.sqrt(2 / n)).all()
    # which is sigma^2 + v to third order: what pure noise would miss by v altogether
    assert ((spread - 4 - variance[:, 0]).abs() <= 4 * (variance[:, 0] / 4) ** 3 + 1e-12).all()


# --- sample


def test_sample_is_the_walk_of_its_start():
    drawn = sample(BENCH.prior, Ancestral(), SIGMAS, n=3, seed=4, like=DOUBLE)
    assert drawn.draws.shape == (3, 8)
    assert drawn.draws.dtype == torch.float64
    # the last step, to 0, returns the denoised image of the step before: a draw of the law, up to sigma_min
    distance = (drawn.draws - BENCH.prior.mean) @ torch.linalg.inv(BENCH.prior.covariance)
    assert ((distance * (drawn.draws - BENCH.prior.mean)).sum(1) < 40).all()


def test_batches_are_streams_of_their_own():
    """The first batch is what it would be alone; the others differ from it and among themselves."""
    together = sample(BENCH.prior, Ancestral(), SIGMAS, n=5, batch=2, seed=4, like=DOUBLE)
    alone = sample(BENCH.prior, Ancestral(), SIGMAS, n=2, seed=4, like=DOUBLE)
    assert torch.equal(together.draws[:2], alone.draws)
    assert len({tuple(draw.tolist()) for draw in together.draws}) == 5
    assert together.cost.forward == 5 * len(SIGMAS)


@pytest.mark.parametrize("batch", [1, 50, 4000])
def test_the_law_does_not_depend_on_the_batch(batch):
    n = 4000 if batch > 1 else 400
    drawn = sample(BENCH.prior, DPMpp2M(), Karras(0.01, 10.0).grid(20), n=n, batch=batch, seed=1, like=DOUBLE)
    scores = (drawn.draws - BENCH.prior.mean) @ BENCH.prior.basis / BENCH.prior.eigenvalues.sqrt()
    assert scores.mean(0).abs().max().item() < 4 / math.sqrt(n)
    assert (scores.var(0) - 1).abs().max().item() < 4 * math.sqrt(2 / n) + 0.05  # 20 steps


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    first = sample(BENCH.prior, Ancestral(), SIGMAS, n=1)
    second = sample(BENCH.prior, Ancestral(), SIGMAS, n=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.provenance["seed"] != second.provenance["seed"]
    assert not torch.equal(first.draws, second.draws)
    again = sample(BENCH.prior, Ancestral(), SIGMAS, n=1, seed=first.provenance["seed"])
    assert torch.equal(first.draws, again.draws)


def test_the_record_says_how_to_draw_again():
    prior = MMPS(BENCH.prior, BENCH.measurement, iterations=4)
    record = json.loads(json.dumps(dict(sample(prior, Langevin(rate=0.2), SIGMAS, n=2, seed=9).provenance)))
    assert record["kernel"] == {"class": "kernels.Langevin", "fields": {"rate": 0.2}}
    inner = {"class": "Gaussian", "fields": {}}  # its tensors are not written out
    assert record["prior"] == {"class": "MMPS", "fields": {"prior": inner, "iterations": 4, "tolerance": 0.001}}
    assert record["sigmas"] == pytest.approx(SIGMAS.tolist(), abs=1e-9)
    assert record["seed"] == 9
    assert record["versions"]["torch"] == torch.__version__


def test_a_vector_of_levels_need_not_end_at_0():
    sigmas = torch.tensor([3.0, 1.0], dtype=torch.float64)
    assert sample(BENCH.prior, Heun(), sigmas, n=1, seed=0).draws.shape == (1, 8)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"n": 0}, "n >= 1"),
        ({"batch": 0}, "batch"),
        ({"batch": -1}, "batch"),
        ({"sigmas": torch.tensor([1.0, 2.0])}, "descending"),
        ({"sigmas": torch.tensor([1.0])}, "descending"),
        ({"sigmas": torch.tensor([[2.0, 1.0]])}, "descending"),
        ({"sigmas": torch.tensor([1.0, -1.0])}, ">= 0"),
        ({"sigmas": torch.tensor([0.0, 0.0])}, "descending"),
        ({"sigmas": torch.tensor([torch.nan, 1.0])}, "descending"),
        ({"sigmas": torch.tensor([torch.inf, 1.0])}, "descending"),
        ({"prior": LinearDenoiser(torch.eye(8))}, "shape="),
    ],
)
def test_bad_calls_are_refused(change, match):
    call = {"prior": BENCH.prior, "sigmas": SIGMAS, "n": 2, "batch": None, **change}
    with pytest.raises(InputError, match=match):
        sample(call["prior"], Heun(), call["sigmas"], n=call["n"], batch=call["batch"], seed=0)


def test_draws_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="Ascent diverged") as caught:
        sample(BENCH.prior, Ascent(rate=1e9), Karras(0.1, 5.0).grid(60), n=2, seed=0)
    assert isinstance(caught.value, ArithmeticError)


class Breaks(LinearDenoiser):
    """Half of what it is given, but NaN below a level in one of its answers."""

    def __init__(self, answer: str, below: float):
        super().__init__(0.5 * torch.eye(8, dtype=torch.float64))
        self.answer, self.below = answer, below

    def denoise(self, x, sigma):
        broken = self.answer == "denoiser" and float(sigma) < self.below
        return super().denoise(x, sigma) * (torch.nan if broken else 1)

    def linearize(self, x, sigma):
        denoised, vjp = super().linearize(x, sigma)
        broken = self.answer == "product" and float(sigma) < self.below
        return denoised, lambda v: vjp(v) * (torch.nan if broken else 1)


class BreakingStep(Heun):
    def step(self, prior, state, sigma, target, generator):
        moved = super().step(prior, state, sigma, target, generator)
        return moved.at(moved.x * torch.nan) if sigma < 2.0 else moved


@pytest.mark.parametrize("culprit", ["denoiser", "product", "step"])
@pytest.mark.parametrize("batch", [1, 4])
def test_the_error_names_the_level_and_what_broke(culprit, batch):
    """The first step from a level below 2 breaks, in the answer or in the step that was broken by hand."""
    posterior = MMPS(Breaks(culprit, 2.0), BENCH.measurement)
    kernel = BreakingStep() if culprit == "step" else Ancestral()
    with pytest.raises(Diverged, match={"denoiser": "denoiser of Breaks is not", "product": "product", "step": "step"}[
        culprit
    ]) as caught:  # fmt: skip
        sample(posterior, kernel, SIGMAS, n=5, batch=batch, seed=0, like=DOUBLE)
    assert caught.value.culprit == culprit
    assert caught.value.level == SIGMAS[SIGMAS < 2.0].max().item()


def test_a_start_that_breaks_is_told_too():
    with pytest.raises(Diverged) as caught:
        sample(Breaks("denoiser", 1e9), Heun(), SIGMAS, n=1, shape=(8,), seed=0, like=DOUBLE)
    assert (caught.value.culprit, caught.value.level) == ("denoiser", SIGMAS[0].item())


def test_progress_sees_every_state():
    class Count(Silent):
        seen, total = 0, 0

        def track(self, steps, *, total, label):
            self.total = total
            for item in steps:
                self.seen += 1
                yield item

    count = Count()
    sample(BENCH.prior, Heun(), SIGMAS, n=5, batch=2, seed=0, progress=count)
    assert count.seen == count.total == 3 * len(SIGMAS)
