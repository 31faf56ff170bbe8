"""Kernels that hold data follow ``to``; the originals stay; and what the inner loop calls can be compiled."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from benches import tb_g
from torch import Tensor

from scorefield import kernels
from scorefield.errors import InputError
from scorefield.kernels import DAPS, MALA, Ancestral, Hold, Kernel, Particles, RePaint, Repeat, SplitGibbs, Then
from scorefield.nets import UNet
from scorefield.portable import Portable
from scorefield.prior import level
from scorefield.priors.network import EDM, Homogeneous, Network, Unitless
from support import White, normal

GIVEN = tb_g().measurement
CLASSES = [getattr(kernels, name) for name in kernels.__all__]
CONDITIONAL = [
    cls
    for cls in CLASSES
    if inspect.isclass(cls)
    and issubclass(cls, Kernel)
    and not inspect.isabstract(cls)
    and "measurement" in inspect.signature(cls).parameters
]
COMBINED = [
    Then(Ancestral(), Hold(DAPS(GIVEN))),
    Repeat(Then(SplitGibbs(GIVEN), RePaint(GIVEN)), 2),
    Particles(GIVEN, move=MALA()),
]


def tensors(thing: Any) -> list[Tensor]:
    """All tensors inside portables, wherever they are."""
    if isinstance(thing, Tensor):
        return [thing]
    if isinstance(thing, Portable):
        return [tensor for part in vars(thing).values() for tensor in tensors(part)]
    return [tensor for part in thing for tensor in tensors(part)] if isinstance(thing, (list, tuple)) else []


@pytest.mark.parametrize("kernel", [*(cls(GIVEN) for cls in CONDITIONAL), *COMBINED], ids=lambda k: type(k).__name__)
def test_kernels_move_their_data_to_the_device(kernel):
    moved = kernel.to("meta")
    assert tensors(kernel)
    assert {tensor.device.type for tensor in tensors(moved)} == {"meta"}
    assert {tensor.device.type for tensor in tensors(kernel)} == {"cpu"}
    assert type(moved) is type(kernel)
    assert len(tensors(moved)) == len(tensors(kernel))


def test_the_list_has_every_kernel_with_a_measurement():
    assert len(CONDITIONAL) >= 10


@pytest.mark.parametrize("preconditioning", [EDM(), Homogeneous(), Unitless()])
def test_a_network_compiles_in_one_graph(preconditioning):
    net = UNet(widths=(8, 8), blocks=1)
    torch.nn.init.normal_(net.tail.weight, std=0.1)
    prior = Network(net, preconditioning)
    x, sigma = normal(2, 1, 16, 16).float(), torch.tensor(0.3, dtype=torch.float64)
    compiled = torch.compile(prior.denoise, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.equal(compiled(x, sigma), prior.denoise(x, sigma))
        assert torch.equal(compiled(x, sigma / 2), prior.denoise(x, sigma / 2))


def test_levels_on_the_cpu_are_checked_without_waiting_for_a_device():
    x = torch.zeros(2, 3)
    for bad in (-1.0, torch.nan, torch.tensor(-1.0), torch.tensor([1.0, torch.inf])):
        with pytest.raises(InputError, match="finite number >= 0"):
            level(bad, x)
        with pytest.raises(InputError, match="finite number >= 0"):
            White(1.0).denoise(x, bad)
    with pytest.raises(InputError, match="no score at sigma = 0"):
        White(1.0).score(x, 0.0)
    with pytest.raises(InputError, match="must have shape"):
        level(torch.ones(3, device="meta"), x.to("meta"))
    # a device that has no numbers to read: nothing is asked of it
    assert level(torch.tensor(-1.0, device="meta"), x.to("meta")).shape == (1, 1)
    assert White(1.0).score(x.to("meta"), torch.zeros(2, device="meta")).shape == x.shape
