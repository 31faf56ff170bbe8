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
from scorefield.samples import All
from scorefield.sampling import sample, walk
from scorefield.schedules import Karras
from scorefield.start import begin
from support import LinearDenoiser, White, normal

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
    assert not sample(prior, Heun(), SIGMAS, n=1, seed=0, like=DOUBLE.new_empty((8,))).draws.requires_grad


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
    together = sample(BENCH.prior, Ancestral(), SIGMAS, n=5, seed=4, like=DOUBLE, keep=All(batch=2))
    alone = sample(BENCH.prior, Ancestral(), SIGMAS, n=2, seed=4, like=DOUBLE)
    assert torch.equal(together.draws[:2], alone.draws)
    assert len({tuple(draw.tolist()) for draw in together.draws}) == 5
    assert together.cost.forward == 5 * len(SIGMAS)


def expected_law(kernel, sigmas) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (8,) and variance along the prior's axes (8,) of the draws that an affine walk makes of :func:`begin`."""
    prior, s = BENCH.prior, sigmas[0]
    mean = prior.denoise(torch.zeros(1, 8, dtype=torch.float64), s)  # of the start
    *_, last = walk(prior, kernel, torch.cat([mean, mean + prior.basis.T]), sigmas, torch.Generator())
    gain = ((last.x[1:] - last.x[0]) @ prior.basis).diagonal()
    jacobian = prior.eigenvalues / (prior.eigenvalues + s.square())
    return last.x[0], gain.square() * s.square() * (1 + jacobian + jacobian.square())


@pytest.mark.parametrize("batch", [1, 50, 4000])
def test_the_law_does_not_depend_on_the_batch(batch):
    """Exact moments of the 20 steps; each of 8 means and 8 variances within 5 standard errors, which 1 seed in 10^5
    would break."""
    n, sigmas = 4000 if batch > 1 else 400, Karras(0.01, 10.0).grid(20)
    drawn = sample(BENCH.prior, DPMpp2M(), sigmas, n=n, seed=1, like=DOUBLE, keep=All(batch=batch))
    mean, variance = expected_law(DPMpp2M(), sigmas)
    scores = (drawn.draws - mean) @ BENCH.prior.basis / variance.sqrt()
    assert scores.mean(0).abs().max().item() < 5 / math.sqrt(n)
    assert (scores.square().mean(0) - 1).abs().max().item() < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_two_seeds_share_no_draw(batch):
    """Each batch has its own address (seed, first draw): neighboring seeds and numbers meet nowhere."""
    runs = [
        sample(BENCH.prior, Ancestral(), SIGMAS, n=10, seed=s, like=DOUBLE, keep=All(batch=batch)).draws
        for s in range(8)
    ]
    assert len({tuple(draw.tolist()) for draws in runs for draw in draws}) == 80


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
        ({"prior": LinearDenoiser(torch.eye(8))}, "like="),
    ],
)
def test_bad_calls_are_refused(change, match):
    call = {"prior": BENCH.prior, "sigmas": SIGMAS, "n": 2, "batch": None, **change}
    with pytest.raises(InputError, match=match):
        sample(call["prior"], Heun(), call["sigmas"], n=call["n"], seed=0, keep=All(batch=call["batch"]))


@pytest.mark.parametrize(
    ("old", "new"), [({"shape": (8,)}, "like="), ({"batch": 2}, "All\\(batch"), ({"progress": None}, "All\\(progress")]
)
def test_arguments_of_version_0_1_name_what_takes_their_place(old, new):
    with pytest.raises(InputError, match=new):
        sample(BENCH.prior, Heun(), SIGMAS, n=2, **old)


def test_an_image_gives_its_shape_to_the_draws_of_a_prior_of_any_size():
    like = torch.empty(2, 4, dtype=torch.float64)
    draws = sample(White(1.0), Heun(), SIGMAS, n=3, seed=0, like=like).draws
    assert (draws.shape, draws.dtype) == ((3, 2, 4), torch.float64)


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
        sample(posterior, kernel, SIGMAS, n=5, seed=0, like=DOUBLE, keep=All(batch=batch))
    assert caught.value.culprit == culprit
    assert caught.value.level == SIGMAS[SIGMAS < 2.0].max().item()


def test_the_error_names_a_start_that_is_not_finite():
    with pytest.raises(Diverged) as caught:
        sample(Breaks("denoiser", 1000000000.0), Heun(), SIGMAS, n=1, seed=0, like=DOUBLE.new_empty((8,)))
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
    sample(BENCH.prior, Heun(), SIGMAS, n=5, seed=0, keep=All(batch=2, progress=count))
    assert count.seen == count.total == 3 * len(SIGMAS)
