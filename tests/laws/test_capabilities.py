"""What a prior cannot do it says in one sentence, through every wrapper: log-density, exact draws, exact posterior."""

from __future__ import annotations

import pytest
import torch
from registry import PRIORS, SHAPE, seen, white
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Denoiser, Prior
from scorefield.priors import AsComplex, Frozen, IndependentParts, Scaled
from scorefield.priors.cast import Cast
from support import complex_normal, normal

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


@pytest.mark.parametrize("cls", PRIORS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("what", SENTENCE)
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_each_works_or_says_who_cannot(cls, what, wrap):
    make, shape, lacks = PRIORS[cls]
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
