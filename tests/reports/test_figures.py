"""Figures draw what the numbers say, without touching matplotlib's global state."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import torch

from scorefield.metrics import coverage, interval_width, rank_histogram
from scorefield.reports import figures
from scorefield.samples import Samples
from scorefield.trust.residual import ResidualCheck


@pytest.fixture(params=[torch.float64, torch.complex128], ids=["real", "complex"])
def case(request: pytest.FixtureRequest) -> tuple[Samples, torch.Tensor]:
    every = torch.randn(9, 1, 12, 14, dtype=request.param, generator=torch.Generator().manual_seed(0))
    return Samples(every[1:]), every[0]


def shown(figure: object) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())  # type: ignore[attr-defined]


def test_maps_show_the_samples(case: tuple[Samples, torch.Tensor]):
    samples, truth = case
    real = (lambda x: x.abs()) if truth.is_complex() else (lambda x: x)
    np.testing.assert_allclose(shown(figures.mean(samples)), real(samples.mean)[0])
    np.testing.assert_allclose(shown(figures.std(samples)), samples.std[0])
    np.testing.assert_allclose(shown(figures.width(samples, 0.8)), interval_width(samples, 0.8)[0])
    np.testing.assert_allclose(shown(figures.error(samples, truth)), (real(samples.mean) - real(truth))[0])


def test_errors_are_symmetric_and_spreads_start_at_zero(case: tuple[Samples, torch.Tensor]):
    samples, truth = case
    low, high = figures.error(samples, truth).axes[0].images[0].get_clim()
    assert low == -high
    assert figures.std(samples).axes[0].images[0].get_clim()[0] == 0
    assert figures.mean(samples, window=(-1.0, 2.0)).axes[0].images[0].get_clim() == (-1.0, 2.0)
    assert figures.std(samples, unit="HU").axes[1].get_ylabel() == "HU"


def test_the_coverage_curve_and_the_ranks_are_the_metrics(case: tuple[Samples, torch.Tensor]):
    samples, truth = case
    drawn = figures.coverage_curve(samples, truth).axes[0].lines[1].get_xydata()
    for nominal, observed in drawn:
        assert observed == pytest.approx(coverage(samples, truth, nominal))
    bars = [bar.get_height() for bar in figures.ranks(samples, truth).axes[0].patches]
    assert bars == pytest.approx(rank_histogram(samples, truth).tolist())


def test_residuals_are_relative_to_the_number_of_measurements():
    check = ResidualCheck(100, (90.0, 120.0), 74.2, 129.6)
    axes = figures.residuals(check).axes[0]
    assert axes.lines[-1].get_ydata().tolist() == pytest.approx([0.9, 1.2])
    low, high = axes.get_ylim()
    assert low < 0.742
    assert high > 1.296


def test_every_figure_renders_without_pyplot(case: tuple[Samples, torch.Tensor]):
    samples, truth = case
    loaded = "matplotlib.pyplot" in sys.modules
    for figure in (figures.mean(samples), figures.error(samples, truth), figures.ranks(samples, truth)):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        assert buffer.getvalue().startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == loaded
