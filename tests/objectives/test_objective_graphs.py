"""Terms of an objective: one for each row, with a graph to whatever parameters the prior has."""

from __future__ import annotations

import copy

import pytest
import torch
from objective_cases import IMAGES, NAMES, SIGMA, SUBJECTS, network, objectives, standard, subject
from torch import Tensor

from scorefield.objectives import Explicit, Implicit, Likelihood
from scorefield.priors import GaussianMixture
from support import normal

every = pytest.mark.parametrize("name", NAMES)


@every
@pytest.mark.parametrize("kind", SUBJECTS)
def test_draws_and_terms_are_rows(name, kind):
    """Term i depends on row i only: this is how several processes share a batch."""
    prior, x, target = subject(kind)
    objective = objectives(target)[name]
    drawn = objective.draw(x, torch.Generator().manual_seed(0))
    assert all(len(part) == len(x) for part in drawn)
    terms = objective.terms(prior, *drawn)
    assert terms.shape == (len(x),)
    assert torch.equal(terms, objective.terms(prior, *drawn))
    rows = torch.cat([objective.terms(prior, *(part[cut] for part in drawn)) for cut in (slice(2), slice(2, None))])
    torch.testing.assert_close(rows, terms, rtol=1e-10, atol=1e-10)
    value = objective(prior, x, torch.Generator().manual_seed(0))
    assert value.ndim == 0
    assert torch.equal(value, terms.mean())
    assert not torch.equal(value, objective(prior, x, torch.Generator().manual_seed(1)))


@every
def test_evaluation_without_gradients_has_the_same_value(name):
    for kind in SUBJECTS:
        prior, x, target = subject(kind)
        objective = objectives(target)[name]
        drawn = objective.draw(x, torch.Generator().manual_seed(0))
        with torch.no_grad():
            result = objective.terms(prior, *drawn)
        assert not result.requires_grad
        torch.testing.assert_close(result, objective.terms(prior, *drawn).detach())
        assert not x.requires_grad


@every
@pytest.mark.parametrize("kind", ["images", "energy"])
def test_the_gradient_reaches_the_weights(name, kind):
    """Compared with a central difference along a random direction of all weights."""
    prior, x, target = subject(kind)
    objective = objectives(target)[name]
    drawn = objective.draw(x, torch.Generator().manual_seed(0))
    weights = list(prior.parameters())
    gradient = torch.autograd.grad(objective.terms(prior, *drawn).mean(), weights, allow_unused=True)
    along = [normal(*w.shape, seed=i) for i, w in enumerate(weights)]
    slope = sum((g * v).sum().item() for g, v in zip(gradient, along, strict=True) if g is not None)
    values = []
    for step in (1e-5, -1e-5):
        moved = copy.deepcopy(prior)
        with torch.no_grad():
            for w, v in zip(moved.parameters(), along, strict=True):
                w += step * v
            values.append(objective.terms(moved, *drawn).mean().item())
    assert abs(slope) > 1e-3
    assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


LOSSES = {**objectives(standard(2)), "likelihood": Likelihood(), "clean": Implicit()}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dense", [False, True], ids=["isotropic", "dense"])
def test_the_gradient_reaches_the_parameters_of_a_mixture(name, dense):
    """Closed forms are fitted by building them from the parameters."""
    drawn = LOSSES[name].draw(normal(8, 2, seed=5), torch.Generator().manual_seed(0))

    def loss(means: Tensor, widths: Tensor, logits: Tensor) -> Tensor:
        covariances = widths.square()
        if dense:
            turn = torch.tensor([[1.0, 0.3], [0.3, 1.5]], dtype=torch.float64)
            covariances = covariances[:, None, None] * turn
        return LOSSES[name].terms(GaussianMixture(means, covariances, logits.softmax(0)), *drawn).mean()

    start = (normal(3, 2), 1 + 0.2 * normal(3, seed=1).abs(), normal(3, seed=2))
    assert torch.autograd.gradcheck(loss, tuple(p.requires_grad_() for p in start))


def test_the_score_of_a_mixture_is_twice_differentiable():
    def score(x: Tensor, means: Tensor, widths: Tensor, logits: Tensor) -> Tensor:
        return GaussianMixture(means, widths.square(), logits.softmax(0)).score(x, 0.3)

    start = (normal(3, 2, seed=3), normal(2, 2), 1 + 0.2 * normal(2, seed=1).abs(), normal(2, seed=2))
    leaves = tuple(p.requires_grad_() for p in start)
    assert torch.autograd.gradcheck(score, leaves)
    assert torch.autograd.gradgradcheck(score, leaves)


def test_a_component_without_weight_has_no_gradient():
    """A softmax that underflows gives weight 0: the others' gradients stay finite."""
    logits = torch.tensor([0.0, 1.0, -2000.0], dtype=torch.float64, requires_grad=True)
    x = normal(5, 2)
    mixture = GaussianMixture(normal(3, 2, seed=1), torch.ones(3), logits.softmax(0))
    (result,) = torch.autograd.grad(Implicit()(mixture, x), logits)
    without = logits.detach()[:2].requires_grad_()
    pair = GaussianMixture(normal(3, 2, seed=1)[:2], torch.ones(2), without.softmax(0))
    (expected,) = torch.autograd.grad(Implicit()(pair, x), without)
    torch.testing.assert_close(result, torch.cat([expected, torch.zeros(1).double()]))
    torch.testing.assert_close(mixture.score(x, 0.2), pair.score(x, 0.2))


def test_no_gradient_reaches_the_target():
    target, x = network(), normal(*IMAGES)
    value = Explicit(target, SIGMA)(network(), x, torch.Generator().manual_seed(0))
    value.backward()
    assert all(w.grad is None for w in target.parameters())
