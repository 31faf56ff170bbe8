"""The script behind the table of samplers: what it pairs, what it keeps, and what it says."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch

import which_sampler
from scorefield import kernels, posteriors
from scorefield.calibration import benches
from scorefield.kernel import Kernel, Then
from which_sampler import Judge, Problem, measure, pairings, roles, with_prior
from which_sampler_page import verdict, write_page

# 160 steps: with 40 the spread of a first-order walk is 14 % too small, as much as 5 standard errors of 200 draws
SMALL = Problem("Gaussian, d = 8", benches.tb_g, draws=200, steps=160, sweeps=5, pool=4000, kernels=("Ancestral",))


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
    assert {p.kernel for p in result} == {*roles().moves, *roles().stays, *roles().holds, "reconstruct"}
    assert {p.posterior for p in result} == {"-", *posteriors.__all__} - {"Posterior", "join"}


def test_a_projection_is_paired_with_a_step_of_the_prior():
    given = benches.tb_g().measurement
    assert isinstance(with_prior(kernels.Project(given), given), Then)
    assert not isinstance(with_prior(kernels.SplitGibbs(given), given), Then)


def test_exact_samplers_are_called_exact_and_others_are_not():
    bench = benches.tb_g()
    judge = Judge(SMALL, bench)
    rows = {
        p.posterior: {"draws": 200, **measure(SMALL, p, lambda: judge, 60.0)}
        for p in pairings(SMALL, bench)
        if p.posterior in ("MMPS", "DDNM")
    }
    assert verdict(rows["MMPS"]) == "**exact**"
    assert verdict(rows["DDNM"]).startswith("biased: ")
    assert rows["MMPS"]["evaluations"] == 161
    assert rows["MMPS"]["vjps"] > 161
    exact = judge(bench.posterior.rsample(200, torch.Generator().manual_seed(5)))
    assert verdict({"draws": 200, **exact}) == "**exact**"


def test_what_takes_too_long_or_cannot_be_built_has_a_reason():
    bench = benches.tb_g()
    judge = Judge(SMALL, bench)
    pairing = next(p for p in pairings(SMALL, bench) if p.posterior == "MMPS")
    assert measure(SMALL, pairing, lambda: judge, 0.0)["reason"] == "out of time"
    refused = replace(pairing, draw=lambda watch: bench.prior.draw().lesson())
    assert "no lesson" in measure(SMALL, refused, lambda: judge, 60.0)["reason"]


def test_results_stay_in_files_and_the_page_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(which_sampler, "PROBLEMS", (SMALL,))
    real, calls = which_sampler.measure, []

    def measured(problem, pairing, judge, limit):
        calls.append(pairing.kernel)
        return real(problem, pairing, judge, limit) if pairing.posterior == "MMPS" else {"reason": "not asked for"}

    monkeypatch.setattr(which_sampler, "measure", measured)
    arguments = ["which_sampler.py", "--page", str(tmp_path / "page.md"), "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", arguments)
    which_sampler.main()
    first, page = len(calls), (tmp_path / "page.md").read_text()
    assert first == len(list((tmp_path / "work").iterdir()))
    which_sampler.main()
    assert len(calls) == first
    assert (tmp_path / "page.md").read_text() == page
    assert "| `MMPS` | `Ancestral` | 161 |" in page
    assert "not asked for" in page
    record = json.loads(next((tmp_path / "work").glob("*MMPS*")).read_text())
    assert record["draws"] == 200
    monkeypatch.setattr(sys, "argv", [*arguments, "--redo", "MMPS"])
    which_sampler.main()
    assert len(calls) == first + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "**exact**"),
        ({"spread": -0.2, "z": {"spread": -9.0}}, "biased: spread -20%"),
        ({"mean": 0.26, "modes": 0.1, "z": {"mean": 8.0, "modes": 7.0}}, "biased: mean off by 0.24, modes off by 0.10"),
        ({"distance": 2.0, "z": {"distance": 6.0}}, "biased: distance 2.0"),
        ({"spread": 12.0}, "diverges"),
        ({"spread": float("nan")}, "diverges"),
    ],
)
def test_verdicts(change, words):
    row = {"draws": 100, "distance": 1.0, "mean": 0.01, "spread": 0.0, "modes": 0.01}
    z = {"distance": 0.0, "mean": 0.0, "spread": 0.0, "modes": 0.0}
    assert verdict({**row, **change, "z": {**z, **change.get("z", {})}}) == words


def test_an_empty_table_makes_a_page(tmp_path):
    write_page(tmp_path / "page.md", {"nothing": []}, {}, {"Ascent": "climbs"})
    assert "`Ascent` climbs" in (tmp_path / "page.md").read_text()
