"""Description of a law of noise in words, for messages and reports."""

from __future__ import annotations

import inspect

import torch

from scorefield.noise.base import Noise


def in_words(noise: Noise) -> str:
    """The law's name and its numbers, with a range for each tensor: "Weighted (std 0.01 to 0.3)"."""
    numbers = []
    for name in inspect.signature(type(noise)).parameters:
        value = getattr(noise, name, None)
        if isinstance(value, (int, float)):
            numbers.append(f"{name} {value:.3g}")
        elif isinstance(value, torch.Tensor) and value.numel():
            low, high = (float(end) for end in value.abs().aminmax())
            numbers.append(f"{name} {low:.3g} to {high:.3g}" if low != high else f"{name} {low:.3g}")
    return f"{type(noise).__name__} ({', '.join(numbers)})" if numbers else type(noise).__name__
