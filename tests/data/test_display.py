"""Planes, windows and pictures."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from scorefield.data import display
from scorefield.errors import InputError
from scorefield.reports.card import rows, spell


def decode(uri: str) -> np.ndarray:
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))


def test_a_plane_is_the_magnitude_the_first_channel_and_the_central_slice():
    image = torch.arange(2 * 5 * 3 * 4, dtype=torch.float64).reshape(2, 5, 3, 4)
    np.testing.assert_array_equal(display.plane(image), image[0, 2].numpy())
    np.testing.assert_array_equal(display.plane(1j * image[:, 0]), image[0, 0].numpy())
    assert display.plane_note((2, 5, 3, 4), True) == "magnitude, slice 3 of 5, channel 1 of 2"
    assert display.plane_note((1, 3, 4), False) == ""
    with pytest.raises(InputError, match="report shows images"):
        display.plane(torch.zeros(3))


def test_gray_pictures_spread_the_window_over_256_levels_and_clip_outside():
    picture = np.array([[-1.0, 0.0, 0.5], [1.0, 2.0, 0.25]])
    assert decode(display.png(picture, (0.0, 1.0))).tolist() == [[0, 0, 128], [255, 255, 64]]


def test_colored_pictures_follow_the_map():
    from matplotlib import colormaps

    pixels = decode(display.png(np.array([[0.0, 1.0]]), (0.0, 1.0), "cividis"))
    for pixel, level in zip(pixels[0], (0.0, 1.0), strict=True):
        np.testing.assert_allclose(pixel / 255, colormaps["cividis"](level)[:3], atol=1 / 255)
    assert decode(display.scale_bar("RdBu_r")).shape == (1, 256, 3)


def test_windows_start_at_zero_unless_the_image_is_negative():
    ramp = np.linspace(0, 1, 1001)[None]
    assert display.default_window(ramp) == pytest.approx((0.0, 0.998))
    assert display.default_window(ramp - 0.5) == pytest.approx((-0.495, 0.498))
    assert display.default_window(np.zeros((3, 3))) == (0.0, 1.0)


@pytest.mark.parametrize(("largest", "wanted"), [(0.93, 1.0), (1.0, 1.0), (0.0234, 0.025), (371.0, 400.0), (0.0, 1.0)])
def test_scales_end_at_a_round_number_that_is_no_smaller(largest: float, wanted: float):
    assert display.top(np.full((4, 4), -largest)) == pytest.approx(wanted)


def test_zoom_is_the_largest_whole_magnification_that_fits():
    assert [display.zoom((n, 10)) for n in (64, 128, 171, 256, 1000)] == [5, 2, 1, 1, 1]


def test_numbers_and_cards_are_spelled_for_people():
    assert [display.digits(v) for v in (12345.6, 999.7, 0.012345, -3.0)] == [
        "12,346",
        "1,000",
        "0.0123",
        "-3",
    ]
    assert rows({"a": {"b": 1, "c": True}, "d": None}) == [("a · b", "1"), ("a · c", "yes"), ("d", "none")]
    assert spell([1.0, 0.5]) == "1, 0.5"
    assert [spell(v) for v in (-1234, 9_999_999, 10_000_000)] == ["-1,234", "9,999,999", "10000000"]  # a seed, a count
    assert spell([float(10 - i) for i in range(10)] + [0.0]) == "11 values, 10 … 1, 0"
