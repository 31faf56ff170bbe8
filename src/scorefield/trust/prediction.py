r"""Do the draws predict data that they have not seen?

Some of the data :math:`y_l = A_l x + n` (lines of k-space, views) are left out, and images are drawn from the rest.  If
prior, noise, model and sampler are right, :math:`y_l` given the rest has the mean and the variance

.. math:: \mu = E[A_l x], \qquad v = \mathrm{Var}[A_l x] + R,

over these draws, and :math:`z = (y_l - \mu) / \sqrt v` has the variance 1.  n draws estimate both moments, so the
variance over draws counts :math:`1 + 1/n` times.

How far the root mean square of z may be from 1 by chance is not a matter of counting data, because their errors are
those of one image and not independent.  It is read off the draws: each draw i with noise of its own,
:math:`A_l x_i + n_i`, is a data set as good as :math:`y_l`, and is predicted from the other draws.  The measured data
are exchangeable with these n, so the logarithm of their statistic has the law of theirs.

References:
    Gelman, Meng, Stern, "Posterior predictive assessment of model fitness via realized discrepancies", Statistica
    Sinica 1996; Gneiting, Balabdaoui, Raftery, "Probabilistic forecasts, calibration and sharpness", JRSSB 2007 (a
    prediction is checked by data that it did not see).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.randomness import normal_like, stream
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.runs.progress import Silent
from scorefield.trust.verdict import Verdict

if TYPE_CHECKING:
    from scorefield.samples import Samples
    from scorefield.scans.scan import Scan

SHARE = 0.05  # of the data that are left out: few enough for images nearly as good as from all
CHANCE = 0.0027  # of an alarm though all is right, as three standard deviations of a normal law
TOLERANCE = 0.05  # of the errors: smaller faults of a method do not matter to a reader


@dataclass(frozen=True)
class PredictionCheck:
    """Errors of the prediction of data that were left out.

    Attributes:
        count: number of real data that were left out.
        draws: number of draws that predicted them.
        rms: root mean square of z.
        usual: the same for data sets that are draws with noise, their geometric mean: what is expected.
        spread: standard deviation of its logarithm among them.
        left: the readouts that were left out, in words, such as "2 of 32 lines of k-space".
    """

    count: int
    draws: int
    rms: float
    usual: float
    spread: float
    left: str = "a part of the data"

    @property
    def ratio(self) -> float:
        """The size of the errors over what the draws claim: 1 when all is right."""
        return self.rms / self.usual

    @property
    def chance(self) -> tuple[float, float]:
        """The range of :attr:`ratio` when all is right, but for 0.27 % of scans."""
        from scipy.stats import t

        reach = self.spread * math.sqrt(1 + 1 / self.draws) * float(t.isf(CHANCE / 2, self.draws - 1))
        return math.exp(-reach), math.exp(reach)

    @property
    def passed(self) -> bool:
        """Whether the errors are as large as the draws claim, to within chance or 5 %."""
        low, high = self.chance
        return low <= self.ratio <= high or abs(self.ratio - 1) <= TOLERANCE

    @property
    def words(self) -> Verdict:
        """The outcome for a person."""
        low, high = self.chance
        numbers = (
            f"{self.left} left out; errors of their prediction {self.ratio:.2f} times the stated size, where chance"
            f" allows {low:.2f} to {high:.2f}"
        )
        if self.passed:
            return Verdict(
                "The draws predict data that they did not see",
                "Their errors are as large as the draws claim. A fault that changes them by less than chance does would"
                " not show here.",
                numbers,
            )
        if self.ratio > 1:
            return Verdict(
                "The draws predict unseen data worse than they claim",
                "The uncertainty is stated too small, or the model of the scan is wrong: motion, coil maps, angles, or"
                " noise that is larger than stated. Do not rely on the intervals.",
                numbers,
            )
        return Verdict(
            "The draws predict unseen data better than they claim",
            "The uncertainty, or the noise of the scanner, is stated too large; the intervals are wider than needed.",
            numbers,
        )

    def record(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return {**asdict(self), "ratio": self.ratio, "chance": list(self.chance), "passed": self.passed}

    @staticmethod
    def of(record: Mapping[str, Any]) -> PredictionCheck:
        """The check whose :meth:`record` this is."""
        return PredictionCheck(**{name: record[name] for name in PredictionCheck.__dataclass_fields__})


def prediction_check(
    prior: Prior,
    scan: Scan,
    *,
    share: float = SHARE,
    n: int = 19,
    method: Method | None = None,
    seed: int = 0,
    progress: Silent | None = None,
) -> PredictionCheck:
    """Leave a share of the data out, draw images from the rest, and compare their predictions with the data.

    It costs as much as a reconstruction of ``n`` draws.

    Args:
        prior: as for :func:`scorefield.reconstruct`.
        scan: the scan.
        share: of its readouts (lines of k-space, views) to leave out; at least one is.
        n: number of draws, at least 3.
        method: as for :func:`scorefield.reconstruct`.
        seed: fixes the readouts and the draws.
        progress: shows how far the sampling is.

    Raises:
        InputError: a share outside (0, 1), too few readouts or draws, or noise that is not Gaussian.
    """
    rest, left = scan.leave_out(share, seed=seed)
    readouts = scan.readouts
    words = f"{len(left.readouts)} of {len(readouts)} {readouts.name}"
    samples = reconstruct(prior, rest.measurement(), n=n, method=method, seed=seed, progress=progress)
    return compare_predictions(samples, left.measurement(), left=words, seed=seed)


def compare_predictions(
    samples: Samples, unseen: Measurement, *, left: str = PredictionCheck.left, seed: int = 0
) -> PredictionCheck:
    """The check of draws that were made without the data of ``unseen``.

    Raises:
        InputError: fewer than three draws, draws of another shape, or noise that is not Gaussian.
    """
    predicted, measured = _whitened(samples, unseen)
    n = len(predicted)
    if n < 3:
        raise InputError(f"A check of predictions needs at least 3 draws, got {n}; draw more.")
    generator = torch.Generator(predicted.device).manual_seed(stream(seed, "prediction"))
    noisy = predicted + normal_like(predicted, generator)
    rms = [_rms(scores(predicted, measured))]
    rms += [_rms(scores(torch.cat([predicted[:i], predicted[i + 1 :]]), noisy[i])) for i in range(n)]
    others = torch.tensor(rms[1:], dtype=torch.float64).log()
    return PredictionCheck(measured.numel(), n, rms[0], float(others.mean().exp()), float(others.std()), left)


def z_scores(samples: Samples, unseen: Measurement) -> Tensor:
    """The z-scores of the data of ``unseen``, one for each real number in units of their noise: (count,), float64.

    Raises:
        InputError: draws of another shape, or noise that is not Gaussian.
    """
    return scores(*_whitened(samples, unseen))


def scores(predicted: Tensor, measured: Tensor) -> Tensor:
    """z of data (m,) with noise of variance 1, given n predictions (n, m) of their noiseless values."""
    variance = 1 + (1 + 1 / len(predicted)) * predicted.var(0)
    return (measured - predicted.mean(0)) / variance.sqrt()


def _rms(z: Tensor) -> float:
    return float(z.square().mean().sqrt())


def _whitened(samples: Samples, unseen: Measurement) -> tuple[Tensor, Tensor]:
    """The predictions (n, m) and the data (m,) in units of their noise, real numbers in double precision."""
    if tuple(samples.draws.shape[1:]) != unseen.shape:
        raise InputError(
            f"The draws have shape {tuple(samples.draws.shape[1:])} but the scan's images {unseen.shape}; pass the"
            " measurement of the data that were left out of theirs."
        )
    noise, draws = unseen.gaussian, samples.draws.to(unseen.y.device)
    # one at a time: data of many coils are large
    rows = [as_rows(noise.whiten(unseen.operator(draw))).double() for draw in draws.split(1)]
    return torch.cat(rows), as_rows(noise.whiten(unseen.y)).double()[0]
