"""Every law of noise in everything that takes a measurement: the result is right, or one sentence refuses the law.

Counts and magnitudes are no values of ``A x`` plus noise.  A method that takes them for such is off by the blank scan.
"""

# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from registry import exported
from torch import Tensor

from scorefield import baselines, kernels, noise, posteriors
from scorefield.errors import InputError
from scorefield.kernels import DAPS, DPMpp2M, Kernel, MarkovChain, SplitGibbs
from scorefield.measurement import Measurement
from scorefield.nets import PatchMixture
from scorefield.noise import Gaussian, Noise, PoissonEmission, PoissonTransmission, Rician, White
from scorefield.operators import Identity, Operator, mri, parallel_beam
from scorefield.posteriors import MMPS, Posterior, join
from scorefield.priors import DiagonalGaussian, Scaled
from scorefield.reconstruction.pipeline import initial_image, reconstruct
from scorefield.samples import Samples
from scorefield.sampling import sample
from scorefield.schedules import Geometric
from scorefield.trust.residual import residual_check

SHAPE = (1, 8, 8)
ONE: Operator = Identity(SHAPE)
TRUTH = torch.ones(1, *SHAPE, dtype=torch.float64)
# each law without a covariance, at a noise of a hundredth of an image of ones, and the operator
SCENES: dict[str, tuple[Noise, Operator]] = {
    "emission": (PoissonEmission(20.0), 1e4 * ONE),
    "transmission": (PoissonTransmission(3e4, 20.0), ONE),
    "rician": (Rician(0.01), ONE),
}
ADVICE = "measurement.linear_data"
scenes = pytest.mark.parametrize("name", SCENES)


def scan(name: str) -> Measurement:
    law, operator = SCENES[name]
    return Measurement(law.corrupt(operator(TRUTH), torch.Generator().manual_seed(1)), operator, law)


def prior() -> DiagonalGaussian:
    """Off by one of its standard deviations, twenty of those of the data."""
    return DiagonalGaussian(0.8 * TRUTH[0], torch.tensor([0.2**2]).double())


def assert_right_or_refused(result: Callable[[], Tensor], *words: str) -> None:
    """The mean of the image is 1, or a refusal holds one of the words."""
    try:
        mean, refusal = float(result().mean()), ""
    except InputError as error:
        mean, refusal = 1.0, str(error)
    assert mean == pytest.approx(1, abs=0.05)
    assert not refusal or any(word in refusal for word in words), refusal


def test_every_law_without_a_covariance_is_here():
    laws = {cls for cls in exported(noise, Noise) if not issubclass(cls, Gaussian)}
    assert laws == {type(law) for law, _ in SCENES.values()}


@scenes
@pytest.mark.parametrize("cls", sorted(exported(posteriors, Posterior), key=lambda cls: cls.__name__))
def test_posteriors(name, cls):
    near = TRUTH + 0.01 * torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert_right_or_refused(lambda: cls(prior(), scan(name)).denoise(near, 0.01), ADVICE)


HOLDING = [cls for cls in exported(kernels, Kernel) if "measurement" in inspect.signature(cls).parameters]


@scenes
@pytest.mark.parametrize("cls", sorted(HOLDING, key=lambda cls: cls.__name__))
def test_kernels_with_the_measurement(name, cls):
    levels = Geometric(0.01, 0.3).grid(6)
    assert_right_or_refused(lambda: sample(prior(), cls(scan(name)), levels, n=2, seed=0, like=TRUTH[0]).draws, ADVICE)


@scenes
@pytest.mark.parametrize("cls", [DAPS, SplitGibbs])
def test_kernels_that_ask_for_the_score_alone_are_right(name, cls):
    kernel = cls(scan(name), likelihood=MarkovChain())
    draws = sample(prior(), kernel, Geometric(0.01, 0.3).grid(6), n=2, seed=0, like=TRUTH[0]).draws
    assert float(draws.mean()) == pytest.approx(1, abs=0.02)


def patches() -> PatchMixture:
    return PatchMixture(size=2, components=2).double()


# how each baseline is called; those missing are no reconstructions
BASELINES: dict[str, Callable[[Measurement], Tensor]] = {
    "zero_filled": baselines.zero_filled,
    "least_squares": baselines.least_squares,
    "filtered_back_projection": baselines.filtered_back_projection,
    "total_variation": lambda given: baselines.total_variation(given, 1e-3),
    "tuned_total_variation": lambda given: baselines.tuned_total_variation(given, TRUTH[0], tolerance=0.1).image,
    "matched_total_variation": lambda given: baselines.matched_total_variation(given, tolerance=0.1),
    "plug_and_play": lambda given: baselines.plug_and_play(given, prior().denoise, 0.01),
    "tuned_plug_and_play": lambda given: baselines.tuned_plug_and_play(given, TRUTH[0], prior().denoise).image,
    "epll": lambda given: baselines.epll(given, patches(), betas=(1.0,)),
    "wavelet_shrinkage": lambda given: baselines.wavelet_shrinkage(given, levels=1),
    "non_local_means": baselines.non_local_means,
    "bm3d": baselines.bm3d,
}
OTHERS = {"BM3D", "Tuned", "as_denoiser", "tune"}


def test_every_baseline_is_here():
    assert set(BASELINES) | OTHERS == set(baselines.__all__)


@scenes
@pytest.mark.parametrize("method", BASELINES)
def test_baselines(name, method):
    assert_right_or_refused(lambda: BASELINES[method](scan(name)), "white noise", "CT projector")


@scenes
def test_the_default_reconstruction(name):
    given = scan(name)
    assert float(initial_image(given).mean()) == pytest.approx(1, abs=0.01)
    samples = reconstruct(prior(), given, n=2, seed=0)
    assert float(samples.mean.mean()) == pytest.approx(1, abs=0.02)


@scenes
def test_the_true_image_misses_the_data_by_their_noise(name):
    ratio = residual_check(Samples(TRUTH), scan(name)).ratio
    assert ratio == pytest.approx(1, abs=4 / (2 * TRUTH.numel()) ** 0.5)  # four standard deviations


@scenes
def test_a_posterior_of_linear_data_is_right(name):
    posterior = MMPS(prior(), scan(name).linear_data)
    draws = sample(posterior, DPMpp2M(), Geometric(0.01, 0.3).grid(6), n=2, seed=0).draws
    assert float(draws.mean()) == pytest.approx(1, abs=0.02)


@scenes
def test_two_scans_are_joined_with_their_linear_data(name):
    both = join(scan(name), Measurement(TRUTH, ONE, White(0.01)))
    assert float(baselines.least_squares(both).mean()) == pytest.approx(1, abs=0.01)
    assert float(MMPS(prior(), both.linear_data).denoise(TRUTH, 0.01).mean()) == pytest.approx(1, abs=0.01)


@scenes
def test_a_prior_in_other_units_refuses_too(name):
    with pytest.raises(InputError, match="linear_data"):
        Scaled(prior(), 2.0, offset=1.0).posterior(scan(name))


def test_counts_of_a_tomograph_have_the_attenuation_of_the_object():
    """The case of a report: the intensity was 2293 for 0.02/mm, as counts were taken for line integrals."""
    operator = parallel_beam((1, 16, 16), torch.arange(20) * torch.pi / 20, 24, pixel_spacing=8.0, detector_spacing=8.0)
    disk = 0.02 * (((torch.arange(16)[:, None] - 7.5) ** 2 + (torch.arange(16) - 7.5) ** 2) < 30).float()[None, None]
    law = PoissonTransmission(2e4)
    given = Measurement(law.corrupt(operator(disk), torch.Generator().manual_seed(0)), operator, law)
    inside = disk[0] > 0
    for image in (initial_image(given)[0], baselines.least_squares(given), baselines.filtered_back_projection(given)):
        assert float(image[inside].median()) == pytest.approx(0.02, rel=0.05)
    assert float(reconstruct(prior_of(disk), given, n=2, seed=0).mean[inside].median()) == pytest.approx(0.02, rel=0.05)


def prior_of(image: Tensor) -> DiagonalGaussian:
    return DiagonalGaussian(torch.zeros_like(image[0]), torch.tensor([0.03**2]))


def test_magnitudes_of_complex_data_are_refused():
    """Without their phase k-space samples say nothing linear about the image."""
    operator = mri(torch.ones(1, 4, 4, dtype=torch.bool))
    given = Measurement(torch.ones(1, 1, 16), operator, Rician(0.1))
    with pytest.raises(InputError, match="phase"):
        initial_image(given)
