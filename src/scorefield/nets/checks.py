"""The check that networks of images make of their input."""

from __future__ import annotations

from torch import Tensor

from scorefield.errors import InputError


def check_images(x: Tensor, channels: int, who: str) -> None:
    """Check that ``x`` are 2-D images of ``channels`` channels, (B, channels, H, W).

    Args:
        x: the input.
        channels: number of channels of the network.
        who: subject of the message, such as "This U-Net".

    Raises:
        InputError: the input has another shape.
    """
    if x.ndim != 4 or x.shape[1] != channels:
        kind = "volumes" if x.ndim == 5 else f"{x.shape[1]} channel(s)" if x.ndim == 4 else f"shape {tuple(x.shape)}"
        raise InputError(
            f"{who} denoises 2-D images of {channels} channel(s), (B, {channels}, H, W), and got {kind}; pass"
            " slices or channels one by one, or train a network for them."
        )
