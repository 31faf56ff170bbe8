"""The tutorial's questions, two sentences each: the numbers are those of the results, the words are chosen by hand.

Whoever measures again checks that the words still fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .plan import BODY, OBJECTS
from .results import Results

INVERTED, HEART = OBJECTS[1].name, OBJECTS[0].name
FEW, MUCH = "amplitude / 4", "amplitude x 4"


def answers(results: Results) -> Iterator[str]:
    """Question and answer, as Markdown."""
    for question, answer in ANSWERS.items():
        try:
            yield f"**{question}**\n{answer(results)}\n"
        except KeyError as missing:  # a study that is not finished
            yield f"**{question}**\nNot measured yet: {missing}.\n"


def _over(r: Results, a: str, b: str = "tv", task: str = "noise-0.1", shift: str = "none", key: str = "psnr") -> str:
    return f"{r.difference(a, b, task, shift, key)} dB"


ANSWERS: dict[str, Callable[[Results], str]] = {}
