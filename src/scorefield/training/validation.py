"""Validation: how well a prior in training removes noise from other images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from scorefield.data.images import Images
from scorefield.data.normalized import tensors
from scorefield.errors import InputError
from scorefield.lessons.lesson import Cut
from scorefield.prior import Prior
from scorefield.randomness import normal_like, stream


@dataclass(frozen=True, eq=False)
class Validation:
    """Denoising PSNR on fixed noisy crops, and the rule for an early stop.

    The peak is 1, the unit of the prior, so that images of all sizes and brightness count alike.

    Args:
        images: (C, H, W), in the prior's units, none of which is trained on; of many, only ``crops`` evenly spaced ones
            are read.  :class:`scorefield.data.Images` are taken in units of their amplitude.
        sigmas: noise levels.
        every: steps between two checks.
        patience: checks in a row without a gain of 0.01 dB (mean over the levels) after which training stops; None
            trains to the end.  In both cases the result has the best weights.
        crops: how many at each level.

    Raises:
        InputError: no images, or a number out of range.
    """

    images: Sequence[Tensor] | Images
    sigmas: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5)
    every: int = 250
    patience: int | None = None
    crops: int = 64

    GAIN = 0.01  # dB; less is noise of the optimizer

    def __post_init__(self) -> None:
        if not len(self.images):
            raise InputError("There are no images to validate on; give at least one that is not trained on.")
        if not self.sigmas or not all(s > 0 for s in self.sigmas):
            raise InputError(f"Validation needs noise levels > 0, got {self.sigmas}.")
        if self.every < 1 or self.crops < 1 or (self.patience is not None and self.patience < 1):
            raise InputError("Validation needs every >= 1, crops >= 1, and patience >= 1 when there is one.")

    def pairs(self, cut: Cut, *, seed: int) -> tuple[Tensor, Tensor]:
        """Clean crops and standard normal noise for them, fixed by the seed: (crops, C, side, side) each.

        Args:
            cut: how crops are cut from the images.
            seed: fixes crops and noise.
        """
        every = tensors(self.images)
        few = min(self.crops, len(every))
        images = [every[k * len(every) // few] for k in range(few)]
        generator = torch.Generator().manual_seed(stream(seed, "validation"))
        clean = cut.exam(images, self.crops)(0, generator)
        return clean, normal_like(clean, generator)

    def psnr(self, prior: Prior, clean: Tensor, white: Tensor, *, known: int = 0) -> dict[float, float]:
        """PSNR in dB of ``prior`` on :meth:`pairs`, at each level.

        Args:
            known: how many of the last channels are known; they get no noise and have no error.
        """
        device = next(prior.parameters()).device
        clean, white = clean.to(device), white.to(device)
        count = clean.shape[1] - known
        white = torch.cat([white[:, :count], torch.zeros_like(white[:, count:])], 1)
        found = {}
        for sigma in self.sigmas:
            with torch.no_grad():
                missed = (prior.denoise(clean + sigma * white, sigma) - clean)[:, :count]
                error = missed.abs().square().mean().item()
            found[sigma] = -10 * math.log10(max(error, 1e-30))
        return found


@dataclass
class Checks:
    """The checks of one run so far, and the weights of the best.

    Args:
        validation: images, levels and patience.
        cut: how crops are cut from the images.
        seed: fixes crops and noise.
        history: one record a check: step, mean PSNR and the PSNR at each level.
        best: tensors of the prior at the best check.
    """

    validation: Validation
    cut: Cut
    seed: int
    history: list[dict[str, object]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        return self.validation.pairs(self.cut, seed=self.seed)

    def add(self, prior: Prior, step: int) -> dict[str, object]:
        """Check ``prior`` after ``step`` steps: the record."""
        prior.eval()
        levels = self.validation.psnr(prior, *self._pairs, known=self.cut.known)
        mean = sum(levels.values()) / len(levels)
        record: dict[str, object] = {"step": step, "psnr": mean, "levels": {f"{s:g}": v for s, v in levels.items()}}
        if not self.history or mean > max(self._means()):
            self.best = {name: t.detach().clone() for name, t in prior.state_dict().items()}
        self.history.append(record)
        return record

    @property
    def last_step(self) -> object:
        """Step of the last check; None before the first."""
        return self.history[-1]["step"] if self.history else None

    def out_of_patience(self) -> bool:
        """Whether the last ``patience`` checks brought no gain."""
        patience, means = self.validation.patience, self._means()
        if patience is None or len(means) <= patience:
            return False
        return max(means[-patience:]) < max(means[:-patience]) + Validation.GAIN

    def _means(self) -> list[float]:
        return [float(record["psnr"]) for record in self.history]  # pyright: ignore[reportArgumentType]
