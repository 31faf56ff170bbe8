r"""The one sampling loop, and how it starts.

``walk`` moves a batch of images down a grid of noise levels; ``sample`` runs it batch by batch and collects the draws.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from scorefield.cost import Cost, metered
from scorefield.describe import describe
from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.noise import normal_like
from scorefield.prior import Prior
from scorefield.progress import Silent
from scorefield.samples import Samples


def walk(prior: Prior, kernel: Kernel, x: Tensor, sigmas: Tensor, generator: torch.Generator) -> Iterator[State]:
    """States at each level of ``sigmas`` (L,), starting from ``x`` (B, C, *spatial) at the first.

    The only sampling loop of the library: L states, L - 1 steps, the prior's coin drawn anew for each.
    """
    state = kernel.start(x)
    yield state
    for sigma, target in pairwise(sigmas):
        with torch.no_grad():
            state = kernel.step(prior.draw(generator), state, sigma, target, generator)
        yield state


def begin(prior: Prior, like: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    r"""Draws from (nearly) :math:`p_\sigma` at a large sigma, shaped like ``like``; one denoiser evaluation.

    :math:`x = D(\sigma z', \sigma) + \sigma z`.  For N(m, S) the denoiser adds the mean and :math:`(S/\sigma) z'` to first order; with
    standard normal z, z' correlated by 1/2 the covariance is :math:`\sigma^2 I + S` up to :math:`O(S^2/\sigma^2)`, where pure noise would miss
    both m and S.
    """
    z, w = normal_like(like, generator), normal_like(like, generator)
    correlated = z / 2 + math.sqrt(3) / 2 * w
    with torch.no_grad():
        return prior.draw(generator).denoise(sigma.to(like.real.dtype) * correlated, sigma) + sigma * z


def sample(
    prior: Prior, kernel: Kernel, sigmas: Tensor, *, n: int, shape: tuple[int, ...] | None = None, seed: int | None = None,
    like: Tensor | None = None, batch: int | None = None, progress: Silent | None = None,
) -> Samples:
    """``n`` draws from ``prior`` by walking ``kernel`` down ``sigmas``.

    Args:
        prior: a prior or a posterior.
        sigmas: noise levels (L,), descending, usually ``schedule.grid(steps)``.
        n: number of draws.
        shape: shape of one image; by default the prior's ``event_shape``.
        seed: fixes every draw; a fresh one is drawn and recorded when None.
        like: a tensor whose dtype and device the draws share; by default float32 on the CPU.
        batch: draws walked together; all of them by default.  Each batch has its own stream of random numbers.

    Raises:
        InputError: no draws asked for, an unknown image shape, levels that do not descend, or draws that stopped being finite.
    """  # fmt: skip
    shape = prior.event_shape if shape is None else tuple(shape)
    if shape is None:
        raise InputError(f"{type(prior).__name__} fits any image size; say which with shape=(C, H, W).")
    if n < 1:
        raise InputError(f"Sampling needs n >= 1 draws, got {n}.")
    sigmas = _levels(sigmas)
    seed = torch.seed() % 2**31 if seed is None else seed
    like = torch.empty(0) if like is None else like
    batch = min(batch or n, n)
    starts = range(0, n, batch)
    progress = progress or Silent()

    def states() -> Iterator[tuple[int, State]]:
        for first in starts:
            generator = torch.Generator(like.device).manual_seed(_stream(seed, first))
            blank = like.new_empty((min(batch, n - first), *shape))
            x = begin(prior, blank, sigmas[0], generator)
            yield from ((first, state) for state in walk(prior, kernel, x, sigmas, generator))

    with metered(prior, n) as cost:
        last: dict[int, Tensor] = {}
        for first, state in progress.track(states(), total=len(starts) * len(sigmas), label="sampling"):
            last[first] = state.x
    draws = torch.cat([last[first] for first in starts])
    if not bool(draws.isfinite().all()):
        raise InputError(f"{type(kernel).__name__} diverged: the draws are not finite; use more steps or smaller ones.")
    return Samples(draws, cost, _provenance(prior, kernel, sigmas, seed, batch))


def _levels(sigmas: Tensor) -> Tensor:
    sigmas = torch.as_tensor(sigmas, dtype=torch.float64)
    falls = sigmas.ndim == 1 and len(sigmas) > 1 and bool((sigmas.diff() <= 0).all() & sigmas.isfinite().all())
    if not falls or bool(sigmas[-1] < 0) or not bool(sigmas[0] > 0):
        raise InputError("Noise levels must be a descending 1-D tensor of at least two values >= 0, such as Karras().grid(32).")
    return sigmas


def _stream(seed: int, first: int) -> int:
    """A well-mixed 63-bit seed of the batch that starts at draw ``first`` (splitmix64)."""
    z = (seed * 0x9E3779B97F4A7C15 + (first + 1) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return (z ^ (z >> 31)) >> 1


def _provenance(prior: Prior, kernel: Kernel, sigmas: Tensor, seed: int, batch: int) -> dict[str, object]:
    from scorefield import __version__

    return {
        "prior": _named(prior),
        "kernel": _named(kernel),
        "sigmas": [round(float(s), 9) for s in sigmas],
        "seed": seed,
        "batch": batch,
        "versions": {"scorefield": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _named(thing: object) -> object:
    """The description of our own objects; the class name of a user's, or of one that holds tensors."""
    try:
        return describe(thing)
    except InputError:
        inner = getattr(thing, "prior", None)
        return {"class": type(thing).__name__, **({"of": _named(inner)} if inner is not None else {})}


__all__ = ["Cost", "begin", "sample", "walk"]
