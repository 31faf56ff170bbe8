"""Whether a change of the code changes draws: digests of what seeds give, to be recorded before and compared after.

    python benchmarks/same_draws.py --record before.json     # on the commit before
    python benchmarks/same_draws.py --against before.json    # on the commit after, on the same machine

Two scans of the demo by the default method, and on the exact benches each posterior under one kernel, and each kernel
under one posterior.  Bits depend on the processor and on torch, so no digest is kept in the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import scorefield as sf
from scorefield import kernels, posteriors
from scorefield.calibration import benches
from scorefield.data import ct_slice, mr_slice
from scorefield.scans.protocols import Protocol

Run = Callable[[], Tensor]


def digest(draws: Tensor) -> str:
    """SHA-256 of the numbers of ``draws``."""
    parts = torch.view_as_real(draws.resolve_conj()) if draws.is_complex() else draws
    return hashlib.sha256(parts.contiguous().numpy().tobytes()).hexdigest()[:16]


def scans() -> Iterator[tuple[str, Run]]:
    """The scans of the demo, two draws each."""
    yield "demo/ct", partial(scanned, ct_slice, sf.ParallelCT(views=20, photons=1e4), "body")
    yield "demo/mri", partial(scanned, mr_slice, sf.CartesianMRI(), "brain")


def scanned(image: Callable[[], sf.Image], protocol: Protocol, prior: str) -> Tensor:
    """Two draws of a simulated scan under a shipped prior."""
    scan = sf.simulate(image(), protocol, seed=0)
    return sf.reconstruct(sf.load(sf.shipped.find(prior)), scan.measurement(), n=2, seed=0).draws


LEVELS = ("Ancestral", "FixedLarge", "ReverseDiffusion", "DPMpp2M", "DPMpp2S", "DPMSolver2", "Heun", "Churn",
          "PriorNoise", "Renoise")  # fmt: skip
STAYING = ("Ascent", "Langevin", "Corrector", "AnnealedHMC")
METROPOLIS = ("MALA", "HMC")
MEASURED = ("DAPS", "LiteralDDRM", "LiteralDPS", "LiteralPiGDM", "MCGDiff", "Particles", "RePaint", "RedDiff",
            "ResampledGibbs", "SplitGibbs")  # fmt: skip


def walks() -> Iterator[tuple[str, Run]]:
    """Posteriors and kernels on the exact benches."""
    made = {
        "gaussian": benches.tb_g(), "mixture": benches.tb_m(), "mri": benches.field_mri(16),
        "ct": benches.field_ct(16), "lattice": benches.lattice(2),
    }  # fmt: skip
    for name, bench in made.items():
        prior, measurement = bench.prior, bench.measurement
        laws = {each: getattr(posteriors, each) for each in posteriors.__all__ if each not in ("Posterior", "join")}
        sigmas = bench.schedule.grid(6)
        for each, law in laws.items():
            yield f"{name}/{each}", partial(walk, partial(law, prior, measurement), kernels.Heun, sigmas)
        exact = partial(posteriors.MMPS, prior, measurement)
        for each in LEVELS:
            yield f"{name}/{each}", partial(walk, exact, getattr(kernels, each), sigmas)
        for each in STAYING:
            yield f"{name}/{each}", partial(walk, exact, getattr(kernels, each), sigmas[:-1])
        for each in METROPOLIS:
            yield f"{name}/{each}", partial(walk, lambda p=prior: p, getattr(kernels, each), sigmas[:-1])
        for each in MEASURED:
            yield (
                f"{name}/{each}",
                partial(walk, lambda p=prior: p, partial(getattr(kernels, each), measurement), sigmas),
            )
        yield f"{name}/default", partial(default, prior, measurement)


def walk(law: Callable[[], sf.Prior], kernel: Callable[[], sf.Kernel], sigmas: Tensor) -> Tensor:
    """Three draws down a grid."""
    return sf.sample(law(), kernel(), sigmas, n=3, seed=1, like=torch.zeros(1, dtype=torch.float64)).draws


def default(prior: sf.Prior, measurement: sf.Measurement) -> Tensor:
    """Three draws by the default method."""
    return sf.reconstruct(prior, measurement, n=3, seed=1).draws


def outcome(run: Run) -> str:
    """The digest of a run, or the sentence with which it refuses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return digest(run())
    except (sf.InputError, ArithmeticError) as error:
        return f"{type(error).__name__}"


def main() -> int:
    """Record or compare; the exit status is 1 if a draw differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, help="write the digests here")
    parser.add_argument("--against", type=Path, help="compare with these")
    parser.add_argument("--only", default="", help="runs whose names begin so")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: outcome(run) for name, run in (*scans(), *walks()) if name.startswith(options.only)}
    if options.record:
        options.record.write_text(json.dumps(found, indent=1) + "\n")
    before = json.loads(options.against.read_text()) if options.against else {}
    changed = [name for name in found if before and before.get(name) != found[name]]
    for name in changed:
        print(f"{name}: {before.get(name)} -> {found[name]}")
    print(f"{len(found)} runs, {len(changed)} changed" if before else f"{len(found)} runs recorded")
    return bool(changed)


if __name__ == "__main__":
    sys.exit(main())
