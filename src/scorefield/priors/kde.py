r"""Kernel density estimates: the training images themselves, blurred.

.. math::
    p_\sigma(x) = \sum_t w_t \, N(x; x_t, v I), \quad v = h^2 + \sigma^2, \qquad
    \nabla \log p_\sigma(x) = \frac{\bar x(x) - x}{v}, \qquad
    \bar x(x) = \sum_t \mathrm{softmax}_t\!\left(\log w_t - \frac{|x - x_t|^2}{2 v}\right) x_t .

At bandwidth h = 0 this is the empirical distribution: denoising score matching without
regularization converges to its score, and its reverse diffusion returns training images.  A learned prior generalizes
as far as it is better than this one.

References:
    Parzen, "On estimation of a probability density function and mode", 1962.  Vincent, "A connection between score
    matching and denoising autoencoders", Neural Computation 2011.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.operators.basic import finite
from scorefield.prior import ClosedForm, level
from scorefield.priors.mixture import GaussianMixture, check_weights
from scorefield.priors.normal import check_events
from scorefield.randomness import normal_like


class Kde(ClosedForm):
    """A Gaussian kernel at every training point.

    Costs one pass over the points per call, ``chunk`` of them in memory at a time.

    Args:
        points: (T, *event), real or complex.
        bandwidth: standard deviation of the kernel per real component, >= 0, in the units of the points; 0
            is the empirical distribution: draws, a denoiser at sigma > 0, but no density at sigma = 0.
        weights: of the points, (T,), >= 0 and summing to 1; equal when omitted.
        chunk: points held in memory at a time.

    Raises:
        InputError: NaN or infinite points, a negative bandwidth, or weights that are not probabilities.
    """

    points: Tensor
    weights: Tensor
    event_shape: tuple[int, ...]

    def __init__(self, points: Tensor, bandwidth: float, *, weights: Tensor | None = None, chunk: int = 8192):
        super().__init__()
        points = finite(torch.as_tensor(points), "points")
        if points.ndim < 2 or len(points) == 0:
            raise InputError(f"The points are (T, *event) with T >= 1, got shape {tuple(points.shape)}.")
        if not (math.isfinite(bandwidth) and bandwidth >= 0):
            raise InputError(f"The bandwidth is a finite number >= 0, got {bandwidth}; it is a standard deviation.")
        if chunk < 1:
            raise InputError(f"The chunk is a number of points >= 1, got {chunk}.")
        if weights is None:
            weights = torch.full((len(points),), 1 / len(points), dtype=torch.float64, device=points.device)
        self.register_buffer("points", points)
        self.register_buffer("weights", check_weights(weights, len(points)).to(points.real))
        self.bandwidth, self.chunk = float(bandwidth), int(chunk)
        self.event_shape = tuple(points.shape[1:])  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def extent(self) -> float:
        rows = as_rows(self.points)
        apart = (rows - self.weights @ rows).double().square().mean(1)
        return math.sqrt(float(self.weights.double() @ apart) + self.bandwidth**2) or 1.0

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        variance, log_sum, _ = self._average(x, sigma)
        d = as_rows(self.points[:1]).shape[1]
        return log_sum - d / 2 * torch.log(2 * math.pi * variance).squeeze(1)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        variance, _, average = self._average(x, sigma)
        return self._as_events((average - as_rows(x)) / variance)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        # h^2/v and sigma^2/v, not x + sigma^2 score: at h = 0 this is the average to the bit
        variance, _, average = self._average(x, sigma)
        keep = self.bandwidth**2 / variance
        return self._as_events(keep * as_rows(x) + (1 - keep) * average)

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        chosen = self.points[torch.multinomial(self.weights, n, replacement=True, generator=generator)]
        if self.bandwidth == 0:
            return chosen
        return chosen + self.bandwidth * normal_like(chosen, generator)

    def posterior(self, measurement: Measurement) -> Kde | GaussianMixture:
        """The exact posterior.

        At bandwidth 0 it has the same points with weights from their likelihood, at any size.  At a positive
        bandwidth it is a :class:`GaussianMixture` of T components that share one (d, d) covariance, which takes memory
        d^2 + T d per image: for small events only.

        Raises:
            InputError: data of other events, or complex points with a positive bandwidth.
        """
        check_events(measurement, self.event_shape)
        if self.bandwidth > 0:
            if self.points.is_complex():
                raise InputError("A complex Kde has a posterior at bandwidth 0 only; lift a real one with AsComplex.")
            kernel = self.points.new_tensor([self.bandwidth**2])
            return GaussianMixture(self.points, kernel, self.weights).posterior(measurement)
        likelihood = torch.cat([measurement.log_likelihood(part) for part in self.points.split(self.chunk)])
        return Kde(self.points, 0.0, weights=(self.weights.log() + likelihood).softmax(0), chunk=self.chunk)

    def _average(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """Kernel variance v (B or 1, 1), log-sum of the weights (B,), average of the points (B, d)."""
        if tuple(x.shape[1:]) != self.event_shape or x.is_complex() != self.points.is_complex():
            raise InputError(
                f"This prior is over {self.points.dtype} events (B, *{self.event_shape}),"
                f" got {x.dtype} of shape {tuple(x.shape)}; reshape or convert the input."
            )
        points = as_rows(self.points)
        rows = as_rows(x).to(points.dtype)
        variance = self.bandwidth**2 + level(sigma, rows).square()
        if not bool((variance > 0).all()):
            raise InputError("A Kde of bandwidth 0 has no density at sigma = 0; ask at sigma > 0 or give a bandwidth.")
        log_sum, average = rows.new_full((len(rows),), -torch.inf), torch.zeros_like(rows)
        # a chunk of weights that are all 0 must not give -inf minus -inf
        log_weights = self.weights.log().clamp_min(torch.finfo(points.dtype).min / 4)
        for part, log_weight in zip(points.split(self.chunk), log_weights.split(self.chunk), strict=True):
            # differences, not |x|^2 - 2 x.p + |p|^2, which cancels where the kernel is narrow
            distance = torch.cdist(rows, part, compute_mode="donot_use_mm_for_euclid_dist")
            logits = log_weight - distance.square() / (2 * variance)
            total = torch.logaddexp(log_sum, logits.logsumexp(1))
            kept = (log_sum - total).exp().unsqueeze(1)
            average = kept * average + (logits - total.unsqueeze(1)).exp() @ part
            log_sum = total
        return variance, log_sum, average

    def _as_events(self, rows: Tensor) -> Tensor:
        if self.points.is_complex():
            return torch.view_as_complex(rows.reshape(-1, *self.event_shape, 2))
        return rows.reshape(-1, *self.event_shape)
