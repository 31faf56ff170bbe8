"""The origin of a result: what was run, on which random numbers, with which versions."""

from __future__ import annotations

import platform

import torch
from torch import Tensor

from scorefield import __version__
from scorefield.describe import describe
from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.prior import Prior


def provenance(prior: Prior, kernel: Kernel, sigmas: Tensor, *, seed: int, batch: int) -> dict[str, object]:
    """Where draws come from, as JSON-able data: objects, levels, random numbers, versions."""

    return {
        "prior": _named(prior),
        "kernel": _named(kernel),
        "sigmas": [round(float(s), 9) for s in sigmas],
        "seed": seed,
        "batch": batch,
        "versions": {
            "scorefield": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _named(thing: object) -> object:
    """The description of our own objects; the class name of a user's, or of one that holds tensors."""
    try:
        return describe(thing)
    except InputError:
        inner = getattr(thing, "prior", None)
        return {"class": type(thing).__name__, **({"of": _named(inner)} if inner is not None else {})}
