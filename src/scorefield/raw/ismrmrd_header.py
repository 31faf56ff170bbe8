"""The XML header of ISMRMRD: how k-space is encoded, without what names a patient or a place.

References:
    Inati et al., "ISMRM raw data format: a proposed standard for MRI raw datasets", Magn. Reson. Med. 2017;
    https://github.com/ismrmrd/ismrmrd, schema/ismrmrd.xsd.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from scorefield.errors import shorten

LARGEST = 1 << 20  # bytes of a header
CARTESIAN = "cartesian"
TRAJECTORIES = {
    "epi": "echo-planar (its readouts alternate and need a phase correction)",
    "radial": "radial",
    "goldenangle": "radial, with golden angles",
    "spiral": "spiral",
    "other": "of a trajectory that its header calls 'other'",
}
FACTS = {
    "field strength": ("acquisitionSystemInformation/systemFieldStrength_T", "T"),
    "scanner": ("acquisitionSystemInformation/systemVendor", ""),
    "model": ("acquisitionSystemInformation/systemModel", ""),
    "sequence": ("sequenceParameters/sequence_type", ""),
    "repetition time": ("sequenceParameters/TR", "ms"),
    "echo time": ("sequenceParameters/TE", "ms"),
    "inversion time": ("sequenceParameters/TI", "ms"),
    "flip angle": ("sequenceParameters/flipAngle_deg", "degrees"),
}


@dataclass(frozen=True)
class Space:
    """A grid: ``size`` in samples and ``extent`` in mm along readout, lines and partitions."""

    size: tuple[int, int, int]
    extent: tuple[float, float, float]

    @property
    def steps(self) -> tuple[float, float, float] | None:
        """mm from sample to sample of the image, or None where the extent is unknown."""
        if not all(math.isfinite(mm) and mm > 0 for mm in self.extent):
            return None
        return tuple(mm / n for mm, n in zip(self.extent, self.size, strict=True))  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Header:
    """The first encoding of a header.

    Args:
        encoded: the grid of k-space.
        image: the grid of the scanner's own image.
        trajectory: its name, in lower case.
        limits: (minimum, maximum, center) of each counter, such as "slice", by its name.
        coils: receive coils, 0 if it does not say.
        bandwidth: noise bandwidth of the receiver, relative to the sampling's.
        multiband: slices that are excited at once.
        calibration: the mode of the calibration lines, such as "embedded"; empty if it does not say.
        facts: further properties in words.
    """

    encoded: Space
    image: Space
    trajectory: str
    limits: Mapping[str, tuple[int, int, int]]
    coils: int
    bandwidth: float
    multiband: int
    calibration: str
    facts: Mapping[str, str]

    @property
    def is_volume(self) -> bool:
        """Whether k-space has partitions."""
        return self.encoded.size[2] > 1

    @property
    def width(self) -> int:
        """Samples of the readout that the image keeps; the others are oversampling."""
        size, share = self.encoded.size[0], self.image.extent[0] / self.encoded.extent[0]
        if not (math.isfinite(share) and 0 < share < 1):
            return size
        return max(1, min(size, round(size * share)))

    def count(self, counter: str) -> int:
        """How many values a counter takes."""
        return self.limits.get(counter, (0, 0, 0))[1] + 1

    @property
    def refusal(self) -> str:
        """Why such a scan cannot be reconstructed yet, as the end of a sentence; empty if it can."""
        if self.multiband > 1:
            return f"it excites {self.multiband} slices at once (simultaneous multi-slice), which is not supported"
        if self.trajectory != CARTESIAN:
            name = TRAJECTORIES.get(self.trajectory, f"of the trajectory '{shorten(self.trajectory, 40)}'")
            volume = "3-D and " if self.is_volume else ""
            return f"it is {volume}{name}, and only Cartesian sampling is supported"
        return ""


def parse(text: bytes) -> Header:
    """The header in ``text``.

    Raises:
        ValueError: longer than a megabyte, with a document type, or without encoding and sizes.
    """
    if len(text) > LARGEST or b"<!" in text.replace(b"<!--", b""):
        raise ValueError("its header is longer than a megabyte, or has a document type")
    root = ElementTree.fromstring(text)
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    encoding = root.find("encoding")
    if encoding is None:
        raise ValueError("its header states no encoding")
    return Header(
        _space(encoding, "encodedSpace"),
        _space(encoding, "reconSpace"),
        _text(encoding, "trajectory", CARTESIAN).lower(),
        {limit.tag: _limit(limit) for limit in encoding.findall("encodingLimits/*")},
        int(_text(root, "acquisitionSystemInformation/receiverChannels", "0")),
        float(_text(root, "acquisitionSystemInformation/relativeReceiverNoiseBandwidth", "1")),
        int(_text(encoding, "parallelImaging/multiband/multiband_factor", "1")),
        _text(encoding, "parallelImaging/calibrationMode", "").lower(),
        _facts(root, encoding),
    )


def _facts(root: ElementTree.Element, encoding: ElementTree.Element) -> dict[str, str]:
    facts = {name: f"{shorten(_text(root, path, ''), 60)} {unit}".strip() for name, (path, unit) in FACTS.items()}
    factors = [_text(encoding, f"parallelImaging/accelerationFactor/kspace_encoding_step_{k}", "") for k in (1, 2)]
    facts["acceleration"] = " x ".join(shorten(factor, 20) for factor in factors if factor)
    return {name: text for name, text in facts.items() if text and text != FACTS.get(name, ("", "-"))[1]}


def _space(encoding: ElementTree.Element, name: str) -> Space:
    sizes = [int(_text(encoding, f"{name}/matrixSize/{axis}", "0")) for axis in "xyz"]
    extents = [float(_text(encoding, f"{name}/fieldOfView_mm/{axis}", "nan")) for axis in "xyz"]
    sizes[2] = sizes[2] or 1
    if not all(1 <= size < 1 << 16 for size in sizes):
        raise ValueError(f"its header states a matrix of {' x '.join(map(str, sizes))} in {name}")
    return Space((sizes[0], sizes[1], sizes[2]), (extents[0], extents[1], extents[2]))


def _limit(element: ElementTree.Element) -> tuple[int, int, int]:
    low, high, center = (int(_text(element, name, "0")) for name in ("minimum", "maximum", "center"))
    if not 0 <= low <= high < 1 << 16:
        raise ValueError(f"its header limits {shorten(element.tag, 40)} to {low} to {high}")
    return low, high, center


def _text(element: ElementTree.Element, path: str, default: str) -> str:
    found = element.find(path)
    return default if found is None or not (found.text or "").strip() else (found.text or "").strip()
