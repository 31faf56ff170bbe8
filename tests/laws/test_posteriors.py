"""Laws of every exported posterior, against dense linear algebra and on Jacobians that no theory promises."""

from __future__ import annotations

import inspect
import math
from itertools import pairwise

import pytest
import torch
from benches import tb_g
from torch import Tensor, nn

from scorefield import posteriors
from scorefield.errors import InputError
from scorefield.kernels import DPMpp2M
from scorefield.linalg.solve import Combination, inner
from scorefield.measurement import Measurement
from scorefield.nets import UNet
from scorefield.noise import Colored, Weighted, White
from scorefield.operators import (
    Fourier,
    Identity,
    Matrix,
    RealToComplex,
    Sample,
    birdcage,
    cartesian_mask,
    mri,
)
from scorefield.posteriors import (
    DDNM,
    DDS,
    DPS,
    MMPS,
    AnnealedLikelihood,
    Exact,
    NormMatched,
    PiGDM,
    Projection,
    ScoreALD,
)
from scorefield.posteriors import mmps as mmps_module
from scorefield.prior import Prior, level
from scorefield.priors import AsComplex, Gaussian, Homogeneous, IndependentParts, Network
from scorefield.sampling import sample
from scorefield.schedules import Karras
from scorefield.training.trainer import Settings, Steps, train
from support import LinearDenoiser, complex_normal, normal

BENCH = tb_g()
EXPORTED = [getattr(posteriors, name) for name in posteriors.__all__]
POSTERIORS = [cls for cls in EXPORTED if inspect.isclass(cls) and not inspect.isabstract(cls)]
UNAWARE = {DPS, DDNM, DDS, Projection, NormMatched}  # of the noise, as their docstrings say
every = pytest.mark.parametrize("cls", POSTERIORS, ids=lambda cls: cls.__name__)
LEVELS = torch.tensor([0.05, 0.5, 5.0], dtype=torch.float64)


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def combined(mean: Tensor, covariance: Tensor, a: Tensor, y: Tensor, std: float, x: Tensor, sigma: Tensor) -> Tensor:
    """E[x0 | x, y] for real vectors: two independent observations of one Gaussian, by precisions."""
    inverse = torch.linalg.inv(covariance)
    precision = inverse + torch.eye(len(mean)) / sigma**2 + a.T @ a / std**2
    return torch.linalg.solve(precision, inverse @ mean + x / sigma**2 + a.T @ y / std**2)


ROOT = normal(4, 4, seed=12)

# --- every posterior is a prior


@every
def test_tweedie(cls):
    posterior = cls(BENCH.prior, BENCH.measurement)
    x = 2 * normal(3, 8)
    denoised = posterior.denoise(x, LEVELS)
    torch.testing.assert_close(denoised, x + LEVELS[:, None] ** 2 * posterior.score(x, LEVELS))
    assert isinstance(posterior, Prior)
    assert posterior.event_shape == (8,)
    assert denoised.dtype == x.dtype


@every
def test_each_image_alone(cls):
    posterior = cls(BENCH.prior, BENCH.measurement)
    x = 2 * normal(3, 8)
    alone = torch.cat([posterior.denoise(x[i : i + 1], LEVELS[i]) for i in range(3)])
    # moment matching stops when every draw has converged, so company may add accuracy
    tolerance = 1e-2 if cls is MMPS else 1e-9
    torch.testing.assert_close(posterior.denoise(x, LEVELS), alone, rtol=tolerance, atol=tolerance)


@every
@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_draws_at_the_end_are_centered_on_the_denoised(cls, sigma):
    """By the standard error of n draws in each direction, and what the solver of moment matching leaves."""
    n, posterior = 2000, cls(BENCH.prior, BENCH.measurement)
    x = (BENCH.prior.mean + normal(1, 8)).expand(n, 8)
    drawn = posterior.draw_clean(x, sigma, torch.Generator().manual_seed(0))
    error = drawn.mean(0) - posterior.denoise(x[:1], sigma)[0]
    spread = drawn.std(0)
    assert float(spread.max()) > 0.01 * sigma
    assert bool((error.abs() < (5 / math.sqrt(n) + 0.02) * spread + 1e-9).all())


@every
@pytest.mark.parametrize("sigma", [0.3, 3.0])
def test_infinite_noise_returns_the_prior(cls, sigma):
    x = normal(3, 8)
    blind = cls(BENCH.prior, Measurement(BENCH.measurement.y, BENCH.measurement.operator, White(1e10)))
    seen = cls(BENCH.prior, BENCH.measurement)
    prior = BENCH.prior.denoise(x, sigma)
    assert (seen.denoise(x, sigma) - prior).norm().item() > 1e-2
    if cls in UNAWARE:
        torch.testing.assert_close(blind.denoise(x, sigma), seen.denoise(x, sigma))
    else:
        torch.testing.assert_close(blind.denoise(x, sigma), prior, rtol=1e-8, atol=1e-8)


@every
def test_single_precision_stays_single(cls):
    prior = Gaussian(BENCH.prior.mean.float(), BENCH.prior.covariance.float())
    given = Measurement(BENCH.measurement.y.float(), BENCH.measurement.operator, White(0.1))
    posterior, x = cls(prior, given), 2 * normal(3, 8)
    found = posterior.denoise(x.float(), LEVELS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), cls(BENCH.prior, BENCH.measurement).denoise(x, LEVELS), rtol=0.02, atol=0.02
    )


NOISES = {"weighted": Weighted(t(0.05, 0.1, 0.2, 0.4)), "colored": Colored(ROOT @ ROOT.T / 100)}
ALIEN = UNAWARE | {ScoreALD}  # ScoreALD adds white noise to the data in their own units


@every
@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_any_gaussian_noise(cls, noise):
    """The posterior of a scan is that of the whitened scan; where no noise plays a part, that of any other noise."""
    given, x = Measurement(BENCH.measurement.y, BENCH.measurement.operator, noise), 2 * normal(3, 8)
    found = cls(BENCH.prior, given).denoise(x, LEVELS)
    other = cls(BENCH.prior, BENCH.measurement).denoise(x, LEVELS)
    if cls in UNAWARE:
        assert torch.equal(found, other)
        return
    assert (found - other).norm() > 1e-3
    if cls not in ALIEN:
        expected = cls(BENCH.prior, given.whitened).denoise(x, LEVELS)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_score_ald_adds_white_noise_to_any_other(noise):
    given, x, a = Measurement(BENCH.measurement.y, BENCH.measurement.operator, noise), normal(3, 8), BENCH.matrix
    added = (0.7 * given.gain) ** 2 * torch.eye(4)
    covariance = noise.color(noise.color(torch.eye(4, dtype=torch.float64))) + added
    pull = torch.linalg.solve(covariance, (given.y - x @ a.T).T).T @ a
    found = ScoreALD(BENCH.prior, given).score(x, 0.7)
    torch.testing.assert_close(found, BENCH.prior.score(x, 0.7) + pull)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_moment_matching_is_exact_under_any_gaussian_noise(noise):
    given, x = Measurement(BENCH.measurement.y, BENCH.measurement.operator, noise), 2 * normal(3, 8)
    a, y, identity = BENCH.matrix, BENCH.measurement.y[0], torch.eye(4, dtype=torch.float64)
    for sigma in LEVELS:
        law = (BENCH.prior.mean, BENCH.prior.covariance, noise.whiten(identity) @ a, noise.whiten(y[None])[0], 1.0)
        expected = torch.stack([combined(*law, u, sigma) for u in x])
        for posterior in (MMPS(BENCH.prior, given, **ACCURATE), Exact(BENCH.prior, given)):
            torch.testing.assert_close(posterior.denoise(x, sigma), expected, rtol=1e-6, atol=1e-6)


def test_conditioning_a_conditioned_law():
    """Two scans, one after the other, know what both know together."""
    a, y = normal(3, 8, seed=8), normal(3, seed=9)
    second = Measurement(y, Matrix(a), White(0.2))
    x, sigma = normal(1, 8), t(0.7)[0]
    found = MMPS(Exact(BENCH.prior, BENCH.measurement), second, tolerance=1e-10).denoise(x, sigma)
    expected = combined(BENCH.mean, BENCH.covariance, a, y, 0.2, x[0], sigma)
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-6)


# --- moment matching is exact on Gaussians

ACCURATE = {"iterations": 20, "tolerance": 1e-12}
C = complex_normal(4, 8, seed=3) / 4
STACKED = torch.cat([torch.cat([C.real, -C.imag], 1), torch.cat([C.imag, C.real], 1)])


@pytest.mark.parametrize("sigma", LEVELS)
def test_mmps_real(sigma):
    x = 2 * normal(3, 8)
    found = MMPS(BENCH.prior, BENCH.measurement, **ACCURATE).denoise(x, sigma)
    law = (BENCH.prior.mean, BENCH.prior.covariance, BENCH.matrix, BENCH.measurement.y[0], 0.1)
    expected = torch.stack([combined(*law, u, sigma) for u in x])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma", LEVELS)
def test_mmps_complex_data_of_a_real_image(sigma):
    y = complex_normal(4, seed=5)
    given = Measurement(y, Matrix(C) @ RealToComplex((8,)), White(0.1))
    x = 2 * normal(3, 8)
    a, data = torch.cat([C.real, C.imag]), torch.cat([y.real, y.imag])
    expected = [combined(BENCH.prior.mean, BENCH.prior.covariance, a, data, 0.1, u, sigma) for u in x]
    found = MMPS(BENCH.prior, given, **ACCURATE).denoise(x, sigma)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma", LEVELS)
@pytest.mark.parametrize("lift", ["parts", "channels"])
def test_mmps_complex_images(lift, sigma):
    if lift == "parts":
        prior: Prior = IndependentParts(BENCH.prior)
        mean = BENCH.prior.mean.repeat(2)
        covariance = torch.block_diag(BENCH.prior.covariance, BENCH.prior.covariance)
    else:
        root = normal(16, 16, seed=6) / 4
        mean, covariance = normal(16, seed=7), root @ root.T + 0.02 * torch.eye(16)
        prior = AsComplex(Gaussian(mean, covariance))
    y, x = complex_normal(4, seed=5), 2 * complex_normal(3, 8)
    found = MMPS(prior, Measurement(y, Matrix(C), White(0.1)), **ACCURATE).denoise(x, sigma)
    pairs = torch.cat([x.real, x.imag], 1)
    data = torch.cat([y.real, y.imag])
    expected = torch.stack([combined(mean, covariance, STACKED, data, 0.1, u, sigma) for u in pairs])
    torch.testing.assert_close(torch.cat([found.real, found.imag], 1), expected, rtol=1e-6, atol=1e-6)


def test_mmps_with_fewer_iterations_is_nearer_than_none_and_farther_than_all():
    x, sigma = 2 * normal(3, 8), 0.5
    exact = Exact(BENCH.prior, BENCH.measurement).denoise(x, sigma)
    errors = [(BENCH.prior.denoise(x, sigma) - exact).norm().item()]
    for iterations in (1, 2, 4):
        found = MMPS(BENCH.prior, BENCH.measurement, iterations=iterations, tolerance=0).denoise(x, sigma)
        errors.append((found - exact).norm().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-9  # four numbers were measured


# --- the other closed forms


@pytest.mark.parametrize("sigma", LEVELS)
def test_pigdm_is_exact_on_white_priors(sigma):
    std, x = 0.7, normal(3, 8)
    prior = Gaussian(BENCH.prior.mean, std**2 * torch.eye(8, dtype=torch.float64))
    found = PiGDM(prior, BENCH.measurement).denoise(x, sigma)
    law = (prior.mean, prior.covariance, BENCH.matrix, BENCH.measurement.y[0], 0.1)
    torch.testing.assert_close(found, torch.stack([combined(*law, u, sigma) for u in x]), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("sigma", LEVELS)
def test_pigdm_in_general_is_its_formula(sigma):
    x, a = normal(3, 8), BENCH.matrix
    mean, jacobian = BENCH.prior.denoise(x, sigma), dense_jacobian(sigma)
    r2 = sigma**2 * 0.09 / (sigma**2 + 0.09)
    gain = sigma**2 * jacobian @ a.T @ torch.linalg.inv(0.01 * torch.eye(4) + r2 * a @ a.T)
    expected = mean + (BENCH.measurement.y - mean @ a.T) @ gain.T
    found = PiGDM(BENCH.prior, BENCH.measurement, data_std=0.3 / BENCH.prior.extent).denoise(x, sigma)
    torch.testing.assert_close(found, expected)


def dense_jacobian(sigma: Tensor) -> Tensor:
    covariance = BENCH.prior.covariance
    return covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(8))


@pytest.mark.parametrize("sigma", LEVELS)
def test_dps_descends_the_norm_of_the_residual(sigma):
    """E16: grad |y - A D| = -J^T A^T r / |r|, each draw with its own norm."""
    x, a = normal(3, 8), BENCH.matrix
    mean = BENCH.prior.denoise(x, sigma)
    residual = BENCH.measurement.y - mean @ a.T
    gradient = -(residual @ a @ dense_jacobian(sigma)) / residual.norm(dim=1, keepdim=True)
    found = DPS(BENCH.prior, BENCH.measurement, weight=0.4).denoise(x, sigma)
    weight = 0.4 * BENCH.prior.extent / BENCH.measurement.gain
    torch.testing.assert_close(found, mean - weight * gradient)
    leaf = x.clone().requires_grad_()
    norms = (BENCH.measurement.y - BENCH.prior.denoise(leaf, sigma) @ a.T).norm(dim=1)
    torch.testing.assert_close(torch.autograd.grad(norms.sum(), leaf)[0], gradient)


def test_dps_of_perfectly_fitted_data_moves_nowhere():
    prior = Gaussian(torch.zeros(8), torch.zeros(8, 8))
    given = Measurement(torch.zeros(8), Identity((8,)), White(1.0))
    assert torch.equal(DPS(prior, given).denoise(torch.ones(1, 8), 1.0), torch.zeros(1, 8))


@pytest.mark.parametrize("inflation", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("sigma", LEVELS)
def test_annealed_likelihood_is_its_formula(sigma, inflation):
    x, a = normal(3, 8), BENCH.matrix
    posterior = AnnealedLikelihood(BENCH.prior, BENCH.measurement, inflation=inflation)
    covariance = 0.01 * torch.eye(4) + inflation * sigma**2 * a @ a.T
    pull = torch.linalg.solve(covariance, (BENCH.measurement.y - x @ a.T).T).T @ a
    torch.testing.assert_close(posterior.score(x, sigma), BENCH.prior.score(x, sigma) + pull)
    assert AnnealedLikelihood(BENCH.prior, BENCH.measurement).inflation == 1


def test_without_inflation_it_is_the_score_of_the_clean_posterior():
    x = normal(3, 8)
    posterior = AnnealedLikelihood(BENCH.prior, BENCH.measurement, inflation=0)
    expected = -torch.linalg.solve(BENCH.covariance, (x - BENCH.mean).T).T
    torch.testing.assert_close(posterior.score(x, 0.0), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("sigma", LEVELS)
def test_exact_delegates(sigma):
    x = normal(3, 8)
    posterior, density = Exact(BENCH.prior, BENCH.measurement), BENCH.prior.posterior(BENCH.measurement)
    assert torch.equal(posterior.denoise(x, sigma), density.denoise(x, sigma))
    assert torch.equal(posterior.score(x, sigma), density.score(x, sigma))
    law = (BENCH.prior.mean, BENCH.prior.covariance, BENCH.matrix, BENCH.measurement.y[0], 0.1)
    expected = torch.stack([combined(*law, u, sigma) for u in x])
    torch.testing.assert_close(posterior.denoise(x, sigma), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Exact(LinearDenoiser(torch.eye(8)), BENCH.measurement),
        lambda: MMPS(BENCH.prior, BENCH.measurement, iterations=0),
        lambda: MMPS(BENCH.prior, BENCH.measurement, tolerance=-1),
        lambda: MMPS(BENCH.prior, BENCH.measurement, tolerance=math.nan),
        lambda: DPS(BENCH.prior, BENCH.measurement, weight=0),
        lambda: PiGDM(BENCH.prior, BENCH.measurement, data_std=-1),
        lambda: AnnealedLikelihood(BENCH.prior, BENCH.measurement, inflation=-1),
        lambda: AnnealedLikelihood(BENCH.prior, BENCH.measurement, inflation=math.nan),
    ],
)
def test_bad_options_are_refused(make):
    with pytest.raises(InputError):
        make()


# --- learned priors: Jacobians that are neither symmetric nor positive


def plain_conjugate_gradients(matrix, v: Tensor, precondition, *, tolerance: float, iterations: int):
    """Hestenes and Stiefel's recurrence, without a preconditioner or the library's check of the curvature."""

    def over(a: Tensor) -> Tensor:
        return a.to(v.real.dtype).reshape(-1, *[1] * (v.ndim - 1))

    u, r, p, steps = torch.zeros_like(v), v, v, []
    rr = inner(r, r)
    for _ in range(iterations):
        q = matrix(p)
        steps.append(rr / inner(p, q))
        u, r = u + over(steps[-1]) * p, r - over(steps[-1]) * q
        rr, previous = inner(r, r), rr
        p = r + over(rr / previous) * p
    return u, Combination(torch.stack(steps, 1))


@pytest.fixture
def misfits(monkeypatch):
    """Relative residuals of every system that moment matching solves, by the solver put in its place."""

    def watch(solver) -> list[float]:
        found: list[float] = []

        def spy(matrix, v, precondition, **options):
            u, combination = solver(matrix, v, precondition, **options)
            r = v - matrix(u)
            found.append((inner(r, r) / inner(v, v)).sqrt().max().item())
            return u, combination

        monkeypatch.setattr(mmps_module, "flexible_gmres", spy)
        return found

    solver = mmps_module.flexible_gmres
    return {"ours": lambda: watch(solver), "plain": lambda: watch(plain_conjugate_gradients)}


class Crooked(LinearDenoiser):
    """A smoother plus a matrix with no symmetry: its Jacobian has negative and complex eigenvalues."""

    def __init__(self, side: int, strength: float):
        place = torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 2)
        values, basis = torch.linalg.eigh(torch.exp(-torch.cdist(place, place) / 3))
        super().__init__(strength * normal(side**2, side**2, seed=11) / side)
        self.values, self.basis = values, basis

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        modes = x.flatten(1) @ self.basis
        shrink = self.values / (self.values + level(sigma, modes).square())
        return ((shrink * modes) @ self.basis.T).reshape(x.shape) + super().denoise(x, sigma)


def crooked(side: int) -> Prior:
    prior = Crooked(side, 0.6)
    jacobian = prior.linearize(torch.zeros(side**2, 1, side, side).double(), 1.0)[1](
        torch.eye(side**2, dtype=torch.float64).reshape(-1, 1, side, side)
    ).reshape(side**2, side**2)
    assert torch.linalg.eigvals(jacobian).real.min().item() < -0.2
    assert (jacobian - jacobian.T).norm() > 0.5 * jacobian.norm()
    return IndependentParts(prior)


def untrained(side: int) -> Prior:
    """A network that plain conjugate gradients do not survive, as about half of those with random weights are."""
    net, generator = UNet(widths=(8, 12), blocks=1).double(), torch.Generator().manual_seed(3)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.12, generator=generator)
    return IndependentParts(Network(net, Homogeneous()))


def multicoil(side: int) -> tuple[Measurement, Tensor]:
    """A disk with phase, four coils, a third of the lines, one per cent noise."""
    axis = torch.linspace(-1, 1, side, dtype=torch.float64)
    square = axis[:, None] ** 2 + axis**2
    x = torch.polar((square < 0.7).double() + 0.5 * (square < 0.1), axis[:, None] + 0.5 * axis)[None, None]
    generator = torch.Generator().manual_seed(0)
    shape = (1, side, side)
    operator = mri(cartesian_mask(shape, 3, center_fraction=0.15, generator=generator), birdcage(4, shape))
    clean = operator(x)
    return Measurement(clean + White(0.01).sample(clean, generator), operator, White(0.01)), x


def draws(prior: Prior, given: Measurement, iterations: int) -> Tensor:
    posterior = MMPS(prior, given, iterations=iterations, tolerance=0)
    sigmas = Karras(0.01, 1.5).grid(12)
    return sample(posterior, DPMpp2M(), sigmas, n=2, seed=0, like=given.y).draws


@pytest.mark.parametrize("make", [crooked, untrained])
def test_moment_matching_survives_jacobians_of_any_kind(make, misfits):
    """No residual grows, and data do not make these draws larger; plain conjugate gradients blow them up."""
    prior, (given, _) = make(16), multicoil(16)
    sigmas = Karras(0.01, 1.5).grid(12)
    alone = sample(prior, DPMpp2M(), sigmas, n=2, seed=0, like=given.y.new_empty(given.shape)).draws
    ours = misfits["ours"]()
    matched = draws(prior, given, 8)
    assert max(ours) <= 1 + 1e-9  # no system is left worse than it was
    assert matched.abs().max().item() < alone.abs().max().item()
    plain = misfits["plain"]()
    try:
        blown = draws(prior, given, 8).abs().max().item()
    except InputError:  # not even finite
        blown = math.inf
    assert not max(plain) < 2
    assert blown > 1000 * matched.abs().max().item()


@pytest.mark.parametrize("make", [crooked, untrained])
@pytest.mark.parametrize("sigma", [0.03, 0.3, 1.5])
def test_more_iterations_never_fit_worse(make, sigma, misfits):
    prior, (given, x) = make(16), multicoil(16)
    noisy = x + sigma * complex_normal(2, 1, 16, 16)
    found = misfits["ours"]()
    for iterations in range(1, 13):
        MMPS(prior, given, iterations=iterations, tolerance=0).denoise(noisy, sigma)
    assert all(after <= before * (1 + 1e-9) for before, after in pairwise(found))
    assert found[-1] < found[0] <= 1 + 1e-12


def test_a_nearly_singular_system_is_cut_back():
    """J = -c I makes the whitened matrix (1 - c sigma^2/std^2) I: no solution is longer than its right-hand side."""
    std, sigma, x = 0.5, 2.0, normal(3, 8)
    for gap in (1e-3, -1e-3, 0.5):
        c = (1 - gap) * std**2 / sigma**2
        prior = LinearDenoiser(-c * torch.eye(8))
        given = Measurement(normal(8, seed=1), Identity((8,)), White(std))
        moved = MMPS(prior, given).denoise(x, sigma) - prior.denoise(x, sigma)
        expected = -(1 - gap) * math.copysign(1, gap) * given.residual(prior.denoise(x, sigma))
        torch.testing.assert_close(moved, expected)


# --- the same with a scan


def brain(shared) -> Measurement:
    """The central 64 x 48 of an 8-coil brain k-space; maps from its fully sampled center, noise from its edge."""
    path = shared / "mri-brain8ch-sigpy" / "cartesian_ksp.npy"
    if not path.is_file():
        pytest.skip("the raw brain k-space (../shared/data/mri-brain8ch-sigpy) is absent")
    import numpy as np

    full = torch.from_numpy(np.load(path))
    measured = full.abs().sum(0) > 0
    std = torch.view_as_real(full[:, :20][:, measured[:20]]).std().item()
    rows, columns = slice(115 - 32, 115 + 32), slice(90 - 24, 90 + 24)
    kspace, mask = full[:, rows, columns], measured[rows, columns][None]
    window = torch.zeros(64, 48)
    window[20:44, 12:36] = torch.outer(*[torch.hann_window(26)[1:-1]] * 2)
    low = Fourier((8, 64, 48)).H((kspace * window)[None])[0]
    root = low.abs().square().sum(0).sqrt()
    operator = mri(mask, low / root.clamp(min=0.02 * root.max()))
    size = root.quantile(0.99).item()  # the image's intensity, so that the prior's unit is about 1
    return Measurement(Sample(mask, (8, 64, 48))(kspace[None]) / size, operator, White(std / size))


def disks(n: int, generator: torch.Generator) -> list[Tensor]:
    axis = torch.linspace(-1, 1, 48)
    images = []
    for _ in range(n):
        numbers = torch.rand(5, 4, generator=generator)
        inside = [
            ((axis[:, None] - 1.4 * a + 0.7) ** 2 + (axis - 1.4 * b + 0.7) ** 2 < 0.3 * c) * d for a, b, c, d in numbers
        ]
        images.append((sum(inside) / 2)[None])  # pyright: ignore
    return images


def test_a_real_scan_with_a_barely_trained_network(shared, misfits, generator):
    given = brain(shared)
    prior = Network(UNet(widths=(16, 24), blocks=1), Homogeneous(), crop=32)
    train(prior, disks(8, generator), budget=Steps(40), settings=Settings(batch=8))
    ours = misfits["ours"]()
    matched = draws(IndependentParts(prior), given, 8)
    assert max(ours) < 1
    assert matched.abs().max().item() < 3  # the prior's unit is the image's intensity
    # the scan is fitted to within a small multiple of its noise: 1 would be exact
    chi = (given.residual(matched).abs().square().mean() / (2 * given.noise.variance)).sqrt().item()  # pyright: ignore
    assert chi < 3
    plain = misfits["plain"]()
    draws(IndependentParts(prior), given, 8)
    assert max(plain) > 2 * max(ours)


def test_a_real_scan_with_an_untrained_network(shared, misfits):
    """Its Jacobian is indefinite: plain conjugate gradients overflow, moment matching does not."""
    given = brain(shared)
    net = UNet(widths=(16, 24), blocks=1)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    prior = IndependentParts(Network(net, Homogeneous()))
    ours = misfits["ours"]()
    assert bool(draws(prior, given, 4).isfinite().all())
    assert max(ours) <= 1 + 1e-5
    misfits["plain"]()
    with pytest.raises(InputError, match="diverged"):
        draws(prior, given, 4)


@pytest.mark.parametrize("seed", range(3))
def test_conditioning_twice_is_conditioning_on_both(seed):
    """MMPS of MMPS against the exact posterior of both scans, and against MMPS of the stacked scan."""
    bench = tb_g(seed)
    rows, y = bench.matrix, bench.measurement.y
    parts = [Measurement(y[0, i], Matrix(rows[i]), White(0.1)) for i in (slice(0, 1), slice(1, 4))]
    first = posteriors.MMPS(bench.prior, parts[0], tolerance=1e-12)
    both = posteriors.MMPS(first, parts[1], tolerance=1e-12)
    exact = bench.prior.posterior(Measurement(y[0], Matrix(rows), White(0.1)))
    x = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for sigma in (0.1, 1.0, 10.0):
        torch.testing.assert_close(both.denoise(x, sigma), exact.denoise(x, sigma), rtol=1e-6, atol=1e-8)
