"""Every kernel that holds a measurement takes any Gaussian noise, and walks as on the whitened scan."""

from __future__ import annotations

import inspect

import pytest
import torch
from benches import tb_g
from registry import exported

from scorefield import kernels
from scorefield.kernels import Kernel
from scorefield.measurement import Measurement
from scorefield.noise import Colored, Weighted
from scorefield.sampling import walk
from scorefield.schedules import Karras
from support import normal

BENCH = tb_g()
ROOT = normal(4, 4, seed=12)
NOISES = {
    "weighted": Weighted(torch.tensor([0.05, 0.1, 0.2, 0.4]).double()),
    "colored": Colored(ROOT @ ROOT.T / 100 + 0.01 * torch.eye(4)),
}
UNAWARE = {kernels.Project, kernels.RedDiff, kernels.RePaint, kernels.LiteralDPS, kernels.LiteralPaDIS}  # they say so
HOLDING = {cls for cls in exported(kernels, Kernel) if "measurement" in inspect.signature(cls).parameters}
AWARE = sorted(HOLDING - UNAWARE, key=lambda cls: cls.__name__)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("cls", AWARE)
def test_a_walk_is_that_on_the_whitened_scan(cls, noise):
    given = Measurement(BENCH.measurement.y, BENCH.measurement.operator, noise)
    x = 3 * normal(20, 8)
    found, expected, other = (
        list(walk(BENCH.prior, cls(scan), x, Karras(0.2, 3.0).grid(4), torch.Generator().manual_seed(1)))[-1].x
        for scan in (given, given.whitened, BENCH.measurement)
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, other, rtol=1e-3, atol=1e-3)
