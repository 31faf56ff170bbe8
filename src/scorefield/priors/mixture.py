r"""Gaussian mixtures: a closed form at every level, and the simplest prior on which Gaussian reasoning fails.

Noise widens the components and keeps their weights, :math:`p_\sigma = \sum_k w_k N(\mu_k, C_k + \sigma^2 I)`.  With
responsibilities :math:`r_k \propto w_k N(x; \mu_k, C_k + \sigma^2 I)` and component scores :math:`s_k = -(C_k +
\sigma^2 I)^{-1}(x - \mu_k)`,

.. math::
    s = \sum_k r_k s_k, \qquad D = x + \sigma^2 s, \qquad
    J = \sum_k r_k J_k + \sigma^2 \sum_k r_k (s_k - s)(s_k - s)^T,

and the posterior is a mixture with weights :math:`\propto w_k N(y; A \mu_k, R + A C_k A^H)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.operators.basic import finite
from scorefield.prior import ClosedForm, Vjp, level
from scorefield.priors.gaussian import eigenpairs, update
from scorefield.priors.normal import check_events
from scorefield.randomness import normal_like

CACHED = 2**17  # numbers worked on at a time: 1 MB in double precision


def check_weights(weights: Tensor, n: int) -> Tensor:
    """``weights`` as ``n`` probabilities.

    Raises:
        InputError: a wrong shape, a negative or non-finite weight, or a sum other than 1.
    """
    weights = finite(torch.as_tensor(weights, dtype=torch.float64), "weights")
    if tuple(weights.shape) != (n,):
        raise InputError(f"There must be one weight for each of the {n} components, got shape {tuple(weights.shape)}.")
    total = weights.sum().item()
    if bool((weights < 0).any()) or abs(total - 1) > 1e-5:
        raise InputError(f"Weights are >= 0 and sum to 1, but these sum to {total:g}; divide them by their sum.")
    return weights


class GaussianMixture(ClosedForm):
    """A mixture of K Gaussians over real events with d elements.

    Args:
        means: (K, *event).
        covariances: (K,) variances of isotropic components, or (K, d, d) matrices; a leading 1 shares one.
        weights: (K,), >= 0, summing to 1.

    Raises:
        InputError: NaN or infinite values, complex means, wrong shapes, no covariances, or no probabilities.
    """

    means: Tensor
    covariances: Tensor
    weights: Tensor
    eigenvalues: Tensor  # (K or 1, d or 1)
    basis: Tensor | None  # (K or 1, d, d), None when isotropic
    event_shape: tuple[int, ...]

    def __init__(self, means: Tensor, covariances: Tensor, weights: Tensor):
        super().__init__()
        means = finite(torch.as_tensor(means), "means")
        if means.ndim < 2 or means.is_complex():
            raise InputError(f"The means are real, (K, *event), got {means.dtype} of shape {tuple(means.shape)}.")
        covariances = finite(torch.as_tensor(covariances, dtype=means.dtype, device=means.device), "covariances")
        k, d = len(means), means[0].numel()
        if tuple(covariances.shape) not in ((k,), (1,), (k, d, d), (1, d, d)):
            raise InputError(
                f"Means of shape {tuple(means.shape)} need variances ({k},) or covariances ({k}, {d}, {d}),"
                f" got shape {tuple(covariances.shape)}."
            )
        if covariances.ndim == 1 and bool((covariances < 0).any()):
            raise InputError(f"A variance is >= 0, got {covariances.min().item():g}; square the standard deviation.")
        dense = covariances.ndim == 3
        eigenvalues, basis = eigenpairs(covariances) if dense else (covariances.unsqueeze(1), None)
        self.register_buffer("means", means)
        self.register_buffer("covariances", covariances)
        self.register_buffer("weights", check_weights(weights, k).to(means))
        self.register_buffer("eigenvalues", eigenvalues)
        self.register_buffer("basis", basis)
        self.event_shape = tuple(means.shape[1:])  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def extent(self) -> float:
        center = (self.weights @ self.means.flatten(1)).reshape(self.event_shape)
        apart = (self.means - center).flatten(1).double().square().mean(1)
        within = self.eigenvalues.double().mean(1)
        return float((self.weights.double() * (apart + within)).sum().sqrt()) or 1.0

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        return torch.cat([self._components(*part)[0].logsumexp(0) for part in self._parts(x, sigma)])

    def responsibilities(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Probability of each component given x at level sigma: (B, K)."""
        return self._components(x, sigma)[0].softmax(0).T

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        components = (self._components(*part) for part in self._parts(x, sigma))
        scores = [(log_joint.softmax(0).unsqueeze(-1) * scores).sum(0) for log_joint, scores in components]
        return torch.cat(scores).reshape(x.shape)

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        if self.basis is None and len(self.eigenvalues) == 1:
            return self._of_one_variance(x, sigma)
        parts = [self._linearize(*part) for part in self._parts(x, sigma)]
        sizes = [len(denoised) for denoised, _ in parts]

        def vjp(v: Tensor) -> Tensor:
            return torch.cat([pull(part) for part, (_, pull) in zip(v.split(sizes), parts, strict=True)])

        return torch.cat([denoised for denoised, _ in parts]), vjp

    def _of_one_variance(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        r"""The same with products of matrices, for components of one variance c.

        .. math::
            m = \sum_k r_k \mu_k, \qquad g = \frac{\sigma^2}{c + \sigma^2}, \qquad D = x + g (m - x), \qquad
            J = (1 - g) I + \frac{g}{c + \sigma^2} \sum_k r_k (\mu_k - m)(\mu_k - m)^T .
        """
        center = (self.weights @ self.means.flatten(1)).detach()
        rows, means = self._checked(x.detach()) - center, self.means.flatten(1) - center
        variance = level(sigma, rows).square()  # (B or 1, 1)
        total = self.eigenvalues + variance
        apart = torch.cdist(rows, means, compute_mode="donot_use_mm_for_euclid_dist").square()
        shares = (self._log_weights() - 0.5 * apart / total).softmax(1)  # (B, K)
        mean, gain = shares @ means, variance / total

        def vjp(v: Tensor) -> Tensor:
            given = v.flatten(1)
            aligned = shares * (given @ means.T - (given * mean).sum(1, keepdim=True))
            between = aligned @ means - aligned.sum(1, keepdim=True) * mean
            return ((1 - gain) * given + gain / total * between).reshape(v.shape)

        return (rows + gain * (mean - rows) + center).reshape(x.shape), vjp

    def _linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        log_joint, scores = self._components(x.detach(), sigma)
        weights = log_joint.softmax(0).unsqueeze(-1)  # (K, B, 1)
        score = (weights * scores).sum(0)
        apart = scores - score
        variance = level(sigma, score).square()  # (B or 1, 1)
        shrinkage = self.eigenvalues.unsqueeze(1) / (self.eigenvalues.unsqueeze(1) + variance)

        def within(rows: Tensor) -> Tensor:
            if self.basis is None:
                return (weights * shrinkage).sum(0) * rows
            return (weights * self._synthesize(shrinkage * self._analyze(rows.unsqueeze(0)))).sum(0)

        def vjp(v: Tensor) -> Tensor:
            rows = v.flatten(1)
            aligned = (apart * rows).sum(-1, keepdim=True)
            between = (weights * aligned * apart).sum(0)
            return (within(rows) + variance * between).reshape(v.shape)

        return (x.detach().flatten(1) + variance * score).reshape(x.shape), vjp

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        centers = self.means[chosen].flatten(1)
        white = normal_like(centers, generator)
        draws = self._synthesize(self.eigenvalues.sqrt().unsqueeze(1) * white)
        draws = draws.expand(len(self.weights), n, -1)[chosen, torch.arange(n, device=chosen.device)]
        return (centers + draws).reshape(n, *self.event_shape)

    def posterior(self, measurement: Measurement) -> GaussianMixture:
        """The exact posterior: each component conditioned, and reweighted by its evidence."""
        check_events(measurement, self.event_shape)
        d = self.means[0].numel()
        basis = torch.eye(d).to(self.means) if self.basis is None else self.basis
        after = update(self.means, basis * self.eigenvalues.sqrt().unsqueeze(-2), measurement)
        return GaussianMixture(after.means, after.covariances, (self.weights.log() + after.log_fit).softmax(0))

    def _parts(self, x: Tensor, sigma: Tensor | float) -> Iterator[tuple[Tensor, Tensor]]:
        """Parts of the images with their levels; the (K, B, d) numbers of a part fit into the cache."""
        size = max(1, CACHED // self.means.numel())
        levels = level(sigma, x).flatten()
        return zip(x.split(size), levels.split(size) if len(levels) > 1 else repeat(levels), strict=False)

    def _components(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """``log w_k N(x; mu_k, C_k + sigma^2 I)`` (K, B) and the component scores (K, B, d)."""
        rows = self._checked(x)
        modes = self._analyze(rows.unsqueeze(0) - self.means.flatten(1).unsqueeze(1))
        total = self.eigenvalues.unsqueeze(1) + level(sigma, rows).square()  # (K or 1, B or 1, d or 1)
        if not bool((total > 0).all()):
            raise InputError("A mixture with a singular component has no density at sigma = 0; ask at sigma > 0.")
        scaled = modes / total
        log_det = torch.log(2 * math.pi * total).expand(-1, -1, modes.shape[-1]).sum(-1)
        log_joint = self._log_weights().unsqueeze(1) - 0.5 * ((modes * scaled).sum(-1) + log_det)
        return log_joint, -self._synthesize(scaled)

    def _checked(self, x: Tensor) -> Tensor:
        """Events as rows (B, d)."""
        if tuple(x.shape[1:]) != self.event_shape or x.is_complex():
            raise InputError(
                f"This prior is over real events (B, *{self.event_shape}),"
                f" got {x.dtype} of shape {tuple(x.shape)}; reshape or convert the input."
            )
        return x.flatten(1)

    def _log_weights(self) -> Tensor:
        """Log 0 is right, but its gradient is NaN: that happens in a fit where a softmax underflows."""
        absent = self.weights == 0
        return torch.where(absent, 1.0, self.weights).log().masked_fill(absent, -torch.inf)

    def _analyze(self, v: Tensor) -> Tensor:
        """Coefficients of v (K or 1, B, d) in the components' eigenbases."""
        return v if self.basis is None else v @ self.basis

    def _synthesize(self, modes: Tensor) -> Tensor:
        return modes if self.basis is None else modes @ self.basis.mT
