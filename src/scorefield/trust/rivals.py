"""Rivals: shipped priors of other kinds of images, to compare a prior with."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from scorefield import shipped
from scorefield.prior import Prior
from scorefield.store import checkpoint

RIVALS = {
    "photo": "a prior of photographs",
    "brain": "a prior of head MR",
    "brain-t1": "a prior of T1-weighted brains",
    "body": "a prior of CT",
}


def rivals_of(prior: Prior) -> tuple[str, ...]:
    """The names of the rivals of ``prior``: all but itself."""
    own = prior.card.name if prior.card is not None else None
    return tuple(name for name in RIVALS if name != own)


def denoise_by_rival(name: str, noisy: Tensor, sigma: float) -> Tensor:
    """Denoise ``noisy`` (B, C, H, W) by a rival, each channel (and each part of complex images) by itself."""
    parts = torch.view_as_real(noisy).movedim(-1, 0) if noisy.is_complex() else noisy.unsqueeze(0)
    single = parts.reshape(-1, 1, *parts.shape[-2:]).float()
    clean = _load(name, single.device).denoise(single, sigma).reshape(parts.shape).to(noisy.real.dtype)
    return torch.complex(*clean) if noisy.is_complex() else clean[0]


@cache
def _load(name: str, device: torch.device) -> Prior:
    return checkpoint.load(shipped.find(name)).to(device)
