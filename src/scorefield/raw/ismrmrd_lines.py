"""The readouts of an ISMRMRD data set: their headers as a table, and the lines that one image needs.

A readout's flag number n, from 1, is bit n - 1 of its flags.

References:
    https://github.com/ismrmrd/ismrmrd, include/ismrmrd/ismrmrd.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scorefield.errors import InputError
from scorefield.raw.choice import Choice, pick
from scorefield.raw.ismrmrd_header import Header
from scorefield.raw.ismrmrd_table import Readouts

NOISE, CALIBRATION, CALIBRATION_AND_IMAGE, REVERSE = 19, 20, 21, 22
OTHERS = (23, 24, 26, 27, 28, 29, 30, 31)  # navigators, phase corrections, dummies, feedback, surface coils
FIRST = {"phase": "cardiac phases", "set": "sets"}  # counters of which the first value is taken
TOGETHER = ("embedded", "interleaved")  # calibration lines of the same contrast as the image


@dataclass(frozen=True, eq=False)
class Lines:
    """Some readouts of a file.

    Args:
        heads: the structured array of their headers.
        numbers: their places in the file.
    """

    heads: np.ndarray
    numbers: np.ndarray

    def where(self, chosen: np.ndarray) -> Lines:
        """Those that are True in ``chosen``."""
        return Lines(self.heads[chosen], self.numbers[chosen])

    def has(self, *flags: int) -> np.ndarray:
        """Which of them have any of these flags."""
        bits = np.uint64(sum(1 << (flag - 1) for flag in flags))
        return (self.heads["flags"].astype(np.uint64) & bits) != 0

    def counter(self, name: str) -> np.ndarray:
        """The values of a counter, such as "slice"."""
        return self.heads["idx"][name].astype(np.int64)

    @property
    def of_image(self) -> Lines:
        """Readouts of the first encoding that belong to images or to their calibration."""
        return self.where(~self.has(NOISE, *OTHERS) & (self.heads["encoding_space_ref"] == 0))

    @property
    def of_noise(self) -> Lines:
        """Readouts without excitation."""
        return self.where(self.has(NOISE))

    @property
    def of_calibration(self) -> Lines:
        """Those that calibrate the coils, with or without belonging to the image."""
        return self.where(self.has(CALIBRATION, CALIBRATION_AND_IMAGE))

    @property
    def refusal(self) -> str:
        """Why they cannot be reconstructed, as the end of a sentence: empty if they can."""
        reverse = self.has(REVERSE)
        if reverse.any() and not reverse.all():
            return (
                "its readouts alternate in direction, as in echo-planar imaging, which needs a phase correction that"
                " is not supported"
            )
        return ""

    def __len__(self) -> int:
        return len(self.numbers)


def read_lines(data: Readouts, most: int | None = None) -> Lines:
    """The headers of the first ``most`` readouts, or of all; their samples are not read."""
    heads = data.heads(most)
    return Lines(heads, np.arange(len(heads)))


def lines_of_choice(lines: Lines, header: Header, choice: Choice, path: Path) -> tuple[Lines, Lines]:
    """The readouts of the image that was chosen, and those of its calibration, of any repetition.

    Raises:
        InputError: there is no such slice, echo or repetition.
    """
    images = lines.of_image
    if not len(images):
        raise InputError(f"{path} holds no readouts of an image; copy or convert it again.")
    slices = np.unique(images.counter("slice"))
    here = calibration = images
    if not header.is_volume:
        here = images.where(images.counter("slice") == slices[choice.slice_of(len(slices))])
    for name, counter, index in (("echo", "contrast", choice.echo), ("repetition", "repetition", choice.repetition)):
        values = np.unique(images.counter(counter))
        pick(name, index, len(values))
        if name == "repetition":
            calibration = here.of_calibration
        here = here.where(here.counter(counter) == values[index])
    for counter in FIRST:
        here = here.where(here.counter(counter) == here.counter(counter).min(initial=1 << 16))
    if header.calibration not in TOGETHER:
        here = here.where(~here.has(CALIBRATION))
    if not len(here):
        raise InputError(f"{path} has no readouts of that slice, echo and repetition; choose others.")
    refused = here.refusal
    if refused:
        raise InputError(f"{path} cannot be reconstructed: {refused}.")
    return here, calibration
