"""What a run cost: evaluations counted where they happen, time and memory.

An *evaluation* is one image through a leaf prior (a network, a closed form); a backward evaluation is one image's
vector-Jacobian product.  Wrappers (posteriors, scalings) are not counted, the priors inside them are.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scorefield.kernel import Kernel
from scorefield.operators.linear import Operator
from scorefield.prior import Density, Prior, Vjp


@dataclass
class Cost:
    """Totals of one run, over all draws.

    Attributes:
        forward: images through the prior's leaf.
        backward: vector-Jacobian products of the leaf, one image each.
        operator: images through the forward operators or their adjoints.
        seconds: wall time.
        peak_memory_mb: largest resident memory of the process (CPU), or of the device's allocator.
        draws: how many draws the totals are shared by.
    """

    forward: int = 0
    backward: int = 0
    operator: int = 0
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    draws: int = 1

    @property
    def evaluations(self) -> float:
        """Denoiser evaluations a draw."""
        return self.forward / self.draws

    @property
    def work(self) -> float:
        """Forward + 2 x backward evaluations a draw, the figure for comparing methods."""
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


@contextmanager
def metered(prior: Prior, kernel: Kernel, draws: int) -> Iterator[Cost]:
    """Count everything ``prior`` and ``kernel`` do inside the block into the yielded :class:`Cost`."""
    cost, start = Cost(draws=draws), time.perf_counter()
    modules = [m for m in prior.modules() if isinstance(m, Prior)]
    leaves = [m for m in modules if not any(isinstance(inner, Prior) for inner in _inside(m))]
    operators = {id(given.operator): given.operator for given in measurements(prior, kernel)}
    with ExitStack() as stack:
        for leaf in leaves:
            _count_prior(leaf, cost, stack)
        for operator in operators.values():
            _count_operator(operator, cost, stack)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        try:
            yield cost
        finally:
            cost.seconds = time.perf_counter() - start
            cost.peak_memory_mb = _peak_memory_mb()


def measurements(prior: Prior, kernel: Kernel) -> list[Any]:
    """The measurements that the posteriors inside ``prior`` and the kernels inside ``kernel`` hold."""
    things: list[Any] = [*prior.modules(), kernel]
    for thing in things:  # grows while it is read: kernels hold kernels
        things += [part for part in vars(thing).values() if isinstance(part, Kernel)]
    return [thing.measurement for thing in things if hasattr(thing, "measurement")]


def _inside(module: nn.Module) -> Iterator[nn.Module]:
    return (m for m in module.modules() if m is not module)


def _peak_memory_mb() -> float:
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _override(thing: Any, name: str, method: Callable[..., Any], stack: ExitStack) -> None:
    """Shadow a method on one instance until the stack unwinds; what shadowed it before comes back."""
    own = vars(thing)
    if name in own:
        stack.callback(own.__setitem__, name, own[name])
    else:
        stack.callback(own.pop, name, None)
    own[name] = method


def _count_prior(prior: Prior, cost: Cost, stack: ExitStack) -> None:
    """Count the outermost calls only: ``score`` may be written through ``denoise``, ``linearize`` through both."""
    denoise, score, linearize = prior.denoise, prior.score, prior.linearize
    depth = 0

    def counted(function: Callable[[Tensor, Any], Any]) -> Callable[[Tensor, Any], Any]:
        def call(x: Tensor, sigma: Any = 0.0) -> Any:
            nonlocal depth
            cost.forward += len(x) if depth == 0 else 0
            depth += 1
            try:
                return function(x, sigma)
            finally:
                depth -= 1

        return call

    def linearized(x: Tensor, sigma: Any) -> tuple[Tensor, Vjp]:
        denoised, vjp = counted(linearize)(x, sigma)

        def pull(v: Tensor) -> Tensor:
            cost.backward += len(v)
            return vjp(v)

        return denoised, pull

    _override(prior, "denoise", counted(denoise), stack)
    _override(prior, "score", counted(score), stack)
    _override(prior, "linearize", linearized, stack)
    if isinstance(prior, Density):
        _override(prior, "log_prob", counted(prior.log_prob), stack)


def _count_operator(operator: Operator, cost: Cost, stack: ExitStack) -> None:
    def counted(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            cost.operator += len(x)
            return function(x)

        return call

    _override(operator, "_apply", counted(operator._apply), stack)
    _override(operator, "_adjoint", counted(operator._adjoint), stack)
