r"""How values are read by people: their unit, and the gray windows of its field.

Attenuation per mm is read in Hounsfield units, :math:`\mathrm{HU} = 1000\, (\mu / \mu_\mathrm{water} - 1)`, with the
:math:`\mu_\mathrm{water}` of :data:`scorefield.units.WATER`.  Differences, spreads and widths are scaled and not
shifted.

References:
    Hounsfield, "Computerized transverse axial scanning", British Journal of Radiology 1973.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorefield.data.display import Plane, Window, digits
from scorefield.units import WATER


@dataclass(frozen=True)
class Preset:
    """A gray window of the trade: its name, level (middle) and width."""

    name: str
    level: float
    width: float

    @property
    def window(self) -> Window:
        """Its low and high end."""
        return self.level - self.width / 2, self.level + self.width / 2


CT = (
    Preset("Brain", 40, 80),
    Preset("Soft tissue", 40, 400),
    Preset("Lung", -600, 1500),
    Preset("Bone", 400, 1800),
)


@dataclass(frozen=True)
class Reading:
    """``factor * value + offset`` in ``unit``.

    Args:
        unit: of what is read.
        factor: of values and of their differences.
        offset: of values.
        presets: gray windows, in ``unit``.
    """

    unit: str
    factor: float = 1.0
    offset: float = 0.0
    presets: tuple[Preset, ...] = ()

    def values(self, picture: Plane) -> Plane:
        """A picture of values as it is read."""
        return self.factor * picture + self.offset

    def differences(self, picture: Plane) -> Plane:
        """A picture of differences, spreads or widths as it is read."""
        return self.factor * picture

    def window(self, window: Window) -> Window:
        """A gray window of values as it is read."""
        low, high = (self.factor * end + self.offset for end in window)
        return low, high

    def spell(self, difference: float) -> str:
        """A difference for people, with its unit."""
        return f"{digits(self.factor * difference)} {self.unit}"


READINGS = {"1/mm": Reading("HU", 1000 / WATER, -1000.0, CT), "HU": Reading("HU", presets=CT)}


def reading_of(unit: str) -> Reading:
    """How values in ``unit`` are read: attenuation in HU, all else as it is."""
    return READINGS.get(unit, Reading(unit))
