"""Tensors seen otherwise: a number for each image."""

from __future__ import annotations

import pytest
import torch

from scorefield.linalg.parts import per_image
from support import complex_normal, normal


@pytest.mark.parametrize(
    "like", [normal(3, 5), complex_normal(3, 2, 4, 5).to(torch.complex64)], ids=["real", "complex"]
)
def test_a_number_for_each_image_scales_each_image(like):
    numbers = torch.tensor([0.5, 0.0, -2.0], dtype=torch.float64)
    found = per_image(numbers, like) * like
    assert found.dtype == like.dtype  # a number never promotes the images
    for i, number in enumerate(numbers.tolist()):
        torch.testing.assert_close(found[i], number * like[i])
    assert torch.equal(per_image(0.1, like) * like, per_image(torch.full((3,), 0.1, dtype=torch.float64), like) * like)


def test_truth_values_choose_among_images():
    x = normal(2, 3, 4)
    found = torch.where(per_image(torch.tensor([True, False]), x), x, 0)
    assert torch.equal(found[0], x[0])
    assert not found[1].any()


def test_the_device_is_that_of_the_images():
    assert per_image(torch.ones(2), torch.empty(2, 3, device="meta")).device.type == "meta"
