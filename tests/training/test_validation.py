"""Validation: the PSNR of denoising on the same noisy crops at every check."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from scorefield.lessons import Windows
from scorefield.prior import Denoiser
from scorefield.training.validation import Checks, Validation


class Shrunk(Denoiser):
    """D = (1 - w) x."""

    def __init__(self, w: float):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def denoise(self, x, sigma):
        return (1 - self.w) * x


def blank(n: int = 1) -> list[torch.Tensor]:
    return [torch.zeros(1, 64, 64, dtype=torch.float64)] * n


def windows(side: int) -> Windows:
    return Windows(side)


def test_psnr_of_what_is_left_of_the_noise():
    """On a blank image (1 - w) sigma n is left: 10 log10 of its power, to the error of a mean of 64 x 32^2 squares."""
    validation = Validation(blank(), sigmas=(0.1, 0.5))
    found = validation.psnr(Shrunk(0.25), *validation.pairs(windows(32), seed=0))
    bound = 10 / math.log(10) * 5 * math.sqrt(2 / (64 * 32**2))
    for sigma in (0.1, 0.5):
        assert found[sigma] == pytest.approx(-20 * math.log10(0.75 * sigma), abs=bound)


def test_known_channels_get_no_noise_and_have_no_error():
    """Of three channels one is known; it reaches the denoiser as it is, and counts for nothing."""

    class Told(Shrunk):
        def denoise(self, x, sigma):
            assert bool((x[:, 2:] == 0.5).all())
            return torch.cat([(1 - self.w) * x[:, :2], x[:, 2:]], 1)

    images = [torch.stack([*torch.zeros(2, 64, 64).double(), torch.full((64, 64), 0.5).double()])]
    validation = Validation(images, sigmas=(0.5,))
    (found,) = validation.psnr(Told(0.25), *validation.pairs(windows(32), seed=0), known=1).values()
    bound = 10 / math.log(10) * 5 * math.sqrt(2 / (64 * 2 * 32**2))
    assert found == pytest.approx(-20 * math.log10(0.75 * 0.5), abs=bound)


def test_the_same_noise_at_every_check():
    validation = Validation([torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0))])
    first, second, other = (validation.psnr(Shrunk(0.1), *validation.pairs(windows(16), seed=s)) for s in (3, 3, 4))
    assert first == second != other


def test_patience():
    """Without a gain of 0.01 dB over the best before, for as many checks as patience says."""
    checks = Checks(Validation(blank(), patience=2), windows(16), 0)
    verdicts = []
    for psnr in (20.0, 21.0, 21.005, 20.9, 21.02, 21.025, 21.0):
        checks.history.append({"step": 0, "psnr": psnr})
        verdicts.append(checks.out_of_patience())
    assert verdicts == [False, False, False, True, False, False, True]
    endless = Checks(Validation(blank()), windows(16), 0, list(checks.history))
    assert not endless.out_of_patience()


def test_the_best_weights_so_far():
    checks = Checks(Validation(blank(), sigmas=(0.1,), crops=2), windows(16), 0)
    for step, w in enumerate((0.2, 0.6, 0.4)):  # the more is shrunk, the better
        checks.add(Shrunk(w), step)
    assert checks.best["w"].item() == 0.6
    assert [record["step"] for record in checks.history] == [0, 1, 2]
