"""What ships: every prior has a recipe of its name, a card that says what it is, and works as it is described."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import fit_mixture
from scorefield import shipped
from scorefield.store import checkpoint
from shipped_images import retouch
from train_shipped import RECIPES as TRAINED
from train_shipped import deep_unet, unet

RECIPES = {**TRAINED, **fit_mixture.RECIPES}
NAMES = shipped.names()


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_prior_is_what_its_recipe_makes(name):
    made, loaded = RECIPES[name].make(), checkpoint.load(shipped.find(name))
    assert type(made) is type(loaded)
    made.load_state_dict(loaded.state_dict())  # the same tensors under the same names
    assert RECIPES[name].card.name == loaded.card.name == name


@pytest.mark.parametrize("name", NAMES)
def test_its_card_states_data_licence_recipe_and_limits(name):
    card = checkpoint.load(shipped.find(name)).card
    assert card.summary
    assert card.limits
    assert card.provenance
    assert {"images", "steps", "seconds", "settings", "noise", "command"} <= set(card.training)
    script = "fit_mixture.py" if name in fit_mixture.RECIPES else "train_shipped.py"
    assert f"{script} {name}" in card.training["command"]
    assert "/" not in json.dumps(card.training).replace("scripts/", "")  # no path of anybody's machine


@pytest.mark.parametrize("name", NAMES)
def test_it_denoises_what_is_flat(name):
    """At every level it was trained for, noise on a constant image becomes much smaller; nothing is bent by 20 %."""
    prior = checkpoint.load(shipped.find(name)).eval()
    clean = torch.full((1, 1, 64, 64), 0.5 * prior.card.amplitude)
    for sigma in (0.02, 0.1, 0.4):
        noise = sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            error = (prior.denoise(clean + noise, sigma) - clean)[..., 8:-8, 8:-8]
        assert error.square().mean().sqrt().item() < 0.65 * sigma


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_starts_from_what_ships(name):
    """The prior that continues denoises as the earlier one did."""
    earlier, prior = checkpoint.load(shipped.find(name)).eval(), RECIPES[name].make().eval()
    RECIPES[name].start(prior, earlier)
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(prior.denoise(x, 0.1), earlier.denoise(x, 0.1))


def test_the_deep_network_starts_from_the_shallow_one():
    earlier, prior = unet(), deep_unet()
    torch.nn.init.normal_(earlier.net.tail.weight, std=0.1)
    RECIPES["brain-t1"].start(prior, earlier)
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(earlier.denoise(x, 0.1), x)
        torch.testing.assert_close(prior.denoise(x, 0.1), earlier.denoise(x, 0.1))


def test_retouching_is_an_increasing_curve_through_air_and_white():
    gray = np.linspace(0, 1.5, 301)
    curves = np.stack([retouch(gray, np.random.default_rng(seed)) for seed in range(50)])
    slopes = np.diff(curves, axis=1)
    assert np.allclose(curves[:, 0], 0)
    assert np.allclose(curves[:, 200], 1)
    assert slopes.min() > 0
    assert (slopes.max(1) <= (3 + 1e-9) * slopes.min(1)).all()
    assert curves[:, 100].std() > 0.05  # they differ
