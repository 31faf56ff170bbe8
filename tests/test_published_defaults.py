"""docs/published_defaults.md: the defaults it prints are those of the code, and every published method is on it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from scorefield import kernels, posteriors, schedules
from scorefield.kernels import Kernel, LikelihoodStep
from scorefield.kernels.acceptance import Acceptance
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.posteriors import Posterior
from scorefield.prior import Prior
from scorefield.priors import DiagonalGaussian

PAGE = Path(__file__).parents[1] / "docs" / "published_defaults.md"
TEXT = PAGE.read_text()
ROWS = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \| (.*?) ?\|$", TEXT, re.MULTILINE)
GIVEN = Measurement(torch.ones(1, 16).double(), Identity((16,)), White(0.1))
NAMES = {
    **{name: getattr(room, name) for room in (schedules, kernels, posteriors) for name in dir(room)},
    "m": GIVEN,
    "p": DiagonalGaussian(torch.zeros(16).double(), torch.tensor(1.0)),
    "x": torch.zeros(1, 16).double(),
}


def value(text: str) -> Any:
    return eval(text, dict(NAMES))  # the text of a page of this repository


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_page_prints_the_default(row):
    number, published, here, why = row
    assert value(number) == value(here)
    assert (value(published) != value(here)) == bool(why)  # a difference has a reason, and only a difference


def test_every_published_kernel_and_posterior_is_on_the_page():
    on_page = set(re.findall(r"`(\w+)", TEXT))
    for room in (kernels, posteriors):
        for name in room.__all__:
            cls = getattr(room, name)
            kind = inspect.isclass(cls) and issubclass(cls, Kernel | Prior | LikelihoodStep | Acceptance)
            if kind and cls not in (Kernel, Posterior) and "References:" in (cls.__doc__ or ""):
                assert name in on_page or re.search(rf"\b{name}\b", TEXT), name
    assert len(ROWS) > 40
