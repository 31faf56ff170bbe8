"""What is measured, in the order of what it tells: a study that is cut short has answered the first questions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .methods import BASELINES
from .priors import Learner


@dataclass(frozen=True)
class Shift:
    """Test images that are not like the training's.

    Args:
        name: for the page.
        tests: which images (``images.TESTS``).
        factor: their amplitude, which the methods do not get.
        tuned: the task whose tuning is used, if it is not the task itself.
    """

    name: str
    tests: str
    factor: float = 1.0
    tuned: str | None = None


@dataclass(frozen=True)
class Cell:
    """One method on one task and one set of images.

    Args:
        method: a baseline's name or a learner.
        task: its name.
        shift: the images.
        kind: of images that the method is tuned on.
    """

    method: str | Learner
    task: str
    shift: Shift
    kind: str = "brain"

    @property
    def label(self) -> str:
        return self.method if isinstance(self.method, str) else self.method.name

    @property
    def name(self) -> str:
        return f"{self.label}--{self.task}--{re.sub(r'[^a-zA-Z0-9]+', '-', self.shift.name)}"


BRAIN, BODY = Shift("none", "brain"), Shift("none, CT", "body")
AMPLITUDES = (Shift("amplitude / 4", "brain", 0.25), Shift("amplitude x 4", "brain", 4.0))
OBJECTS = (
    Shift("anatomy: heart", "heart"),
    Shift("contrast: inverted", "inverted"),
    Shift("field of view: 1 mm", "zoomed"),
    Shift("anatomy: spine, T2*", "spine"),
    Shift("anatomy: CT", "CT"),
)
LESS, MORE = Shift("noise / 4", "brain", tuned="noise-0.1"), Shift("noise x 4", "brain", tuned="noise-0.1")
MAIN = tuple(Learner(name) for name in ("p3", "unet", "told", "p3-scale", "unet-biased", "p9"))
LONGER = (Learner("unet", times=4), Learner("p3", times=4), Learner("unet", times=16), Learner("told", times=4))
FEW_LONGER = Learner("unet", 1, times=16)
SIDES = tuple(Learner(name) for name in ("p33", "p17", "p5"))
P3, UNET, TOLD, SCALED, BIASED, P9 = MAIN
ONE, FIVE, MANY = (tuple(Learner(name, n) for name in ("p3", "unet", "told", "p9")) for n in (1, 5, 25))
PARTS = tuple(Learner(name) for name in ("padis", "multiscale"))
INVARIANT = tuple(Learner(name) for name in ("p3-offset", "p3-turns"))
BLIND = (Learner("local"), Learner("local", 1), Learner("untold"))
BODIES = tuple(Learner(name, 100, "body") for name in ("p3", "unet", "told", "p9"))
FEW_BODIES = tuple(Learner(name, 1, "body") for name in ("p3", "unet"))
AGAIN = tuple(Learner(name, seed=1) for name in ("p3", "unet"))
FIXED = tuple(BASELINES)


def denoised(*methods: str | Learner) -> Iterator[Cell]:
    for method in methods:
        yield from (Cell(method, task, BRAIN) for task in ("noise-0.05", "noise-0.1"))


def shifted(*methods: str | Learner) -> Iterator[Cell]:
    for method in methods:
        yield from (Cell(method, "noise-0.1", shift) for shift in (*AMPLITUDES, *OBJECTS))
        yield Cell(method, "noise-0.025", LESS)
        yield Cell(method, "noise-0.4", MORE)


def body(task: str, *methods: str | Learner) -> Iterator[Cell]:
    yield from (Cell(method, task, BODY, "body") for method in methods)


def plan() -> Iterator[Cell]:
    """All cells, the most telling first."""
    bound = "tv-oracle"
    for method in ("direct", "tv", "bm3d", *MAIN[:5], LONGER[0]):
        yield from denoised(method)
        yield from shifted(method)
    yield from (Cell(method, "mri", BRAIN) for method in ("direct", "tv", P3, UNET, LONGER[0]))
    yield from body("ct", "direct", "tv", *BODIES[:2])
    yield from denoised(bound, *ONE[:3], P9, *SIDES, *BLIND, *MANY[:2])
    yield from (Cell(bound, "noise-0.1", shift) for shift in AMPLITUDES)
    yield from (Cell(method, "mri", OBJECTS[1]) for method in ("tv", P3, UNET))
    yield from denoised(LONGER[2], *PARTS)
    yield from shifted(LONGER[2])
    yield from (Cell(method, "mri", BRAIN) for method in ("bm3d", LONGER[2], TOLD))
    yield from denoised(FEW_LONGER, LONGER[3], *INVARIANT)
    yield from shifted(LONGER[3], P9)
    yield from (Cell(method, "mri", OBJECTS[1]) for method in ("bm3d", LONGER[2]))
    yield from denoised(LONGER[1], ONE[3])
    yield from shifted(LONGER[1])
    yield from (Cell(method, "mri", OBJECTS[0]) for method in ("tv", P3, UNET))
    yield from body("noise-0.1", *FIXED, *BODIES[:2])
    yield from body("ct", "bm3d")
    yield from denoised(*FIVE, *MANY[2:])
    yield from (Cell(method, "mri", BRAIN) for method in (ONE[0], ONE[1], P9, *PARTS, bound))
    yield from body("noise-0.1", *BODIES[2:], *FEW_BODIES)
    yield from body("ct", BODIES[2], *FEW_BODIES)
    yield from denoised(*AGAIN)
    yield from shifted(BLIND[0], BLIND[2])
    yield Cell(BLIND[0], "mri", BRAIN)
    yield from (Cell(method, "mri", OBJECTS[2]) for method in ("tv", P3, UNET))
    yield from (Cell(method, "mri", shift) for shift in (OBJECTS[0], OBJECTS[2]) for method in ("bm3d", LONGER[2]))
