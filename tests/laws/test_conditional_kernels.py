"""Laws of the kernels that hold the measurement, at their defaults, under the unconditional prior."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass

import pytest
import torch
from benches import tb_g
from registry import exported
from torch import Tensor

from scorefield import kernels
from scorefield.kernels import (
    Kernel,
    LiteralDDRM,
    LiteralDPS,
    LiteralPaDIS,
    LiteralPiGDM,
    MCGDiff,
    Particles,
    RedDiff,
    ResampledGibbs,
)
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.sampling import sample, walk
from scorefield.schedules import Karras
from support import normal

BENCH = tb_g()
LITERAL = {LiteralDDRM, LiteralDPS, LiteralPaDIS, LiteralPiGDM}  # published loops, compared with their code elsewhere
HOLDING = [cls for cls in exported(kernels, Kernel) - LITERAL if "measurement" in inspect.signature(cls).parameters]
KERNELS = sorted(HOLDING, key=lambda cls: cls.__name__)
POPULATIONS = [MCGDiff, Particles, ResampledGibbs]
every = pytest.mark.parametrize("cls", KERNELS, ids=lambda cls: cls.__name__)
LEVELS = torch.tensor([1.0, 0.5], dtype=torch.float64)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every
def test_the_measurement_comes_first_and_stays_out_of_the_name(cls):
    assert cls.__name__ in kernels.__all__
    assert is_dataclass(cls)
    assert issubclass(cls, Kernel)
    assert next(iter(inspect.signature(cls).parameters)) == "measurement"
    assert "measurement" not in str(cls(BENCH.measurement))
    assert all(getattr(cls(BENCH.measurement), f.name) == f.default for f in fields(cls)[1:])


@every
def test_same_seed_same_bits(cls):
    def draws(seed: int) -> Tensor:
        return sample(BENCH.prior, cls(BENCH.measurement), Karras(0.1, 5.0).grid(3), n=3, seed=seed).draws

    assert torch.equal(draws(1), draws(1))
    assert not torch.equal(draws(1), draws(2))


@every
def test_a_step_uses_the_generator_it_is_given_and_no_other(cls):
    kernel, x = cls(BENCH.measurement), normal(3, 8)
    before = torch.get_rng_state()
    results = [kernel.step(BENCH.prior, kernel.start(x), *LEVELS, g(seed)).x for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@every
def test_a_step_leaves_its_input_and_treats_each_image_alone(cls):
    kernel, x = cls(BENCH.measurement), normal(3, 8)
    state = kernel.start(x.clone())
    moved = kernel.step(BENCH.prior, state, *LEVELS, g()).x
    assert torch.equal(state.x, x)
    if cls in POPULATIONS:
        return  # its images are resampled among themselves
    shifted = kernel.step(BENCH.prior, kernel.start(x + torch.tensor([[0.0], [1], [0]])), *LEVELS, g()).x
    torch.testing.assert_close(moved[::2], shifted[::2], rtol=1e-9, atol=1e-9)
    # the variational method starts at the data, wherever it is told to
    assert torch.allclose(moved[1], shifted[1]) == (cls is RedDiff)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_images_keep_their_dtype_to_the_end(cls, dtype):
    prior = DiagonalGaussian(torch.zeros(1, 2, 2, dtype=dtype), torch.tensor(0.5))
    measurement = Measurement(torch.ones(1, 2, 2, dtype=dtype), Identity((1, 2, 2)), White(0.3))
    x = torch.ones(2, 1, 2, 2, dtype=dtype)
    for state in walk(prior, cls(measurement), x, Karras(0.1, 2.0).grid(3), g()):
        assert state.x.dtype == dtype
        assert bool(state.x.isfinite().all())
