"""Trust in a single scan: checks of a reconstruction by data, draws and prior, without a true image."""

from scorefield.trust.assess import Trust, assess, recorded_likeness
from scorefield.trust.likeness import LikenessCheck, likeness_check, take_reference
from scorefield.trust.reference import Reference, reference_of
from scorefield.trust.residual import ResidualCheck, residual_check

__all__ = [
    "LikenessCheck",
    "Reference",
    "ResidualCheck",
    "Trust",
    "assess",
    "likeness_check",
    "recorded_likeness",
    "reference_of",
    "residual_check",
    "take_reference",
]
