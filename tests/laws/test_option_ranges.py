"""The ranges of options, at their ends: the last number inside is taken, the first one outside is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from benches import tb_g

from scorefield.errors import InputError
from scorefield.kernels import (
    DAPS,
    Ancestral,
    Anchored,
    AnnealedHMC,
    ByPath,
    DecayingChain,
    DPMpp2S,
    DPMSolver2,
    LiteralDDRM,
    LiteralDPS,
    LiteralPaDIS,
    LiteralPiGDM,
    MarkovChain,
    PriorNoise,
    Project,
    RedDiff,
    Renoise,
)
from scorefield.posteriors import DDNM, DDRM, DDS, DPS, AnnealedLikelihood, DiffPIR, NormMatched, Projection, ScoreALD

P, M = tb_g().prior, tb_g().measurement
TINY = 1e-9
UNIT = (0.0, 1.0), (-TINY, 1 + TINY, math.nan)  # [0, 1]
SHARE = (TINY, 1.0), (0.0, 1 + TINY, math.nan)  # (0, 1]
POSITIVE = (TINY, 1e9), (0.0, -TINY, math.nan)
NATURAL = (1, 2), (0, -1)
FINITE = (0.0, 1e9), (-TINY, math.inf, math.nan)  # [0, infinity)
RANGES: dict[str, tuple[Callable[[Any], Any], tuple[tuple, tuple]]] = {
    "Ancestral.eta": (lambda v: Ancestral(v), UNIT),
    "PriorNoise.eta": (lambda v: PriorNoise(v), UNIT),
    "Renoise.fraction": (lambda v: Renoise(v), UNIT),
    "DPMSolver2.ratio": (lambda v: DPMSolver2(v), SHARE),
    "DPMpp2S.ratio": (lambda v: DPMpp2S(v), SHARE),
    "LiteralDDRM.eta": (lambda v: LiteralDDRM(M, eta=v), UNIT),
    "LiteralDDRM.etab": (lambda v: LiteralDDRM(M, etab=v), UNIT),
    "LiteralDPS.zeta": (lambda v: LiteralDPS(M, zeta=v), POSITIVE),
    "LiteralPaDIS.zeta": (lambda v: LiteralPaDIS(M, zeta=v), POSITIVE),
    "LiteralPaDIS.epsilon": (lambda v: LiteralPaDIS(M, epsilon=v), POSITIVE),
    "LiteralPaDIS.amplitude": (lambda v: LiteralPaDIS(M, amplitude=v), POSITIVE),
    "LiteralPaDIS.gain": (lambda v: LiteralPaDIS(M, gain=v), POSITIVE),
    "LiteralDPS.eta": (lambda v: LiteralDPS(M, eta=v), UNIT),
    "LiteralDPS.amplitude": (lambda v: LiteralDPS(M, amplitude=v), POSITIVE),
    "LiteralDPS.gain": (lambda v: LiteralDPS(M, gain=v), POSITIVE),
    "LiteralPiGDM.eta": (lambda v: LiteralPiGDM(M, eta=v), UNIT),
    "LiteralPiGDM.amplitude": (lambda v: LiteralPiGDM(M, amplitude=v), POSITIVE),
    "RedDiff.weight": (lambda v: RedDiff(M, weight=v), ((0.0, 1e9), (-TINY, math.nan))),
    "RedDiff.rate": (lambda v: RedDiff(M, rate=v), POSITIVE),
    "RedDiff.amplitude": (lambda v: RedDiff(M, amplitude=v), POSITIVE),
    "RedDiff.gain": (lambda v: RedDiff(M, gain=v), POSITIVE),
    "RedDiff.betas": (lambda v: RedDiff(M, betas=(v, 0.5)), ((0.0, 1 - TINY), (-TINY, 1.0))),
    "RedDiff.betas second": (lambda v: RedDiff(M, betas=(0.5, v)), ((0.0, 1 - TINY), (-TINY, 1.0))),
    "DAPS.amplitude": (lambda v: DAPS(M, amplitude=v), POSITIVE),
    "DecayingChain.rate": (lambda v: DecayingChain(v), POSITIVE),
    "DecayingChain.last": (lambda v: DecayingChain(last=v), SHARE),
    "DecayingChain.steps": (lambda v: DecayingChain(steps=v), NATURAL),
    "MarkovChain.steps": (lambda v: MarkovChain(steps=v), NATURAL),
    "Project.weight": (lambda v: Project(M, weight=v), SHARE),
    "Project.noise": (lambda v: Project(M, noise=v), ((0.0, 2.0), (-TINY, math.nan))),
    "Project.iterations": (lambda v: Project(M, iterations=v), NATURAL),
    "ByPath.intervals": (lambda v: ByPath(v), ((2, 6), (0, 1, 3, -2))),
    "AnnealedHMC.accepted": (lambda v: AnnealedHMC(accepted=v, proposals=4), ((1, 4), (0, 5))),
    "AnnealedHMC.published": (lambda v: AnnealedHMC.published(v), POSITIVE),
    "Anchored.size": (lambda v: Anchored(v, at=1.0), POSITIVE),
    "Anchored.at": (lambda v: Anchored(1.0, at=v), POSITIVE),
    "DDRM.eta": (lambda v: DDRM(P, M, eta=v), UNIT),
    "DDRM.etab": (lambda v: DDRM(P, M, etab=v), UNIT),
    "DDNM.iterations": (lambda v: DDNM(P, M, iterations=v), NATURAL),
    "DDS.gamma": (lambda v: DDS(P, M, gamma=v), ((TINY, math.inf), (0.0, -TINY, math.nan))),
    "DDS.iterations": (lambda v: DDS(P, M, iterations=v), NATURAL),
    "DPS.weight": (lambda v: DPS(P, M, weight=v), POSITIVE),
    "DiffPIR.weight": (lambda v: DiffPIR(P, M, weight=v), POSITIVE),
    "NormMatched.weight": (lambda v: NormMatched(P, M, weight=v), POSITIVE),
    "AnnealedLikelihood.inflation": (lambda v: AnnealedLikelihood(P, M, inflation=v), FINITE),
    "ScoreALD.inflation": (lambda v: ScoreALD(P, M, inflation=v), FINITE),
    "Projection.weight": (lambda v: Projection(P, M, weight=v), SHARE),
    "Projection.iterations": (lambda v: Projection(P, M, iterations=v), NATURAL),
}


@pytest.mark.parametrize(("make", "ends"), RANGES.values(), ids=RANGES)
def test_the_ends_of_a_range_are_where_they_are_said_to_be(make, ends):
    inside, outside = ends
    for number in inside:
        make(number)
    for number in outside:
        with pytest.raises(InputError):
            make(number)
