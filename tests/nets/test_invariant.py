"""Symmetries built into networks: exact for random weights, alone, nested, and in the priors made of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scorefield import nets
from scorefield.errors import InputError
from scorefield.nets import Equivariant, OffsetInvariant, PatchMLP, ScaleInvariant, UNet
from scorefield.objectives import NoiseConditional
from scorefield.priors import FieldOfExperts, Network, Unitless
from support import normal


def randomized(net: nn.Module) -> nn.Module:
    net.double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


def patch(channels: int = 1) -> nn.Module:
    return randomized(PatchMLP(size=3, channels=channels, levels=1))


def whole(channels: int = 1) -> nn.Module:
    return randomized(UNet(channels=channels, widths=(4, 6), blocks=1, bias=True))


def apart(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


SIGMA = torch.tensor([0.02, 0.3, 2.0], dtype=torch.float64)
NESTED = [
    lambda net: OffsetInvariant(ScaleInvariant(Equivariant(net))),
    lambda net: Equivariant(OffsetInvariant(ScaleInvariant(net))),
    lambda net: ScaleInvariant(OffsetInvariant(Equivariant(net))),
]
MAKERS = [(patch, (3, 3)), (whole, (9, 6))]
each_net = pytest.mark.parametrize(("make", "shape"), MAKERS, ids=["patch", "image"])


def prior(net: nn.Module) -> Network:
    return Network(net, Unitless())


# --- B6, each law for the score, and broken without the wrapper


@each_net
@pytest.mark.parametrize("channels", [1, 2])
def test_offsets_change_nothing_and_do_not_come_out(make, shape, channels):
    net = make(channels)
    x = normal(3, channels, *shape)
    offset = torch.tensor([3.0, -1.5], dtype=torch.float64)[:channels].reshape(1, -1, 1, 1)
    model = prior(OffsetInvariant(net))
    assert apart(model.score(x + offset, SIGMA), model.score(x, SIGMA)) < 1e-10
    assert model.score(x, SIGMA).mean((2, 3)).abs().max().item() < 1e-12 * model.score(x, SIGMA).abs().max().item()
    assert apart(prior(net).score(x + offset, SIGMA), prior(net).score(x, SIGMA)) > 1e-3


@each_net
def test_scores_have_degree_minus_one(make, shape):
    net = make()
    x = normal(3, 1, *shape)
    model = prior(ScaleInvariant(net))
    for c in (1e-2, 3.7, 1e2):
        assert apart(model.score(c * x, c * SIGMA), model.score(x, SIGMA) / c) < 1e-10
        assert apart(prior(net).score(c * x, c * SIGMA), prior(net).score(x, SIGMA) / c) > 1e-3


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e-3])
def test_flat_patches_obey_the_law_and_are_not_amplified(scale):
    """The floor is a multiple of sigma, so that it is no unit of its own."""
    model = ScaleInvariant(patch(), floor=2.0)
    x, sigma = scale * normal(4, 1, 3, 3) + 1, torch.tensor(0.5, dtype=torch.float64)
    value = prior(model).score(x, sigma)
    assert apart(prior(model).score(7 * x, 7 * sigma), value / 7) < 1e-10
    expected = prior(model.net).score(x / (2 * sigma), 0.5) / (2 * sigma)  # q = 2 sigma
    torch.testing.assert_close(value, expected)


def test_the_slope_at_a_flat_patch_is_finite():
    x = torch.ones(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ScaleInvariant(patch())(x, torch.zeros(1).double()).sum(), x)
    assert bool(slope.isfinite().all())


@each_net
def test_turns_and_flips_commute_with_the_score(make, shape):
    net = make()
    x = normal(3, 1, *shape)
    model = prior(Equivariant(net))
    for change in (lambda v: v.flip(-1), lambda v: v.flip(-2), lambda v: v.mT, lambda v: torch.rot90(v, 1, (-2, -1))):
        assert apart(model.score(change(x), SIGMA), change(model.score(x, SIGMA))) < 1e-10
        assert apart(prior(net).score(change(x), SIGMA), change(prior(net).score(x, SIGMA))) > 1e-3


@pytest.mark.parametrize("nest", NESTED)
@each_net
def test_all_three_at_once(make, shape, nest):
    model = prior(nest(make()))
    x = normal(3, 1, *shape)
    changed = 0.3 * torch.rot90(x, 1, (-2, -1)) + 2
    expected = torch.rot90(model.score(x, SIGMA), 1, (-2, -1)) / 0.3
    assert apart(model.score(changed, 0.3 * SIGMA), expected) < 1e-5


def test_a_symmetric_network_is_left_as_it_is():
    """Projections: what already has the symmetry does not change."""
    x, noise = normal(3, 1, 3, 3), SIGMA.log() / 4
    for wrap in (OffsetInvariant, Equivariant):
        once = wrap(patch())
        torch.testing.assert_close(wrap(once)(x, noise), once(x, noise))


# --- in a field of experts


@pytest.mark.parametrize("nest", NESTED)
def test_a_field_inherits_them(nest):
    field = FieldOfExperts(nest(patch()), levels=2)
    field.weights = torch.full((2,), 0.1, dtype=torch.float64)
    x = normal(1, 1, 8, 6)
    expected = torch.rot90(field.score(x, 0.2), 1, (-2, -1)) / 3
    assert apart(field.score(3 * torch.rot90(x, 1, (-2, -1)) - 4, 0.6), expected) < 1e-5


def test_wrappers_pass_on_what_training_asks():
    net = OffsetInvariant(ScaleInvariant(Equivariant(nets.Half(PatchMLP(size=5, channels=2, levels=1)))))
    field = FieldOfExperts(net)
    assert (field.size, field.channels, field.lesson().cut.side) == (5, 2, 5)
    NoiseConditional()(field.lesson().trainee, torch.randn(4, 2, 5, 5), torch.Generator().manual_seed(0)).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in field.parameters())


@pytest.mark.parametrize("floor", [0.0, -1.0])
def test_a_floor_of_nothing_is_refused(floor):
    with pytest.raises(InputError, match="floor > 0"):
        ScaleInvariant(PatchMLP(), floor=floor)


# --- half precision


def test_half_precision_rounds_little_and_keeps_types():
    torch.manual_seed(0)
    net = PatchMLP(size=3, levels=1)
    x, noise = torch.randn(256, 1, 3, 3), torch.zeros(256)
    whole, half = net(x, noise), nets.Half(net)(x, noise)
    assert half.dtype == x.dtype
    assert apart(half, whole) < 0.03  # nine roundings of relative size 2^-9


def test_half_precision_leaves_double_precision_alone():
    net = patch()
    x, noise = normal(3, 1, 3, 3), SIGMA.log() / 4
    torch.testing.assert_close(nets.Half(net)(x, noise), net(x, noise))
