"""A description whose weights are not those of the file is refused before any of them is made."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.nets import UNet
from scorefield.store.description import describe
from scorefield.store.shapes import build_like

NET = UNet(widths=(4, 6), blocks=1)


def weights() -> dict[str, Tensor]:
    return dict(NET.state_dict())


def test_weights_of_the_same_names_and_shapes_build_the_network():
    built = build_like(describe(NET), weights())
    assert {name: w.shape for name, w in built.state_dict().items()} == {n: w.shape for n, w in weights().items()}


@pytest.mark.parametrize("name", list(NET.state_dict()))
def test_a_tensor_that_is_missing_is_named(name):
    stored = weights()
    del stored[name]
    with pytest.raises(InputError, match=rf"'{name}' of shape .* no such weights"):
        build_like(describe(NET), stored)


@pytest.mark.parametrize("name", list(NET.state_dict()))
def test_a_tensor_of_another_shape_is_named(name):
    stored = weights()
    stored[name] = torch.cat([stored[name]] * 2)
    with pytest.raises(InputError, match=rf"'{name}' of shape .* its file has \({len(stored[name])}, "):
        build_like(describe(NET), stored)
