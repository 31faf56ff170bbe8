"""scorefield: score-based generative priors for medical image reconstruction, with calibrated uncertainty.

The nouns and verbs, listed by hand and imported when first used, so that the command line answers before torch is
loaded.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

__version__ = "0.1.0"

_NOUNS_AND_VERBS = {
    "scorefield.prior": ("Prior", "Denoiser", "Score", "Density", "Exact"),
    "scorefield.schedule": ("Schedule",),
    "scorefield.operators.linear": ("Operator",),
    "scorefield.noise": ("Noise",),
    "scorefield.measurement": ("Measurement",),
    "scorefield.kernel": ("Kernel", "State"),
    "scorefield.samples": ("Samples",),
    "scorefield.moments": ("Moments",),
    "scorefield.walk": ("walk", "sample"),
    "scorefield.method": ("Method",),
    "scorefield.reconstruct": ("reconstruct",),
    "scorefield.train": ("Minutes", "Steps", "Epochs", "Settings", "Validation", "Record", "train"),
    "scorefield.fit": ("fit",),
    "scorefield.checkpoint": ("Card", "load", "save"),
    "scorefield.simulate": ("simulate", "ParallelCT", "CartesianMRI"),
    "scorefield.metrics": ("evaluate",),
    "scorefield.calibrate": ("calibrate", "recalibrated"),
    "scorefield.report": ("View", "report"),
    "scorefield.data": ("Image", "Images", "Scan", "read", "read_image", "write"),
    "scorefield.progress": ("Silent", "Bar"),
    "scorefield.errors": ("InputError",),
}
_NAMESPACES = {
    "priors": "scorefield.priors",
    "nets": "scorefield.nets",
    "posteriors": "scorefield.posteriors",
    "kernels": "scorefield.kernels",
    "operators": "scorefield.operators",
    "schedules": "scorefield.schedule",
    "noise": "scorefield.noise",
    "objectives": "scorefield.objectives",
    "augment": "scorefield.augment",
    "baselines": "scorefield.baselines",
    "metrics": "scorefield.metrics",
    "shipped": "scorefield.shipped",
    "trust": "scorefield.trust",
}
_WHERE = {name: module for module, names in _NOUNS_AND_VERBS.items() for name in names}

__all__ = [*_WHERE, *_NAMESPACES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


class _Package(types.ModuleType):
    """The package with its nouns and verbs imported on first use.

    A verb and its module share a name (``train``); importing the module must not hide the verb.
    """

    def __getattr__(self, name: str) -> Any:
        if name in _WHERE:
            value = getattr(importlib.import_module(_WHERE[name]), name)
        elif name in _NAMESPACES:
            value = importlib.import_module(_NAMESPACES[name])
        else:
            raise AttributeError(f"module 'scorefield' has no attribute '{name}'")
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType) and name in _WHERE:
            value = getattr(value, name)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted(__all__)


sys.modules[__name__].__class__ = _Package
