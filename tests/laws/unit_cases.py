"""A small inverse problem in any unit, and every exported kernel and posterior to solve it with.

A problem has two units: that of the image, and that of the data.  Where the unit of the image is divided by u, all its
numbers are multiplied by u: images, noise levels and prior; and the operator by 1/u.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from registry import exported
from torch import Tensor

from scorefield import kernels, posteriors
from scorefield.kernels import (
    HMC,
    MALA,
    Absolute,
    Alternate,
    AnnealedHMC,
    Ascent,
    ByPath,
    Churn,
    Corrector,
    Descent,
    DPMpp2M,
    FinalDenoise,
    FinalDraw,
    GaussNewton,
    GradientStep,
    Heun,
    Hold,
    Imputed,
    Kernel,
    Langevin,
    Laplace,
    LiteralDPS,
    LiteralPaDIS,
    LiteralPiGDM,
    Marginal,
    MarkovChain,
    MCGDiff,
    Particles,
    RedDiff,
    RePaint,
    Repeat,
    ReverseDiffusion,
    SplitGibbs,
    Then,
)
from scorefield.kernels.update import Update
from scorefield.measurement import Measurement
from scorefield.nets import UNet
from scorefield.noise import White
from scorefield.nuisance import Nuisance
from scorefield.operators import (
    Identity,
    ImageSide,
    Matrix,
    Offset,
    Operator,
    Side,
    birdcage,
    cartesian_mask,
    mri,
    parallel_beam,
)
from scorefield.operators.linear import Product
from scorefield.posteriors import MMPS, Posterior
from scorefield.prior import Prior
from scorefield.priors import DiagonalGaussian, Gaussian, GaussianMixture, Network, Scaled
from scorefield.sampling import sample
from scorefield.schedules import Karras
from scorefield.start import Start, begin
from support import complex_normal, normal

STEPS, DRAWS, STD = 3, 6, 0.2
MATRIX = 0.4 + torch.tensor([[0.3, 0.1, 0.2, 0.5], [0.6, 0.0, 0.4, 0.1]], dtype=torch.float64)
TURN = torch.tensor([[0.3], [-0.2]], dtype=torch.float64)  # the data of a drift


def mixture(dtype: torch.dtype) -> GaussianMixture:
    """Two modes whose covariances are neither white nor diagonal, and no data give TMPD a negative row sum."""
    root = 0.3 * torch.eye(4).double() + 0.2 * torch.rand(2, 4, 4, generator=g(1), dtype=torch.float64)
    means = torch.stack([torch.full((4,), -0.6), torch.full((4,), 0.7)]).double()
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    return GaussianMixture(means.to(dtype), (root @ root.mT).to(dtype), weights)


def g(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Problem:
    """The same problem in any units.

    Args:
        image: u, by which the numbers of the image are multiplied.
        data: c, by which data, their noise and the operator are multiplied.
        dtype: of images and data.
    """

    image: float = 1.0
    data: float = 1.0
    dtype: torch.dtype = torch.float64

    @property
    def prior(self) -> Prior:
        return Scaled(mixture(self.dtype), self.image)

    @property
    def gain(self) -> float:
        """By which the operator is multiplied."""
        return self.data / self.image

    @property
    def y(self) -> Tensor:
        return (self.data * torch.tensor([1.3, -0.4], dtype=torch.float64)).to(self.dtype)

    @property
    def noise(self) -> White:
        return White(self.data * STD)

    @property
    def measurement(self) -> Measurement:
        return Measurement(self.y, Matrix(MATRIX) * self.gain, self.noise)

    @property
    def sigmas(self) -> Tensor:
        return self.image * Karras(0.05, 8.0).grid(STEPS)

    @property
    def like(self) -> Tensor:
        return torch.empty(0, dtype=self.dtype)

    def drift(self) -> Nuisance:
        """A drift of the data, whose parameter has no unit."""
        law = Gaussian(torch.zeros(1, dtype=self.dtype), torch.eye(1, dtype=self.dtype))
        operator, turn = self.measurement.operator, (self.data * TURN).to(self.dtype)
        return Nuisance(law, lambda theta: Offset(operator, theta @ turn.T), "drift")

    def drifting(self) -> Measurement:
        return Measurement(self.y, self.drift().operator(torch.zeros(1, 1, dtype=self.dtype)), self.noise)


class Native(Problem):
    """The problem with a prior whose own numbers are in the unit of the image."""

    @property
    def prior(self) -> Prior:
        law = mixture(self.dtype)
        return GaussianMixture(self.image * law.means, self.image**2 * law.covariances, law.weights)


class OnTheImage(Product):
    """A projector that has its innovation solved on the image."""

    def side(self, default: Side) -> Side:
        return ImageSide(default.operator, default.noise)


def learned_scan(problem: Problem) -> tuple[Prior, Measurement]:
    """Three coils and a network, whose images have the amplitude 0.7."""
    prior = Network(UNet(widths=(4,), blocks=1))
    prior.amplitude = 0.7
    shape, size = (1, 8, 8), problem.dtype.to_complex()
    operator = mri(cartesian_mask(shape, 2, center_fraction=0.3, generator=g(2)), birdcage(3, shape).to(size))
    return prior, _scan(problem, operator, complex_normal(1, *shape, seed=4).to(size))


def projected_scan(problem: Problem) -> tuple[Prior, Measurement]:
    """Views of a Gaussian field, solved on the image."""
    shape = (1, 8, 8)
    power = (0.2 + torch.rand(shape, generator=g(5), dtype=torch.float64)).to(problem.dtype)
    prior = DiagonalGaussian(torch.zeros(shape, dtype=problem.dtype), power)
    operator = OnTheImage(Identity((1, 3, 11)), parallel_beam(shape, [0.0, 1.0, 2.0], 11))
    return Scaled(prior, problem.image), _scan(problem, operator, normal(1, *shape, seed=4).to(problem.dtype))


def _scan(problem: Problem, operator: Operator, image: Tensor) -> Measurement:
    y = operator(image) + STD * operator(torch.ones_like(image))
    return Measurement(problem.data * y, operator * problem.gain, problem.noise)


Case = Callable[[Problem], tuple[Prior, Kernel]]


def draws(case: Case, problem: Problem, start: Start = begin) -> Tensor:
    """Draws of a case in the unit in which the images of the problem have u = 1."""
    prior, kernel = case(problem)
    samples = sample(prior, kernel, problem.sigmas, n=DRAWS, seed=3, like=problem.like, start=start)
    return samples.draws / problem.image


def blind(kernel: Kernel) -> Case:
    """A kernel under a posterior that keeps every option of this suite lawful."""
    return lambda problem: (MMPS(problem.prior, problem.measurement), kernel)


def exact(kernel: Kernel) -> Case:
    return lambda problem: (posteriors.Exact(problem.prior, problem.measurement), kernel)


def given(cls: type[Posterior]) -> Case:
    return lambda problem: (cls(problem.prior, problem.measurement), DPMpp2M(eta=1.0))


def holding(make: Callable[[Measurement], Kernel]) -> Case:
    return lambda problem: (problem.prior, make(problem.measurement))


def alternating(make: Callable[[Nuisance], Update]) -> Case:
    def case(problem: Problem) -> tuple[Prior, Kernel]:
        return MMPS(problem.prior, problem.drifting()), Alternate(Heun(), make(problem.drift()))

    return case


def published(problem: Problem) -> tuple[Prior, Kernel]:
    kernel = replace(AnnealedHMC.published(problem.image / 200), proposals=3)
    return MMPS(problem.prior, problem.measurement), kernel


def quick() -> Descent:
    return Descent(DPMpp2M(eta=1.0), Karras(0.02, 20.0), 6)


# kernels that no default makes, and further options of those that it does
SPECIAL: dict[str, tuple[type, Case]] = {
    "Alternate": (Alternate, alternating(lambda drift: Laplace(drift))),
    "Alternate-gradient": (Alternate, alternating(lambda drift: GradientStep(drift, rate=0.05))),
    "Alternate-newton": (Alternate, alternating(lambda drift: GaussNewton(drift, evidence=Marginal(iterations=2)))),
    "Alternate-imputed": (Alternate, alternating(lambda drift: Laplace(drift, evidence=Imputed()))),
    "Ascent-absolute": (Ascent, lambda p: (p.prior, Ascent(Absolute(1e-3 * p.image**2)))),
    "Churn-middle": (Churn, blind(Churn(DPMpp2M(), 0.3, s_min=0.2, s_max=2.0))),
    "FinalDenoise": (FinalDenoise, blind(Then(Repeat(Langevin(), 2), FinalDenoise()))),
    "FinalDraw": (FinalDraw, blind(FinalDraw(DPMpp2M(eta=1.0)))),
    "FinalDraw-exact": (FinalDraw, exact(FinalDraw(Heun()))),
    "HMC": (HMC, exact(HMC())),
    "HMC-path": (HMC, blind(HMC(acceptance=ByPath()))),
    "Hold": (Hold, blind(Then(Heun(), Hold(Langevin())))),
    "Langevin-absolute": (Langevin, lambda p: (p.prior, Langevin(Absolute(1e-3 * p.image**2)))),
    "LiteralDPS": (LiteralDPS, lambda p: (p.prior, LiteralDPS(p.measurement, amplitude=p.image, gain=p.gain))),
    "LiteralPaDIS": (LiteralPaDIS, lambda p: (p.prior, LiteralPaDIS(p.measurement, amplitude=p.image, gain=p.gain))),
    "LiteralPiGDM": (LiteralPiGDM, lambda p: (p.prior, LiteralPiGDM(p.measurement, amplitude=p.image))),
    "MALA": (MALA, exact(MALA())),
    "MALA-path": (MALA, blind(MALA(acceptance=ByPath()))),
    "AnnealedHMC-published": (AnnealedHMC, published),
    "AnnealedHMC": (AnnealedHMC, blind(AnnealedHMC(proposals=3))),
    "MCGDiff": (MCGDiff, holding(lambda m: MCGDiff(m, kappa=0.3))),
    "Particles-moved": (Particles, holding(lambda m: Particles(m, move=MALA(rate=0.5)))),
    "Particles-krylov": (Particles, holding(lambda m: Particles(m, rank=1))),
    "RedDiff": (RedDiff, lambda p: (p.prior, RedDiff(p.measurement, amplitude=p.image, gain=p.gain))),
    "RePaint": (RePaint, holding(lambda m: RePaint(m, jump=2, passes=2))),
    "Repeat": (Repeat, blind(Repeat(Langevin(), 2))),
    "SplitGibbs-chain": (SplitGibbs, holding(lambda m: SplitGibbs(m, quick(), MarkovChain(steps=5)))),
    "Then": (Then, blind(Then(Corrector(), ReverseDiffusion()))),
}


def holds_data(cls: type) -> bool:
    return "measurement" in inspect.signature(cls).parameters


def kernel_cases() -> dict[str, Case]:
    """A case of every exported kernel: with its defaults, or of its own example, or from the list."""
    cases = {name: case for name, (_, case) in SPECIAL.items()}
    listed = {cls for name, (cls, _) in SPECIAL.items() if name == cls.__name__}
    for cls in exported(kernels, Kernel) - listed:
        default = holding(cls) if holds_data(cls) else blind(getattr(cls, "example", cls)())
        cases[cls.__name__] = default
    return dict(sorted(cases.items()))


def posterior_cases() -> dict[str, Case]:
    """A case of every exported posterior, with its defaults."""
    return {cls.__name__: given(cls) for cls in sorted(exported(posteriors, Posterior), key=lambda cls: cls.__name__)}


def apart(found: Tensor, expected: Tensor) -> float:
    """The largest difference, over the standard deviation of what is expected; infinite where one is not finite."""
    worst = float((found - expected).abs().max() / expected.double().std())
    return worst if math.isfinite(worst) else math.inf
