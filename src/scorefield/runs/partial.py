"""Draws kept while a long sampling runs, so that an interruption loses only the batch in flight."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.linalg.solve import inner
from scorefield.measurement import Measurement
from scorefield.prior import Prior
from scorefield.randomness import normal_like
from scorefield.runs.cost import Cost, measurements
from scorefield.start import Start
from scorefield.store.tensors import TensorFile, digest

FILE = TensorFile("scorefield.partial", "unfinished draws", "delete it and start anew")
Sources = tuple[Prior, Kernel, Start]


@dataclass
class Partial:
    """A file with the batches that a sampling has finished.

    Each batch of :func:`scorefield.sampling.sample` has its own stream of random numbers, so the batches that are
    missing come out as they would have without the interruption.

    Args:
        path: a ``.safetensors`` file; if it exists, its draws are taken and the others made.

    Attributes:
        draws: finished batches by the number of their first draw.
        cost: what they cost.
        origin: provenance, number of draws and fingerprint of what made them.

    Raises:
        InputError: the file is damaged.
    """

    path: Path
    draws: dict[int, Tensor] = field(init=False, default_factory=dict)
    cost: Cost = field(init=False, default_factory=Cost)
    origin: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.path = Path(self.path)
        if not self.path.exists():
            return
        with FILE.reading(self.path) as (tensors, record):
            self.draws = {int(name): batch for name, batch in tensors.items()}
            self.cost, self.origin = Cost(**record["cost"]), record["origin"]

    def setting(self, name: str, default: Any) -> Any:
        """``name`` ("seed", "batch") as it was when the sampling began."""
        return self.origin.get("provenance", {}).get(name, default)

    def resume(self, sources: Sources, provenance: Mapping[str, Any], n: int) -> dict[int, Tensor]:
        """The finished batches of the sampling of ``n`` draws.

        Args:
            sources: prior, kernel and start of the sampling.
            provenance: what it says of itself.

        Raises:
            InputError: they are of another.
        """
        origin = {"provenance": provenance, "draws": n, "numbers": fingerprint(*sources)}
        origin = json.loads(json.dumps(origin))
        for name, value in self.origin.items():
            if origin.get(name) != value:
                raise InputError(
                    f"{self.path} holds draws of another sampling (its {name} differs); delete it, or repeat the"
                    " command that made it."
                )
        self.origin = origin
        self._begun = time.perf_counter()
        return dict(self.draws)

    def total(self, cost: Cost) -> Cost:
        """``cost`` of this session and of those before it, shared by the same draws."""
        return replace(self.cost + cost, draws=cost.draws)

    def keep(self, draws: Mapping[int, Tensor], cost: Cost) -> None:
        """Write all finished batches, whole or not at all; ``cost`` is this session's so far."""
        spent = self.total(replace(cost, seconds=time.perf_counter() - self._begun))
        tensors = {str(first): batch for first, batch in draws.items()}
        FILE.write(self.path, tensors, {"origin": self.origin, "cost": asdict(spent)})


def fingerprint(prior: Prior, kernel: Kernel, start: Start) -> str:
    """A digest of the numbers behind a sampling: the weights of the prior, the scan, the image it starts from."""
    scans = measurements(prior, kernel)
    tensors = [*prior.state_dict().values(), *(given.y for given in scans)]
    tensors += [part for part in getattr(start, "__dict__", {}).values() if isinstance(part, Tensor)]
    return digest(tensors, *map(seen, scans))


def seen(given: Measurement) -> str:
    """What a scan says of a fixed image: data, operator and noise all show in it.

    To four digits, so that another number of threads, which sums in another order, says the same.
    """
    generator = torch.Generator(given.y.device).manual_seed(0)
    like = given.operator.blank(given.y)
    pull = given.score(normal_like(like.real, generator).abs().to(like.dtype))
    parts = inner(pull, pull).sqrt(), inner(pull, normal_like(pull, generator))
    return ", ".join(f"{float(part):.3e}" for part in parts)
