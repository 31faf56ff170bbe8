"""Objects as plain data: every exported class that takes plain fields survives JSON; nothing foreign is built."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

from scorefield import kernels, nets, noise
from scorefield import schedules as schedule
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.prior import Denoiser
from scorefield.store.description import build, describe

PREDICTOR = kernels.Then(kernels.Heun(), kernels.Repeat(kernels.Hold(kernels.Langevin(0.2)), 3))
# one object for each class with plain fields, none at its defaults
EXAMPLES: dict[str, Callable[[], object]] = {
    "schedules.Karras": lambda: schedule.Karras(0.01, 3.0, rho=5.0),
    "schedules.Geometric": lambda: schedule.Geometric(0.02, 2.0),
    "schedules.LogNormal": lambda: schedule.LogNormal(-1.0, 1.1, tail=1e-3),
    "kernels.Ancestral": lambda: kernels.Ancestral(eta=0.25),
    "kernels.Ascent": lambda: kernels.Ascent(kernels.Absolute(0.3)),
    "kernels.Absolute": lambda: kernels.Absolute(0.3),
    "kernels.Anchored": lambda: kernels.Anchored(0.3, at=2.0, exponent=1.5),
    "kernels.AnnealedHMC": lambda: kernels.AnnealedHMC(kernels.HMC(0.2), accepted=3, proposals=4),
    "kernels.ByDensity": kernels.ByDensity,
    "kernels.ByDensityOrPath": lambda: kernels.ByDensityOrPath(kernels.ByPath(2)),
    "kernels.ByPath": lambda: kernels.ByPath(intervals=6),
    "kernels.Churn": lambda: kernels.Churn(kernels.DPMpp2M(), 0.1, s_min=0.1, s_max=2.0, s_noise=1.0),
    "kernels.Corrector": lambda: kernels.Corrector(snr=0.2),
    "kernels.DPMSolver2": lambda: kernels.DPMSolver2(ratio=0.4),
    "kernels.DPMpp2S": lambda: kernels.DPMpp2S(ratio=0.4),
    "kernels.DPMpp2M": lambda: kernels.DPMpp2M(eta=0.5),
    "kernels.DecayingChain": lambda: kernels.DecayingChain(0.5, last=0.1, steps=7),
    "kernels.Descent": lambda: kernels.Descent(kernels.Heun(), schedule.Geometric(0.02, 2.0), 7),
    "kernels.FinalDenoise": kernels.FinalDenoise,
    "kernels.FinalDraw": lambda: kernels.FinalDraw(kernels.Heun()),
    "kernels.FixedLarge": kernels.FixedLarge,
    "kernels.HMC": lambda: kernels.HMC(kernels.Relative(0.3, exponent=1.5), 4, acceptance=kernels.ByPath(2)),
    "kernels.Heun": kernels.Heun,
    "kernels.Hold": lambda: kernels.Hold(kernels.Langevin()),
    "kernels.Langevin": lambda: kernels.Langevin(kernels.Relative(0.2)),
    "kernels.MALA": lambda: kernels.MALA(kernels.Absolute(0.3), acceptance=kernels.ByPath(2)),
    "kernels.Imputed": lambda: kernels.Imputed(kernels.Descent(kernels.Heun(), schedule.Geometric(0.02, 2.0), 7)),
    "kernels.Marginal": lambda: kernels.Marginal(iterations=3, tolerance=0.1),
    "kernels.MarkovChain": lambda: kernels.MarkovChain(kernels.Langevin(0.3), 7),
    "kernels.PerturbAndMap": kernels.PerturbAndMap,
    "kernels.ReverseDiffusion": kernels.ReverseDiffusion,
    "kernels.PriorNoise": lambda: kernels.PriorNoise(0.4),
    "kernels.Renoise": lambda: kernels.Renoise(0.3),
    "kernels.Repeat": lambda: kernels.Repeat(kernels.Heun(), 2),
    "kernels.Then": lambda: PREDICTOR,
    "kernels.Relative": lambda: kernels.Relative(0.3, exponent=1.5),
    "nets.PatchMLP": lambda: nets.PatchMLP(size=2, channels=2, levels=1, widths=(5, 4)),
    "nets.UNet": lambda: nets.UNet(channels=2, widths=(8, 12), blocks=1, bias=True),
    "nets.LocalCNN": lambda: nets.LocalCNN(reach=5, channels=2, width=4, depth=3),
    "nets.PatchMixture": lambda: nets.PatchMixture(size=2, channels=2, components=3, hard=True),
    "nets.Patchwise": lambda: nets.Patchwise(nets.PatchMLP(size=2), stride=2),
    "nets.Half": lambda: nets.Half(nets.PatchMLP(size=2)),
    "nets.OffsetInvariant": lambda: nets.OffsetInvariant(nets.PatchMLP(size=2)),
    "nets.ScaleInvariant": lambda: nets.ScaleInvariant(nets.PatchMLP(size=2), floor=2.0),
    "nets.Equivariant": lambda: nets.Equivariant(nets.PatchMLP(size=2)),
    "priors.EDM": lambda: _priors().EDM(0.3),
    "priors.Homogeneous": lambda: _priors().Homogeneous(0.4),
    "priors.Unitless": lambda: _priors().Unitless(),
    "priors.VP": lambda: _priors().VP(nets.UNet(widths=(4, 4)), _priors().CosineBetas(), _priors().ImagePrediction()),
    "priors.NoisePrediction": lambda: _priors().NoisePrediction(),
    "priors.ImagePrediction": lambda: _priors().ImagePrediction(),
    "priors.VelocityPrediction": lambda: _priors().VelocityPrediction(),
    "priors.LinearBetas": lambda: _priors().LinearBetas(1e-3, 0.01, steps=20),
    "priors.SqrtLinearBetas": lambda: _priors().SqrtLinearBetas(1e-3, 0.01, steps=20),
    "priors.CosineBetas": lambda: _priors().CosineBetas(0.01, 0.99, steps=20),
    "priors.ContinuousBetas": lambda: _priors().ContinuousBetas(0.2, 10.0, first=1e-4, scale=1.0),
    "priors.Network": lambda: _network(),
    "priors.Energy": lambda: _priors().Energy(nets.Patchwise(nets.PatchMLP()), _priors().Unitless(), crop=32),
    "priors.Conditional": lambda: _conditional(),
    "priors.Tiling": lambda: _priors().Tiling(_conditional(), size=8, pad=5, overlap=3, coin=(1, 2, 7)),
    "priors.MultiScale": lambda: _priors().MultiScale(_network(), [_conditional(), _conditional()]),
    "priors.FieldOfExperts": lambda: _field(),
    "priors.Scaled": lambda: _priors().Scaled(_network(), 2.0, offset=0.5),
    "priors.AsComplex": lambda: _priors().AsComplex(_network()),
    "priors.IndependentParts": lambda: _priors().IndependentParts(_network()),
    "priors.Frozen": lambda: _priors().Frozen(_network(), 0.3),
    "priors.Gamma": lambda: _priors().Gamma(8.0, 1.5),
    "priors.Pairs": lambda: _priors().Pairs(_priors().TotalVariation(2.0), weight=0.5),
    "priors.Tabulated": lambda: _priors().Tabulated(_priors().TotalVariation(2.0), 0.0, low=-1.0, high=1.0, nodes=5),
    "priors.TotalVariation": lambda: _priors().TotalVariation(2.0),
    "priors.GeneralizedGaussian": lambda: _priors().GeneralizedGaussian(2.0, 1.2),
    "noise.White": lambda: White(0.3),
    "noise.PoissonEmission": lambda: noise.PoissonEmission(2.0, floor=0.2),
    "noise.PoissonTransmission": lambda: noise.PoissonTransmission(1e4, 3.0),
    "noise.Rician": lambda: noise.Rician(0.3),
}
# made of tensors, measurements or functions: they do not belong into JSON
TENSORS = {
    "kernels.Alternate": lambda: kernels.Alternate(kernels.Heun(), kernels.Laplace(_nuisance())),
    "kernels.GaussNewton": lambda: kernels.GaussNewton(_nuisance()),
    "kernels.GradientStep": lambda: kernels.GradientStep(_nuisance()),
    "kernels.Info": lambda: kernels.Info(torch.ones(2)),
    "kernels.Laplace": lambda: kernels.Laplace(_nuisance()),
    "kernels.State": lambda: kernels.State(torch.ones(2)),
    "noise.Colored": lambda: noise.Colored(torch.eye(2)),
    "noise.Weighted": lambda: noise.Weighted(torch.ones(2)),
    "priors.Gaussian": lambda: _priors().Gaussian(torch.zeros(2), torch.eye(2)),
    "priors.DiagonalGaussian": lambda: _priors().DiagonalGaussian(torch.zeros(2), torch.ones(2)),
    "priors.StationaryGaussian": lambda: _priors().StationaryGaussian(torch.zeros(1, 2), torch.ones(2)),
    "priors.GaussianMixture": lambda: _priors().GaussianMixture(torch.zeros(2, 2), torch.ones(2), torch.ones(2) / 2),
    "priors.ConditionedGaussian": lambda: _conditioned(),
    "priors.Given": lambda: _priors().Given(_conditional(), torch.zeros(1, 2, 4, 4)),
    "priors.Kde": lambda: _priors().Kde(torch.randn(5, 2), 0.3),
}
OTHER = {
    "noise.Noise",
    "noise.Gaussian",
    "noise.Independent",
    "kernels.Kernel",
    "kernels.LikelihoodStep",
    "schedules.Schedule",
    "schedules.InputError",
}


def _priors():
    return importlib.import_module("scorefield.priors")


def _network():
    return _priors().Network(nets.UNet(widths=(4, 4), blocks=1), _priors().Homogeneous(0.2), crop=32)


def _conditional():
    return _priors().Conditional(nets.UNet(channels=3, widths=(4, 4), blocks=1), _priors().EDM(0.2), known=2, crop=16)


def _field():
    return _priors().FieldOfExperts(nets.PatchMLP(size=3), stride=2, levels=5, sigma_min=0.02, sigma_max=0.5)


def _given():
    from scorefield.operators import Identity

    return Measurement(torch.zeros(2), Identity((2,)), White(1.0))


def _nuisance():
    from scorefield.nuisance import Nuisance
    from scorefield.operators import Identity

    return Nuisance(_priors().Gaussian(torch.zeros(1), torch.eye(1)), lambda theta: Identity((2,)))


def _conditioned():
    return _priors().DiagonalGaussian(torch.zeros(2), torch.ones(2)).posterior(_given())


def exported(namespace: str) -> list[str]:
    """Names of the classes that a namespace offers as its own."""
    module = importlib.import_module(f"scorefield.{namespace}")
    names = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    classes = {n: getattr(module, n) for n in names if inspect.isclass(getattr(module, n))}
    return [f"{namespace}.{n}" for n, cls in classes.items() if cls.__module__.startswith("scorefield.")]


def brought(name: str) -> Callable[[], object] | None:
    """The example that a class brings itself; a kernel that holds data needs none."""
    namespace, _, own = name.partition(".")
    cls = getattr(importlib.import_module(f"scorefield.{namespace}"), own)
    if next(iter(inspect.signature(cls).parameters), "") == "measurement":
        return lambda: cls(_given())
    return cls.example if "example" in vars(cls) else None


def holds_tensors(thing: object) -> bool:
    fields = [getattr(thing, name) for name in inspect.signature(type(thing)).parameters]
    return any(isinstance(field, (torch.Tensor, Measurement)) for field in fields)


EXPORTED = [n for namespace in ("schedules", "kernels", "nets", "noise", "priors") for n in exported(namespace)]
for name in set(EXPORTED) - set(EXAMPLES) - set(TENSORS) - OTHER:
    if make := brought(name):
        (TENSORS if holds_tensors(make()) else EXAMPLES)[name] = make
PLAIN = [n for n in EXAMPLES if n in EXPORTED]


def test_every_exported_class_is_accounted_for():
    missing = set(EXPORTED) - set(EXAMPLES) - set(TENSORS) - OTHER
    assert not missing, f"{', '.join(sorted(missing))}: add a classmethod example(cls), no argument at its default."
    assert set(EXAMPLES) <= set(EXPORTED)


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
        assert {n: t.shape for n, t in again.state_dict().items()} == {  # pyright: ignore
            n: t.shape for n, t in thing.state_dict().items()
        }


@pytest.mark.parametrize("name", PLAIN)
def test_each_argument_has_an_attribute_of_its_name(name):
    thing = EXAMPLES[name]()
    fields = describe(thing)["fields"]
    assert set(fields) == set(inspect.signature(type(thing)).parameters)


@pytest.mark.parametrize("name", sorted(n for n in TENSORS if n in EXPORTED))
def test_tensors_are_refused(name):
    with pytest.raises(InputError, match=r"(Tensor|Nuisance) is not one of"):
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
    with pytest.raises(InputError, match=r"kernels\.Langevin has no field 'speed'; it has rate"):
        build({"class": "kernels.Langevin", "fields": {"rate": 0.1, "speed": 2}})


def test_plain_data_is_itself():
    for plain in (None, True, 3, 0.1, "text", [1, [2.5, None]]):
        assert build(describe(plain)) == plain
    assert describe((1, 2)) == [1, 2]
