"""Exact moments of published samplers on TB-G: every step is affine, ``x_t = M x_s + b + N z``.

Written from the papers' formulas in dense algebra, in the variance-exploding frame, with no code of the library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Affine = tuple[Tensor, Tensor]  # matrix and offset
Step = Callable[["Problem", float, float], tuple[Tensor, Tensor, Tensor]]
EYE = torch.eye(8, dtype=torch.float64)


@dataclass(frozen=True)
class Problem:
    """N(m, S) seen as y = A x + n, n ~ N(0, std^2)."""

    m: Tensor
    S: Tensor
    A: Tensor
    y: Tensor
    std: float

    @classmethod
    def of(cls, bench, *, noiseless: bool = False) -> Problem:
        y = bench.matrix @ bench.truth if noiseless else bench.measurement.y[0]
        return cls(bench.prior.mean, bench.prior.covariance, bench.matrix, y, 0.0 if noiseless else 0.1)

    def posterior(self) -> Affine:
        """Covariance and mean."""
        gain = self.S @ self.A.T @ torch.linalg.inv(self.A @ self.S @ self.A.T + self.std**2 * torch.eye(4))
        return self.S - gain @ self.A @ self.S, self.m + gain @ (self.y - self.A @ self.m)

    def denoiser(self, s: float) -> Affine:
        J = self.S @ torch.linalg.inv(self.S + s**2 * EYE)
        return J, self.m - J @ self.m

    def corrected(self, s: float, gain: Tensor) -> Affine:
        """``D + G (y - A D)``."""
        J, d = self.denoiser(s)
        return J - gain @ self.A @ J, d + gain @ (self.y - self.A @ d)

    def ridge(self, r: float) -> Tensor:
        """``A^T (A A^T + r I)^-1``."""
        return self.A.T @ torch.linalg.inv(self.A @ self.A.T + r * torch.eye(4))


def moments(problem: Problem, step: Step, sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the last level, from N(m, S + sigma^2 I) at the first."""
    mean, covariance = problem.m, problem.S + float(sigmas[0]) ** 2 * EYE
    for s, t in pairwise(sigmas.tolist()):
        M, b, N = step(problem, s, t)
        mean, covariance = M @ mean + b, M @ covariance @ M.T + N @ N.T
    return mean, covariance


def scores(mean: Tensor, covariance: Tensor, problem: Problem) -> tuple[float, float, float]:
    """The table's three numbers: error of the mean, W2, both over the posterior's spread, and the trace's ratio."""
    C, m = problem.posterior()
    spread = float(C.trace())
    values, basis = torch.linalg.eigh(C)
    root = basis * values.clamp(min=0).sqrt() @ basis.T
    cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0).sqrt().sum()
    square = (mean - m).square().sum() + covariance.trace() + C.trace() - 2 * cross
    return (
        float((mean - m).norm()) / math.sqrt(spread),
        math.sqrt(max(0.0, float(square)) / spread),
        float(covariance.trace()) / spread,
    )


# --- steps


def kept(denoiser: Affine, keep: float, fresh: float) -> tuple[Tensor, Tensor, Tensor]:
    """``D + keep (x - D) + fresh z``."""
    P, p = denoiser
    return P + keep * (EYE - P), (1 - keep) * p, fresh * EYE


def ancestral(denoiser: Affine, s: float, t: float, eta: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    up = eta * t * math.sqrt(s**2 - t**2) / s
    return kept(denoiser, math.sqrt(t**2 - up**2) / s, up)


def mmps(p: Problem, s: float, t: float) -> tuple[Tensor, Tensor, Tensor]:
    V = s**2 * p.denoiser(s)[0]
    gain = V @ p.A.T @ torch.linalg.inv(p.std**2 * torch.eye(4) + p.A @ V @ p.A.T)
    return ancestral(p.corrected(s, gain), s, t)


def pigdm(p: Problem, s: float, t: float) -> tuple[Tensor, Tensor, Tensor]:
    r2 = s**2 / (1 + s**2)
    gain = s**2 / r2 * p.denoiser(s)[0] @ p.ridge(p.std**2 / r2)
    return ancestral(p.corrected(s, gain), s, t)


def ddnm(eta: float) -> Step:
    def step(p: Problem, s: float, t: float) -> tuple[Tensor, Tensor, Tensor]:
        P, b = p.corrected(s, torch.linalg.pinv(p.A))
        J, d = p.denoiser(s)
        c = t * math.sqrt(1 - eta**2) / s
        return P + c * (EYE - J), b - c * d, eta * t * EYE

    return step


def diffpir(weight: float, zeta: float) -> Step:
    def step(p: Problem, s: float, t: float) -> tuple[Tensor, Tensor, Tensor]:
        denoiser = p.corrected(s, p.ridge(weight * p.std**2 / s**2))
        return kept(denoiser, math.sqrt(1 - zeta) * t / s, math.sqrt(zeta) * t)

    return step


def dds(gamma: float, eta: float) -> Step:
    def step(p: Problem, s: float, t: float) -> tuple[Tensor, Tensor, Tensor]:
        P, b = p.corrected(s, p.ridge(1 / gamma))
        J, d = p.denoiser(s)
        c = t * math.sqrt(1 - eta**2) / s
        return P + c * (EYE - J), b - c * d, eta * t * EYE

    return step


def ddrm(eta: float, etab: float) -> Step:
    def step(p: Problem, s: float, t: float) -> tuple[Tensor, Tensor, Tensor]:
        U, d, Vt = torch.linalg.svd(p.A)
        J, q = p.denoiser(s)
        ybar = (U.T @ p.y) / d
        above = t * d >= p.std  # all four singular values are positive
        below = math.sqrt(1 - eta**2) * t * d / p.std
        gain, noise, null = torch.zeros(8).double(), torch.full((8,), eta * t).double(), torch.ones(8).double()
        gain[:4] = torch.where(above, etab, below)
        noise[:4] = torch.where(above, (t**2 - etab**2 * p.std**2 / d**2).clamp(min=0).sqrt(), eta * t)
        null[:4] = 0
        c = t * math.sqrt(1 - eta**2) / s * (Vt.T * null) @ Vt
        P = Vt.T @ ((1 - gain)[:, None] * Vt)
        target = Vt.T[:, :4] @ (gain[:4] * ybar)
        return P @ J + c @ (EYE - J), P @ q + target - c @ q, Vt.T * noise

    return step


def replaced(rate: float = 1.0, times: int = 0) -> Step:
    """Noisy replacement after an ancestral step, then ``times`` Langevin steps, each with its replacement."""

    def then(first, second):
        (M, b, N), (K, c, L) = first, second
        noise = K @ N @ N.T @ K.T + L @ L.T
        values, basis = torch.linalg.eigh((noise + noise.T) / 2)
        return K @ M, K @ b + c, basis * values.clamp(min=0).sqrt()

    def step(p: Problem, s: float, t: float) -> tuple[Tensor, Tensor, Tensor]:
        inverse = torch.linalg.pinv(p.A)
        project = (EYE - inverse @ p.A, inverse @ p.y, t * inverse @ p.A)
        moved = then(ancestral(p.denoiser(s), s, t), project)
        P, a = torch.linalg.inv(p.S + t**2 * EYE), rate * t**2
        for _ in range(times if t else 0):
            moved = then(then(moved, (EYE - a * P, a * P @ p.m, math.sqrt(2 * a) * EYE)), project)
        return moved

    return step
