"""Assessment of a reconstruction from a single scan, without a true image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from scorefield.measurement import Measurement, as_measurement
from scorefield.prior import Prior, as_prior
from scorefield.trust.likeness import LikenessCheck, likeness_check
from scorefield.trust.prediction import PredictionCheck
from scorefield.trust.reference import reference_of
from scorefield.trust.residual import ResidualCheck, residual_check

if TYPE_CHECKING:
    from scorefield.samples import Samples

UNKNOWN = (
    "Not checked: whether the prior knows this kind of image. It has no reference for it (training keeps one when asked"
    " to, from at least 20 images)."
)

INCOMPARABLE = (
    "Not checked: whether the prior knows this kind of image. An image of {} pixels cannot be compared: that takes one"
    " slice of at least 16 pixels a side, and not a flat one."
)


@dataclass(frozen=True)
class Trust:
    """The checks that need no true image.

    Attributes:
        residual: whether the draws explain the scan.
        likeness: whether they are like the prior's training images; None where the prior has no reference that fits.
        prediction: whether draws made without a part of the data predict it; None where that was not asked for.
        unknown: the sentence where there is no likeness.
    """

    residual: ResidualCheck
    likeness: LikenessCheck | None = None
    prediction: PredictionCheck | None = None
    unknown: str = UNKNOWN

    @property
    def passed(self) -> bool:
        """Whether no check speaks against the reconstruction; a check that could not be made counts as none."""
        return all(check.passed for check in (self.residual, self.likeness, self.prediction) if check is not None)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The outcome of each check in words for a person: residual, likeness, and prediction if it was made."""
        prediction = () if self.prediction is None else (str(self.prediction.words),)
        return self.residual.verdict, self.unknown if self.likeness is None else self.likeness.verdict, *prediction

    def attach(self, samples: Samples) -> Samples:
        """The samples with the outcome in their provenance, which is saved with them."""
        return replace(samples, provenance={**samples.provenance, "trust": self.record()})

    def record(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return {
            "passed": self.passed,
            "residual": {"z": self.residual.z, "ratio": self.residual.ratio},
            "likeness": self.likeness and asdict(self.likeness),
            "prediction": self.prediction and self.prediction.record(),
            "sentences": list(self.sentences),
        }


def recorded_likeness(provenance: Mapping[str, Any]) -> LikenessCheck | None:
    """The likeness check that samples carry in their provenance, None where there is none."""
    stated = provenance.get("trust", {}).get("likeness")
    return stated and LikenessCheck(**stated)


def recorded_prediction(provenance: Mapping[str, Any]) -> PredictionCheck | None:
    """The check of predictions that samples carry in their provenance, None where there is none."""
    stated = provenance.get("trust", {}).get("prediction")
    return stated and PredictionCheck.of(stated)


def assess(
    samples: Samples, measurement: Measurement, prior: Prior, *, prediction: PredictionCheck | None = None
) -> Trust:
    """Check ``samples`` against the scan's noise and against what ``prior`` learned.

    Complex draws are compared by magnitude where the prior is on real images.

    Args:
        samples: posterior draws.
        measurement: the scan they were drawn from.
        prior: the unconditional prior, in its own units, as it was given to :func:`scorefield.reconstruct`.
        prediction: the outcome of :func:`scorefield.trust.prediction_check`, which draws images of its own.

    Raises:
        InputError: draws that are not images of the measurement's operator, or a damaged reference.
    """
    measurement = as_measurement(measurement)
    residual, reference = residual_check(samples, measurement), reference_of(as_prior(prior))
    if reference is None:
        return Trust(residual, prediction=prediction)
    draws = samples.draws.to(measurement.y.device)
    draws = draws.abs() if draws.is_complex() and not reference.complex else draws
    if prior.amplitude is not None and "intensity" in samples.provenance:
        draws = draws * (prior.amplitude / samples.provenance["intensity"])
    size = " x ".join(map(str, draws.shape[2:]))
    return Trust(residual, likeness_check(draws, prior, reference), prediction, INCOMPARABLE.format(size))
