r"""
Annealed Hamiltonian Monte Carlo
================================

A Langevin chain forgets its direction after every step.  Hamiltonian Monte Carlo (HMC) gives the chain a momentum
:math:`p \sim N(0, I)`, follows it for a few *leapfrog* steps of stride :math:`\epsilon`,

.. math::
    p \leftarrow p + \tfrac\epsilon2 s(x), \qquad x \leftarrow x + \epsilon p, \qquad
    p \leftarrow p + \tfrac\epsilon2 s(x),

and accepts the end with the probability :math:`\min(1, e^{H - H'})`, where
:math:`H = -\log p(x) + \tfrac12 |p|^2`.  Ramzi, Remy, Lanusse, Starck and Ciuciu (2020) ran it down the noise levels of
a learned score to draw from the posterior of an MR scan.  A learned score has no :math:`\log p`; this page shows what
they put in its place, and what the sampler costs.
"""

# %%
# A density difference without a density
# --------------------------------------
# Acceptance needs the *difference* of two log-densities only, and that is an integral of the score along the way,
#
# .. math:: \log p(x') - \log p(x) = \int_0^1 (x' - x)^T s(x + t (x' - x)) \, dt,
#
# for which they take Simpson's rule on four intervals (:class:`~scorefield.kernels.ByPath`).  The bench is a Gaussian
# in eight dimensions with variances from 2 to .02, of which four random numbers are measured with noise .1.

# sphinx_gallery_tags = ["sampling", "posteriors"]

import math

import matplotlib.pyplot as plt
import torch

import scorefield as sf
from scorefield.densities.potential import log_ratio
from scorefield.kernels import HMC, Absolute, AnnealedHMC, ByPath, Langevin, Repeat
from scorefield.posteriors import AnnealedLikelihood
from scorefield.priors import Gaussian

torch.set_default_dtype(torch.float64)

generator = torch.Generator().manual_seed(0)
basis = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
prior = Gaussian(torch.randn(8, generator=generator), (basis * 2 * torch.logspace(0, -2, 8)) @ basis.T)
matrix = torch.randn(4, 8, generator=generator) / math.sqrt(8)
operator = sf.operators.Matrix(matrix)
data = operator(prior.rsample(1, generator)) + 0.1 * torch.randn(1, 4, generator=generator)
scan = sf.Measurement(data, operator, sf.noise.White(0.1))
exact = prior.posterior(scan)
posterior = AnnealedLikelihood(prior, scan)  # the data are compared at variance sy^2 + sigma^2

mixture = sf.priors.GaussianMixture(torch.tensor([[3.0], [13.0]]), torch.tensor([1.0, 9.0]), torch.tensor([0.4, 0.6]))
here, there = torch.linspace(-2, 18, 200).unsqueeze(1), torch.linspace(-1, 19.5, 200).unsqueeze(1)
level = torch.tensor(0.5)
change = mixture.log_prob(there, level) - mixture.log_prob(here, level)
for intervals in (2, 4, 8):
    error = (log_ratio(mixture, here, there, level, intervals) - change).abs().max()
    print(f"{intervals} intervals: largest error of log p(x') - log p(x) {error:.1e}")

# %%
# Moves of one to one and a half across both modes of the tutorial's mixture: four intervals are enough.  On a Gaussian
# the score is linear and two would be exact.
#
# Sixty levels
# ------------
# From 60 to .003, as on the page on Langevin dynamics of a posterior.  At each level a chain makes at most three
# proposals of three leapfrog steps; the stride is 1.1 times the narrowest width of the
# posterior at that level.


def width(sigma: float) -> float:
    """The smallest standard deviation of the posterior at a level."""
    spread = 0.01 * torch.eye(4) + sigma**2 * matrix @ matrix.T
    precision = torch.linalg.inv(prior.covariance + sigma**2 * torch.eye(8))
    return torch.linalg.eigvalsh(precision + matrix.T @ torch.linalg.solve(spread, matrix))[-1].item() ** -0.5


def root(covariance: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def wasserstein(draws: torch.Tensor) -> float:
    """Relative Wasserstein-2 distance of mean and covariance to those of the exact posterior."""
    mean, covariance = draws.mean(0), torch.cov(draws.T)
    half = root(exact.covariance)
    square = (mean - exact.mean).square().sum() + torch.trace(covariance + exact.covariance)
    square = square - 2 * torch.trace(root(half @ covariance @ half))
    return math.sqrt(square.clamp(min=0) / torch.trace(exact.covariance))


CHAINS = 1000
LEVELS = sf.schedules.Geometric(0.003, 60.0).grid(60)[:-1]


def walk(kernel_at, repeats: int = 1) -> tuple[float, float, list[float]]:
    """Distance of the last states, acceptance, and the distance after each level; the kernel may follow the level."""
    generator = torch.Generator().manual_seed(3)
    x = 60 * torch.randn(CHAINS, 8, generator=generator)
    accepted, distances = [], []
    for sigma in LEVELS:
        kernel = kernel_at(width(sigma.item()))
        *_, last = sf.walk(posterior, kernel, x, sigma.expand(repeats + 1), generator)
        x = last.x
        distances.append(wasserstein(x))
        if torch.as_tensor(last.info.proposals).sum() > 0:
            accepted.append(last.info.acceptance.mean().item())
    return distances[-1], sum(accepted) / max(1, len(accepted)), distances


def hamiltonian(fraction: float, accepted: int = 3):
    def at(width: float) -> AnnealedHMC:
        return AnnealedHMC(HMC(Absolute(fraction * width), 3, acceptance=ByPath(4)), accepted=accepted, proposals=3)

    return at


def langevin(steps: int):
    return lambda width: Repeat(Langevin(Absolute(0.2 * width**2)), steps)


results = {"annealed HMC, 3 proposals": walk(hamiltonian(1.1)), "annealed Langevin, 24 steps": walk(langevin(24))}
floor = sum(wasserstein(exact.rsample(CHAINS, generator)) for _ in range(20)) / 20
print(f"relative W2 of {CHAINS} exact draws {floor:.3f}")
for name, (distance, acceptance, _) in results.items():
    print(f"{name:30} relative W2 {distance:.3f}" + (f", acceptance {acceptance:.2f}" if acceptance else ""))
print("(reference .032 with acceptance .97; below .08 is asked for)")

# %%
# Three proposals cost nine scores, and Simpson's rule fifteen more; the Langevin chain gets as many.  Momentum pays:
# HMC is as close as a thousand exact draws, and the Langevin chain is not.  The other strides:

strides = [0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 1.9, 2.2]
found = [walk(hamiltonian(fraction)) for fraction in strides]
print("stride  relative W2  acceptance")
for stride, (distance, acceptance, _) in zip(strides, found, strict=True):
    print(f"{stride:6} {distance:12.3f} {acceptance:11.2f}")
fig, (left, right) = plt.subplots(1, 2)
for name, (_, _, distances) in results.items():
    left.loglog(LEVELS, distances, label=name)
left.axhline(floor, color="black", ls=":")
left.set(xlabel=r"level $\sigma$", title="relative Wasserstein-2 distance", xlim=(60, 0.003))
left.legend(fontsize=10)
right.plot(strides, [distance for distance, _, _ in found], "o-", label="distance at the end")
right.plot(strides, [acceptance for _, acceptance, _ in found], "s-", label="acceptance")
right.set(xlabel="stride over the narrowest width", title="how long a stride", yscale="log")
right.legend(fontsize=10)
plt.show()

# %%
# Strides of .8 to 1.4 widths work.  Shorter ones do not reach the end of the long directions.  At 2 a leapfrog
# trajectory is unstable and nothing is accepted any more.  The fault at 1.7 is a resonance: at :math:`\sqrt 3` widths
# three leapfrog steps turn the narrowest direction once around, so that each proposal returns to where it began.
#
# The published numbers, a stride of :math:`10 \, (\sigma / 100)^{1.5}`, are for images whose values were multiplied by
# a million.  In other units the stride must be given anew, as above: it follows the narrowest width of the posterior,
# which a learned prior does not tell.  That is why the default of this library is another method; on images, the pages
# that compare methods on a real slice show annealed Langevin dynamics, the same idea without momentum.
