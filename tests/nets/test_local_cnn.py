"""The local bias-free network: exact reach, homogeneity, and normalization without a bias."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scorefield.errors import InputError
from scorefield.nets import LocalCNN
from scorefield.nets.local_cnn import BiasFreeNorm
from scorefield.objectives import NoiseConditional
from scorefield.priors import Homogeneous, Network
from support import normal


def randomized(net: LocalCNN) -> LocalCNN:
    net.double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net


@pytest.mark.parametrize("reach", [3, 5, 9, 13, 23, 43])
def test_the_reach_is_exact(reach):
    """B8, D11: zero slopes outside of the window, to the bit, and none inside."""
    net = LocalCNN(reach=reach, width=4, depth=21).double().eval()
    for parameter in net.parameters():  # all positive, or a rectifier may close the way
        nn.init.uniform_(parameter, 0.1, 0.3)
    side, center = 47, 23
    x = normal(1, 1, side, side).abs().requires_grad_()
    slope = torch.autograd.grad(net(x, torch.ones(1))[0, 0, center, center], x)[0][0, 0]
    half = reach // 2
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[center - half : center + half + 1, center - half : center + half + 1] = True
    assert bool((slope[~inside] == 0).all())
    corners = slope[center - half :: reach - 1, center - half :: reach - 1][:2, :2]
    assert bool((corners != 0).all())


def test_homogeneous_in_evaluation():
    net = randomized(LocalCNN(reach=5, channels=2, width=6, depth=4))
    net(normal(3, 2, 8, 8), torch.ones(3))  # running variances other than 1
    net.eval()
    x = normal(2, 2, 9, 7)
    for c in (1e-3, 4.2):
        torch.testing.assert_close(net(c * x, torch.ones(2)), c * net(x, torch.ones(2)), rtol=1e-9, atol=0)
    prior = Network(net, Homogeneous())
    torch.testing.assert_close(prior.denoise(3 * x, 0.3), 3 * prior.denoise(x, 0.1))
    assert not any(name.endswith("bias") for name, _ in net.named_parameters())


def test_homogeneous_image_by_image_in_training():
    """Each image has its own factor, and the batch variances are those of images of one size."""
    net, x = randomized(LocalCNN(reach=5, channels=2, width=6, depth=4)), normal(3, 2, 8, 8)
    factors = torch.tensor([1e-3, 1.0, 40.0]).double().reshape(3, 1, 1, 1)
    expected = factors * net(x, torch.ones(3))
    torch.testing.assert_close(net(factors * x, torch.ones(3)), expected, rtol=1e-9, atol=0)
    assert bool((net(0 * x, torch.ones(3)) == 0).all())


def test_images_are_apart_in_evaluation_and_together_in_training():
    net, x = randomized(LocalCNN(reach=5, width=6, depth=4)), normal(3, 1, 8, 8)
    together = net(x, torch.ones(3))
    assert not torch.allclose(net(x[:1], torch.ones(1)), together[:1])
    net.eval()
    torch.testing.assert_close(net(x[:1], torch.ones(1)), net(x, torch.ones(3))[:1])


def test_normalization_scales_and_does_not_shift():
    norm = BiasFreeNorm(3, momentum=0.5).double()
    x = normal(4, 3, 20, 20) * torch.tensor([1.0, 5.0, 0.1]).reshape(-1, 1, 1) + 2
    y = norm(x)
    torch.testing.assert_close(y.var((0, 2, 3), correction=0), torch.ones(3).double(), rtol=2e-3, atol=0)
    ratio = y / x
    torch.testing.assert_close(ratio, ratio[:1, :, :1, :1].expand_as(ratio))
    torch.testing.assert_close(norm.variance, 0.5 + 0.5 * x.var((0, 2, 3), correction=0))
    norm.eval()
    torch.testing.assert_close(norm(x), x / (norm.variance + 1e-5).sqrt().reshape(-1, 1, 1))


def test_it_trains():
    torch.manual_seed(0)
    net = LocalCNN(reach=5, width=8, depth=4)
    assert bool((net(torch.randn(1, 1, 8, 8), torch.ones(1)) == 0).all())
    nn.init.normal_(net.layers[-1].weight)
    objective, g = NoiseConditional(weight=Homogeneous().weight), torch.Generator().manual_seed(0)
    objective(Network(net, Homogeneous()), torch.randn(4, 1, 8, 8), g).backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in net.parameters())


def test_the_default_has_the_published_layers():
    net = LocalCNN(reach=13)
    assert len(net.layers) == 21
    sides = [layer.kernel_size[0] for layer in net.layers]
    assert sides == [3] * 6 + [1] * 15
    assert len(net.norms) == 19


@pytest.mark.parametrize("options", [{"reach": 4}, {"reach": 1}, {"reach": 9, "depth": 3}, {"reach": 3, "depth": 1}])
def test_impossible_reaches_are_refused(options):
    with pytest.raises(InputError, match="odd reach"):
        LocalCNN(**options)
