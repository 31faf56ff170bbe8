"""Phantoms: areas in closed form, partial volume at edges only, the law of their parameters, determinism."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from scorefield.data.phantoms import Disks, Grays, Phantom, Rectangles
from scorefield.errors import InputError

LAWS = [Disks(32), Rectangles(32, side=(0.2, 0.5), spread=0.2)]  # rectangles that stay inside


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def measures(law: Phantom, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Areas and perimeters."""
    if isinstance(law, Disks):
        radius = parameters[:, 2]
        return math.pi * radius.square(), 2 * math.pi * radius
    height, width = parameters[:, 2], parameters[:, 3]
    return height * width, 2 * (height + width)


@pytest.mark.parametrize("law", LAWS, ids=["disks", "rectangles"])
@pytest.mark.parametrize("samples", [1, 4, 16])
def test_areas(law, samples):
    parameters = law.parameters(20, g())
    area, perimeter = measures(law, parameters)
    found = replace(law, samples=samples).render(parameters).double().sum((1, 2, 3))
    assert ((found - area).abs() <= perimeter / (math.sqrt(2) * samples)).all()


@pytest.mark.parametrize("law", LAWS, ids=["disks", "rectangles"])
def test_centers_of_mass_and_turns(law):
    """The first moments are the center's, and turning the parameters turns the image."""
    law = replace(law, samples=8)
    parameters = law.parameters(20, g())
    images = law.render(parameters)
    rows = torch.arange(32) + 0.5
    mass = images.sum((1, 2, 3))
    center = torch.stack([(images.sum(3) @ rows)[:, 0], (images.sum(2) @ rows)[:, 0]], 1) / mass[:, None]
    torch.testing.assert_close(center.double(), parameters[:, :2], atol=0.05, rtol=0)
    turned = parameters.clone()
    turned[:, 0], turned[:, 1] = 32 - parameters[:, 1], parameters[:, 0]
    if isinstance(law, Rectangles):
        turned[:, 4] += math.pi / 2
    change = (law.render(turned) - images.rot90(1, (2, 3))).abs().max()
    assert change <= 1 / 64  # one point of a pixel may fall to the other side by rounding


def test_a_rectangle_along_the_axes_is_exact():
    """[8.5, 16.25] x [4, 24.5]: the coverage of a pixel is the product of two overlaps."""
    images = Rectangles(32).render(torch.tensor([[12.375, 14.25, 7.75, 20.5, 0.0]], dtype=torch.float64))
    pixels = torch.arange(32)
    rows = (torch.clamp(pixels + 1, max=16.25) - torch.clamp(pixels, min=8.5)).clamp(min=0)
    columns = (torch.clamp(pixels + 1, max=24.5) - torch.clamp(pixels, min=4)).clamp(min=0)
    torch.testing.assert_close(images[0, 0], rows[:, None] * columns)


def test_only_the_edge_is_partly_covered():
    law = Disks(32)
    parameters = law.parameters(20, g())
    images = law.render(parameters)
    corners = torch.arange(33, dtype=torch.float64)
    row, column, radius = parameters[:, :, None, None].unbind(1)
    distance = ((corners[:, None] - row).square() + (corners - column).square()).sqrt()
    within = (distance < radius).unfold(1, 2, 1).unfold(2, 2, 1).flatten(3)
    assert (images[:, 0][within.all(3)] == 1).all()  # a disk holds the square whose corners it holds
    center = (corners[:-1] + 0.5)[:, None]
    away = ((center - row).square() + (center.T - column).square()).sqrt() > radius + math.sqrt(0.5)
    assert (images[:, 0][away] == 0).all()
    partial = (images > 0) & (images < 1)
    assert (partial.sum((1, 2, 3)) > 2 * radius.flatten()).all()


@pytest.mark.parametrize("law", LAWS, ids=["disks", "rectangles"])
def test_the_generator_decides_everything_and_the_points_nothing(law):
    first, again, other = law.draw(5, g()), law.draw(5, g()), law.draw(5, g(1))
    assert first.shape == (5, 1, 32, 32)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    finer = replace(law, samples=8).draw(5, g())
    assert ((first - finer).abs() < 0.5).all()


def test_many_images_are_rendered_part_by_part():
    law = Disks(64, samples=8)  # 32 of these at a time
    parameters = law.parameters(40, g())
    torch.testing.assert_close(law.render(parameters)[33:], law.render(parameters[33:]), rtol=0, atol=0)


@pytest.mark.parametrize("law", LAWS, ids=["disks", "rectangles"])
def test_the_laws_of_the_parameters(law):
    """Uniform where they are said to be: means and ranges over 20 000 shapes, 5 standard errors."""
    parameters = law.parameters(20_000, g()) / 32
    assert ((parameters[:, :2].mean(0) - 0.5).abs() < 5 * 0.5 / math.sqrt(20_000)).all()
    sizes, (low, high) = (parameters[:, 2:3], law.radius) if isinstance(law, Disks) else (parameters[:, 2:4], law.side)
    assert sizes.min() >= low
    assert sizes.max() <= high
    error = (high - low) / math.sqrt(12 * 20_000)
    assert ((sizes.mean(0) - (low + high) / 2).abs() < 5 * error).all()
    assert ((sizes.var(0) / ((high - low) ** 2 / 12) - 1).abs() < 5 * math.sqrt(0.8 / 20_000)).all()
    if isinstance(law, Disks):
        assert (parameters[:, :2] - parameters[:, 2:]).min() >= 0
        assert (parameters[:, :2] + parameters[:, 2:]).max() <= 1


def test_gray_levels_are_the_tutorials():
    coverage = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3).expand(20_000, 1, 1, 3)
    ground, middle, shape = Grays()(coverage, g()).double().flatten(1).T
    torch.testing.assert_close(middle, (ground + shape) / 2, atol=1e-6, rtol=0)
    for gray, std in ((ground, 0.1), (shape, 0.03)):
        assert abs(gray.mean().item() - 1) < 5 * std / math.sqrt(20_000)
        assert abs(gray.std().item() / std - 1) < 5 / math.sqrt(2 * 20_000)
    assert abs(torch.corrcoef(torch.stack([ground, shape]))[0, 1].item()) < 5 / math.sqrt(20_000)


def test_bad_laws_are_refused():
    for build in (
        lambda: Disks(0),
        lambda: Disks(samples=0),
        lambda: Disks(radius=(0.4, 0.3)),
        lambda: Disks(radius=(0.0, 0.3)),
        lambda: Disks(radius=(0.2, 0.6)),
        lambda: Rectangles(side=(-0.1, 0.3)),
        lambda: Rectangles(spread=1.5),
        lambda: Disks().draw(0, g()),
    ):
        with pytest.raises(InputError):
            build()
