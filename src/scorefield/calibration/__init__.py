"""Calibration: the distance of draws from the law that they should have, and the same distance for exact draws.

:func:`calibrate` tests the intervals of a prior, a method and a scan geometry.  The metrics are plain functions of
draws: against an exact posterior (moments, Wasserstein distances, mode weights), against truths (ranks, TARP, interval
coverage, spread and skill), and of chains alone (R-hat, effective sample size).  The benches have exact posteriors.
"""

from scorefield.calibration.chains import effective_sample_size, split_rhat, tail_effective_sample_size
from scorefield.calibration.experiment import Experiment
from scorefield.calibration.floors import Floor, floor
from scorefield.calibration.intervals import LEVELS, Coverage, interval_coverage
from scorefield.calibration.modes import expected_weight_error, mode_weights, weight_error
from scorefield.calibration.moments import MomentError, expected_moment_error, moment_error
from scorefield.calibration.quantities import Observation, Quantities, observe
from scorefield.calibration.ranks import Bands, Uniformity, chi_square, ecdf_bands, ecdf_test, rank_counts, truth_ranks
from scorefield.calibration.simulation import Calibration, SimulatedScan, calibrate
from scorefield.calibration.spread import SpreadSkill, needed_factors, recalibrated, recalibration_factor, spread_skill
from scorefield.calibration.tarp import tarp_coverage, tarp_ranks
from scorefield.calibration.truths import Cropped, FromDensity, FromImages, FromWalk, Prepared, Scanner, Truths
from scorefield.calibration.wasserstein import gaussian_w2, sliced_wasserstein
from scorefield.calibration.yardstick import Ratio, Yardstick

__all__ = [
    # the verb, its arguments and its result
    "calibrate",
    "Experiment",
    "Calibration",
    "SimulatedScan",
    "Truths",
    "FromDensity",
    "FromImages",
    "FromWalk",
    "Cropped",
    "Prepared",
    "Scanner",
    "Observation",
    "Quantities",
    "observe",
    # against an exact posterior
    "MomentError",
    "moment_error",
    "expected_moment_error",
    "gaussian_w2",
    "sliced_wasserstein",
    "Floor",
    "floor",
    "Ratio",
    "Yardstick",
    "mode_weights",
    "weight_error",
    "expected_weight_error",
    # against truths
    "truth_ranks",
    "rank_counts",
    "Uniformity",
    "chi_square",
    "Bands",
    "ecdf_bands",
    "ecdf_test",
    "tarp_ranks",
    "tarp_coverage",
    "LEVELS",
    "Coverage",
    "interval_coverage",
    "SpreadSkill",
    "spread_skill",
    "needed_factors",
    "recalibration_factor",
    "recalibrated",
    # chains
    "split_rhat",
    "effective_sample_size",
    "tail_effective_sample_size",
]
