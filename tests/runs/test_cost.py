"""Costs: every number is what the network really did, counted a second way by hooks."""

from __future__ import annotations

import time
from threading import Barrier, Thread

import pytest
import torch
from benches import tb_g

from scorefield.kernels import Ancestral, Ascent, DPMpp2M, Heun, Langevin, LiteralDPS
from scorefield.measurement import Measurement
from scorefield.nets import UNet
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.posteriors import DPS, MMPS, PiGDM
from scorefield.prior import Score
from scorefield.priors.network import Network
from scorefield.priors.scaled import Scaled
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.runs.cost import Cost, meter
from scorefield.samples import All
from scorefield.sampling import sample
from scorefield.schedules import Karras
from support import White as WhitePrior
from support import normal

SHAPE = (1, 8, 8)
STEPS, N = 6, 3
SIGMAS = Karras(0.05, 2.0).grid(STEPS)


def network() -> Network:
    net = UNet(widths=(8, 8), blocks=1)
    torch.nn.init.normal_(net.tail.weight, std=0.02)
    return Network(net)


class Hooked:
    """Images through a module, forward and backward, seen from the outside."""

    def __init__(self, module: torch.nn.Module):
        self.forward = self.backward = 0
        module.register_forward_hook(self._forward)
        module.register_full_backward_hook(self._backward)

    def _forward(self, module, inputs, output):
        self.forward += len(output)

    def _backward(self, module, inputs, outputs):
        self.backward += len(outputs[0])


def measurement() -> Measurement:
    return Measurement(normal(*SHAPE).float(), Identity(SHAPE), White(0.1))


# begin takes one evaluation; a step takes one, Heun's two except the last, to 0
@pytest.mark.parametrize(
    ("kernel", "evaluations"),
    [(Ancestral(), 1 + STEPS), (DPMpp2M(), 1 + STEPS), (Heun(), 2 * STEPS)],
    ids=["ancestral", "2m", "heun"],
)
def test_forward_evaluations(kernel, evaluations):
    prior = network()
    hooked = Hooked(prior.net)
    cost = sample(prior, kernel, SIGMAS, n=N, seed=0, like=torch.empty(SHAPE), keep=All(batch=2)).cost
    assert cost.forward == hooked.forward == N * evaluations
    assert cost.backward == hooked.backward == 0
    assert cost.evaluations == cost.work == evaluations
    assert cost.draws == N


@pytest.mark.parametrize(
    ("condition", "pulls"),
    [
        (lambda p, m: MMPS(p, m, iterations=3, tolerance=0), 3),  # one for each dimension; the gain combines them
        (lambda p, m: MMPS(Scaled(p, 2.0), m, iterations=1, tolerance=0), 1),
        (PiGDM, 1),
        (DPS, 1),
    ],
    ids=["mmps", "mmps-scaled", "pigdm", "dps"],
)
def test_vector_jacobian_products(condition, pulls):
    prior = network()
    hooked = Hooked(prior.net)
    cost = sample(condition(prior, measurement()), Ancestral(), SIGMAS, n=N, seed=0).cost
    assert cost.forward == hooked.forward == N * (1 + STEPS)
    assert cost.backward == hooked.backward == pulls * cost.forward
    assert cost.work == (1 + 2 * pulls) * (1 + STEPS)


def test_operator_calls():
    cost = sample(PiGDM(network(), measurement()), Ancestral(), SIGMAS, n=N, seed=0).cost
    assert cost.operator == 2 * cost.forward  # A D and A^H of the solution; the solve is in closed form
    for iterations, inner in (
        (1, 0),
        (3, 2 * 8),
    ):  # the first direction has no preconditioner, the others up to 8 steps
        posterior = MMPS(network(), measurement(), iterations=iterations, tolerance=0)
        cost = sample(posterior, Ancestral(), SIGMAS, n=N, seed=0).cost
        products = 1 + 2 * iterations  # A D, then A and A^H for each direction
        assert products * cost.forward <= cost.operator <= (products + 2 * inner) * cost.forward


def test_score_and_denoiser_of_one_prior_count_once():
    class Written(Score):
        def score(self, x, sigma):
            return -x

    x = normal(4, 2)
    with meter(Written(), Heun(), 4) as run:
        run.prior.denoise(x, 0.5)
        run.prior.score(x, 0.5)
        run.prior.linearize(x, 0.5)[1](x)
    assert (run.cost.forward, run.cost.backward) == (12, 4)


def test_kernels_that_ask_for_scores_count_too():
    for kernel in (Ascent(), Langevin()):
        assert sample(network(), kernel, SIGMAS, n=N, seed=0, like=torch.empty(SHAPE)).cost.evaluations == 1 + STEPS


def test_the_default_reconstruction_takes_at_most_50_evaluations():
    drawn = reconstruct(network(), measurement(), n=2, seed=0)
    assert drawn.cost.evaluations == Method().steps + 2
    assert f"{drawn.cost.evaluations:g} denoiser evaluations a draw by default" in str(reconstruct.__doc__)
    assert drawn.cost.evaluations <= 50


def test_the_original_does_not_change():
    prior, x = WhitePrior(1.0), normal(2, 3)
    given, kernel = measurement(), LiteralDPS(measurement())
    posterior = MMPS(Scaled(prior, 2.0), given)
    things = [prior, posterior, posterior.prior, given, given.operator, kernel, kernel.measurement]
    before = [dict(vars(thing)) for thing in things]
    types = [type(thing) for thing in things]
    with meter(posterior, kernel, 1) as run:
        run.prior.denoise(normal(2, *SHAPE), 1.0)
        assert run.cost.forward == 2
        prior.denoise(x, 1.0)
        assert run.cost.forward == 2
        assert [dict(vars(thing)) for thing in things] == before
        assert [type(thing) for thing in things] == types
    assert isinstance(run.prior, MMPS)
    assert isinstance(run.kernel, LiteralDPS)
    assert run.prior is not posterior


def test_meters_nest():
    x = normal(2, 3)
    with meter(WhitePrior(1.0), Heun(), 1) as outer:
        outer.prior.denoise(x, 1.0)
        with meter(outer.prior, Heun(), 1) as inside:
            inside.prior.denoise(x, 1.0)
        outer.prior.denoise(x, 1.0)
    assert (outer.cost.forward, inside.cost.forward) == (6, 2)


def test_a_prior_remembers_what_it_did_in_a_run():
    """The twin of a prior has the state of the original, not a copy of it."""

    class Counts(WhitePrior):
        calls = 0

        def denoise(self, x, sigma):
            self.calls += 1
            return super().denoise(x, sigma)

    prior = Counts(1.0)
    sample(prior, Ancestral(), SIGMAS, n=2, seed=0, like=torch.empty(SHAPE))
    assert prior.calls == 1 + STEPS


def test_two_runs_over_one_prior_count_apart():
    """In two threads, that take turns at every evaluation."""
    turns = Barrier(2, timeout=60)

    class Waits(WhitePrior):
        def denoise(self, x, sigma):
            turns.wait()
            return super().denoise(x, sigma)

    prior, found = Waits(1.0), {}

    def run(n: int) -> None:
        found[n] = sample(PiGDM(prior, measurement()), Ancestral(), SIGMAS, n=n, seed=n)

    threads = [Thread(target=run, args=(n,)) for n in (2, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, samples in found.items():
        assert (samples.cost.forward, samples.cost.backward) == (n * (1 + STEPS),) * 2
        assert samples.cost.operator == 2 * samples.cost.forward
        alone = sample(PiGDM(WhitePrior(1.0), measurement()), Ancestral(), SIGMAS, n=n, seed=n)
        assert torch.equal(samples.draws, alone.draws)


def test_time_and_memory():
    with meter(tb_g().prior, Heun(), 1) as run:
        time.sleep(0.02)
    assert 0.02 <= run.cost.seconds < 2
    assert 10 < run.cost.peak_memory_mb < 1e6  # a Python process with torch
    with pytest.raises(ZeroDivisionError), meter(tb_g().prior, Heun(), 1):
        raise ZeroDivisionError


def test_sums():
    assert Cost(1, 2, 3, 4.0, 5.0, 6) + Cost(10, 20, 30, 40.0, 2.0, 60) == Cost(11, 22, 33, 44.0, 5.0, 66)
