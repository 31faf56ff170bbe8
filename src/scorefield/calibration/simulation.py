r"""Simulation-based calibration: a test of the intervals of a prior, a method and a scan geometry.

Draw a truth :math:`x \sim p(x)`, simulate its scan :math:`y \sim p(y \mid x)`, draw :math:`x_1, \dots, x_n` from the
posterior, and rank the truth among the draws; repeat for many scans.  If the draws follow :math:`p(x \mid y)`, truth
and draws are exchangeable, so every rank is equally likely.

Each finished scan is written to a file of its own.  Its random numbers depend on its number only, so an interrupted
calibration continues where it stopped, and a longer calibration begins with the scans of the shorter one.

References:
    Talts, Betancourt, Simpson, Vehtari, Gelman, arXiv 1804.06788; Lemos et al., ICML 2023, arXiv 2302.03026.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorefield.calibration.experiment import Experiment, Simulate
from scorefield.calibration.quantities import Observation, Quantities, observe
from scorefield.calibration.ranks import Uniformity, ecdf_test
from scorefield.calibration.tarp import tarp_ranks
from scorefield.calibration.truths import pixels_of
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.metrics import crps
from scorefield.prior import Prior
from scorefield.randomness import normal_like, stream
from scorefield.reconstruction.method import Method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.runs.fingerprint import fingerprint, fingerprint_of_scan
from scorefield.runs.progress import Silent
from scorefield.runs.provenance import name_of, outline
from scorefield.samples import All, Samples
from scorefield.start import begin
from scorefield.store.tensors import TensorFile
from scorefield.trust import residual_check

FILE = TensorFile("scorefield.calibration", "a simulated scan", "delete it to simulate anew")


@dataclass(frozen=True)
class SimulatedScan:
    """The result of one simulated scan.

    Attributes:
        observation: the quantities of the truth and of the draws.
        numbers: ``crps`` (mean over pixels), ``residual_z`` (of the draws' misfit), ``evaluations`` and
            ``vector_jacobian_products`` a draw, ``seconds``.
    """

    observation: Observation
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Calibration:
    """The results of all simulated scans of one prior, method and geometry.

    Args:
        scans: the result of each scan.
        origin: prior, experiment, method and seed as plain data.
    """

    scans: tuple[SimulatedScan, ...]
    origin: Mapping[str, Any]

    @property
    def n_scans(self) -> int:
        """Number of simulated scans."""
        return len(self.scans)

    @property
    def draws(self) -> int:
        """Number of posterior draws of each scan."""
        return len(self.scans[0].observation.pixels) - 1

    @property
    def n_truths(self) -> int:
        """Number of different true images among the scans; scans of the same image are not independent."""
        return min(self.n_scans, self.origin.get("different_truths") or self.n_scans)

    @property
    def pixels(self) -> Quantities:
        """Values of pixels of the foreground, a random choice in each scan."""
        return _quantities([scan.observation.pixels for scan in self.scans])

    @property
    def regions(self) -> Quantities:
        """Means of blocks of the foreground, a random choice in each scan."""
        return _quantities([scan.observation.regions for scan in self.scans])

    @property
    def tarp(self) -> Uniformity:
        """Test of all block means jointly, by their distances to a random point of each scan."""
        return ecdf_test(self.tarp_ranks, self.draws)

    @property
    def tarp_ranks(self) -> Tensor:
        """The ranks on which :attr:`tarp` is based: (scans,).

        The random points are the mean of truth and draws plus noise as wide as their spread.  This choice treats truth
        and draws alike.
        """
        blocks = torch.stack([scan.observation.blocks for scan in self.scans])
        noise = normal_like(blocks[:, 0], torch.Generator().manual_seed(0))
        return tarp_ranks(blocks[:, 1:], blocks[:, 0], blocks.mean(1) + blocks.std(1) * noise)

    def numbers(self, name: str) -> Tensor:
        """One number of each scan, by a name of :attr:`SimulatedScan.numbers`: (scans,).

        Raises:
            KeyError: there is no such number.
        """
        return torch.tensor([scan.numbers[name] for scan in self.scans], dtype=torch.float64)


def calibrate(
    prior: Prior,
    experiment: Experiment | Simulate,
    *,
    n_scans: int = 100,
    draws: int = 19,
    method: Method | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: Silent | None = None,
) -> Calibration:
    """Simulate scans of known truths, reconstruct them, and rank the truths among the draws.

    Args:
        prior: the prior of the reconstructions.
        experiment: the true images and how they are measured.  A function ``simulate(truth, seed)`` alone, such as a
            :class:`~scorefield.calibration.Scanner`, measures exact draws of a closed-form prior.
        n_scans: number of independent scans; errors fall with its square root.
        draws: number of posterior draws of each scan.  With 19 the intervals of 50, 80 and 90 % end at draws, and
            those of an exact sampler cover exactly.
        method: see :func:`scorefield.reconstruct`, whose default is taken.  Its batch only says how many draws are
            walked together: each has a stream of random numbers of its own.
        seed: fixes truths, noise and draws.
        folder: where one file a scan is written; scans that are there already are read and not simulated again.
        progress: reports each finished scan; silent by default.

    Returns:
        The results of all scans.

    Raises:
        InputError: fewer than two scans or draws, a prior that cannot be sampled exactly where no truths are given, or
            a folder with the scans of another calibration.
    """
    if n_scans < 2 or draws < 2:
        raise InputError(f"A calibration needs n_scans >= 2 and draws >= 2, got {n_scans} and {draws}.")
    experiment = Experiment.of(experiment, prior)
    origin = _origin(prior, experiment, experiment.scan(0, seed)[1], method) | {"draws": draws, "seed": seed}

    keep = All(batch=method.batch) if method else All()
    method = method and replace(method, batch=None)  # with one its draws would share a stream

    def simulate(number: int) -> SimulatedScan:
        truth, given = experiment.scan(number, seed)
        samples = reconstruct(prior, given, n=draws, method=method, seed=stream(seed, "draws", number), keep=keep)
        return _compare(samples, pixels_of(truth), given, stream(seed, "choice", number))

    scans = []
    for number in (progress or Silent()).track(range(n_scans), total=n_scans, label="calibrating"):
        path = None if folder is None else Path(folder) / f"scan-{number:05d}.safetensors"
        if path is not None and path.exists():
            scans.append(_load(path, origin))
            continue
        scans.append(simulate(number))
        if path is not None:
            _save(scans[-1], origin, path)
    return Calibration(tuple(scans), origin)


def _compare(samples: Samples, truth: Tensor, given: Measurement, seed: int) -> SimulatedScan:
    """The quantities and numbers of one reconstruction and its truth (C, *spatial)."""
    cost = samples.cost
    numbers = {
        "crps": crps(samples, truth),
        "residual_z": residual_check(samples, given).z,
        "evaluations": cost.evaluations,
        "vector_jacobian_products": cost.backward / cost.draws,
        "seconds": cost.seconds,
    }
    return SimulatedScan(observe(truth, samples.draws, torch.Generator().manual_seed(seed)), numbers)


def _quantities(stacks: list[Tensor]) -> Quantities:
    """One kind of quantity of all scans; each of ``stacks`` (n + 1, Q) has the truth first."""
    values = torch.stack(stacks)
    return Quantities(values[:, 1:], values[:, 0])


def _origin(prior: Prior, experiment: Experiment, first: Measurement, method: Method | None) -> dict[str, Any]:
    """Prior, truths, scanner (with its first scan) and method as plain data that is the same in another process."""
    simulate = experiment.simulate
    return {
        "prior": {"fields": outline(prior), "numbers": fingerprint(prior, (method or Method()).kernel, begin)},
        "truths": repr(experiment.truths),
        "different_truths": experiment.truths.different,
        "scans": {
            "by": repr(simulate) if is_dataclass(simulate) else name_of(simulate),
            "first": fingerprint_of_scan(first),
        },
        "method": method
        and {
            "posterior": name_of(method.posterior),
            "kernel": repr(method.kernel),
            "levels": [method.steps, method.sigma_max, method.sigma_min],
        },
    }


def _save(scan: SimulatedScan, origin: Mapping[str, Any], path: Path) -> None:
    FILE.write(path, asdict(scan.observation), {"origin": origin, "numbers": dict(scan.numbers)})


def _load(path: Path, origin: Mapping[str, Any]) -> SimulatedScan:
    with FILE.reading(path) as (tensors, record):
        observation, numbers, its_origin = Observation(**tensors), record["numbers"], record["origin"]
    for name, value in json.loads(json.dumps(origin)).items():
        if its_origin.get(name) != value:
            raise InputError(
                f"{path} belongs to another calibration (its {name} differs); give another folder, or delete this one."
            )
    return SimulatedScan(observation, numbers)
