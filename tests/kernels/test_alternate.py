"""Image and parameters of the operator drawn together: against joint posteriors in closed form and by quadrature."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield import kernels
from scorefield.errors import InputError
from scorefield.kernels import (
    Alternate,
    Ancestral,
    Descent,
    GaussNewton,
    GradientStep,
    Heun,
    Hold,
    Imputed,
    Langevin,
    Laplace,
    Marginal,
    Then,
)
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.nuisance import Nuisance
from scorefield.operators import Matrix, Offset, Operator
from scorefield.posteriors import MMPS
from scorefield.priors import Gaussian
from scorefield.samples import All, OnDisk, Reservoir, Running, Samples, Summary
from scorefield.sampling import sample
from scorefield.schedules import Karras
from support import normal

LIKE = torch.empty(0, dtype=torch.float64)
STD, LEVELS = 0.3, Karras(0.005, 20.0).grid(50)


def gaussian(size: int, seed: int) -> Gaussian:
    root = normal(size, size, seed=seed) / math.sqrt(size)
    return Gaussian(normal(size, seed=seed + 1), root @ root.T + 0.1 * torch.eye(size))


PRIOR, THETA = gaussian(4, 1), gaussian(2, 5)
A, B, Y = normal(4, 4, seed=3), normal(4, 2, seed=4), 2 * normal(4, seed=7)
DRIFT = Nuisance(THETA, lambda theta: Offset(Matrix(A), theta @ B.T), "drift")


def drifting(y: Tensor = Y) -> MMPS:
    """y = A x + B theta + n."""
    given = Measurement(y, DRIFT.operator(THETA.mean[None]), White(STD))
    return MMPS(PRIOR, given, iterations=4, tolerance=1e-8)


def joint(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of (x, theta) given y (..., 4), by dense algebra."""
    both, prior = torch.cat([A, B], 1), torch.block_diag(PRIOR.covariance, THETA.covariance)
    mean = torch.cat([PRIOR.mean, THETA.mean])
    gain = prior @ both.T @ torch.linalg.inv(both @ prior @ both.T + STD**2 * torch.eye(4))
    return mean + (y - both @ mean) @ gain.T, prior - gain @ both @ prior


def together(samples: Samples, name: str = "drift") -> Tensor:
    return torch.cat([samples.draws, samples.nuisance[name]], 1)


def assert_moments(found: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Within five standard errors, in units of the standard deviations: that of a covariance is at most sqrt(2/n)."""
    n, std = len(found), covariance.diagonal().sqrt()
    assert ((found.mean(0) - mean) / std).abs().max().item() < 5 / math.sqrt(n)
    missed = (torch.cov(found.T) - covariance) / std / std[:, None]
    assert missed.abs().max().item() < 5 * math.sqrt(2 / n)


def test_draws_have_the_joint_posterior():
    """Eight seeds, together; the image and theta explain the same data, so their correlation matters."""
    kernel = Alternate(Heun(), Laplace(DRIFT, steps=1))
    runs = [sample(drifting(), kernel, LEVELS, n=150, seed=seed, like=LIKE) for seed in range(8)]
    mean, covariance = joint(Y)
    correlation = covariance / covariance.diagonal().sqrt() / covariance.diagonal().sqrt()[:, None]
    assert correlation[:4, 4:].abs().max().item() > 0.5
    assert_moments(torch.cat([together(run) for run in runs]), mean, covariance)


def test_the_denoised_image_alone_would_be_overconfident():
    """What the evidence is for: theta given D with the noise of the data only has too narrow a law."""

    class Plugged(Marginal):
        def __call__(self, posterior, x, sigma, generator):
            belief = super().__call__(posterior, x, sigma, generator)
            return belief._replace(solve=posterior.measurement.gaussian.solve)

    kernel = Alternate(Heun(), Laplace(DRIFT, evidence=Plugged(), steps=1))
    found = together(sample(drifting(), kernel, LEVELS, n=1200, seed=0, like=LIKE))
    mean, covariance = joint(Y)
    with pytest.raises(AssertionError):
        assert_moments(found, mean, covariance)


def test_intervals_cover():
    """200 simulated scans, 19 draws of each, so that the outermost are an interval of level 0.9.

    One walk for all: the data of scan i are 0, behind an operator with the offset -y_i.
    """
    n, generator = 200, torch.Generator().manual_seed(0)
    x, theta = PRIOR.rsample(n, generator), THETA.rsample(n, generator)
    y = x @ A.T + theta @ B.T + STD * normal(n, 4, seed=11)
    own = y.repeat_interleave(19, 0)
    scans = Nuisance(THETA, lambda theta: Offset(Matrix(A), theta @ B.T - own))
    posterior = MMPS(PRIOR, Measurement(torch.zeros(4).double(), Matrix(A), White(STD)), iterations=4)
    kernel = Alternate(Heun(), Laplace(scans, steps=1))
    found = together(sample(posterior, kernel, LEVELS, n=n * 19, seed=1, like=LIKE), "theta").reshape(n, 19, -1)
    truth = torch.cat([x, theta], 1)
    covered = ((truth > found.amin(1)) & (truth < found.amax(1))).double().mean(0)
    assert (covered - 0.9).abs().max().item() < 4 * math.sqrt(0.09 / n)


# theta multiplies a part of the operator: y = (A + theta C) x + n
C, GAIN = normal(4, 4, seed=13), Gaussian(torch.tensor([0.5]).double(), torch.tensor([[0.09]]).double())


class Mixed(Operator):
    def __init__(self, theta: Tensor):
        super().__init__((4,), (4,))
        self.theta = theta

    def _apply(self, x):
        return x @ A.T + self.theta * (x @ C.T)

    def _adjoint(self, y):
        return y @ A + self.theta * (y @ C)


def by_quadrature(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of (x, theta) given y: Gaussian in x, a grid in theta."""
    grid = torch.linspace(-1.5, 2.5, 2001, dtype=torch.float64)[:, None]
    matrices = A + grid[:, :, None] * C
    prior = PRIOR.covariance
    covariance = matrices @ prior @ matrices.mT + STD**2 * torch.eye(4, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(matrices @ PRIOR.mean, covariance)
    weights = (law.log_prob(y) + GAIN.log_prob(grid)).softmax(0)[:, None]
    gain = prior @ matrices.mT @ torch.linalg.inv(covariance)
    means = torch.cat([PRIOR.mean + (gain @ (y - matrices @ PRIOR.mean).unsqueeze(-1)).squeeze(-1), grid], 1)
    mean = (weights * means).sum(0)
    total = (weights * (means - mean)).T @ (means - mean)
    total[:4, :4] += (weights[:, :, None] * (prior - gain @ matrices @ prior)).sum(0)
    return mean, total


def test_a_gain_of_the_operator_by_quadrature():
    nuisance = Nuisance(GAIN, Mixed, "gain")
    posterior = MMPS(PRIOR, Measurement(Y, Mixed(GAIN.mean[None]), White(STD)), iterations=4, tolerance=1e-8)
    evidence = Imputed(Descent(Ancestral(), Karras(0.005, 20.0), 12))
    kernel = Alternate(Heun(), Laplace(nuisance, evidence=evidence, steps=1))
    found = sample(posterior, kernel, LEVELS, n=1000, seed=0, like=LIKE)
    assert_moments(together(found, "gain"), *by_quadrature(Y))


# --- updates


def test_updates_ascend_the_law_of_the_parameters():
    """N(y; A D + B theta, R + A V A^T) N(theta), by dense algebra: its maximum, and its gradient."""
    sigma, x = torch.tensor(0.4).double(), 2 * normal(3, 4)
    first = normal(3, 2, seed=19)
    newton, gradient = (
        update(drifting(), first, x, sigma, torch.Generator())
        for update in (GaussNewton(DRIFT, steps=1), GradientStep(DRIFT, rate=0.02))
    )
    spread = sigma**2 * PRIOR.covariance @ torch.linalg.inv(PRIOR.covariance + sigma**2 * torch.eye(4))
    solve = torch.linalg.inv(STD**2 * torch.eye(4) + A @ spread @ A.T)
    inverse = torch.linalg.inv(THETA.covariance)
    residual = Y - PRIOR.denoise(x, sigma) @ A.T
    goal = torch.linalg.solve(B.T @ solve @ B + inverse, B.T @ solve @ residual.T + (inverse @ THETA.mean)[:, None]).T
    torch.testing.assert_close(newton, goal, rtol=1e-4, atol=1e-4)
    slope = (residual - first @ B.T) @ solve @ B + (THETA.mean - first) @ inverse
    torch.testing.assert_close(gradient, first + 0.02 * slope, rtol=1e-4, atol=1e-4)


def test_every_update_is_exported_with_its_evidence():
    assert {"Alternate", "Laplace", "GaussNewton", "GradientStep", "Marginal", "Imputed"} <= set(kernels.__all__)


@pytest.mark.parametrize("size", [1, 3])
def test_the_prior_of_the_parameters(size):
    """Its score and its curvature, against the covariance."""
    law = gaussian(size, 17)
    nuisance, theta = Nuisance(law, Mixed), normal(5, size)
    inverse = torch.linalg.inv(law.covariance)
    torch.testing.assert_close(nuisance.precision(theta), inverse.expand(5, size, size))
    torch.testing.assert_close(nuisance.score(theta), (law.mean - theta) @ inverse)


# --- what comes with the draws

KERNEL = Alternate(Then(Heun(), Hold(Langevin())), Laplace(DRIFT, steps=1))
SHORT = Karras(0.05, 5.0).grid(5)


def test_samples_save_and_merge_their_parameters(tmp_path):
    keep = All(batch=2)
    one, two = (sample(drifting(), KERNEL, SHORT, n=5, seed=seed, like=LIKE, keep=keep) for seed in (0, 1))
    assert one.nuisance["drift"].shape == (5, 2)
    both = one.merge(two)
    assert torch.equal(both.nuisance["drift"], torch.cat([one.nuisance["drift"], two.nuisance["drift"]]))
    again = Samples.load(both.save(tmp_path / "both.safetensors"))
    assert torch.equal(again.nuisance["drift"], both.nuisance["drift"])
    path = tmp_path / "kept.safetensors"
    for _ in range(2):  # made, then read
        kept = sample(drifting(), KERNEL, SHORT, n=5, seed=0, like=LIKE, keep=OnDisk(path, batch=2))
        assert torch.equal(together(kept), together(one))
    few = sample(drifting(), KERNEL, SHORT, n=5, seed=0, like=LIKE, keep=Reservoir(3, batch=2))
    summary = sample(drifting(), KERNEL, SHORT, n=5, seed=0, like=LIKE, keep=Running(batch=2))
    for found in (summary, Summary.load(summary.save(tmp_path / "summary"))):
        assert torch.equal(found.nuisance["drift"], one.nuisance["drift"])
    rows = together(few)
    assert all((rows[i] == together(one)).all(1).any() for i in range(3))
    with pytest.raises(InputError, match="different nuisance parameters"):
        one.merge(Samples(two.draws, two.cost, two.provenance))


def test_another_prior_of_the_parameters_is_another_sampling(tmp_path):
    path = tmp_path / "kept.safetensors"
    sample(drifting(), KERNEL, SHORT, n=4, seed=0, like=LIKE, keep=OnDisk(path, batch=2))
    other = Nuisance(Gaussian(THETA.mean + 1, THETA.covariance), DRIFT.rule, "drift")
    kernel = Alternate(Then(Heun(), Hold(Langevin())), Laplace(other, steps=1))
    with pytest.raises(InputError, match="another sampling"):
        sample(drifting(), kernel, SHORT, n=4, seed=0, like=LIKE, keep=OnDisk(path, batch=2))


def test_cost_and_provenance_see_the_kernel_and_the_operators_of_each_theta():
    plain = sample(drifting(), KERNEL.kernel, SHORT, n=2, seed=0, like=LIKE)
    found = sample(drifting(), KERNEL, SHORT, n=2, seed=0, like=LIKE)
    assert plain.cost.operator > 0
    assert found.cost.operator > plain.cost.operator
    more = len(SHORT) - 1 + 2  # a linearization for each step, and the two images that the start is moved by
    assert found.cost.forward == plain.cost.forward + 2 * more
    described = str(found.provenance["kernel"])
    for name in ("Alternate", "Heun", "Langevin", "Laplace", "Nuisance", "drift", "Marginal"):
        assert name in described


def test_bad_input_says_so():
    with pytest.raises(InputError, match="Alternate conditions a posterior"):
        sample(PRIOR, KERNEL, SHORT, n=2, seed=0, like=LIKE)
    with pytest.raises(InputError, match=r"vectors \(k,\)"):
        Nuisance(Gaussian(torch.zeros(2, 2), torch.eye(4)), Mixed)
    with pytest.raises(InputError, match="steps >= 1"):
        Laplace(DRIFT, steps=0)
    wrong = Nuisance(THETA, lambda theta: Matrix(normal(3, 4)))
    with pytest.raises(InputError, match="their shapes differ"):
        sample(drifting(), Alternate(Heun(), Laplace(wrong)), SHORT, n=2, seed=0, like=LIKE)
