"""Laws of the intensity of an image."""

from __future__ import annotations

import pytest
import torch

from scorefield.units import intensity_of
from support import complex_normal, normal

IMAGES = {
    "real": normal(1, 30, 20),
    "complex": complex_normal(1, 30, 20),
    "flat": torch.full((1, 8, 8), 3.0).double(),
    "one pixel": torch.tensor([[[2.0]]]).double(),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_wider_field_of_view_changes_nothing(name):
    image = IMAGES[name]
    for margin in (1, 10, 150):
        padded = torch.nn.functional.pad(image, (margin, margin, 3 * margin, 0))
        assert intensity_of(padded) == intensity_of(image), margin


@pytest.mark.parametrize("name", IMAGES)
def test_the_unit_is_that_of_the_image(name):
    for scale in (2.0**-40, 0.3, 1e20):
        assert intensity_of(scale * IMAGES[name]) == pytest.approx(scale * intensity_of(IMAGES[name]), rel=1e-12)
    assert intensity_of(-1j * IMAGES[name]) == intensity_of(IMAGES[name])


def test_five_percent_of_the_energy_lie_above():
    values = torch.arange(1, 1001, dtype=torch.float64)  # sum of the first k squares: k (k + 1) (2 k + 1) / 6
    total = 1000 * 1001 * 2001
    expected = next(k for k in range(1, 1001) if k * (k + 1) * (2 * k + 1) >= 0.95 * total)
    shuffled = values[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    assert intensity_of(shuffled.reshape(1, 1, 25, 40)) == expected == 984


def test_an_object_in_a_thousandth_of_the_image_gives_the_intensity_not_the_noise():
    object_ = 629 + normal(20, 20)
    image = 10 * normal(600, 700)
    image[100:120, 300:320] = object_
    assert intensity_of(image) == pytest.approx(629, rel=0.01)


def test_numbers_that_are_not_finite_do_not_count():
    values = torch.tensor([3.0, torch.nan, torch.inf, 0.0])
    assert intensity_of(values) == 3
    assert intensity_of(torch.zeros(1, 4, 4)) == 1
    assert intensity_of(torch.full((3,), torch.nan)) == 1


def test_more_pixels_than_a_quantile_of_torch_takes():
    image = torch.zeros(1, 4200, 4200)
    image[0, :2, :50] = 7
    with pytest.raises(RuntimeError, match="too large"):
        torch.quantile(image.flatten(), 0.99)
    assert intensity_of(image) == 7
