"""Trust in a single scan: checks of a reconstruction by data, draws and prior, without a true image."""

from scorefield.trust.assess import Trust, assess, recorded_likeness, recorded_prediction
from scorefield.trust.likeness import LikenessCheck, likeness_check, take_reference
from scorefield.trust.prediction import PredictionCheck, compare_predictions, prediction_check, z_scores
from scorefield.trust.reference import Reference, reference_of
from scorefield.trust.residual import ResidualCheck, residual_check
from scorefield.trust.verdict import Verdict

__all__ = [
    "LikenessCheck",
    "PredictionCheck",
    "Reference",
    "ResidualCheck",
    "Trust",
    "Verdict",
    "assess",
    "compare_predictions",
    "likeness_check",
    "prediction_check",
    "recorded_likeness",
    "recorded_prediction",
    "reference_of",
    "residual_check",
    "take_reference",
    "z_scores",
]
