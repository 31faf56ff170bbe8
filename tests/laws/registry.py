"""An example of each exported class: what the laws of a kind are tried on.  An export without one fails the suites.

A class of which the lists here and in the suites (``test_operators.py``, ``test_kernels.py``, ...) have no example
brings its own, a classmethod ``example``.  The lists hold what the laws cannot ask of a class: several examples of one
class, how exact it is, where it is known to differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from scorefield import nets, noise, objectives, posteriors, priors
from scorefield.measurement import Measurement
from scorefield.nets import PatchMLP, UNet
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.prior import Prior
from scorefield.priors import (
    VP,
    AsComplex,
    Conditional,
    DiagonalGaussian,
    Energy,
    FieldOfExperts,
    Frozen,
    Gamma,
    Gaussian,
    GaussianMixture,
    GeneralizedGaussian,
    Given,
    IndependentParts,
    Kde,
    MultiScale,
    Network,
    Pairs,
    Scaled,
    StationaryGaussian,
    Tabulated,
    Tiling,
    TotalVariation,
)
from scorefield.priors.cast import Cast
from support import complex_normal, normal


def exported(namespace: ModuleType, kind: type) -> set[type]:
    """The classes of a kind that a namespace exports and that can be made."""
    classes = {getattr(namespace, name) for name in namespace.__all__}
    return {cls for cls in classes if inspect.isclass(cls) and issubclass(cls, kind) and not inspect.isabstract(cls)}


def with_example(namespace: ModuleType, kind: type, listed: Iterable[type]) -> list[Any]:
    """The exported classes that no list has and that bring their own example, by name."""
    classes = exported(namespace, kind) - set(listed)
    return sorted((cls for cls in classes if "example" in vars(cls)), key=lambda cls: cls.__name__)


def assert_examples(namespace: ModuleType, kind: type, listed: Iterable[type]) -> None:
    """No exported class lacks an example."""
    missing = sorted(cls.__name__ for cls in exported(namespace, kind) - set(listed))
    assert not missing, (
        f"{', '.join(missing)}: exported from {namespace.__name__} without an example for the laws; add a classmethod"
        " example(cls) that returns a small one (in float64, no argument at its default)."
    )


SHAPE = (2, 4, 4)
UNIT = torch.ones(1, dtype=torch.float64)


class Timeless(torch.nn.Module):
    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return 0.1 * x


def unet(channels: int) -> UNet:
    return UNet(channels=channels, widths=(4,), blocks=1).double()


def white() -> DiagonalGaussian:
    return DiagonalGaussian(torch.zeros(SHAPE, dtype=torch.float64), UNIT)


def pairs() -> Gaussian:
    return Gaussian(torch.zeros(2).double(), torch.eye(2).double())


def detail() -> Conditional:
    return Conditional(unet(8), known=2)


def seen(shape: tuple[int, ...], *, as_complex: bool = False) -> Measurement:
    data = complex_normal(1, *shape) if as_complex else normal(1, *shape)
    return Measurement(data, Identity(shape), White(0.7))


# each exported class: an example, the shape of its images, and what it cannot do
PRIORS: dict[type[Prior], tuple[Callable[[], Prior], tuple[int, ...], str]] = {
    Gaussian: (pairs, (2,), ""),
    DiagonalGaussian: (white, SHAPE, ""),
    StationaryGaussian: (
        lambda: StationaryGaussian(torch.zeros(SHAPE).double(), torch.ones(SHAPE).double()), SHAPE, ""
    ),
    priors.ConditionedGaussian: (lambda: priors.ConditionedGaussian(white(), seen(SHAPE)), SHAPE, ""),
    GaussianMixture: (lambda: GaussianMixture(torch.zeros(1, 2).double(), UNIT, UNIT), (2,), ""),
    Kde: (lambda: Kde(normal(3, 2), 0.5), (2,), ""),
    Gamma: (lambda: Gamma(2.0, 1.0), (1,), "posterior"),
    TotalVariation: (lambda: Frozen(TotalVariation(1.0), 0.0), SHAPE, "rsample posterior"),
    GeneralizedGaussian: (lambda: Frozen(GeneralizedGaussian(1.0, 2.0), 0.0), SHAPE, "rsample posterior"),
    Pairs: (lambda: Pairs(pairs()), SHAPE, "log_prob rsample posterior"),
    Tabulated: (lambda: Tabulated(pairs(), 0.5, low=-1, high=1, nodes=5), (2,), "log_prob rsample posterior"),
    Network: (lambda: Network(unet(2)), SHAPE, "log_prob rsample posterior"),
    Energy: (lambda: Energy(unet(2)), SHAPE, "rsample posterior"),
    FieldOfExperts: (lambda: FieldOfExperts(PatchMLP(channels=2).double()), SHAPE, "log_prob rsample posterior"),
    Conditional: (lambda: Conditional(unet(2), known=1), SHAPE, "log_prob rsample posterior"),
    Tiling: (lambda: Tiling(Conditional(unet(4), known=2), size=4, pad=2), SHAPE, "log_prob rsample posterior"),
    MultiScale: (lambda: MultiScale(Network(unet(2)), [detail()]), SHAPE, "log_prob rsample posterior"),
    Given: (lambda: Given(Conditional(unet(3), known=1), normal(3, 1, 4, 4)), SHAPE, "log_prob rsample posterior"),
    VP: (lambda: VP(Timeless()), SHAPE, "log_prob rsample posterior"),
    Scaled: (lambda: Scaled(white(), 2.0), SHAPE, ""),
    Frozen: (lambda: Frozen(white(), 0.4), SHAPE, "posterior"),
    AsComplex: (lambda: AsComplex(white()), (1, 4, 4), ""),
    IndependentParts: (lambda: IndependentParts(white()), SHAPE, "posterior"),
    Cast: (lambda: Cast(white().float(), torch.float32), SHAPE, ""),
    posteriors.Exact: (lambda: posteriors.Exact(white(), seen(SHAPE)), SHAPE, "posterior"),
    posteriors.MMPS: (lambda: posteriors.MMPS(white(), seen(SHAPE)), SHAPE, "log_prob rsample posterior"),
}  # fmt: skip


def lacks(cls: type[Prior]) -> str:
    """What a prior does not override, so cannot."""
    return " ".join(what for what in ("log_prob", "rsample", "posterior") if getattr(cls, what) is getattr(Prior, what))


for own in with_example(priors, Prior, PRIORS):
    PRIORS[own] = (own.example, own.example().event_shape or SHAPE, lacks(own))

COVARIANCE = torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64)
# each class of noise, and images of data that it may have: (B, 2)
NOISES: dict[type[noise.Noise], tuple[Callable[[], noise.Noise], Callable[[], Tensor]]] = {
    noise.White: (lambda: White(0.3), lambda: complex_normal(3, 2)),
    noise.Weighted: (lambda: noise.Weighted(torch.tensor([0.3, 2.0]).double()), lambda: normal(3, 2)),
    noise.Colored: (lambda: noise.Colored(COVARIANCE), lambda: normal(3, 2)),
    noise.PoissonEmission: (lambda: noise.PoissonEmission(2.0), lambda: 5 + normal(3, 2).abs()),
    noise.PoissonTransmission: (lambda: noise.PoissonTransmission(1e3, 3.0), lambda: normal(3, 2).abs()),
    noise.Rician: (lambda: noise.Rician(0.3), lambda: 0.2 + normal(3, 2).abs()),
}
# each network, and the images (B, C, *spatial) that it takes
NETS: dict[type[nn.Module], tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    nets.PatchMLP: (lambda: nets.PatchMLP(size=2), (3, 1, 2, 2)),
    nets.PatchMixture: (lambda: nets.PatchMixture(size=2, components=3), (3, 1, 2, 2)),
    nets.UNet: (lambda: nets.UNet(widths=(4, 4), blocks=1), (3, 1, 6, 5)),
    nets.LocalCNN: (lambda: nets.LocalCNN(reach=3, width=4, depth=3), (3, 1, 6, 5)),
    nets.Patchwise: (lambda: nets.Patchwise(nets.PatchMLP(size=2)), (3, 1, 6, 5)),
    nets.OffsetInvariant: (lambda: nets.OffsetInvariant(nets.UNet(widths=(4,), blocks=1)), (3, 1, 6, 5)),
    nets.ScaleInvariant: (lambda: nets.ScaleInvariant(nets.UNet(widths=(4,), blocks=1)), (3, 1, 6, 5)),
    nets.Equivariant: (lambda: nets.Equivariant(nets.UNet(widths=(4,), blocks=1)), (3, 1, 6, 6)),
    nets.Half: (lambda: nets.Half(nets.UNet(widths=(4,), blocks=1)), (3, 1, 6, 5)),
}
# each objective, a prior to try it on, and the shape of its images
OBJECTIVES: dict[type[objectives.Objective], tuple[Callable[[], objectives.Objective], Callable[[], Prior]]] = {
    objectives.Likelihood: (lambda: objectives.Likelihood(0.6), white),
    objectives.Explicit: (lambda: objectives.Explicit(white(), 0.6), white),
    objectives.Implicit: (lambda: objectives.Implicit(0.6), white),
    objectives.Regularized: (lambda: objectives.Regularized(0.3, 0.6), white),
    objectives.Sliced: (lambda: objectives.Sliced(sigma=0.6), white),
    objectives.Denoising: (lambda: objectives.Denoising(0.6), white),
    objectives.NoiseConditional: (objectives.NoiseConditional, white),
    objectives.GivenChannels: (lambda: objectives.GivenChannels(known=1), lambda: Conditional(unet(2), known=1)),
}
OBJECTIVES |= {own: (own.example, white) for own in with_example(objectives, objectives.Objective, OBJECTIVES)}
