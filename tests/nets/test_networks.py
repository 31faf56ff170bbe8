"""Networks: shapes, sizes, the tutorial's layers, and homogeneity without biases."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from scorefield.errors import InputError
from scorefield.nets import LocalCNN, PatchMLP, UNet
from support import normal


def randomized(net: nn.Module) -> nn.Module:
    """Double precision and no weight at zero."""
    net.double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    return net


# --- the U-Net


def test_the_default_unet_is_as_small_as_its_docstring_says():
    net = UNet()
    work = 0

    def count(layer, inputs, output):
        nonlocal work
        pixels = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output  # each meets every weight once
        work += layer.weight.numel() * pixels[0, 0].numel()

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    net(torch.zeros(1, 1, 128, 128), torch.zeros(1))
    weights = sum(p.numel() for p in net.parameters())
    assert f"{weights / 1e6:.2f} M weights" in str(UNet.__doc__)
    assert f"{work / 1e9:.2f} GMAC" in str(UNet.__doc__)
    assert 0.55e6 < weights < 0.65e6


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (7, 9), (13, 2), (5, 32)])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_size(size, channels):
    net = randomized(UNet(channels=channels, widths=(4, 6), blocks=1))
    x = normal(2, channels, *size)
    assert net(x, torch.tensor([0.1, 0.2])).shape == x.shape


@pytest.mark.parametrize("widths", [(4,), (4, 6), (4, 6, 8)])
def test_any_depth_sees_far(widths):
    """The output at the center depends on pixels further away the deeper the network is, and on both inputs."""
    net = randomized(UNet(widths=widths, blocks=1))
    x = normal(1, 1, 32, 32).requires_grad_()
    noise = torch.full((1,), 0.3, dtype=torch.float64, requires_grad=True)
    by_x, by_noise = torch.autograd.grad(net(x, noise)[0, 0, 16, 16], (x, noise))
    assert by_noise.abs().item() > 0
    reach = (by_x[0, 0].nonzero() - 16).abs().max().item()
    assert reach >= {1: 8, 2: 13, 3: 16}[len(widths)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("deeper", [(4, 6, 8), (4, 6, 8, 5)])
def test_a_deeper_network_continues_a_shallower_one(deeper, bias):
    """The same outputs before training, and a gradient by which the new levels can learn."""
    shallow, net = randomized(UNet(widths=(4, 6), bias=bias)), UNet(widths=deeper, bias=bias).double()
    net.continue_from(shallow)
    x, noise = normal(2, 1, 16, 32), torch.tensor([0.1, 0.2])
    torch.testing.assert_close(net(x, noise), shallow(x, noise), rtol=1e-12, atol=1e-12)
    net(x, noise).square().sum().backward()
    assert net.up[1].weight.grad.abs().max() > 0


@pytest.mark.parametrize("other", [{"widths": (4, 5)}, {"blocks": 1}, {"bias": True}, {"channels": 2}])
def test_a_network_of_another_make_is_not_continued(other):
    with pytest.raises(InputError, match="same first widths"):
        UNet(widths=(4, 6, 8)).continue_from(UNet(**{"widths": (4, 6)} | other))


def test_a_size_the_network_divides_is_padded_nowhere():
    """A larger image cropped to a multiple of the step is the same far from the new border."""
    net = randomized(UNet(widths=(4, 6), blocks=1))
    x = normal(1, 1, 40, 64)
    whole, part = net(x, torch.ones(1)), net(x[..., :36], torch.ones(1))
    torch.testing.assert_close(whole[..., :12], part[..., :12])
    assert not torch.allclose(whole[..., 32:36], part[..., 32:])


def test_odd_sizes_are_replicated_to_the_step():
    net = randomized(UNet(widths=(4, 6), blocks=1))
    x = normal(1, 1, 7, 9)
    padded = nn.functional.pad(x, (0, 3, 0, 1), mode="replicate")
    torch.testing.assert_close(net(x, torch.ones(1)), net(padded, torch.ones(1))[..., :7, :9])


@pytest.mark.parametrize("bias", [False, True])
def test_homogeneous_without_biases_only(bias):
    net = randomized(UNet(widths=(4, 6), blocks=2, bias=bias))
    x, noise = normal(2, 1, 7, 8), torch.tensor([0.3, 1.1], dtype=torch.float64)
    for c in (0.01, 3.7, 100.0):
        scaled, by_scale = net(c * x, c * noise), c * net(x, noise)
        error = ((scaled - by_scale).norm() / by_scale.norm()).item()
        assert error > 1e-3 if bias else error < 1e-12
    has = [name for name, _ in net.named_parameters() if name.endswith("bias")]
    assert bool(has) == bias


def test_each_image_has_its_own_noise_level():
    net = randomized(UNet(widths=(4, 6), blocks=1))
    x, noise = normal(2, 1, 8, 8), torch.tensor([0.3, 1.1], dtype=torch.float64)
    alone = torch.cat([net(x[i : i + 1], noise[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(net(x, noise), alone)
    torch.testing.assert_close(net(x, noise[:1]), net(x, noise[:1].expand(2)))


def test_a_new_unet_says_nothing():
    """Its last layer is zero, so that the wrapped denoiser starts as its skip path."""
    assert UNet()(torch.randn(1, 1, 8, 8), torch.ones(1)).abs().max().item() == 0


# --- the patch network


def test_the_tutorials_layers():
    net = PatchMLP()
    shapes = [tuple(layer.weight.shape) for layer in net.layers]
    widths = [9, 40, 80, 160, 320, 320, 160, 80, 40, 9]
    assert shapes == [(b, a) for a, b in pairwise(widths)]


def test_the_tutorials_activations():
    """Five leaky rectifiers, three hyperbolic tangents, and a linear output, written out."""
    net = randomized(PatchMLP())
    z = normal(4, 9)
    expected = z
    for i in range(9):
        layer = net.layers[i]
        expected = expected @ layer.weight.T + layer.bias
        if i < 5:
            expected = torch.where(expected > 0, expected, 0.01 * expected)
        elif i < 8:
            expected = expected.tanh()
    result = net(z.reshape(4, 1, 3, 3), torch.zeros(4))
    torch.testing.assert_close(result, expected.reshape(4, 1, 3, 3))
    assert result.abs().max().item() > 1  # the output is not squashed


def test_the_tutorials_network_does_not_see_the_noise_and_the_conditional_one_does():
    v = normal(4, 1, 3, 3)
    blind, conditional = randomized(PatchMLP()), randomized(PatchMLP(levels=1))
    assert torch.equal(blind(v, torch.zeros(4)), blind(v, torch.ones(4)))
    levels = torch.tensor([0.0, 0, 1, 1])
    both = conditional(v, levels)
    torch.testing.assert_close(both[:2], conditional(v, torch.zeros(4))[:2])
    torch.testing.assert_close(both[2:], conditional(v, torch.ones(4))[2:])
    assert not torch.allclose(both[2:], conditional(v, torch.zeros(4))[2:])


@pytest.mark.parametrize(("size", "channels"), [(2, 1), (5, 1), (3, 2)])
def test_other_patches_scale_the_widths(size, channels):
    net = PatchMLP(size=size, channels=channels)
    pixels = channels * size**2
    assert net.layers[0].in_features == net.layers[-1].out_features == pixels
    assert net.layers[3].out_features == round(320 * pixels / 9)
    v = torch.randn(3, channels, size, size)
    assert net(v, torch.zeros(3)).shape == v.shape


def test_widths_of_ones_own():
    """Six hidden layers: five leaky rectifiers, one hyperbolic tangent, a linear output."""
    net = randomized(PatchMLP(size=2, levels=1, widths=(7, 6, 5, 4, 3, 8)))
    assert [layer.out_features for layer in net.layers] == [7, 6, 5, 4, 3, 8, 4]
    z, noise = normal(5, 4), normal(5)
    expected = torch.cat([z, noise[:, None]], 1)
    for i, layer in enumerate(net.layers):
        expected = expected @ layer.weight.T + layer.bias
        if i < 5:
            expected = torch.where(expected > 0, expected, 0.01 * expected)
        elif i == 5:
            expected = expected.tanh()
    torch.testing.assert_close(net(z.reshape(5, 1, 2, 2), noise), expected.reshape(5, 1, 2, 2))


@pytest.mark.parametrize("widths", [(), (4, 0)])
def test_hidden_layers_have_units(widths):
    with pytest.raises(InputError, match="hidden layer"):
        PatchMLP(widths=widths)


@pytest.mark.parametrize(
    "make", [lambda: UNet(widths=(4, 6), blocks=1), lambda: LocalCNN(reach=5, width=4, depth=3)], ids=["UNet", "CNN"]
)
@pytest.mark.parametrize(
    ("shape", "words"), [((2, 3, 16, 16), "3 channel"), ((1, 1, 8, 16, 16), "volumes"), ((1, 64), "shape")]
)
def test_other_than_2d_images_of_its_channels_are_named(make, shape, words):
    with pytest.raises(InputError, match=f"1 channel.*and got {words}"):
        make()(torch.zeros(shape), torch.ones(1))
