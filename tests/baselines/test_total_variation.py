"""Total variation: closed forms, optimality, an independent implementation, and the oracle's search."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle

from scorefield import operators
from scorefield.baselines import total_variation, tuned_total_variation
from scorefield.baselines.fidelity import Fidelity
from scorefield.baselines.tv import length
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import psnr
from scorefield.noise import White
from scorefield.operators import Differences
from scorefield.randomness import normal_like


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disk(n: int, radius: float) -> torch.Tensor:
    axis = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    return (axis[:, None] ** 2 + axis**2 < radius**2).double()[None]


def denoising(y: torch.Tensor, std: float = 0.1) -> Measurement:
    return Measurement(y, operators.Identity(tuple(y.shape)), White(std))


def objective(x: torch.Tensor, measurement: Measurement, weight: float) -> float:
    misfit = 0.5 * (measurement.operator(x[None]) - measurement.y).abs().square().sum()
    return float(misfit + weight * length(Differences(tuple(x.shape))(x[None])).sum())


@pytest.mark.parametrize("phase", [1.0, 1j])
@pytest.mark.parametrize("weight", [0.1, 0.7, 3.0])
def test_two_pixels_shrink_their_difference_by_twice_the_weight(weight: float, phase: complex):
    y = phase * torch.tensor([[[1.0, 4.0]]], dtype=torch.complex128 if isinstance(phase, complex) else torch.float64)
    x = total_variation(denoising(y), weight, tolerance=1e-9)
    half = max(3 - 2 * weight, 0) / 2
    wanted = phase * torch.tensor([[[2.5 - half, 2.5 + half]]], dtype=y.dtype)
    torch.testing.assert_close(x, wanted.to(y.dtype), atol=1e-4, rtol=0)


@pytest.mark.parametrize("weight", [0.03, 0.1, 0.4])
def test_denoising_meets_scikit_image_at_convergence(weight: float):
    y = disk(32, 10) + 0.1 * normal_like(disk(32, 10), generator())
    measurement = denoising(y)
    reference = torch.from_numpy(denoise_tv_chambolle(y[0].numpy(), weight, eps=1e-12, max_num_iter=4000))[None]
    x = total_variation(measurement, weight, tolerance=1e-4)
    ours, theirs = objective(x, measurement, weight), objective(reference, measurement, weight)
    assert ours <= theirs * (1 + 1e-4)
    assert ours >= theirs * (1 - 1e-3)  # theirs is a minimum up to its own stopping rule
    assert float((x - reference).abs().max()) < 0.02


@pytest.mark.parametrize("weight", [0.05, 1.0])
def test_the_stopping_rule_bounds_the_objective_with_missing_pixels(weight: float):
    """No point near the solution is better by more than the tolerance: a random search cannot beat it."""
    truth = normal_like(torch.zeros(1, 8, 8, dtype=torch.float64), generator())
    operator = operators.Mask((torch.rand(1, 8, 8, generator=generator(1)) < 0.6).double(), (1, 8, 8))
    measurement = Measurement(operator(truth[None]), operator, White(0.1))
    x = total_variation(measurement, weight, tolerance=1e-4)
    best = objective(x, measurement, weight)
    tight = total_variation(measurement, weight, tolerance=1e-6, iterations=5000)
    assert best <= objective(tight, measurement, weight) * (1 + 1e-4)
    for size in (1e-1, 1e-2, 1e-3):
        for seed in range(20):
            near = tight + size * normal_like(tight, generator(seed))
            assert objective(near, measurement, weight) >= best * (1 - 1e-4)


def test_a_constant_phase_and_a_change_of_units_pass_through():
    x = disk(16, 5).to(torch.complex128) * torch.exp(torch.tensor(0.4j))
    operator = operators.mri(operators.cartesian_mask((1, 16, 16), 2.0, generator=generator()))
    y = operator(x[None]) + 0.05 * normal_like(operator(x[None]), generator(1))
    plain = total_variation(Measurement(y, operator, White(0.05)), 0.02)
    turn = torch.exp(torch.tensor(1.1j, dtype=torch.complex128))
    turned = total_variation(Measurement(turn * y, operator, White(0.05)), 0.02)
    torch.testing.assert_close(turned, turn * plain, atol=1e-9, rtol=0)
    louder = total_variation(Measurement(1000 * y, operator, White(50.0)), 20.0)
    torch.testing.assert_close(louder, 1000 * plain, atol=1e-6, rtol=0)
    longer = total_variation(Measurement(y, 50.0 * operator, White(0.05)), 1.0)
    torch.testing.assert_close(longer, plain / 50, atol=1e-9, rtol=0)


def test_limits_of_the_weight():
    y = normal_like(torch.zeros(1, 6, 5, dtype=torch.float64), generator())
    flat = total_variation(denoising(y), 1e3, tolerance=1e-8)
    torch.testing.assert_close(flat, y.mean().expand_as(y), atol=1e-3, rtol=0)
    torch.testing.assert_close(total_variation(denoising(y), 1e-6, tolerance=1e-8), y, atol=1e-4, rtol=0)


def test_precise_data_count_for_more():
    """Weighted as the noise says: f scaled by the mean precision is the negative log-likelihood."""
    y = normal_like(torch.zeros(1, 4, 4, dtype=torch.float64), generator())
    measurement = denoising(y, 0.3)
    fidelity = Fidelity(measurement)
    x = normal_like(y[None], generator(1))
    drop = measurement.log_likelihood(y[None]) - measurement.log_likelihood(x)
    torch.testing.assert_close(fidelity.value(x) / fidelity.variance, drop)


def test_three_dimensions_and_single_precision():
    y = torch.zeros(1, 4, 8, 8)
    y[:, :, 2:6, 2:6] = 1
    noisy = y + 0.1 * normal_like(y, generator())
    x = total_variation(denoising(noisy), 0.1)
    assert x.dtype == torch.float32
    reference = denoise_tv_chambolle(noisy[0].double().numpy(), 0.1, eps=1e-12, max_num_iter=3000)
    assert float((x[0].double() - torch.from_numpy(reference)).abs().max()) < 0.02


def test_too_few_iterations_warn_and_bad_weights_are_refused():
    y = disk(16, 5) + 0.1 * normal_like(disk(16, 5), generator())
    with pytest.warns(RuntimeWarning, match="relative gap"):
        total_variation(denoising(y), 0.1, iterations=3)
    for weight in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="weight"):
            total_variation(denoising(y), weight)
    vector = Measurement(torch.ones(3), operators.Identity((3,)), White(0.1))
    with pytest.raises(InputError, match="channel axis"):
        total_variation(vector, 0.1)


def test_the_oracle_is_the_best_weight_of_an_independent_implementation():
    truth = disk(64, 16)
    y = truth + 0.1 * normal_like(truth, generator())
    best = tuned_total_variation(denoising(y), truth)
    theirs = max(
        psnr(
            torch.from_numpy(denoise_tv_chambolle(y[0].numpy(), w, eps=1e-9, max_num_iter=1000))[None],
            truth,
            peak=1.0,
        )
        for w in np.geomspace(0.07, 0.16, 9)
    )
    assert best.psnr == pytest.approx(theirs, abs=0.05)
    assert best.psnr >= 33.5
    assert best.psnr == psnr(best.image, truth, peak=1.0)
    assert best.interior
    assert best.peak == 1.0
    alone = total_variation(denoising(y), best.parameter)
    torch.testing.assert_close(best.image, alone, rtol=0, atol=0.01)
    for factor in (0.8, 1.25):
        assert psnr(total_variation(denoising(y), factor * best.parameter), truth, peak=1.0) < best.psnr


def test_the_oracle_extends_its_grid_to_a_weight_far_from_the_noise():
    truth = disk(16, 5)
    y = truth + 1e-3 * normal_like(truth, generator())
    exaggerated = tuned_total_variation(denoising(y, std=10.0), truth)  # a grid ten thousand times too high
    right = tuned_total_variation(denoising(y, std=1e-3), truth)
    assert exaggerated.interior
    assert exaggerated.parameter == pytest.approx(right.parameter, rel=0.5)
    assert exaggerated.psnr == pytest.approx(right.psnr, abs=0.1)


def test_of_a_constant_the_oracle_finds_the_mean():
    constant = torch.ones(1, 8, 8, dtype=torch.float64)
    y = constant + 0.1 * normal_like(constant, generator())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = tuned_total_variation(denoising(y), constant, iterations=200)
    flat = y.mean().expand(y.shape)  # what any large weight leaves
    assert found.psnr == pytest.approx(psnr(flat, constant, peak=1.0), abs=0.1)
    with pytest.raises(InputError, match="shape"):
        tuned_total_variation(denoising(y), constant[:, :4])
