"""Memory: the bytes a linearization keeps are counted, and always at least one draw fits."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from scorefield.measurement import Measurement
from scorefield.nets import UNet
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.prior import Denoiser
from scorefield.priors import Gaussian, Homogeneous, IndependentParts, Network, Unitless
from scorefield.reconstruction import memory
from scorefield.reconstruction.memory import draws_that_fit, graph_bytes
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.store.checkpoint import Card
from support import normal

SIGMA = torch.tensor(0.5)


class Square(Denoiser):
    """Its backward pass needs x and nothing else."""

    def denoise(self, x, sigma):
        return x**2


class Weighted(Denoiser):
    def __init__(self, n: int):
        super().__init__()
        self.layer = nn.Linear(n, n, bias=False)

    def denoise(self, x, sigma):
        return self.layer(x)


def test_the_graph_is_counted_to_the_byte():
    x = torch.zeros(1, 1000)
    assert graph_bytes(Square(), x, SIGMA) == 4000
    assert graph_bytes(Square(), x.double(), SIGMA) == 8000
    # shared storage counts once: the weight, whose gradient also wants the input
    assert graph_bytes(Weighted(100).requires_grad_(False), torch.zeros(1, 100), SIGMA) == 40_000


def test_a_network_keeps_memory_in_proportion_to_the_pixels():
    prior = Network(UNet(widths=(8, 8), blocks=1), Unitless()).requires_grad_(False)
    small, large = (graph_bytes(prior, torch.zeros(1, 1, n, n), SIGMA) for n in (64, 128))
    assert small > 10 * 64 * 64 * 4
    assert large / small == pytest.approx(4, rel=0.1)
    lifted = graph_bytes(IndependentParts(prior), torch.zeros(1, 1, 128, 128, dtype=torch.complex64), SIGMA)
    assert lifted / large == pytest.approx(2, rel=0.2)  # two images of the prior


def test_a_closed_form_keeps_none():
    prior = Gaussian(torch.zeros(8, dtype=torch.float64), torch.eye(8, dtype=torch.float64))
    assert graph_bytes(prior, normal(1, 8), SIGMA) == 0


def test_draws_fill_their_share(monkeypatch):
    x = torch.zeros(1, 1000)
    each = 4000 + 40 * 4000  # the graph, and the images of solver and kernel
    monkeypatch.setattr(memory, "free_bytes", lambda device: 100 * each)
    assert draws_that_fit(Square(), x, SIGMA, share=0.5) == 50
    assert draws_that_fit(Square(), x, SIGMA) == 40
    assert draws_that_fit(Square(), x, SIGMA, share=0.0101) == 1


def test_one_draw_always_fits(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0)
    assert draws_that_fit(Square(), torch.zeros(1, 1000), SIGMA) == 1


def alive() -> int:
    """Tensors that exist, also those that only a graph holds."""
    gc.collect()
    return sum(type(thing) is torch.Tensor for thing in gc.get_objects())


def test_counting_keeps_no_graph():
    """A saved tensor that a hook hands back as it is keeps its graph alive, and the graph the tensor."""
    prior = Network(UNet(widths=(8, 8), blocks=1), Unitless()).requires_grad_(False)
    graph_bytes(prior, torch.zeros(1, 1, 16, 16), SIGMA)
    before = alive()
    for _ in range(3):
        graph_bytes(prior, torch.zeros(1, 1, 16, 16), SIGMA)
    assert alive() <= before


def test_two_hundred_reconstructions_keep_nothing():
    prior = Network(UNet(widths=(8, 8), blocks=1), Homogeneous()).requires_grad_(False)
    prior.card = Card("tiny")
    measurement = Measurement(torch.ones(1, 8, 8), Identity((1, 8, 8)), White(0.1))

    def once() -> None:
        reconstruct(prior, measurement, n=1, method=Method(steps=1), seed=0)

    once()
    before = alive()
    for _ in range(200):
        once()
    assert alive() <= before
