"""Baselines of a report: images from files, and reconstructions that are made at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scorefield.baselines import (
    filtered_back_projection,
    matched_total_variation,
    tuned_total_variation,
    zero_filled,
)
from scorefield.data import read_image
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.scans import Cartesian, LowResolution, NoisyImage
from scorefield.scans.scan import Scan

Named = tuple[str, Tensor]
Make = Callable[[Scan, Measurement, Tensor | None], Named]


LINEAR: dict[type[Scan], tuple[str, Callable[[Measurement], Tensor]]] = {
    Cartesian: ("Zero-filled", zero_filled),
    NoisyImage: ("Noisy image", zero_filled),
    LowResolution: ("Coarse image", zero_filled),
}


def linear(scan: Scan, given: Measurement, truth: Tensor | None) -> Named:
    """The usual linear reconstruction: zero filling of k-space, filtered back-projection of projections."""
    del truth
    name, make = LINEAR.get(type(scan), ("FBP", filtered_back_projection))
    return name, make(given)


def tv(scan: Scan, given: Measurement, truth: Tensor | None) -> Named:
    """Total variation: with the best weight where there is a truth, else with the weight that fits the noise."""
    del scan
    if truth is None:
        return "TV, weight by the noise", matched_total_variation(given)
    return "TV, oracle weight", tuned_total_variation(given, truth).image


STANDARD: dict[str, Make] = {"linear": linear, "tv": tv}


@dataclass(frozen=True)
class Baselines:
    """The baselines of a scan that texts ask for.

    Args:
        scan: the scan.
        measurement: the same scan, ready for a reconstruction.
        truth: the true image, if there is one.
    """

    scan: Scan
    measurement: Measurement
    truth: Tensor | None

    def get(self, text: str) -> Named:
        """Name and image (C, *spatial) of ``NAME=FILE``, or of a standard baseline by its name.

        Raises:
            InputError: an unknown name, or a file that cannot be read or converted to the frame of the scan.
        """
        name, sign, file = text.partition("=")
        if sign and name and file:
            return name, read_image(Path(file)).to_frame(self.scan.frame).pixels
        if text not in STANDARD:
            raise InputError(f"The baseline '{text}' is unknown; give NAME=FILE, or one of {', '.join(STANDARD)}.")
        return STANDARD[text](self.scan, self.measurement, self.truth)
