"""The cost of a run: evaluations, time and memory.

An *evaluation* is one image through a leaf prior (a network, a closed form); a backward evaluation is one image's
vector-Jacobian product.  Wrappers (posteriors, scalings) are not counted, but the priors inside them are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield.kernel import Kernel
from scorefield.machine import peak_memory_mb
from scorefield.nuisance import Nuisance
from scorefield.operators.linear import Operator
from scorefield.prior import Prior, Vjp
from scorefield.runs.twins import Methods, Observer, twin


@dataclass
class Cost:
    """Totals of one run, over all draws.

    Attributes:
        forward: images through the prior's leaf.
        backward: vector-Jacobian products of the leaf, one image each.
        operator: images through the forward operators or their adjoints.
        seconds: wall time.
        peak_memory_mb: largest resident memory of the process (CPU), or of the device's allocator.
        draws: number of draws that share the totals.
    """

    forward: int = 0
    backward: int = 0
    operator: int = 0
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    draws: int = 1

    @property
    def evaluations(self) -> float:
        """Denoiser evaluations per draw."""
        return self.forward / self.draws

    @property
    def work(self) -> float:
        """Forward + 2 x backward evaluations per draw, the number by which methods are compared."""
        return (self.forward + 2 * self.backward) / self.draws

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.forward + other.forward,
            self.backward + other.backward,
            self.operator + other.operator,
            self.seconds + other.seconds,
            max(self.peak_memory_mb, other.peak_memory_mb),
            self.draws + other.draws,
        )


@dataclass(frozen=True)
class Meter:
    """Twins of a prior and a kernel that count their evaluations; the originals do not change.

    Attributes:
        prior: the twin to sample.
        kernel: the twin to walk.
        cost: the cost of both so far.
    """

    prior: Prior
    kernel: Kernel[Any]
    cost: Cost


@contextmanager
def meter(prior: Prior, kernel: Kernel[Any], draws: int) -> Iterator[Meter]:
    """Count evaluations: the block gets a prior and a kernel that add theirs to a :class:`Cost`, and is timed."""
    cost, start = Cost(draws=draws), time.perf_counter()
    twins = Counter(cost).twins(prior, kernel)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        yield Meter(*twins, cost)
    finally:
        cost.seconds = time.perf_counter() - start
        cost.peak_memory_mb = peak_memory_mb()


class Counter(Observer):
    """Adds evaluations to ``cost``.

    Only the outermost call of a prior counts, because ``score`` may call ``denoise``, and ``linearize`` may call both.
    """

    def __init__(self, cost: Cost):
        self.cost = cost

    def prior_methods(self, prior: Prior) -> Methods:
        cls, cost, depth = type(prior), self.cost, 0

        def count(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(self: Prior, x: Tensor, sigma: Any = 0.0) -> Any:
                nonlocal depth
                depth += 1
                try:
                    result = function(self, x, sigma)
                finally:
                    depth -= 1
                cost.forward += len(x) if depth == 0 else 0  # a question that the prior refuses costs nothing
                return result

            return call

        inner = count(cls.linearize)

        def linearize(self: Prior, x: Tensor, sigma: Any) -> tuple[Tensor, Vjp]:
            denoised, vjp = inner(self, x, sigma)

            def pull(v: Tensor) -> Tensor:
                cost.backward += len(v)
                return vjp(v)

            return denoised, pull

        single = {name: count(getattr(cls, name)) for name in ("denoise", "score", "log_prob")}
        return {**single, "linearize": linearize}

    def operator_methods(self, operator: Operator) -> Methods:
        cls, cost = type(operator), self.cost

        def count(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def call(self: Operator, x: Tensor) -> Tensor:
                cost.operator += len(x)
                return function(self, x)

            return call

        def at(self: Operator, x: Tensor) -> Operator:
            near = cls.at(self, x)
            return near if near is self else count_operator(near)

        count_operator = self._operator
        return {"at": at, **{name: count(getattr(cls, name)) for name in ("_apply", "_adjoint")}}

    def nuisance_methods(self, nuisance: Nuisance) -> Methods:
        cls, count_operator = type(nuisance), self._operator

        def operator(self: Nuisance, theta: Tensor) -> Operator:
            return count_operator(cls.operator(self, theta))

        return {"operator": operator}

    def _operator(self, operator: Operator) -> Operator:
        return twin(operator, self.operator_methods(operator), vars(operator))
