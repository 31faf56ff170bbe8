"""The error of a mean over an image: right where neighbors share their errors, and the verdicts that rest on it."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.metrics import evaluate
from scorefield.metrics.blocks import block_mean
from scorefield.reports import findings
from scorefield.reports.reading import reading_of
from scorefield.samples import Samples
from support import normal


def smooth(seed: int, side: int = 64, width: int = 4) -> torch.Tensor:
    """White noise of squares of ``width`` pixels: neighbors are equal, so there are fewer numbers than pixels."""
    return normal(1, side // width, side // width, seed=seed).repeat_interleave(width, 1).repeat_interleave(width, 2)


@pytest.mark.parametrize("masked", [False, True])
def test_the_error_of_a_mean_is_that_of_the_mean(masked: bool):
    """Over images, the mean squared error of the mean is its stated square, where pixels suggest a sixteenth of it."""
    mask = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.3 if masked else None
    found = [block_mean(3 + smooth(seed), mask) for seed in range(300)]
    errors = torch.tensor([(one.mean - 3) ** 2 for one in found])
    stated = torch.tensor([one.error**2 for one in found])
    ratio = errors / stated.mean()
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(len(found))
    if not masked:
        assert float(errors.mean()) == pytest.approx(1 / 256, rel=0.4)


def test_two_blocks():
    """0 and 2: the mean 1 of two independent values has the standard error sqrt(2 / 2) = 1."""
    halves = torch.cat([torch.zeros(1, 4, 4), 2 * torch.ones(1, 4, 4)], 2)
    found = block_mean(halves)
    assert (found.mean, found.error, found.blocks) == (1.0, pytest.approx(1.0), 2)


def test_sizes_and_masks():
    values = normal(1, 9, 13)
    mask = torch.zeros(1, 9, 13, dtype=torch.bool)
    mask[0, 2:7, 3:12] = True
    assert block_mean(values).mean == pytest.approx(float(values.mean()))
    assert block_mean(values, mask).mean == pytest.approx(float(values[mask].mean()))
    assert block_mean(values, mask).blocks < block_mean(values).blocks == 3 * 4
    assert block_mean(normal(1, 3, 3)).error == math.inf
    assert block_mean(normal(1, 8, 8, 8)).blocks == 8


def coverage_of(factor: float, side: int = 128, seed: int = 0) -> findings.Finding:
    """The verdict on draws whose spread is ``factor`` times that of the truth."""
    stack = normal(20, 1, side, side, seed=seed)
    samples, truth = Samples(factor * stack[1:]), stack[0]
    return findings.uncertainty(samples, truth, evaluate(samples, truth), reading_of("a.u."))


def test_a_coverage_of_84_for_89_percent_is_too_narrow():
    """16384 independent pixels: 84 % is 20 standard errors from 90 %."""
    found = coverage_of(0.87)
    assert found.numbers.startswith("84.") or found.numbers.startswith("85.")
    assert (found.tone, "too narrow" in found.title) == ("watch", True)
    assert "wider than needed" in coverage_of(1.4).title


def test_the_verdict_states_the_coverage_that_it_would_have_noticed():
    assert coverage_of(1.0).title == "Intervals hold on this image"
    assert "below 88%" in coverage_of(1.0).text
    assert coverage_of(1.0, side=10).title == "This image is too small to judge the intervals"
    assert "would have been noticed" in coverage_of(1.0, side=12).text
    assert coverage_of(1.0, side=4).text == "Too few pixels to tell."
