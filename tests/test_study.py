"""The machinery of the study: what is kept is not measured again, intervals are Student's, budgets are counted."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from benchmarks.study import __main__ as study
from benchmarks.study import cells, images, plan, priors, tables
from benchmarks.study.budget import step_cost, steps_for
from benchmarks.study.grid import Grid, at_edge, is_coarse
from benchmarks.study.methods import BASELINES, Learned, Method
from benchmarks.study.priors import RECIPES, Learner
from benchmarks.study.results import Results
from benchmarks.study.statistics import paired
from benchmarks.study.tasks import TASKS, Denoise

from scorefield.lessons.crops import Crops
from scorefield.nets import PatchMLP
from scorefield.priors import DiagonalGaussian, FieldOfExperts, Network, Unitless
from support import normal

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# --- intervals


def test_the_interval_is_scipys():
    from scipy.stats import ttest_rel

    a, b = normal(6).tolist(), normal(6, seed=1).tolist()
    found = paired(a, b)
    expected = ttest_rel(a, b).confidence_interval(0.95)
    assert found.mean == pytest.approx(sum(a) / 6 - sum(b) / 6)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.sure == (ttest_rel(a, b).pvalue < 0.05)


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([1.0, 2.0], [1.0])])
def test_pairs_are_needed(a, b):
    with pytest.raises(ValueError, match="same two or more"):
        paired(a, b)


# --- budgets


def test_the_budget_counts_every_product_of_a_step():
    """A perceptron's step: each layer forward, and backward by its weights and by what it is given."""
    net = PatchMLP(size=3, levels=1, widths=(7, 5))
    lesson, batch = FieldOfExperts(net).lesson(), 12
    batches = Crops((torch.rand(1, 20, 20),), 3, batch)
    products = [10 * 7, 7 * 5, 5 * 9]
    assert step_cost(lesson, batches) == batch * 3 * sum(products)
    assert steps_for(lesson, batches, 50 * step_cost(lesson, batches)).count == 50
    assert all(p.grad is None for p in lesson.trainee.parameters())


def test_counting_leaves_no_trace_in_running_variances():
    prior = RECIPES["local"].make()
    before = {name: t.clone() for name, t in prior.state_dict().items()}
    step_cost(prior.lesson(), Crops((torch.rand(1, 40, 40),), 32, 2))
    assert all(torch.equal(t, before[name]) for name, t in prior.state_dict().items())


def test_all_priors_do_the_same_work_a_pixel():
    from torch.utils.flop_counter import FlopCounterMode

    works = {}
    for name in ("p3", "p5", "p9", "p17", "p33", "told", "local", "unet", "unet-biased", "multiscale"):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            RECIPES[name].make().denoise(torch.rand(1, 1, 96, 96), 0.1)
        works[name] = counter.get_total_flops() / 2 / 96**2
    assert min(works.values()) > 13e3
    assert max(works.values()) < 30e3  # patches across the border weigh more in small images


# --- cells


class Shrinking(Method):
    """The noisy image times a number."""

    grid = Grid()
    asked = 0

    def draws(self, given, strength, n):
        self.asked += 1
        return strength * given.measurement.y.expand(n, -1, -1, -1)


@pytest.mark.parametrize("right", [0.06, 0.6, 0.9, 1.0, 2.0, 15.0])
def test_the_grid_extends_itself_until_the_best_value_is_interior(right):
    grid, tries = Grid(), []

    def score(value):
        tries.append(value)
        return -abs(math.log(value / right))

    scores = grid.search(score)
    values, best = list(scores), grid.best(scores)
    assert abs(math.log(best / right)) <= math.log(1.3) / 2 + 0.05  # values have two digits
    assert not at_edge(best, values)
    assert sorted(tries) == values  # each once
    assert all(b / a == pytest.approx(1.3, rel=0.06) for a, b in itertools.pairwise(values))
    assert grid.search(lambda value: 0.0).keys() == dict.fromkeys([0.59, 0.77, 1, 1.3, 1.7]).keys()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_grid_that_never_turns_ends_and_says_so(sign):
    grid = Grid(0.4, most=5)
    scores = grid.search(lambda value: sign * value)
    assert len(scores) == 5 + 2 + 1
    assert at_edge(grid.best(scores), scores)
    assert grid.best(dict.fromkeys(scores, 1.0)) == 0.4


def test_every_method_has_a_grid_of_the_same_kind():
    grids = [m.grid for m in (*BASELINES.values(), Learned(Network(Blind(), Unitless()))) if m.grid]
    assert len(grids) == 3
    assert {(g.most, round(g.value(1) / g.center, 1)) for g in grids} == {(12, 1.3)}


def test_tuning_takes_the_best_and_the_truth_on_a_tie():
    image = torch.rand(1, 8, 8)
    found = cells.tuned(Shrinking(), Denoise(0.3), image)
    y = Denoise(0.3).given(image, -1).measurement.y[0]
    errors = {s: float((s * y - image).square().mean()) for s in map(float, found["tried"])}
    assert found["strength"] == min(errors, key=errors.__getitem__)
    assert found["tried"]["0.77"] == pytest.approx(-10 * math.log10(errors[0.77] / float(image.max()) ** 2), abs=1e-4)
    assert cells.tuned(Learned(Network(Blind(), Unitless())), Denoise(0.3), image)["strength"] == 1.0


class Blind(torch.nn.Module):
    def forward(self, x, noise):
        return 0 * x


def test_scores_of_draws_and_the_limit_of_many():
    """Exact draws of a Gaussian posterior: the corrected PSNR does not depend on their number, on average."""

    class Exact(Method):
        def draws(self, given, strength, n):
            prior = DiagonalGaussian(torch.zeros(1, 64, 64), torch.ones(()))
            posterior = prior.posterior(given.measurement)
            return posterior.rsample(n, torch.Generator().manual_seed(0))

    truths = [normal(1, 64, 64, seed=k).float() for k in range(3)]
    rows = {n: cells.measured(Exact(), Denoise(1.0), truths, 1.0, n) for n in (2, 8)}
    shared = {"shift": "none", "task": "noise-1"}
    found = Results({"work": 1, "steps": {}, "cells": [{"method": str(n), **shared, **rows[n]} for n in rows]})
    peak = sum(20 * math.log10(float(t.abs().max())) for t in truths) / 3
    for n in (2, 8):  # variance 1/2; 1 / sqrt(3 * 4096) of it is 0.06 dB, and the correction adds as much
        assert found.mean(str(n), "noise-1", key="limit") == pytest.approx(peak + 10 * math.log10(2), abs=0.25)
        raw = peak + 10 * math.log10(2 / (1 + 1 / n))
        assert found.mean(str(n), "noise-1") == pytest.approx(raw, abs=0.25)
    assert rows[8]["slices"][0]["coverage"] == pytest.approx(rows[8]["slices"][0]["expected"], abs=0.03)


def test_a_stopped_study_measures_only_what_is_missing(tmp_path, monkeypatch):
    method, tests = Shrinking(), [torch.rand(1, 12, 12) for _ in range(2)]
    monkeypatch.setitem(BASELINES, "tv", method)
    monkeypatch.setattr(images, "tuning", lambda data, kind: tests[0])
    monkeypatch.setattr(images, "tests", lambda data, name: tests)
    first, second = plan.Cell("tv", "noise-0.1", plan.BRAIN), plan.Cell("tv", "noise-0.1", plan.AMPLITUDES[0])
    one = study.Study(tmp_path, tmp_path)
    one.run(first)
    asked = method.asked
    assert asked >= 5 + 2
    study.Study(tmp_path, tmp_path).run(first)
    assert method.asked == asked
    one.run(second)  # the tuning is that of the usual images
    assert method.asked == asked + 2
    study.gather(tmp_path, tmp_path / "results.json")
    found = Results(json.loads((tmp_path / "results.json").read_text()))
    assert len(found.slices("tv", "noise-0.1", "none")) == 2
    assert found.mean("tv", "noise-0.1") != found.mean("tv", "noise-0.1", "amplitude / 4")


def test_a_cell_that_is_measured_again_takes_the_place_of_the_old_one(tmp_path):
    path, rows = tmp_path / "results.json", [{"psnr": 1.0}]
    cell = {"method": "a", "task": "t", "shift": "none", "strength": 1.0, "tried": {}, "draws": 1, "slices": rows}
    path.write_text(json.dumps({"work": 1, "steps": {"p": 3, "q": 1}, "cells": [cell, {**cell, "method": "b"}]}))
    (tmp_path / "cells").mkdir()
    (tmp_path / "priors" / "q").mkdir(parents=True)
    (tmp_path / "cells" / "b.json").write_text(json.dumps({**cell, "method": "b", "slices": [{"psnr": 2.0}]}))
    (tmp_path / "priors" / "q" / "prior.json").write_text(json.dumps({"card": {"training": {"steps": 2}}}))
    study.gather(tmp_path, path)
    found = Results(json.loads(path.read_text()))
    assert (found.mean("a", "t"), found.mean("b", "t")) == (1.0, 2.0)
    assert found.steps == {"p": 3, "q": 2}


def test_a_prior_is_trained_once_and_read_afterwards(tmp_path, monkeypatch):
    slices = tuple(torch.rand(1, 96, 96) for _ in range(2))
    monkeypatch.setattr(priors, "training", lambda data, kind, n: slices[:n])
    monkeypatch.setitem(priors.RECIPES, "tiny", priors.whole(RECIPES["local"].make, 1, 1e-3, "tiny"))
    learner = Learner("tiny", 2)
    trained = learner.prior(tmp_path, tmp_path, 1e8)
    assert trained.card.training["steps"] > 1
    monkeypatch.setattr(priors, "taught", None)
    again = learner.prior(tmp_path, tmp_path, 1e8)
    x = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(trained.denoise(x, 0.1), again.denoise(x, 0.1))


@pytest.mark.parametrize("name", ["multiscale", "padis", "p3-turns"])
def test_priors_of_several_parts_are_taught(name):
    images_ = tuple(torch.rand(1, 97, 98) for _ in range(2))
    prior = priors.taught(RECIPES[name], images_, 1e6)
    assert prior.card.amplitude == pytest.approx(1.0, abs=0.05)
    assert prior.denoise(torch.rand(1, 1, 96, 96), 0.1).isfinite().all()


# --- the plan


def test_every_cell_has_its_own_file_and_a_title():
    found = list(plan.plan())
    assert len({cell.name for cell in found}) == len(found)
    assert all(cell.task in TASKS and cell.shift.tests in images.TESTS for cell in found)
    assert all(tables.title(cell.label) for cell in found)


@pytest.mark.skipif(not (DATA / "brain-slices-ants").exists(), reason="needs ../shared/data")
def test_test_slices_are_in_common_units():
    for name in images.TESTS:
        found = images.tests(DATA, name)
        assert [tuple(x.shape) for x in found] == [(1, 96, 96)] * images.SLICES
        assert all(0.5 < float(x.max()) < 3.01 and float(x.min()) > -0.1 for x in found)


def test_images_are_cut_and_padded_about_their_middle():
    import numpy as np

    image = np.arange(100.0)[:, None] * np.ones(10)
    found = images.fitted(image)
    assert found.shape == (96, 96)
    assert found[0, 48] == 2
    assert found[:, :43].max() == 0
    assert images.evenly(range(9), 1) == [4]
    assert images.evenly(range(9), 3) == [1, 4, 7]


# --- the page


def results_of(cells_) -> dict:
    """Made-up results: six slices, and for scans of learned priors what four draws have."""
    generator, found = torch.Generator().manual_seed(0), []
    for cell in cells_:
        draws = study.Study.draws(cell)
        rows = [{"psnr": 30 + float(torch.randn((), generator=generator)), "processor": 1.0} for _ in range(6)]
        drawn = {"crps": 0.01, "coverage": 0.7, "expected": 0.74, "error": 0.03, "spread": 0.02}
        rows = [{**row, **drawn} for row in rows] if draws > 1 else rows
        shared = {"method": cell.label, "task": cell.task, "shift": cell.shift.name, "strength": 1.0, "tried": {}}
        found.append({**shared, "draws": draws, "slices": rows})
    return {"work": 1e9, "steps": {}, "cells": found}


def test_the_page_has_every_number_and_answers_every_question(tmp_path):
    study.write_page(tmp_path / "study.md", results_of(plan.plan()))
    page = (tmp_path / "study.md").read_text()
    assert "Not measured yet" not in page
    assert {f.name for f in (tmp_path / "study").iterdir()} == {"shifts.png", "sizes.png", "sides.png"}
    found = Results(results_of(plan.plan()))
    assert str(found.difference("p3-100", "tv", "noise-0.1")) in page
    assert "70% (74%)" in page


def test_the_page_names_the_strengths_at_the_end_of_a_grid(tmp_path):
    results = results_of(plan.plan())
    results["cells"][3] |= {"strength": 0.5, "tried": {"0.5": 3.0, "0.65": 2.0}}
    results["cells"][4] |= {"strength": 0.65, "tried": {"0.5": 2.0, "0.65": 3.0, "0.85": 2.5}}
    results["cells"][5] |= {"strength": 1.0, "tried": {"0.316": 2.0, "1": 3.0, "3.16": 2.5}}
    cell, coarse = results["cells"][3], results["cells"][5]
    assert Results(results).at_edge() == [(cell["method"], cell["task"], cell["shift"])]
    assert Results(results).coarse() == [(coarse["method"], coarse["task"], coarse["shift"])]
    assert not is_coarse(Grid().search(lambda value: value))
    study.write_page(tmp_path / "study.md", results)
    page = (tmp_path / "study.md").read_text()
    assert f"({cell['task']}, {cell['shift']}: 0.5)" in page
    assert f"({coarse['task']}, {coarse['shift']}: 1)" in page


def test_a_page_of_a_study_that_was_stopped(tmp_path):
    begun = [cell for cell in plan.plan() if cell.label in ("direct", "tv", "bm3d", "p3-100")]
    study.write_page(tmp_path / "study.md", results_of(begun))
    assert "Not measured yet" in (tmp_path / "study.md").read_text()
