"""What networks of images expect to be given."""

from __future__ import annotations

from torch import Tensor

from scorefield.errors import InputError


def check_images(x: Tensor, channels: int, who: str) -> None:
    """Raise InputError unless x are 2-D images of so many channels, (B, channels, H, W)."""
    if x.ndim != 4 or x.shape[1] != channels:
        kind = "volumes" if x.ndim == 5 else f"{x.shape[1]} channel(s)" if x.ndim == 4 else f"shape {tuple(x.shape)}"
        raise InputError(
            f"{who} denoises 2-D images of {channels} channel(s), (B, {channels}, H, W), and was given {kind}; take"
            " slices or channels one by one, or train a network for them."
        )
