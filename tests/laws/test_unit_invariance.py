"""The law of units: no kernel and no posterior knows in which unit an image, or its data, are measured.

With images and levels times u and the operator over u, the data are the same, and the draws are u times the draws.
With data, noise and operator times c, the draws are the same.  Where u and c are powers of two no number is rounded
differently, so the draws agree to the bit.  Other units change the rounding only.  A coin that is compared with a
probability (acceptance, resampling) then falls on the other side with a probability of the size of rounding, so the
draws of those kernels agree too.
"""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import Tensor
from unit_cases import Native, Problem, apart, draws, kernel_cases, learned_scan, posterior_cases, projected_scan

from scorefield.kernels import Particles
from scorefield.measurement import Measurement
from scorefield.reconstruction.method import Method, default_method
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.schedules import Geometric, Karras, LogNormal, Schedule
from scorefield.start import Uniform, WarmStart
from support import normal

CASES = kernel_cases() | posterior_cases()
DOUBLE, SINGLE = torch.float64, torch.float32
POWERS = {DOUBLE: 2.0**-9, SINGLE: 2.0**40}
every = pytest.mark.parametrize("name", CASES)


@functools.cache
def plain(name: str, dtype: torch.dtype) -> Tensor:
    """The draws in the first unit."""
    found = draws(CASES[name], Problem(dtype=dtype))
    assert bool(found.isfinite().all())
    return found


@every
@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=str)
def test_an_image_unit_that_is_a_power_of_two_changes_no_bit(name, dtype):
    found = draws(CASES[name], Problem(image=POWERS[dtype], dtype=dtype))
    assert torch.equal(found, plain(name, dtype))


@every
def test_any_other_image_unit_changes_rounding_only(name):
    for problem in (Problem(image=0.0193), Native(image=1e3)):
        assert apart(draws(CASES[name], problem), plain(name, DOUBLE)) < 1e-5


@every
def test_a_data_unit_changes_rounding_only_and_no_bit_if_it_is_a_power_of_two(name):
    assert torch.equal(draws(CASES[name], Problem(data=2.0**7)), plain(name, DOUBLE))
    assert apart(draws(CASES[name], Problem(data=37.0)), plain(name, DOUBLE)) < 1e-5


# --- the rest of a walk: where it starts, its levels, and the method that nobody chose


@pytest.mark.parametrize(
    "start",
    [lambda u: WarmStart(u * normal(4)), lambda u: Uniform(-u, 2 * u)],
    ids=["WarmStart", "Uniform"],
)
def test_a_start_has_the_unit_of_its_images(start):
    def found(u: float) -> Tensor:
        return draws(CASES["Ancestral"], Problem(image=u), start=start(u))

    assert torch.equal(found(2.0**-9), found(1.0))
    assert apart(found(0.0193), found(1.0)) < 1e-5


@pytest.mark.parametrize(
    "schedule",
    [lambda u: Karras(0.02 * u, 7.0 * u), lambda u: Geometric(0.02 * u, 7.0 * u)],
    ids=["Karras", "Geometric"],
)
def test_levels_have_the_unit_of_their_bounds(schedule):
    one: Schedule = schedule(1.0)
    torch.testing.assert_close(schedule(1e3).grid(9), 1e3 * one.grid(9), rtol=1e-12, atol=0)
    assert torch.equal(schedule(2.0**-9).grid(9), 2.0**-9 * one.grid(9))


def test_levels_of_a_lognormal_have_the_unit_of_its_median():
    found = LogNormal(mean=-1.2 + math.log(1e3)).grid(9)
    torch.testing.assert_close(found, 1e3 * LogNormal(mean=-1.2).grid(9), rtol=1e-12, atol=0)


@pytest.mark.parametrize("units", [{"image": 2.0**-9}, {"image": 2.0**10}, {"data": 2.0**7}], ids=str)
def test_the_method_that_is_chosen_for_few_data_has_no_unit(units):
    methods = []
    for problem in (Problem(), Problem(**units)):
        image = torch.full((1, 4), problem.image, dtype=DOUBLE)
        methods.append(default_method(problem.prior, problem.measurement, image, 8, problem.image))
    assert isinstance(methods[0].kernel, Particles)
    for number in ("steps", "sigma_max", "sigma_min", "batch"):
        assert getattr(methods[0], number) == getattr(methods[1], number)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=str)
@pytest.mark.parametrize("unit", [-40, -9, 10, 40])
@pytest.mark.parametrize("form", ["image", "data"])
@pytest.mark.parametrize("scan", [learned_scan, projected_scan])
def test_a_reconstruction_is_the_same_in_units_of_any_size(scan, form, unit, dtype):
    """Up to 2^40 = 1e12, where squares of squares leave the range of single precision."""
    first, other = scan(Problem(dtype=dtype)), scan(Problem(**{form: 2.0**unit}, dtype=dtype))
    one, two = (reconstruct(*each, n=2, method=Method(steps=4), seed=0).draws for each in (first, other))
    assert bool(one.isfinite().all())
    assert torch.equal(two, one * (2.0**unit if form == "image" else 1))


def test_data_that_say_nothing_of_the_intensity_leave_the_unit_to_the_prior():
    def found(u: float) -> Tensor:
        prior, measurement = projected_scan(Problem(image=u))
        silent = Measurement(0 * measurement.y, measurement.operator, measurement.noise)
        return reconstruct(prior, silent, n=2, method=Method(steps=4), seed=0).draws

    assert torch.equal(found(2.0**-9), 2.0**-9 * found(1.0))
