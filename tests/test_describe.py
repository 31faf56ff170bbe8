"""Objects as plain data: every exported class that takes plain fields survives JSON; nothing foreign is built."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

from scorefield import kernels, nets, schedule
from scorefield.describe import NAMESPACES, build, describe
from scorefield.errors import InputError
from scorefield.noise import White
from scorefield.prior import Denoiser

PREDICTOR = kernels.Then(kernels.Heun(), kernels.Repeat(kernels.Hold(kernels.Langevin(0.2)), 3))
# one object for each class with plain fields, none at its defaults
EXAMPLES: dict[str, Callable[[], object]] = {
    "schedules.Karras": lambda: schedule.Karras(0.01, 3.0, rho=5.0),
    "schedules.Geometric": lambda: schedule.Geometric(0.02, 2.0),
    "schedules.LogNormal": lambda: schedule.LogNormal(-1.0, 1.1, tail=1e-3),
    "kernels.Ancestral": lambda: kernels.Ancestral(eta=0.25),
    "kernels.Ascent": lambda: kernels.Ascent(0.1, step_size=0.3),
    "kernels.DPMpp2M": lambda: kernels.DPMpp2M(eta=0.5),
    "kernels.Heun": kernels.Heun,
    "kernels.Hold": lambda: kernels.Hold(kernels.Langevin()),
    "kernels.Langevin": lambda: kernels.Langevin(0.2, step_size=None),
    "kernels.Repeat": lambda: kernels.Repeat(kernels.Heun(), 2),
    "kernels.Then": lambda: PREDICTOR,
    "kernels.State": lambda: kernels.State(3.0, memory=[1, None]),  # type: ignore[arg-type]
    "nets.PatchMLP": lambda: nets.PatchMLP(size=2, channels=2, levels=1),
    "nets.UNet": lambda: nets.UNet(channels=2, widths=(8, 12), blocks=1, bias=True),
    "priors.EDM": lambda: _priors().EDM(0.3),
    "priors.Homogeneous": lambda: _priors().Homogeneous(0.4),
    "priors.Unitless": lambda: _priors().Unitless(),
    "priors.Network": lambda: _network(),
    "priors.FieldOfExperts": lambda: _field(),
    "priors.Scaled": lambda: _priors().Scaled(_network(), 2.0, offset=0.5),
    "priors.AsComplex": lambda: _priors().AsComplex(_network()),
    "priors.IndependentParts": lambda: _priors().IndependentParts(_network()),
    "priors.TotalVariation": lambda: _priors().TotalVariation(2.0),
    "priors.GeneralizedGaussian": lambda: _priors().GeneralizedGaussian(2.0, 1.2),
    "noise.White": lambda: White(0.3),
}
# made of tensors or measurements: their numbers do not belong into JSON
TENSORS = {
    "priors.Gaussian": lambda: _priors().Gaussian(torch.zeros(2), torch.eye(2)),
    "priors.DiagonalGaussian": lambda: _priors().DiagonalGaussian(torch.zeros(2), torch.ones(2)),
    "priors.StationaryGaussian": lambda: _priors().StationaryGaussian(torch.zeros(1, 2), torch.ones(2)),
    "priors.GaussianMixture": lambda: _priors().GaussianMixture(torch.zeros(2, 2), torch.ones(2), torch.ones(2) / 2),
    "priors.ConditionedGaussian": lambda: _conditioned(),
    "priors.Kde": lambda: _priors().Kde(torch.randn(5, 2), 0.3),
}
OTHER = {"kernels.Kernel", "schedules.Schedule", "schedules.InputError"}


def _priors():
    return importlib.import_module("scorefield.priors")


def _network():
    return _priors().Network(nets.UNet(widths=(4, 4), blocks=1), _priors().Homogeneous(0.2), crop=32)


def _field():
    return _priors().FieldOfExperts(nets.PatchMLP(size=3), levels=5, sigma_min=0.02, sigma_max=0.5)


def _conditioned():
    from scorefield.measurement import Measurement
    from scorefield.operators import Identity

    prior = _priors().DiagonalGaussian(torch.zeros(2), torch.ones(2))
    return prior.posterior(Measurement(torch.zeros(2), Identity((2,)), White(1.0)))


def exported(namespace: str) -> list[str]:
    """Names of the classes that a namespace offers as its own."""
    module = importlib.import_module(f"scorefield.{NAMESPACES[namespace]}")
    names = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    classes = {n: getattr(module, n) for n in names if inspect.isclass(getattr(module, n))}
    return [f"{namespace}.{n}" for n, cls in classes.items() if cls.__module__.startswith("scorefield.")]


EXPORTED = [n for namespace in ("schedules", "kernels", "nets", "priors") for n in exported(namespace)]
PLAIN = [n for n in EXAMPLES if n in EXPORTED or n.startswith("noise.")]


def test_every_exported_class_is_accounted_for():
    assert set(EXPORTED) <= set(EXAMPLES) | set(TENSORS) | OTHER
    assert set(EXAMPLES) - set(EXPORTED) == {"noise.White"}


@pytest.mark.parametrize("name", PLAIN)
def test_round_trip_through_json(name):
    thing = EXAMPLES[name]()
    plain = describe(thing)
    assert plain["class"] == name
    again = build(json.loads(json.dumps(plain)))
    assert type(again) is type(thing)
    assert describe(again) == plain
    if isinstance(thing, nn.Module):
        assert str(again) == str(thing)
        assert {n: t.shape for n, t in again.state_dict().items()} == {
            n: t.shape for n, t in thing.state_dict().items()
        }


@pytest.mark.parametrize("name", PLAIN)
def test_each_argument_is_kept_under_its_own_name(name):
    thing = EXAMPLES[name]()
    fields = describe(thing)["fields"]
    assert set(fields) == set(inspect.signature(type(thing)).parameters)


@pytest.mark.parametrize("name", [n for n in TENSORS if n in EXPORTED])
def test_tensors_are_refused(name):
    with pytest.raises(InputError, match="Tensor"):
        describe(TENSORS[name]())


class Heun(kernels.Kernel):
    """A user's kernel that happens to have the name of one of ours."""

    def step(self, prior, state, sigma, target, generator):
        raise NotImplementedError


class Mine(Denoiser):
    def denoise(self, x, sigma):
        return x


@pytest.mark.parametrize("thing", [Heun(), Mine(), nn.Linear(2, 2), torch.zeros(2), {"a": 1}, object(), abs])
def test_foreign_objects_are_refused(thing):
    with pytest.raises(InputError, match="not one of scorefield's own"):
        describe(thing)
    with pytest.raises(InputError, match="not one of scorefield's own"):
        describe([1, thing])


@pytest.mark.parametrize(
    "name",
    [
        "kernels.Nothing",
        "Heun",
        "",
        "os.system",
        "noise.Tensor",
        "schedules.ABC",
        "schedules.Tensor",
        "schedules.math",
        "kernels.__builtins__",
        "nets.unet",
        "kernels.langevin.Langevin",
        None,
        3,
    ],
)
def test_nothing_else_is_built(name):
    with pytest.raises(InputError, match="not a class of scorefield"):
        build({"class": name, "fields": {}})


def test_a_dictionary_without_a_class_is_refused():
    with pytest.raises(InputError, match="not a class of scorefield"):
        build({"fields": {}})


def test_unknown_fields_are_named():
    with pytest.raises(InputError, match=r"kernels\.Langevin has no field 'speed'; it has rate, step_size"):
        build({"class": "kernels.Langevin", "fields": {"rate": 0.1, "speed": 2}})


def test_plain_data_is_itself():
    for plain in (None, True, 3, 0.1, "text", [1, [2.5, None]]):
        assert build(describe(plain)) == plain
    assert describe((1, 2)) == [1, 2]
