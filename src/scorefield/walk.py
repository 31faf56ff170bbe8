r"""The one sampling loop, and how it starts.

``walk`` moves a batch of images down a grid of noise levels; ``sample`` runs it batch by batch and collects the draws.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from scorefield.cost import metered
from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.prior import Prior
from scorefield.progress import Silent
from scorefield.provenance import provenance
from scorefield.samples import Samples
from scorefield.start import begin


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


def sample(
    prior: Prior,
    kernel: Kernel,
    sigmas: Tensor,
    *,
    n: int,
    shape: tuple[int, ...] | None = None,
    seed: int | None = None,
    like: Tensor | None = None,
    batch: int | None = None,
    progress: Silent | None = None,
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
        InputError: no draws asked for, an unknown image shape, levels that do not descend, or draws that stopped being
            finite.
    """
    shape = prior.event_shape if shape is None else tuple(shape)
    if shape is None:
        raise InputError(f"{type(prior).__name__} fits any image size; say which with shape=(C, H, W).")
    if n < 1:
        raise InputError(f"Sampling needs n >= 1 draws, got {n}.")
    if batch is not None and batch < 1:
        raise InputError(f"A batch holds at least 1 draw, got {batch}.")
    sigmas = _levels(sigmas)
    seed = secrets.randbits(31) if seed is None else seed
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
    return Samples(draws, cost, provenance(prior, kernel, sigmas, seed=seed, batch=batch))


def _levels(sigmas: Tensor) -> Tensor:
    sigmas = torch.as_tensor(sigmas, dtype=torch.float64)
    falls = sigmas.ndim == 1 and len(sigmas) > 1 and bool((sigmas.diff() <= 0).all() & sigmas.isfinite().all())
    if not falls or bool(sigmas[-1] < 0) or not bool(sigmas[0] > 0):
        raise InputError(
            "Noise levels must be a descending 1-D tensor of at least two values >= 0, such as Karras().grid(32)."
        )
    return sigmas


def _stream(seed: int, first: int) -> int:
    """The seed of the batch that starts at draw ``first``: 56 well-mixed bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{first}".encode()).digest()[:7], "big")
