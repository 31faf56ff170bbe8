"""Every law of the data: normalized, its score the gradient, its draws as probable as they should be."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor

from scorefield import noise
from scorefield.data import sample_scans
from scorefield.errors import InputError
from scorefield.kernels import Descent, DPMpp2M, MarkovChain, PerturbAndMap, SplitGibbs
from scorefield.linalg.covariance import Isotropic
from scorefield.linalg.parts import as_rows, from_rows
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.noise import Colored, Gaussian, PoissonEmission, PoissonTransmission, Rician, Weighted, White
from scorefield.operators import Fourier, Identity, Matrix, Mix, birdcage, mri
from scorefield.posteriors import MMPS
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.randomness import normal_like
from scorefield.sampling import walk
from scorefield.schedules import Karras
from support import complex_normal, normal

MAP = 0.2 + normal(3, 4, seed=8).abs()
ROOT, COMPLEX_ROOT = normal(3, 3, seed=5), complex_normal(3, 3, seed=5)
POSITIVE = 1 + 4 * torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(3)).double()
# the law, and noiseless values of two batches of data (3, 4)
LAWS = {
    "white": (White(0.6), normal(2, 3, 4)),
    "white, complex": (White(0.6), complex_normal(2, 3, 4)),
    "weighted": (Weighted(MAP), normal(2, 3, 4)),
    "weighted by channel, complex": (Weighted(MAP[:, :1]), complex_normal(2, 3, 4)),
    "colored": (Colored(ROOT @ ROOT.T), normal(2, 3, 4)),
    "colored, complex": (Colored(COMPLEX_ROOT @ COMPLEX_ROOT.mH), complex_normal(2, 3, 4)),
    "emission": (PoissonEmission(), POSITIVE),
    "emission, background": (PoissonEmission(MAP), POSITIVE),
    "transmission": (PoissonTransmission(200.0), POSITIVE),
    "transmission, background": (PoissonTransmission(20 * MAP, 0.7), POSITIVE / 3),
    "rician": (Rician(0.6), normal(2, 3, 4)),
    "rician, complex": (Rician(0.6), complex_normal(2, 3, 4)),
}
every = pytest.mark.parametrize("name", LAWS)


def test_every_exported_law_is_here():
    classes = {getattr(noise, n) for n in noise.__all__ if inspect.isclass(getattr(noise, n))}
    assert {c for c in classes if not inspect.isabstract(c)} == {type(law) for law, _ in LAWS.values()}


@every
def test_the_score_is_the_gradient(name, generator):
    law, mean = LAWS[name]
    y = law.corrupt(mean[:1], generator)
    leaf = mean.clone().requires_grad_()
    value = law.log_likelihood(y.clamp(min=0.1) if isinstance(law, Rician) else y, leaf)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    assert value.shape == (2,)
    torch.testing.assert_close(law.score(y.clamp(min=0.1) if isinstance(law, Rician) else y, mean), gradient)


def narrow(law: noise.Noise, levels: str) -> noise.Noise:
    """The same law on the first column of its data, where ``levels`` is a map over them."""
    return type(law)(getattr(law, levels)[:, :1], *([law.background] if levels == "blank" else []))  # pyright: ignore


@every
def test_draws_belong_to_the_density(name, generator):
    """Under the law's own draws E score = 0, E p(y | m') / p(y | m) = 1, and the score's variance is its mean slope."""
    law, mean = LAWS[name]
    n, mean, step = 20_000, mean[:1, :, :1], 0.01
    maps = {"weighted": "std", "emission, background": "background", "transmission, background": "blank"}
    law = narrow(law, maps[name]) if name in maps else law
    y = law.corrupt(mean.expand(n, -1, -1), generator)
    score, other = law.score(y, mean.expand(n, -1, -1)), mean + step
    parts = torch.view_as_real(score).flatten(1) if score.is_complex() else score.flatten(1)
    assert bool((parts.mean(0).abs() < 5 * parts.std(0) / math.sqrt(n)).all())
    ratio = (law.log_likelihood(y, other) - law.log_likelihood(y, mean)).exp()
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / math.sqrt(n)
    slope = ((score - law.score(y, other)) / step).flatten(1).real.mean(0).sum()
    assert slope.item() == pytest.approx(score.flatten(1).real.sum(1).var().item(), rel=0.1)


GAUSSIAN = [name for name, (law, _) in LAWS.items() if isinstance(law, Gaussian)]


@pytest.mark.parametrize("name", GAUSSIAN)
def test_the_powers_of_a_covariance(name):
    """Whitening is symmetric and a root of the precision; coloring is its inverse; a shift is added to R."""
    law, a = LAWS[name]
    b, like = law.color(normal_like(a, torch.Generator().manual_seed(7))), a[:1]
    torch.testing.assert_close(inner(law.whiten(a), b), inner(a, law.whiten(b)))
    torch.testing.assert_close(law.whiten(law.whiten(a)), law.solve(a))
    torch.testing.assert_close(law.whiten(law.color(a)), a)
    covariance = dense(lambda v: law.color(law.color(v)), like)
    shift = torch.tensor([0.0, 1.7], dtype=torch.float64)
    for one, found in zip(shift, law.solve(a, shift), strict=True):
        i = int(one > 0)
        matrix = covariance + one * torch.eye(len(covariance))
        torch.testing.assert_close(as_rows(found[None])[0], torch.linalg.solve(matrix, as_rows(a[i : i + 1])[0]))
    components = 2 if a.is_complex() else 1
    torch.testing.assert_close(components * law.log_det(a).double(), torch.logdet(covariance))
    torch.testing.assert_close(law.precision.double(), torch.linalg.inv(covariance).diagonal().mean())


def dense(apply, like: Tensor) -> Tensor:
    """The real matrix of a linear map on data like ``like``."""
    size = as_rows(like).shape[1]
    return as_rows(apply(from_rows(torch.eye(size, dtype=torch.float64), like))).mT


def test_counts_are_normalized():
    """Sums over all counts, at rates above the floor, are 1; the mean is the rate."""
    y = torch.arange(400).double().reshape(-1, 1)
    for law, mean, rate in (
        (PoissonEmission(0.5), 7.0, 7.5),
        (PoissonTransmission(50.0), 1.2, 50 * math.exp(-1.2)),
        (PoissonTransmission(50.0, 3.0), 1.2, 3 + 50 * math.exp(-1.2)),
    ):
        p = law.log_likelihood(y, torch.full((400, 1), mean, dtype=torch.float64)).exp()
        assert p.sum().item() == pytest.approx(1, abs=1e-12)
        assert (p * y[:, 0]).sum().item() == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize("mean", [0.0, 0.5, -3.0])
def test_magnitudes_are_normalized(mean):
    y = torch.linspace(1e-4, 12, 20_001).double().reshape(-1, 1)
    p = Rician(0.8).log_likelihood(y, torch.full_like(y, mean)).exp()
    assert torch.trapezoid(p, y[:, 0]).item() == pytest.approx(1, abs=1e-6)
    square = torch.trapezoid(p * y[:, 0] ** 2, y[:, 0]).item()
    assert square == pytest.approx(mean**2 + 2 * 0.64, abs=1e-5)


def test_moments_of_simulated_data(generator):
    n = 100_000
    for law, mean, first, variance in (
        (PoissonEmission(0.5), 7.0, 7.5, 7.5),
        (PoissonTransmission(50.0, 3.0), 1.2, 3 + 50 * math.exp(-1.2), 3 + 50 * math.exp(-1.2)),
        (Rician(0.8), 0.0, 0.8 * math.sqrt(math.pi / 2), 0.64 * (2 - math.pi / 2)),  # Rayleigh
    ):
        y = law.corrupt(torch.full((1, n), mean, dtype=torch.float64), generator)
        assert y.mean().item() == pytest.approx(first, abs=5 * math.sqrt(variance / n))
        assert y.var().item() == pytest.approx(variance, rel=5 * math.sqrt(3 / n))


@pytest.mark.parametrize("root", [ROOT, COMPLEX_ROOT], ids=["real", "complex"])
def test_colored_noise_has_the_covariance_it_states(root, generator):
    covariance, n = root @ root.mH, 100_000
    law = Colored(covariance)
    sample = law.sample(torch.empty(1, 3, n, dtype=root.dtype), generator)[0]
    components = 2 if sample.is_complex() else 1
    found = sample @ sample.mH / n / components
    scale = covariance.diagonal().real.sqrt()
    assert bool(((found - covariance).abs() / scale / scale[:, None] < 5 * math.sqrt(2 / n)).all())
    white = law.whiten(sample[None])[0]
    assert bool((white @ white.mH / n / components - torch.eye(3)).abs().max() < 5 * math.sqrt(2 / n))
    torch.testing.assert_close(law.solve(sample[None])[0], torch.linalg.solve(covariance, sample))


@pytest.mark.parametrize("root", [ROOT, COMPLEX_ROOT], ids=["real", "complex"])
def test_the_density_of_colored_noise(root):
    """That of the dense real Gaussian of all components."""
    residual = normal(5, 3, 4) if not root.is_complex() else complex_normal(5, 3, 4)
    covariance = root @ root.mH
    if root.is_complex():
        real, imag = covariance.real, covariance.imag
        covariance = torch.cat([torch.cat([real, -imag], 1), torch.cat([imag, real], 1)])
        stacked = torch.cat([residual.real, residual.imag], 1)
    else:
        stacked = residual
    law = torch.distributions.MultivariateNormal(torch.zeros(len(covariance)).double(), covariance)
    expected = law.log_prob(stacked.mT).sum(1)
    torch.testing.assert_close(Colored(root @ root.mH).log_prob(residual), expected)


def test_the_whitened_scan_has_the_same_information(generator):
    """The same likelihood up to a constant, the same score, the same posterior."""
    maps = birdcage(3, (1, 6, 5)).to(torch.complex128)
    operator = mri(torch.rand(1, 6, 5, generator=generator) < 0.6, maps)
    law = Colored(COMPLEX_ROOT @ COMPLEX_ROOT.mH)
    x = complex_normal(4, 1, 6, 5)
    given = Measurement(law.corrupt(operator(x[:1]), generator), operator, law)
    white = given.whitened
    assert isinstance(white.noise, White)
    torch.testing.assert_close(white.residual(x), white.y - white.operator(x))
    torch.testing.assert_close(white.score(x), given.score(x))
    gap = white.log_likelihood(x) - given.log_likelihood(x)
    torch.testing.assert_close(gap, gap[:1].expand(4))
    prior = DiagonalGaussian(torch.zeros(1, 6, 5, dtype=torch.complex128), torch.tensor(1.0))
    torch.testing.assert_close(MMPS(prior, white).denoise(x, 0.5), MMPS(prior, given).denoise(x, 0.5))
    with pytest.raises(InputError, match=r"measurement\.whitened"):
        law.prewhiten(given)


def test_a_map_of_levels_is_dense_algebra(generator):
    """Innovation and exact draws with levels that differ by datum, closed form and conjugate gradients alike."""
    std, A, x = 0.2 + normal(3).abs(), normal(3, 5, seed=1), normal(2, 5, seed=2)
    given = Measurement(normal(3), Matrix(A), Weighted(std))
    expected = torch.linalg.solve(std.square().diag() + 0.7 * A @ A.T, (given.y - x @ A.T).mT).mT @ A
    torch.testing.assert_close(given.innovation(x, Isotropic(0.7)), expected, rtol=1e-5, atol=1e-5)
    n, rho = 40_000, torch.tensor(0.8).double()
    draws = PerturbAndMap().draw(given, x[:1].expand(n, -1), rho, generator)
    precision = torch.eye(5) / 0.64 + A.T / std.square() @ A
    mean = torch.linalg.solve(precision, x[0] / 0.64 + A.T / std.square() @ given.y[0])
    covariance = torch.linalg.inv(precision)
    assert bool(((draws.mean(0) - mean).abs() < 5 * (covariance.diagonal() / n).sqrt()).all())
    error = ((covariance.diagonal()[:, None] * covariance.diagonal() + covariance.square()) / n).sqrt()
    assert bool(((torch.cov(draws.T) - covariance).abs() < 5 * error).all())


@pytest.mark.parametrize("law", [PoissonEmission(1.0), Rician(0.4)], ids=lambda law: type(law).__name__)
def test_a_posterior_without_gaussian_noise(law, generator):
    """Split Gibbs with a Markov chain for the likelihood: means of independent pixels against quadrature."""
    prior = DiagonalGaussian(torch.full((4,), 3.0).double(), torch.tensor(0.5))
    given = Measurement(torch.tensor([1.0, 3.0, 4.0, 6.0]).double(), Identity((4,)), law)
    grid = torch.linspace(-2, 9, 4001).double()
    log_p = prior.log_prob(torch.stack([grid] + [torch.full_like(grid, 3.0)] * 3, 1))
    joint = torch.stack([law.log_likelihood(y.expand(len(grid), 1), grid[:, None]) for y in given.y[0]], 1)
    weights = (log_p[:, None] + joint).softmax(0)
    mean = (weights * grid[:, None]).sum(0)
    variance = (weights * (grid[:, None] - mean).square()).sum(0)
    sweep = SplitGibbs(given, Descent(DPMpp2M(eta=1.0), Karras(0.02, 20.0), 10), MarkovChain(steps=25))
    n = 1500
    levels = torch.cat([torch.logspace(0.5, -1, 15), torch.full((40,), 0.1), torch.zeros(1)]).double()
    *_, last = walk(prior, sweep, 3 + 3 * normal(n, 4), levels, generator)
    # split noise of 0.1^2, and steps of Langevin, widen the law by a few per cent
    assert bool(((last.x.mean(0) - mean).abs() < 5 * (variance / n).sqrt() + 0.03).all())
    assert bool((last.x.var(0) / variance - 1).abs().max() < 5 * math.sqrt(2 / n) + 0.05)


def plenty(name: str) -> tuple[noise.Noise, Tensor]:
    """A law far from its smallest data, where those of counts and magnitudes are nearly Gaussian."""
    law, mean = LAWS[name]
    others = {"emission": PoissonEmission(30.0), "transmission": PoissonTransmission(2e4, 30.0)}
    far = {"emission": 100.0, "rician": 20.0}.get(name.partition(",")[0], 1.0)
    return others.get(name.partition(",")[0], law), far * (mean.abs() + 1 if name.startswith("rician") else mean)


@every
def test_standardized_data_have_mean_0_and_variance_1(name, generator):
    law, mean = plenty(name)
    n = 4000
    z = law.standardize(law.corrupt(mean[:1].expand(n, -1, -1), generator), mean[:1].expand(n, -1, -1))
    parts = torch.view_as_real(z) if z.is_complex() else z
    assert bool((parts.mean(0).abs() < 5 / math.sqrt(n)).all())
    assert bool(((parts.var(0) - 1).abs() < 5 * math.sqrt(2.5 / n)).all())  # of nearly Gaussian numbers


@every
def test_linear_data_are_the_noiseless_values_with_the_noise_that_is_said(name, generator):
    """Their error in units of the noise of each draw; of 100 counts the estimates of the noise are right to 2 %."""
    law, mean = plenty(name)
    if name == "rician, complex":
        return  # refused where the operator is known: tests/laws/test_noise_everywhere.py
    n = 2000
    draws = [law.corrupt(mean[:1], generator) for _ in range(n)]
    errors = torch.cat([one.whiten(data - mean[:1]) for data, one in map(law.linear_data, draws)])
    assert bool((errors.mean(0).abs() < 0.06 + 5 / math.sqrt(n)).all())
    assert float(errors.abs().square().mean()) / (2 if errors.is_complex() else 1) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("law", [PoissonEmission(), PoissonTransmission(10.0), Rician(1.0)])
def test_methods_that_need_a_variance_say_so(law):
    given = Measurement(torch.ones(4).double(), Identity((4,)), law)
    assert not isinstance(law, Gaussian)
    posterior = MMPS(DiagonalGaussian(torch.zeros(4), torch.ones(())), given)
    for ask in (lambda: given.whitened, lambda: posterior.denoise(torch.zeros(1, 4), 1.0)):
        with pytest.raises(InputError, match=r"no fixed noise variance.*SplitGibbs"):
            ask()
    with pytest.raises(InputError, match="no fixed noise variance"):
        given.innovation(normal(2, 4), Isotropic(1.0))
    with pytest.raises(InputError, match="MarkovChain"):
        PerturbAndMap().draw(given, normal(2, 4), torch.tensor(1.0), torch.Generator())


def test_rates_below_the_floor_pull_upward():
    law, mean = PoissonEmission(floor=0.1), torch.tensor([[-5.0, 0.0, 0.05]]).double()
    score = law.score(torch.tensor([[2.0, 2.0, 2.0]]).double(), mean)
    torch.testing.assert_close(score, torch.full_like(score, 19.0))
    assert bool(law.log_likelihood(torch.ones(1, 3).double(), mean).isfinite())


def test_a_map_does_not_promote(generator):
    law, data = Weighted(MAP), torch.ones(2, 3, 4)
    for out in (law.whiten(data), law.solve(data), law.sample(data, generator), law.corrupt(data, generator)):
        assert out.dtype == torch.float32
    colored = Colored(COMPLEX_ROOT @ COMPLEX_ROOT.mH)
    assert colored.whiten(data.to(torch.complex64)).dtype == torch.complex64


def test_moving(generator):
    for law, _ in LAWS.values():
        moved = law.to("meta")
        assert type(moved) is type(law)
    assert Weighted(MAP).to("meta").std.device.type == "meta"
    assert Mix(ROOT, (3, 2)).to("meta").matrix.device.type == "meta"


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Weighted(tensor(1.0, 0.0)), "positive finite"),
        (lambda: Weighted(tensor(1.0, math.inf)), "positive finite"),
        (lambda: Weighted(torch.ones(2, dtype=torch.complex64)), "positive finite"),
        (lambda: Colored(torch.ones(2, 3)), "Hermitian"),
        (lambda: Colored(tensor(1.0)), "Hermitian"),
        (lambda: Colored(torch.tensor([[1.0, 0.5], [0.1, 1.0]])), "Hermitian"),
        (lambda: Colored(torch.tensor([[1.0, math.nan], [math.nan, 1.0]])), "Hermitian"),
        (lambda: Colored(torch.ones(2, 2)), "positive definite"),
        (lambda: PoissonEmission(-1.0), "background"),
        (lambda: PoissonEmission(floor=0.0), "floor"),
        (lambda: PoissonTransmission(0.0), "blank"),
        (lambda: PoissonTransmission(tensor(3.0, -1.0)), "blank"),
        (lambda: Rician(0.0), "positive finite std"),
        (lambda: Mix(torch.ones(2, 3), (2, 4)), "Mixing 2 channels"),
    ],
)
def test_bad_numbers_are_refused(make, match):
    with pytest.raises(InputError, match=match):
        make()


@pytest.mark.parametrize("law", [PoissonEmission(), PoissonTransmission(10.0), Rician(1.0)])
def test_impossible_data_are_refused(law):
    for y in (tensor(-1.0)[None], torch.ones(1, 1, dtype=torch.complex128)):
        for ask in (law.log_likelihood, law.score):
            with pytest.raises(InputError):
                ask(y, torch.ones(1, 1).double())


@pytest.mark.parametrize(("dark", "blank", "before"), [(50.0, 2e3, 1.2), (400.0, 2e3, 2.0), (400.0, 2e4, 1.15)])
def test_line_integrals_have_the_noise_that_the_law_says(dark, blank, before, generator):
    """The true integrals miss them by their noise; with ``(counts - dark) ** -0.5`` for it, as docs had, by more."""
    mean = torch.linspace(0, 5, 20_000, dtype=torch.float64)[None]
    law = PoissonTransmission(blank, dark)
    y = law.corrupt(mean, generator)
    lines, noise = law.linear_data(y)
    assert float(noise.whiten(lines - mean).square().mean().sqrt()) == pytest.approx(1, abs=0.03)
    assert float(((lines - mean) / (y - dark).clamp(min=1).rsqrt()).square().mean().sqrt()) > before


@pytest.mark.parametrize("std", [2.0, 10.0, 30.0])
def test_the_noise_of_a_scan_from_neighborhoods_of_its_k_space(std, generator):
    """The recipe of docs/raw_data.md; the outermost rows are 10 to 150 % too high where the noise is low.

    Were all singular values noise, the smaller half would have by Marchenko & Pastur (100 of 1936) a root mean square
    of .90 times the noise; the larger half holds the image, so the result is between .90 and 1.
    """
    image = sample_scans.mr_slice().pixels
    kspace = Fourier((4, *image.shape[1:]))((birdcage(4, tuple(image.shape)) * image)[None])[0]
    kspace = kspace + White(std).sample(kspace, generator)
    patches = kspace[:, 24:72, 40:88].unfold(1, 5, 1).unfold(2, 5, 1).permute(1, 2, 0, 3, 4).reshape(44 * 44, 100)
    small = torch.linalg.svdvals(patches)[50:]
    assert 0.9 < float((small.square().mean() / (2 * len(patches))).sqrt()) / std < 1
