"""The one sampling loop: ``walk`` moves images down a grid of noise levels, ``sample`` collects draws."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scorefield.arguments import as_tensor, of_kind
from scorefield.errors import Diverged, InputError, refuse_arguments, rename_arguments
from scorefield.kernel import Kernel, M, State
from scorefield.prior import Prior, as_prior
from scorefield.runs.cost import Meter, meter
from scorefield.runs.divergence import Watch, is_finite
from scorefield.runs.provenance import name_of, provenance
from scorefield.samples.keep import NONE, All, Keep, R, Sampling, check_keep
from scorefield.schedules import Schedule
from scorefield.start import Start, begin

ALL = All()
Walk = Callable[[Prior, Kernel[Any]], Iterator[State[Any]]]


def walk(prior: Prior, kernel: Kernel[M], x: Tensor, sigmas: Tensor, generator: torch.Generator) -> Iterator[State[M]]:
    """States at each level of ``sigmas`` (L,), starting from ``x`` (B, C, *spatial) at the first.

    This is the only sampling loop of the library: L states, L - 1 steps.  Each step draws the random choices of the
    prior anew (``prior.draw``).
    """
    state = kernel.start(x)
    yield state
    for sigma, target in pairwise(sigmas):
        with torch.no_grad():
            state = kernel.step(prior.draw(generator), state, sigma, target, generator)
        yield state


@refuse_arguments(
    shape="give one image: like=torch.empty(shape)",
    batch="say it with keep=All(batch=...), of scorefield.samples",
    progress="say it with keep=All(progress=...), of scorefield.samples",
)
@rename_arguments(partial="keep")
def sample(
    prior: Prior,
    kernel: Kernel[Any],
    sigmas: Tensor,
    *,
    n: int,
    seed: int | None = None,
    like: Tensor | None = None,
    start: Start = begin,
    keep: Keep[R] = ALL,  # pyright: ignore[reportArgumentType]  # without it R is Samples
) -> R:
    """Draw ``n`` images from ``prior``: walk ``kernel`` down ``sigmas``.

    Args:
        prior: a prior or a posterior.
        kernel: makes the steps between the levels.
        sigmas: noise levels (L,), descending, usually ``schedule.grid(steps)``.
        n: number of draws.
        seed: fixes every draw; when None, a fresh seed is drawn and recorded.
        like: a tensor whose dtype and device the draws share; by default float32 on the CPU.  For a prior that fits
            any image size (``event_shape`` None) it is one image, such as ``torch.empty(1, 64, 64)``, and the draws
            have its shape.
        start: where walks start: :func:`scorefield.start.begin`, or :class:`scorefield.start.WarmStart`.
        keep: what becomes of the draws: :class:`~scorefield.samples.All`, :class:`~scorefield.samples.OnDisk`,
            :class:`~scorefield.samples.Running` or :class:`~scorefield.samples.Reservoir`.  It also says how
            many are walked together and what shows the progress: ``All(batch=8, progress=sf.Bar())``.

    Returns:
        :class:`~scorefield.samples.Samples`, or what ``keep`` makes of the draws.

    Raises:
        InputError: n is below 1, the shape of an image is unknown, or the levels do not descend.
        Diverged: an image is not finite; the error says at which level, and what broke.
    """
    check_keep(keep)
    of_kind(kernel, Kernel, "a kernel", "give an object of sf.kernels, such as sf.kernels.Heun()")
    like = None if like is None else of_kind(like, Tensor, "an image for like", "give torch.empty(1, 64, 64)")
    shape, sigmas = _shape(as_prior(prior), like), _levels(sigmas)
    if n < 1:
        raise InputError(f"Sampling needs n >= 1 draws, got {n}.")
    seed = secrets.randbits(31) if seed is None else seed
    like = torch.empty(0) if like is None else like
    batch = min(keep.batch or n, n)
    origin = provenance(prior, kernel, sigmas, seed=seed, batch=batch)
    origin |= {"start": name_of(start), "streams": keep.rule.name}
    keeper = keep.begin(Sampling(prior, kernel, start, origin, n, like.device))
    left = _batches(n, batch, keeper.finished)

    def walk_batch(prior: Prior, kernel: Kernel[Any], first: int) -> Iterator[State[Any]]:
        generator = keep.rule.generator(seed, first, left[first], like.device)
        x = start(prior, like.new_empty((left[first], *shape)), sigmas[0], generator)
        yield from walk(prior, kernel, x, sigmas, generator)

    def states(run: Meter) -> Iterator[State[Any]]:
        for first in left:
            x, nuisance = like, NONE
            for number, state in enumerate(walk_batch(run.prior, run.kernel, first)):
                x, nuisance = state.x, state.info.nuisance
                if not is_finite(x):
                    raise _diverged(prior, kernel, sigmas, number, partial(walk_batch, first=first))
                yield state
            keeper.add(first, x, run.cost, nuisance)

    with meter(prior, kernel, n) as run:
        for _ in keep.progress.track(states(run), total=len(left) * len(sigmas), label="sampling"):
            pass
    return keeper.result(run.cost)


def _batches(n: int, batch: int, finished: Collection[int]) -> dict[int, int]:
    """The draws that do not exist yet, in batches: the number of draws of each, by the number of its first draw."""
    batches: dict[int, int] = {}
    first = size = 0
    for draw in range(n):
        if draw in finished:
            size = 0
            continue
        first, size = (first, size + 1) if 0 < size < batch else (draw, 1)
        batches[first] = size
    return batches


def _diverged(prior: Prior, kernel: Kernel[Any], sigmas: Tensor, number: int, walk_again: Walk) -> Diverged:
    """The error for a walk whose state ``number`` is not finite; a second walk finds what broke."""
    watch = Watch()
    states = walk_again(*watch.twins(prior, kernel))
    for _ in range(number):
        next(states)
        watch.reset()
    next(states)
    return watch.error(type(kernel).__name__, float(sigmas[max(number - 1, 0)]))


def _shape(prior: Prior, like: Tensor | None) -> tuple[int, ...]:
    """The shape of one image: that of the prior, or of ``like`` where the prior fits any size."""
    if prior.event_shape is not None:
        return prior.event_shape
    if like is None or like.numel() == 0:
        raise InputError(f"{type(prior).__name__} fits any image size; say which with like=torch.empty(C, H, W).")
    return tuple(like.shape)


def _levels(sigmas: Tensor) -> Tensor:
    if isinstance(sigmas, Schedule):
        raise InputError("The levels are a schedule; give levels of it, such as schedule.grid(32).")
    sigmas = as_tensor(sigmas, "levels").double()
    falls = sigmas.ndim == 1 and len(sigmas) > 1 and bool((sigmas.diff() <= 0).all() & sigmas.isfinite().all())
    if not falls or bool(sigmas[-1] < 0) or not bool(sigmas[0] > 0):
        raise InputError(
            "Noise levels must be a descending 1-D tensor of at least two values >= 0, such as Karras().grid(32)."
        )
    return sigmas
