"""What a prior cannot do it says in one sentence, through every wrapper: log-density, exact draws, exact posterior."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from scorefield import posteriors, priors
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.nets import PatchMLP, UNet
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.prior import Denoiser, Prior
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
EXAMPLES = {
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
    Given: (lambda: Given(Conditional(unet(3), known=1), normal(1, 1, 4, 4)), SHAPE, "log_prob rsample posterior"),
    VP: (lambda: VP(Timeless()), SHAPE, "log_prob rsample posterior"),
    Scaled: (lambda: Scaled(white(), 2.0), SHAPE, ""),
    Frozen: (lambda: Frozen(white(), 0.4), SHAPE, "posterior"),
    AsComplex: (lambda: AsComplex(white()), (1, 4, 4), ""),
    IndependentParts: (lambda: IndependentParts(white()), SHAPE, "posterior"),
    Cast: (lambda: Cast(white().float(), torch.float32), SHAPE, ""),
    posteriors.Exact: (lambda: posteriors.Exact(white(), seen(SHAPE)), SHAPE, "posterior"),
    posteriors.MMPS: (lambda: posteriors.MMPS(white(), seen(SHAPE)), SHAPE, "log_prob rsample posterior"),
}  # fmt: skip
FORWARD = (Scaled, Cast, Frozen, AsComplex, IndependentParts)  # pass on what they are asked, where they can
KEPT_APART = {(Frozen, "posterior"), (IndependentParts, "posterior")}  # data tie the noise, or the parts, to the image
WRAPPERS = {
    "itself": lambda prior: prior,
    "scaled": lambda prior: Scaled(prior, 2.0, 0.1),
    "scaled twice": lambda prior: Scaled(Scaled(prior, 2.0), 0.5),
    "frozen": lambda prior: Frozen(prior, 0.3),
    "cast": lambda prior: Cast(prior, torch.float64),
    "as complex": lambda prior: AsComplex(Scaled(prior, 2.0)),
    "two parts": lambda prior: IndependentParts(Cast(prior, torch.float64)),
}
SENTENCE = {"log_prob": "no log-density", "rsample": "no exact draws", "posterior": "no exact posterior"}


def test_every_exported_prior_is_here():
    exported = {cls for name in priors.__all__ if inspect.isclass(cls := getattr(priors, name))}
    assert {cls for cls in exported if issubclass(cls, Prior)} <= set(EXAMPLES)


def asked(prior: Prior, what: str, shape: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """The answer, and the shape it must have."""
    lifted = isinstance(prior, (AsComplex, IndependentParts))
    x = complex_normal(3, *shape) if lifted else normal(3, *shape)
    if what == "log_prob":
        return prior.log_prob(x, 0.5), (3,)
    if what == "rsample":
        return prior.rsample(3, torch.Generator().manual_seed(0)), (3, *shape)
    return prior.posterior(seen(shape, as_complex=lifted)).denoise(x, 0.5), (3, *shape)


def to_blame(prior: Prior, what: str) -> Prior:
    """The prior in its wrappers that is the first not to pass the question on."""
    while isinstance(prior, FORWARD) and (type(prior), what) not in KEPT_APART:
        prior = prior.prior
    return prior


@pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("what", SENTENCE)
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_each_works_or_says_who_cannot(cls, what, wrap):
    make, shape, lacks = EXAMPLES[cls]
    inner = make()
    if isinstance(inner, (AsComplex, IndependentParts)):
        prior = inner  # a prior on complex images is not lifted again
    elif wrap is WRAPPERS["as complex"]:
        if len(shape) < 3:
            pytest.skip("a vector has no channels")
        prior, shape = wrap(inner), (1, *shape[1:])
    else:
        prior = wrap(inner)
    guilty = to_blame(prior, what)
    if what in lacks or isinstance(guilty, FORWARD):
        with pytest.raises(InputError, match=f"^{type(guilty).__name__} has {SENTENCE[what]}"):
            asked(prior, what, shape)
    else:
        found, expected = asked(prior, what, shape)
        assert tuple(found.shape) == expected
        assert not bool(found.isnan().any())


class Bare(Denoiser):
    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return x


@pytest.mark.parametrize("what", SENTENCE)
def test_the_prior_inside_all_wrappers_is_named(what):
    prior = Scaled(Cast(Scaled(Bare(), 2.0), torch.float64), 3.0)
    with pytest.raises(InputError, match=f"^Bare has {SENTENCE[what]}.*; use|^Bare has {SENTENCE[what]}.*; walk"):
        asked(prior, what, SHAPE)


def test_the_posterior_of_a_cast_prior_is_that_of_the_prior():
    """Data in double, a prior in single: the answer of the same prior in double, to the precision of single."""
    given, x = seen(SHAPE), normal(3, *SHAPE, seed=1)
    found = Cast(white().float(), torch.float32).posterior(given)
    expected = white().posterior(given)
    assert found.denoise(x, 0.5).dtype == torch.float64
    torch.testing.assert_close(found.denoise(x, 0.5), expected.denoise(x, 0.5), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.log_prob(x, 0.5), expected.log_prob(x, 0.5), rtol=1e-5, atol=1e-5)
