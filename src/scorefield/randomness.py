"""Random numbers: independent streams from one seed, and random numbers of any shape and dtype.

A stream has an address, a seed and a path such as ``(seed, "truth", 3)``.  The SHA-256 hash of the address seeds its
generator, so streams with different addresses are independent, and no generator is passed from step to step.

The draws of a sampling have a stream each (:class:`DrawStreams`): draw 3 is the same whether it is walked alone, or
with seven others, or in a sampling of more draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 256  # numbers that a stream makes at once where a draw needs fewer at a time
Fill = Callable[..., object]  # a method of a tensor that fills it, such as Tensor.normal_


def stream(seed: int, *path: int | str) -> int:
    """The seed of the stream at ``path``: 56 well-mixed bits.

    A stream depends on its address only.  So a run that is resumed, or shared by several processes, draws the same
    numbers as a run in one piece.

    Args:
        seed: of the run.
        path: names and numbers that address the stream within the run.
    """
    address = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:7], "big")


class DrawStreams(torch.Generator):
    """The random numbers of a batch of draws: a stream for each draw, one for the batch, and one for the run.

    Functions of this module that fill a tensor (B, ...) take row i from the stream of draw i.  As a generator, which
    kernels use that let the images of a batch compete, it is the stream of the batch.

    Args:
        seed: of the run.
        first: number of the first draw.
        count: number of draws, B.
        device: of the numbers.

    Attributes:
        coin: the stream of the run, the same for every batch: for random choices that all draws share.
    """

    def __new__(cls, seed: int, first: int, count: int, device: torch.device | str = "cpu") -> DrawStreams:
        return super().__new__(cls, device=device)  # pyright: ignore[reportCallIssue]  # a class of C

    def __init__(self, seed: int, first: int, count: int, device: torch.device | str = "cpu"):
        self.manual_seed(stream(seed, "batch", first))
        self.seed_of_run, self.first, self.count = seed, first, count
        self.coin = torch.Generator(device).manual_seed(stream(seed, "coin"))
        self._own = torch.Generator(device)
        self._calls = 0
        self._blocks: dict[tuple[Fill, torch.dtype], tuple[Tensor, int]] = {}

    def branch(self) -> Callable[[], torch.Generator]:
        """New streams, for numbers that are needed again and again: each call gives them from their beginning."""
        seed = int(torch.randint(2**62, (), generator=self.coin, device=self.coin.device))
        return lambda: DrawStreams(seed, self.first, self.count, self.device)

    def fill(self, x: Tensor, fill: Fill) -> None:
        """Fill the rows of a real tensor (B, ...), each from its own stream."""
        if not x.numel():
            return
        rows = x.view(self.count, -1)
        size = rows.shape[1]
        if size >= BLOCK:
            self._fill_rows(rows, fill)
            return
        block, used = self._blocks.get((fill, x.dtype), (x.new_empty(0), BLOCK))
        if used + size > BLOCK:
            block, used = x.new_empty(self.count, BLOCK), 0
            self._fill_rows(block, fill)
        rows.copy_(block[:, used : used + size])
        self._blocks[fill, x.dtype] = (block, used + size)

    def _fill_rows(self, rows: Tensor, fill: Fill) -> None:
        for draw, row in enumerate(rows, self.first):
            self._own.manual_seed(stream(self.seed_of_run, draw, self._calls))
            fill(row, generator=self._own)
        self._calls += 1


def coin_of(generator: torch.Generator) -> torch.Generator:
    """The generator of choices that all draws of a run share; the generator itself where there is no such one."""
    return getattr(generator, "coin", generator)


def branch_of(generator: torch.Generator) -> Callable[[], torch.Generator]:
    """A function that gives the same new random numbers at each call, for all images of a batch; see
    :meth:`DrawStreams.branch`."""
    if isinstance(generator, DrawStreams):
        return generator.branch()
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    return lambda: torch.Generator(generator.device).manual_seed(seed)


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal numbers shaped like ``x``: every real component has variance 1.

    For a complex ``x`` the real and imaginary parts are independent, so ``E|z|^2 = 2``.
    """
    return _filled(x, Tensor.normal_, generator)


def common_normal_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """As :func:`normal_like`, for what is a number of the batch: where draws have streams, each image gets the same."""
    if isinstance(generator, DrawStreams):
        return normal_like(x[0], generator.coin).expand_as(x)
    return normal_like(x, generator)


def uniform_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Numbers shaped like ``x`` whose real components are uniform on [0, 1)."""
    return _filled(x, Tensor.uniform_, generator)


def exponential_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Exponential numbers of mean 1 shaped like ``x``, which is real."""
    return _filled(x, Tensor.exponential_, generator)


def _filled(x: Tensor, fill: Fill, generator: torch.Generator | None) -> Tensor:
    if x.is_complex():
        return torch.view_as_complex(_filled(torch.view_as_real(x.resolve_conj()), fill, generator))
    empty = torch.empty_like(x, memory_format=torch.contiguous_format)
    if isinstance(generator, DrawStreams) and x.ndim and len(x) == generator.count:
        generator.fill(empty, fill)
    else:
        fill(empty, generator=generator)
    return empty


class PerDraw:
    """The rule of a sampling: each draw has a stream of its own, so batches only group draws."""

    name = "draw"

    def generator(self, seed: int, first: int, count: int, device: torch.device) -> torch.Generator:
        """The random numbers of the draws from number ``first`` on, ``count`` of them."""
        return DrawStreams(seed, first, count, device)


class PerBatch(PerDraw):
    """The rule of version 0.1: the draws of a batch share a stream, so they depend on the batch."""

    name = "batch"

    def generator(self, seed: int, first: int, count: int, device: torch.device) -> torch.Generator:
        del count
        return torch.Generator(device).manual_seed(stream(seed, first))


PER_DRAW, PER_BATCH = PerDraw(), PerBatch()
