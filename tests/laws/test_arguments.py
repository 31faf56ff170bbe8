"""What users give to the public functions: arrays of numpy are taken as tensors, other things refused in a sentence."""

# what is wrong on purpose, or known only when it runs
# pyright: reportArgumentType=false, reportAssignmentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportAbstractUsage=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import scorefield as sf
from scorefield.errors import InputError
from scorefield.schedules import Karras

SHAPE = (1, 6, 7)
X = np.random.default_rng(0).random(SHAPE).astype("f4")
DRAWS = np.random.default_rng(1).random((4, *SHAPE)).astype("f4")
SAMPLES = sf.Samples(torch.from_numpy(DRAWS))
WHITE = sf.noise.White(0.1)
IDENTITY = sf.operators.Identity(SHAPE)
SCAN = sf.scans.ParallelBeam.example()
LEVELS = Karras(0.1, 1.0).grid(3)


def prior() -> sf.Prior:
    return sf.priors.DiagonalGaussian(torch.zeros(SHAPE), torch.ones(1))


def scan() -> sf.Measurement:
    return sf.Measurement(X, IDENTITY, WHITE)


def learner() -> Any:
    return sf.priors.FieldOfExperts(sf.nets.PatchMLP(size=2))


def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[], Any]:
    """The call, with prior, scan and learner made when it is made."""
    makers = {id(make): make for make in (prior, scan, learner)}
    return lambda: function(*(makers[id(a)]() if id(a) in makers else a for a in arguments), **options)


# accepted: the result is that of the tensors
ACCEPTED: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "samples": (lambda: sf.Samples(DRAWS).std, lambda: SAMPLES.std),
    "samples of a list": (lambda: sf.Samples(list(DRAWS)).mean, lambda: SAMPLES.mean),
    "samples of whole numbers": (
        lambda: sf.Samples(np.arange(6).reshape(3, 2)).mean,
        lambda: torch.tensor([2.0, 3.0]),
    ),
    "evaluate": (lambda: sf.evaluate(SAMPLES, X).psnr, lambda: sf.evaluate(SAMPLES, torch.from_numpy(X)).psnr),
    "evaluate an image": (
        lambda: sf.evaluate(SAMPLES, sf.Image(X)).crps,
        lambda: sf.evaluate(SAMPLES, torch.from_numpy(X)).crps,
    ),
    "evaluate, mask of floats": (
        lambda: sf.evaluate(SAMPLES, X, mask=(X > 0.5).astype(float)).nmse,
        lambda: sf.evaluate(SAMPLES, torch.from_numpy(X), mask=torch.from_numpy(X > 0.5)).nmse,
    ),
    "psnr": (lambda: sf.metrics.psnr(X, X + 1, peak=1.0), lambda: 0.0),
    "crps": (lambda: sf.metrics.crps(SAMPLES, X), lambda: sf.metrics.crps(SAMPLES, torch.from_numpy(X))),
    "measurement": (lambda: scan().y[0], lambda: torch.from_numpy(X)),
    "a scan, as its measurement": (
        lambda: sf.baselines.least_squares(SCAN),
        lambda: sf.baselines.least_squares(SCAN.measurement()),
    ),
    "reconstruct a scan": (
        lambda: sf.reconstruct(prior(), SCAN, n=2, seed=0, method=sf.Method(steps=2)).mean,
        lambda: sf.reconstruct(prior(), SCAN.measurement(), n=2, seed=0, method=sf.Method(steps=2)).mean,
    ),
    "residual check of a scan": (
        lambda: sf.trust.residual_check(SAMPLES, SCAN).ratio,
        lambda: sf.trust.residual_check(SAMPLES, SCAN.measurement()).ratio,
    ),
    "a mask of floats": (
        lambda: sf.operators.mri(np.eye(4)[None]).H(torch.ones(1, 1, 4)),
        lambda: sf.operators.mri(torch.eye(4, dtype=torch.bool)[None]).H(torch.ones(1, 1, 4)),
    ),
    "levels": (
        lambda: sf.sample(prior(), sf.kernels.Heun(), LEVELS.numpy(), n=1, seed=0).draws,
        lambda: sf.sample(prior(), sf.kernels.Heun(), LEVELS, n=1, seed=0).draws,
    ),
    "adjoint of a complex operator": (
        lambda: round(sf.operators.adjoint_error(sf.operators.mri(np.ones((1, 4, 4)))), 12),
        lambda: 0.0,
    ),
}

# refused: words of the sentence
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "Scan of an array": (call(sf.Scan, X), "Cartesian"),
    "Samples of a name": (call(sf.Samples, "draws"), "tensor"),
    "evaluate an array": (call(sf.evaluate, DRAWS, X), r"sf.Samples\(draws\)"),
    "evaluate with a name": (call(sf.evaluate, SAMPLES, "truth.npy"), "truth.npy"),
    "evaluate, mask of halves": (call(sf.evaluate, SAMPLES, X, mask=0.5 * X), "0 and 1"),
    "crps of an array": (call(sf.metrics.crps, DRAWS, X), "sf.Samples"),
    "a number for the noise": (call(sf.Measurement, X, IDENTITY, 0.01), "White"),
    "a matrix for the operator": (call(sf.Measurement, np.ones(3), np.eye(3), WHITE), "Matrix"),
    "a name for the data": (call(sf.Measurement, "scan", IDENTITY, WHITE), "tensor"),
    "real k-space": (call(sf.Measurement, np.ones((1, 16)), sf.operators.mri(torch.ones(1, 4, 4)), WHITE), "both"),
    "coils without maps": (
        call(sf.Measurement, np.ones((4, 16), "c8"), sf.operators.mri(torch.ones(1, 4, 4)), WHITE),
        "coil_maps",
    ),
    "a scan of coils without maps": (
        call(sf.scans.Cartesian, np.ones((4, 16), "c8"), np.ones((1, 4, 4)), noise=WHITE),
        "coil_maps",
    ),
    "reconstruct by a name": (call(sf.reconstruct, "brain", scan, n=2), "sf.load"),
    "reconstruct an array": (call(sf.reconstruct, prior, X, n=2), "sf.Measurement"),
    "reconstruct by the name of a method": (call(sf.reconstruct, prior, scan, n=2, method="dps"), "sf.Method"),
    "reconstruct by a kernel": (call(sf.reconstruct, prior, scan, n=2, method=sf.kernels.Heun()), "sf.Method"),
    "a method of a class": (call(sf.Method, kernel=sf.kernels.Heun), "not an object of it"),
    "a method of a name": (call(sf.Method, posterior="dps"), "sf.posteriors"),
    "a method of no steps": (call(sf.Method, steps=0), "steps >= 1"),
    "a posterior of a name": (call(sf.posteriors.MMPS, "brain", scan), "sf.load"),
    "a posterior given an array": (call(sf.posteriors.MMPS, prior, X), "sf.Measurement"),
    "sample a name": (call(sf.sample, "brain", sf.kernels.Heun(), LEVELS, n=1), "sf.load"),
    "sample with a class": (call(sf.sample, prior, sf.kernels.Heun, LEVELS, n=1), "not an object of it"),
    "sample over a schedule": (call(sf.sample, prior, sf.kernels.Heun(), Karras(), n=1), "grid"),
    "sample like a shape": (call(sf.sample, prior, sf.kernels.Heun(), LEVELS, n=1, like=SHAPE), "torch.empty"),
    "load a name": (call(sf.load, "brain"), "sf.shipped.find"),
    "load nothing": (call(sf.load, None), "path"),
    "save a name": (call(sf.save, "brain", "folder"), "sf.load"),
    "train a name": (call(sf.train, "brain", [X]), "sf.load"),
    "train on names": (call(sf.train, learner, ["a.png"], budget=sf.Steps(1)), "a.png"),
    "train for a number": (call(sf.train, learner, [X], budget=1), "sf.Minutes"),
    "assess an array": (call(sf.trust.assess, DRAWS, scan, prior), "sf.Samples"),
    "assess by a name": (call(sf.trust.assess, SAMPLES, scan, "brain"), "sf.load"),
    "report on an array": (call(sf.report, DRAWS, scan, path="x.html"), "sf.Samples"),
    "simulate an array": (call(sf.simulate, X, sf.ParallelCT()), "sf.Image"),
    "simulate by a name": (call(sf.simulate, sf.Image(X), "ct"), "ParallelCT"),
    "a frame of numbers": (
        call(sf.scans.ParallelBeam, np.ones((1, 2, 9)), [0.0, 1.0], size=(6, 7), noise=WHITE, frame=(1.0, 1.0)),
        "sf.Frame",
    ),
    "a mask of halves": (call(sf.operators.mri, 0.5 * np.ones((1, 4, 4))), "0 and 1"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_arrays_count_as_tensors(name):
    given, expected = ACCEPTED[name]
    torch.testing.assert_close(torch.as_tensor(given()), torch.as_tensor(expected()))


@pytest.mark.parametrize("name", REFUSED)
def test_other_things_are_refused_in_a_sentence(name):
    make, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert str(caught.value).endswith(".")


def test_the_prior_has_a_reference_and_the_image_is_too_small_for_it():
    photo = sf.load(sf.shipped.find("photo-patch"))
    small = sf.Measurement(torch.rand(1, 7, 9), sf.operators.Identity((1, 7, 9)), WHITE)
    sentence = sf.trust.assess(sf.Samples(torch.rand(2, 1, 7, 9)), small, photo).sentences[1]
    assert "7 x 9 pixels" in sentence
    assert "16 pixels" in sentence
