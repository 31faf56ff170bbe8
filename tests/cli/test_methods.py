"""Methods by name: every posterior and kernel, options that the constructors check, and a table that cannot rot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scorefield import kernels, posteriors
from scorefield.cli.methods import classes, method_of, table
from scorefield.errors import InputError
from scorefield.kernel import Kernel
from scorefield.kernels import DAPS, Ancestral, Hold, Langevin, PerturbAndMap, Repeat
from scorefield.measurement import Measurement
from scorefield.noise import PoissonTransmission, White
from scorefield.operators import Identity
from scorefield.posteriors import DPS, MMPS, PiGDM, Posterior
from scorefield.priors import DiagonalGaussian

DOCS = Path(__file__).parents[2] / "docs" / "command_line.md"
PRIOR = DiagonalGaussian(torch.zeros(1, 4, 4), torch.ones(1))
GIVEN = Measurement(torch.ones(1, 4, 4), Identity((1, 4, 4)), White(0.1))


def test_the_page_has_the_table_of_the_code():
    """docs/conf.py puts it there; it names everything that can be made, with its options."""
    assert "<!-- the table of methods -->" in DOCS.read_text()
    rows = {line.split("`")[1]: line for line in table().splitlines()[2:]}
    assert set(rows) == set(classes(posteriors, Posterior)) | set(classes(kernels, Kernel))
    assert "`weight=30.0`" in rows["DPS"]


@pytest.mark.parametrize("name", classes(posteriors, Posterior))
def test_every_posterior_by_name(name):
    posterior = method_of(name.lower(), None, GIVEN).posterior(PRIOR, GIVEN)
    assert type(posterior) is getattr(posteriors, name)


@pytest.mark.parametrize("name", [n for n, cls in classes(kernels, Kernel).items() if n not in vars(posteriors)])
def test_every_kernel_by_name(name):
    holds = "measurement" in getattr(kernels, name).__dataclass_fields__
    needs = {"Hold": ":kernel=Langevin", "FinalDraw": ":kernel=Heun", "Repeat": ":kernel=Heun,times=2"}
    needs |= {"Then": ":first=Heun,second=FinalDenoise"}
    if name == "Alternate":
        pytest.skip("it draws parameters of the operator, which are objects of Python")
    text = name + needs.get(name, "")
    method = method_of(text, None, GIVEN) if holds else method_of("", text, GIVEN)
    assert type(method.kernel).__name__ == name
    if holds:
        assert method.kernel.measurement is GIVEN  # pyright: ignore[reportAttributeAccessIssue]
        assert method.posterior(PRIOR, GIVEN) is PRIOR


def test_options_reach_the_objects():
    method = method_of("dps:weight=1.5", "ancestral:eta=1e-1", GIVEN, steps=7)
    posterior = method.posterior(PRIOR, GIVEN)
    assert isinstance(posterior, DPS)
    assert (posterior.weight, method.kernel, method.steps) == (1.5, Ancestral(0.1), 7)
    daps = method_of("daps:likelihood=PerturbAndMap", None, GIVEN).kernel
    assert isinstance(daps, DAPS)
    assert daps.likelihood == PerturbAndMap()


def test_nested_options_of_yaml():
    langevin = {"name": "Langevin", "rate": 0.2}
    repeated = {"name": "Repeat", "times": 3, "kernel": {"name": "Hold", "kernel": langevin}}
    method = method_of({"posterior": {"name": "PiGDM", "data_std": 2}, "kernel": repeated, "steps": 9}, None, GIVEN)
    posterior = method.posterior(PRIOR, GIVEN)
    assert isinstance(posterior, PiGDM)
    assert posterior.data_std == 2
    assert method.kernel == Repeat(Hold(Langevin(0.2)), 3)
    assert method.steps == 9


def test_the_default_takes_counts():
    counts = Measurement(torch.full((1, 4, 4), 50.0), Identity((1, 4, 4)), PoissonTransmission(100.0))
    assert isinstance(method_of("", None, counts).posterior(PRIOR, counts), MMPS)


@pytest.mark.parametrize(
    ("method", "kernel", "words"),
    [
        ("dsp", None, "known are .*DPS.*DAPS"),
        ("", "heuns", "known are .*Heun"),
        ("", "daps", "known are"),
        ("dps:wight=1", None, "it has weight"),
        ("dps:weight", None, "option=value"),
        ("dps:weight=abc", None, "valid number"),
        ("dps:weight=[1", None, "cannot be read"),
        ("mmps:iterations=2.5", None, "valid integer"),
        ("", "repeat:times=2", "needs the option 'kernel'"),
        ("", "langevin:rate=[]", "Langevin"),
        ({"posterior": "dps", "step": 3}, None, "it has .*steps"),
        ({"posterior": "dps", "steps": 0}, None, "steps >= 1"),
        ({"posterior": 3}, None, "no method '3'"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(method, kernel, words):
    with pytest.raises(InputError, match=words) as caught:
        method_of(method, kernel, GIVEN)
    assert str(caught.value).endswith(".")


def test_numbers_out_of_range_are_refused_by_the_constructor():
    with pytest.raises(InputError, match="positive weight"):
        method_of("dps:weight=-1", None, GIVEN).posterior(PRIOR, GIVEN)
