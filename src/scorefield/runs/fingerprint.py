"""Fingerprints: texts that differ where two samplings have different weights, data or first images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scorefield.kernel import Kernel
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.randomness import normal_like
from scorefield.runs.twins import measurements, nuisances
from scorefield.start import Start
from scorefield.store.tensors import digest


def fingerprint(prior: Prior, kernel: Kernel[Any], start: Start) -> str:
    """A digest of the numbers behind a sampling: the weights of the prior, the scan, the image of the start."""
    scans = measurements(prior, kernel)
    for nuisance in nuisances(kernel):
        theta = [nuisance.draw(given.y[:1], torch.Generator(given.y.device).manual_seed(0)) for given in scans]
        operators = [nuisance.operator(value) for value in theta]
        scans += [given.replace(operator=a) for given, a in zip(scans, operators, strict=True)]
    tensors = [*prior.state_dict().values(), *(given.y for given in scans)]
    tensors += [part for part in getattr(start, "__dict__", {}).values() if isinstance(part, Tensor)]
    return digest(tensors, *map(fingerprint_of_scan, scans))


def fingerprint_of_scan(given: Measurement) -> str:
    """Two numbers of the score of a scan at a fixed image, which depend on its data, its operator and its noise.

    They have four digits, so that they do not depend on the number of threads, which changes the order of sums.
    """
    generator = torch.Generator(given.y.device).manual_seed(0)
    like = given.operator.blank(given.y)
    pull = given.score(normal_like(like.real, generator).abs().to(like.dtype))
    parts = inner(pull, pull).sqrt(), inner(pull, normal_like(pull, generator))
    return ", ".join(f"{float(part):.3e}" for part in parts)
