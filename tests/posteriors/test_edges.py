"""No noise, a denoiser that fails, another device: what happens at the edges."""

from __future__ import annotations

import pytest
import torch
from benches import tb_g

from scorefield import posteriors
from scorefield.errors import InputError
from scorefield.kernels import DPMpp2M
from scorefield.posteriors import DPS, MMPS, TMPD, PiGDM
from scorefield.prior import Denoiser
from scorefield.sampling import sample
from scorefield.schedules import Karras
from support import normal

BENCH = tb_g()


@pytest.mark.parametrize("cls", [DPS, MMPS, PiGDM, TMPD])
def test_without_noise_the_image_stays_itself(cls):
    x = normal(3, 8)
    torch.testing.assert_close(cls(BENCH.prior, BENCH.measurement).denoise(x, 0.0), x)


class Broken(Denoiser):
    """Returns no numbers."""

    def denoise(self, x, sigma):
        return x * torch.nan


def test_a_denoiser_that_fails_is_told_of():
    """And not the singular values that it has none of."""
    like = torch.empty(0, dtype=torch.float64)
    with pytest.raises(InputError, match="diverged"):
        sample(MMPS(Broken(), BENCH.measurement), DPMpp2M(), Karras(0.1, 2.0).grid(3), n=2, seed=0, like=like)


@pytest.mark.parametrize("name", ["MMPS", "PiGDM", "DPS", "DDNM", "DiffPIR"])
def test_a_posterior_takes_its_measurement_along(name):
    """To the meta device, which holds no numbers and refuses to mix with others."""
    bench = tb_g()  # modules move in place
    posterior = getattr(posteriors, name)(bench.prior, bench.measurement).to("meta")
    assert posterior.measurement.y.device.type == "meta"
    assert bench.measurement.y.device.type == "cpu"
