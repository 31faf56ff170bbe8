"""The script behind the table of samplers: what it pairs, what it keeps, and what it says."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import pytest
import torch

import which_sampler
from scorefield import kernels, posteriors
from scorefield.calibration import benches
from scorefield.kernel import Kernel, Then, is_group
from scorefield.runs.progress import Silent
from scorefield.samples import Samples
from which_sampler import EXACT, MOST, SEEDS, Pairing, Problem, measure, pairings
from which_sampler_judge import SEEN, Judge, bias_of, z_score
from which_sampler_page import SURE, verdict, write_page
from which_sampler_roles import asked, roles, with_prior

# 160 steps: with 40 the spread of a first-order walk is 14 % too small
SMALL = Problem(
    "Gaussian, d = 8", benches.tb_g, draws=50, steps=160, sweeps=5, pool=4000, pairs=200, kernels=("Ancestral",)
)
SHORT = Problem("Gaussian, d = 8", benches.tb_g, draws=50, steps=4, sweeps=1, kernels=("Ancestral", "Langevin"))


@pytest.fixture(scope="module")
def bench():
    return benches.tb_g()


@pytest.fixture(scope="module")
def judge(bench):
    return Judge(bench, SMALL.draws, SMALL.pool, SMALL.pairs)


def test_kernels_are_known_by_what_they_do():
    known = roles()
    assert {"Ancestral", "Heun", "DPMpp2M"} <= {*known.moves}
    assert {"Langevin", "MALA", "Corrector"} <= {*known.stays}
    assert {"SplitGibbs", "DAPS", "LiteralDPS", "RePaint"} <= {*known.holds}
    assert {"Then", "Repeat", "Hold", "Ascent"} <= {*known.others}
    every = {
        name
        for name in kernels.__all__
        if isinstance(cls := getattr(kernels, name), type) and issubclass(cls, Kernel) and cls is not Kernel
    }
    assert every == {*known.moves, *known.stays, *known.holds, *known.others}


def test_every_posterior_and_every_kernel_is_paired():
    result = list(pairings(Problem("all", benches.tb_g), benches.tb_g()))
    assert {p.kernel for p in result} == {*roles().moves, *roles().stays, *roles().holds, "reconstruct", EXACT}
    assert {p.posterior for p in result} == {"-", *posteriors.__all__} - {"Posterior", "join"}


def test_a_projection_is_paired_with_a_step_of_the_prior():
    given = benches.tb_g().measurement
    assert isinstance(with_prior(kernels.Project(given), given), Then)
    assert not isinstance(with_prior(kernels.SplitGibbs(given), given), Then)


def test_a_kernel_that_stays_asks_the_prior_about_as_often_as_the_others(bench):
    counts = {name: asked(getattr(kernels, name)()) for name in roles().stays}
    assert counts.pop("AnnealedHMC") > 10
    assert counts == {"Langevin": 1, "Corrector": 1, "MALA": 2, "HMC": 4}  # 3 leapfrog steps and a density
    pairing = next(p for p in pairings(SHORT, bench) if (p.posterior, p.kernel) == ("DDRM", "Langevin"))
    assert pairing.draw(range(1), Silent())[0].cost.evaluations == 4 * 10 + 1  # the step to 0 asks once


def test_exact_samplers_are_called_exact_and_others_are_not(bench, judge):
    rows = {
        p.posterior: measure(SMALL, p, lambda: judge, 60.0)
        for p in pairings(SMALL, bench)
        if p.posterior in ("MMPS", "DDNM")
    }
    assert verdict(rows["MMPS"]) == "**exact**"
    assert verdict(rows["DDNM"]).startswith("biased: ")
    assert rows["DDNM"]["seeds"] == SEEDS
    assert rows["MMPS"]["evaluations"] == 161
    assert rows["MMPS"]["vjps"] > 161


def sampler(bench, shift: float) -> Pairing:
    """Exact draws whose mean is off by ``shift`` posterior standard deviations."""
    offset = torch.ones(8, dtype=torch.float64) / 8**0.5 * shift * float(bench.covariance.trace()) ** 0.5

    def draw(seeds, watch):
        del watch
        draws = (bench.posterior.rsample(50, torch.Generator().manual_seed(70 + seed)) for seed in seeds)
        return [Samples(x + offset) for x in draws]

    return Pairing("-", "shifted", 0, draw)


def test_an_excess_of_twenty_percent_is_seen(bench, judge):
    exact = measure(SMALL, sampler(bench, 0.0), lambda: judge, 60.0)
    assert verdict(exact) == "**exact**"
    off = measure(SMALL, sampler(bench, judge.shift), lambda: judge, 60.0)
    assert off["distance"] == pytest.approx(SEEN, abs=0.1)
    assert off["low"] > 1
    assert verdict(off).startswith("biased: ")
    assert off["mean"] == pytest.approx(judge.shift, rel=0.25)


def test_seeds_are_added_while_the_interval_contains_the_excess(bench, judge):
    asks = []

    def draw(seeds, watch):
        asks.append(seeds)
        return sampler(bench, judge.shift).draw(seeds, watch)

    result = measure(SMALL, Pairing("-", "shifted", 0, draw), lambda: judge, 60.0)
    assert asks == [range(first, first + SEEDS) for first in range(0, result["seeds"], SEEDS)]
    assert SEEDS < result["seeds"] <= MOST
    assert measure(SMALL, Pairing("-", "shifted", 0, draw), lambda: judge, 0.0)["seeds"] == SEEDS  # no time for more


def test_exact_draws_are_a_row_of_the_table(bench, judge):
    pairing = next(p for p in pairings(SMALL, bench) if p.kernel == EXACT)
    samples = pairing.draw(range(3), Silent())
    assert [len(piece.draws) for piece in samples] == [50, 50, 50]
    assert verdict(measure(SMALL, pairing, lambda: judge, 60.0)) == "**exact**"


def independent(bench):
    """Pairings whose draws have streams of their own, and those whose draws depend on each other."""
    both = {True: [], False: []}
    for pairing in pairings(SHORT, bench):
        if pairing.kernel in (*roles().holds, "Ancestral"):
            held = pairing.kernel in roles().holds
            kernel = getattr(kernels, pairing.kernel)
            built = with_prior(kernel(bench.measurement), bench.measurement) if held else kernel()
            both[is_group(built)].append(pairing)
    return both


def test_one_walk_is_as_many_independent_samples_as_seeds(bench):
    """If draws of a walk shared random numbers, the means of walks would scatter more than those of samples."""
    for pairing in independent(bench)[False]:
        walks = [pairing.draw(range(seed, seed + 2), Silent()) for seed in range(0, 20, 2)]
        assert {len(pieces) for pieces in walks} == {1}
        draws = torch.stack([pieces[0].draws for pieces in walks])  # (10, 100, 8)
        within = float(draws.var(1).sum(1).mean()) / draws.shape[1]
        between = float(draws.mean(1).var(0).sum())
        assert between < 4 * within, f"{pairing.posterior} {pairing.kernel}"  # a chance of 4e-5 with one dimension


def test_populations_are_walked_once_for_each_seed(bench):
    populations = independent(bench)[True]
    assert {p.kernel for p in populations} >= {"Particles", "MCGDiff", "ResampledGibbs"}
    for pairing in populations:
        pieces = pairing.draw(range(2), Silent())
        assert [len(piece.draws) for piece in pieces] == [50, 50], pairing.kernel
        assert not torch.equal(pieces[0].draws, pieces[1].draws)


def test_the_mean_is_off_by_what_the_seeds_have_in_common():
    common, scatter = torch.tensor([0.3, -0.4]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(4, 1)
    size, certain = bias_of(common.expand(8, 2) + 1e-3 * scatter)
    assert size == pytest.approx(0.5, abs=1e-3)
    assert certain > SURE
    assert bias_of(scatter)[0] == 0.0  # the seeds err in opposite directions
    generator = torch.Generator().manual_seed(0)
    squares = [bias_of(torch.randn(8, 3, generator=generator) + 1)[0] ** 2 for _ in range(400)]
    assert sum(squares) / 400 == pytest.approx(3, abs=5 * torch.tensor(squares).std().item() / 20)


def test_chance_alone_is_seldom_sure():
    generator = torch.Generator().manual_seed(0)
    seeds = torch.randn(2000, 8, 2, generator=generator, dtype=torch.float64)
    assert sum(bias_of(errors)[1] > SURE for errors in seeds) <= 2
    assert sum(abs(z_score(errors[:, 0])) > SURE for errors in seeds) <= 6  # 0.03 % of 2000 are 0.6


def test_what_takes_too_long_or_cannot_be_built_has_a_reason(bench, judge):
    pairing = next(p for p in pairings(SMALL, bench) if p.posterior == "MMPS")
    assert measure(SMALL, pairing, lambda: judge, 0.0)["reason"] == "out of time"
    refused = replace(pairing, draw=lambda seeds, watch: bench.prior.draw().lesson())
    assert "no lesson" in measure(SMALL, refused, lambda: judge, 60.0)["reason"]


def test_results_stay_in_files_and_the_page_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(which_sampler, "PROBLEMS", (SMALL,))
    real, calls = which_sampler.measure, []

    def measured(problem, pairing, judge, limit):
        calls.append(pairing.kernel)
        return real(problem, pairing, judge, limit) if pairing.posterior == "DDNM" else {"reason": "not asked for"}

    monkeypatch.setattr(which_sampler, "measure", measured)
    files = ["--page", str(tmp_path / "page.md"), "--numbers", str(tmp_path / "numbers.json")]
    arguments = ["which_sampler.py", *files, "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", arguments)
    which_sampler.main()
    first, page = len(calls), (tmp_path / "page.md").read_text()
    assert first == len(list((tmp_path / "work").iterdir()))
    which_sampler.main()
    assert len(calls) == first
    assert (tmp_path / "page.md").read_text() == page
    assert "| `DDNM` | `Ancestral` | 161 |" in page
    assert "not asked for" in page
    record = json.loads(next((tmp_path / "work").glob("*DDNM*")).read_text())
    assert record["draws"] == 50
    monkeypatch.setattr(sys, "argv", [*arguments, "--redo", "DDNM", "--later", "DDNM"])
    which_sampler.main()
    assert len(calls) == first
    monkeypatch.setattr(sys, "argv", [*arguments, "--redo", "DDNM"])
    which_sampler.main()
    assert len(calls) == first + 1
    page = (tmp_path / "page.md").read_text()
    monkeypatch.setattr(sys, "argv", ["which_sampler.py", *files, "--work", str(tmp_path / "new"), "--published"])
    which_sampler.main()
    assert len(calls) == first + 1
    assert re.sub(r"\| [\d.]+ \|", "", (tmp_path / "page.md").read_text()) == re.sub(r"\| [\d.]+ \|", "", page)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "**exact**"),
        ({"high": 1.25}, "unclear"),
        ({"low": 0.7, "high": 0.9}, "**exact**"),
        ({"low": 1.01}, "excess below 20 %"),
        ({"low": 1.05, "high": 1.3, "distance": 1.17}, "biased: score 1.2"),
        ({"spread": -0.2, "z": {"spread": -9.0}}, "biased: spread -20.0%"),
        ({"mean": 0.26, "modes": 0.1, "z": {"mean": 8.0, "modes": 7.0}}, "biased: mean off by 0.26, modes off by 0.10"),
        ({"spread": 12.0}, "diverges"),
        ({"spread": float("nan")}, "diverges"),
    ],
)
def test_verdicts(change, words):
    row = {"distance": 1.0, "low": 0.9, "high": 1.1, "mean": 0.01, "spread": 0.0, "modes": 0.01}
    z = {"mean": 0.0, "spread": 0.0, "modes": 0.0}
    assert verdict({**row, **change, "z": {**z, **change.get("z", {})}}) == words


def test_an_empty_table_makes_a_page(tmp_path):
    write_page(tmp_path / "page.md", {"nothing": []}, {}, {"Ascent": "climbs"})
    assert "`Ascent` climbs" in (tmp_path / "page.md").read_text()
