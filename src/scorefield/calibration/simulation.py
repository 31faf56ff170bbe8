"""Simulation-based calibration: do the intervals of a prior, a method and a scan geometry mean what they say?

Draw a truth, simulate its scan, reconstruct, and see where the truth falls among the draws; many times.  Each scan is
kept in a file of its own as soon as it is done, with random numbers that its number decides, so an interrupted
calibration continues where it stopped and a longer one starts with the shorter one's scans.

References:
    Talts, Betancourt, Simpson, Vehtari, Gelman, arXiv 1804.06788; Lemos et al., ICML 2023, arXiv 2302.03026.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorefield.calibration.quantities import Observed, Quantities, observe
from scorefield.calibration.ranks import Uniformity, ecdf_test
from scorefield.calibration.tarp import tarp_ranks
from scorefield.calibration.truths import FromDensity, Truth, Truths, pixels_of
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import crps
from scorefield.prior import Prior
from scorefield.randomness import normal_like, stream
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.runs.partial import fingerprint, seen
from scorefield.runs.progress import Silent
from scorefield.runs.provenance import named, nameof
from scorefield.samples import Samples
from scorefield.start import begin
from scorefield.store.atomic import atomic_path
from scorefield.trust import residual_check

Simulate = Callable[[Truth, int], Measurement]


@dataclass(frozen=True)
class Outcome:
    """What one simulated scan told.

    Attributes:
        observed: the quantities of truth and draws.
        numbers: ``crps`` (mean over pixels), ``residual_z`` (of the draws' misfit), ``evaluations`` and
            ``vector_jacobian_products`` a draw, ``seconds``.
    """

    observed: Observed
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Calibration:
    """All simulated scans of one prior, method and geometry.

    Args:
        outcomes: one for each scan.
        origin: how they came about.
    """

    outcomes: tuple[Outcome, ...]
    origin: Mapping[str, Any]

    @property
    def n_scans(self) -> int:
        return len(self.outcomes)

    @property
    def draws(self) -> int:
        """Posterior draws of each scan."""
        return len(self.outcomes[0].observed.pixels) - 1

    @property
    def pixels(self) -> Quantities:
        """Pixels of the foreground, some of each scan."""
        return _quantities([outcome.observed.pixels for outcome in self.outcomes])

    @property
    def regions(self) -> Quantities:
        """Means of blocks of the foreground, some of each scan."""
        return _quantities([outcome.observed.regions for outcome in self.outcomes])

    @property
    def tarp(self) -> Uniformity:
        """Test of all block means jointly, by their distances to a random point of each scan."""
        return ecdf_test(self.tarp_ranks, self.draws)

    @property
    def tarp_ranks(self) -> Tensor:
        """Ranks behind it: (scans,).

        The points are the mean of truth and draws plus noise as wide as their spread, which treats them alike.
        """
        blocks = torch.stack([outcome.observed.blocks for outcome in self.outcomes])
        noise = normal_like(blocks[:, 0], torch.Generator().manual_seed(0))
        return tarp_ranks(blocks[:, 1:], blocks[:, 0], blocks.mean(1) + blocks.std(1) * noise)

    def numbers(self, name: str) -> Tensor:
        """A number of each scan by its name, see :class:`Outcome`: (scans,)."""
        return torch.tensor([outcome.numbers[name] for outcome in self.outcomes], dtype=torch.float64)


def calibrate(
    prior: Prior,
    simulate: Simulate,
    *,
    truths: Truths | None = None,
    n_scans: int = 100,
    draws: int = 19,
    method: Method | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: Silent | None = None,
) -> Calibration:
    """Simulate scans of known truths, reconstruct them, and collect where the truths fall.

    Args:
        prior: what reconstructs.
        simulate: measures a truth with a seed, such as :class:`~scorefield.calibration.Scanner`.
        truths: where truths come from; draws of the prior itself when it is a closed form.
        n_scans: independent scans; errors fall with their root.
        draws: posterior draws of each; with 19 the 50, 80 and 90 % intervals end at draws, and cover exactly when the
            sampler is exact.
        method: how to reconstruct; see :func:`scorefield.reconstruct`, whose default is taken.
        seed: fixes truths, noise and draws.
        folder: keeps one file a scan; those that are there already are taken and not made again.

    Raises:
        InputError: fewer than two scans or draws, no truths, or a folder with the scans of another calibration.
    """
    if n_scans < 2 or draws < 2:
        raise InputError(f"A calibration needs n_scans >= 2 and draws >= 2, got {n_scans} and {draws}.")
    truths = FromDensity(prior) if truths is None else truths  # pyright: ignore[reportArgumentType]  # it checks

    def scan(number: int) -> tuple[Truth, Measurement]:
        truth = truths.draw(number, seed)
        return truth, simulate(truth, stream(seed, "scan", number))

    origin = _origin(prior, simulate, scan(0)[1], truths, method) | {"draws": draws, "seed": seed}

    def outcome(number: int) -> Outcome:
        truth, given = scan(number)
        samples = reconstruct(prior, given, n=draws, method=method, seed=stream(seed, "draws", number))
        return _outcome(samples, pixels_of(truth), given, stream(seed, "choice", number))

    outcomes = []
    for number in (progress or Silent()).track(range(n_scans), total=n_scans, label="calibrating"):
        path = None if folder is None else Path(folder) / f"scan-{number:05d}.safetensors"
        if path is None or not path.exists():
            outcomes.append(outcome(number))
            if path is not None:
                _save(outcomes[-1], origin, path)
        else:
            outcomes.append(_load(path, origin))
    return Calibration(tuple(outcomes), origin)


def _outcome(samples: Samples, truth: Tensor, given: Measurement, seed: int) -> Outcome:
    cost = samples.cost
    numbers = {
        "crps": crps(samples, truth),
        "residual_z": residual_check(samples, given).z,
        "evaluations": cost.evaluations,
        "vector_jacobian_products": cost.backward / cost.draws,
        "seconds": cost.seconds,
    }
    return Outcome(observe(truth, samples.draws, torch.Generator().manual_seed(seed)), numbers)


def _quantities(stacks: list[Tensor]) -> Quantities:
    values = torch.stack(stacks)
    return Quantities(values[:, 1:], values[:, 0])


def _origin(
    prior: Prior, simulate: Simulate, first: Measurement, truths: Truths, method: Method | None
) -> dict[str, Any]:
    """Prior, truths, scanner (with its first scan) and method as plain data that is the same in another process."""
    return {
        "prior": {"fields": named(prior), "numbers": fingerprint(prior, (method or Method()).kernel, begin)},
        "truths": repr(truths),
        "scans": {"by": repr(simulate) if is_dataclass(simulate) else nameof(simulate), "first": seen(first)},
        "method": method
        and {
            "posterior": nameof(method.posterior),
            "kernel": repr(method.kernel),
            "levels": [method.steps, method.sigma_max, method.sigma_min],
        },
    }


def _save(outcome: Outcome, origin: Mapping[str, Any], path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {name: values.contiguous() for name, values in asdict(outcome.observed).items()}
    plain = {"origin": origin, "numbers": dict(outcome.numbers)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"scorefield.calibration": json.dumps(plain)})


def _load(path: Path, origin: Mapping[str, Any]) -> Outcome:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            plain = json.loads((file.metadata() or {})["scorefield.calibration"])
            observed = Observed(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        numbers, found = plain["numbers"], plain["origin"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a simulated scan ({error}); delete it to simulate anew.") from error
    for name, value in json.loads(json.dumps(origin)).items():
        if found.get(name) != value:
            raise InputError(
                f"{path} belongs to another calibration (its {name} differs); give another folder, or delete this one."
            )
    return Outcome(observed, numbers)
