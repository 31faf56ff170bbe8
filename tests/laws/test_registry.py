"""The registry enforces itself: each exported class has an example, and the laws of its kind hold for it."""

# pyright: basic, reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import math

import pytest
import torch
from registry import NETS, NOISES, OBJECTIVES, PRIORS, assert_examples, exported
from torch import Tensor

from scorefield import nets, noise, objectives, priors, scans
from scorefield.data import Image, write
from scorefield.data.formats import FORMATS, dicom
from scorefield.errors import InputError
from scorefield.linalg.solve import inner
from scorefield.noise import Noise
from scorefield.objectives import Objective
from scorefield.prior import Prior
from scorefield.priors import AsComplex, IndependentParts, Tiling
from scorefield.priors.cast import Cast
from scorefield.scans import Scan
from support import assert_slope, complex_normal, normal


@pytest.mark.parametrize(
    ("namespace", "kind", "examples"),
    [
        (priors, Prior, PRIORS),
        (noise, Noise, NOISES),
        (nets, torch.nn.Module, NETS),
        (objectives, Objective, OBJECTIVES),
    ],
    ids=["priors", "noise", "nets", "objectives"],
)
def test_each_export_has_an_example_of_its_class(namespace, kind, examples):
    assert_examples(namespace, kind, examples)


# --- priors

TIED = {
    Tiling: "draws the noise around all images of a batch at once",
    priors.Given: "has one known image for each of a batch",
}
ROUNDED = {Cast}  # in single precision, where differences say nothing
every_prior = pytest.mark.parametrize("cls", PRIORS, ids=lambda cls: cls.__name__)


def prior_and_images(cls: type[Prior], n: int = 3) -> tuple[Prior, Tensor]:
    make, shape, _ = PRIORS[cls]
    prior = make().draw(torch.Generator().manual_seed(0))
    lifted = isinstance(prior, AsComplex | IndependentParts)
    x = complex_normal(n, *shape) if lifted else normal(n, *shape)
    return prior, x.abs() + 0.5 if cls is priors.Gamma else x


@every_prior
def test_the_score_is_that_of_the_denoiser(cls):
    """Tweedie, and the shape and the precision of what was given."""
    prior, x = prior_and_images(cls)
    for sigma in (0.3, 2.0):
        denoised, score = prior.denoise(x, sigma), prior.score(x, sigma)
        assert denoised.shape == x.shape
        assert denoised.dtype == score.dtype == x.dtype
        close = {"rtol": 1e-4, "atol": 1e-5} if cls is Cast else {"rtol": 1e-7, "atol": 1e-9}
        torch.testing.assert_close(denoised, x + sigma**2 * score, **close)


@every_prior
def test_images_of_a_batch_are_denoised_one_by_one_each_at_its_level(cls):
    if cls in TIED:
        pytest.skip(TIED[cls])
    prior, x = prior_and_images(cls)
    levels = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
    one_by_one = [prior.denoise(image[None], float(sigma)) for image, sigma in zip(x, levels, strict=True)]
    torch.testing.assert_close(prior.denoise(x, levels), torch.cat(one_by_one), rtol=1e-6, atol=1e-7)


@every_prior
def test_the_linearization_is_the_slope_of_the_denoiser(cls):
    prior, x = prior_and_images(cls)
    like = complex_normal if x.is_complex() else normal
    v, direction = like(*x.shape, seed=1), like(*x.shape, seed=2)
    denoised, _ = prior.linearize(x, 0.7)
    torch.testing.assert_close(denoised, prior.denoise(x, 0.7))
    if cls in ROUNDED:
        return

    def slope(at: Tensor) -> Tensor:
        return inner(prior.linearize(at, 0.7)[1](v), direction)

    assert_slope(slope, lambda at: inner(prior.denoise(at, 0.7), v), x, direction)


# --- noise

every_noise = pytest.mark.parametrize("cls", NOISES, ids=lambda cls: cls.__name__)


@every_noise
def test_the_score_of_noise_is_the_gradient_of_its_log_likelihood(cls):
    make, predictions = NOISES[cls]
    law, mean = make(), predictions()
    y = law.corrupt(mean, torch.Generator().manual_seed(0))
    assert y.shape == mean.shape
    assert torch.equal(y, law.corrupt(mean, torch.Generator().manual_seed(0)))
    assert not torch.equal(y, law.corrupt(mean, torch.Generator().manual_seed(1)))
    at = mean.clone().requires_grad_()
    log = law.log_likelihood(y, at)
    assert log.shape == (len(mean),)
    (gradient,) = torch.autograd.grad(log.sum(), at)
    torch.testing.assert_close(law.score(y, mean), gradient, rtol=1e-8, atol=1e-10)


# --- networks


@pytest.mark.parametrize("cls", NETS, ids=lambda cls: cls.__name__)
def test_a_network_maps_images_to_images_each_by_itself_with_a_graph_to_its_weights(cls):
    make, shape = NETS[cls]
    net, x, levels = make(), normal(*shape).float(), torch.tensor([-1.0, 0.0, 1.0])
    found = net(x, levels)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    one_by_one = [net(image[None], level[None]) for image, level in zip(x, levels, strict=True)]
    torch.testing.assert_close(found, torch.cat(one_by_one), rtol=1e-4, atol=2e-3 if cls is nets.Half else 1e-5)
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    if not weights:
        return  # fitted in closed form
    gradients = torch.autograd.grad((found * normal(*shape, seed=1).float()).sum(), weights, allow_unused=True)
    assert any(g is not None and bool(g.isfinite().all()) and bool(g.any()) for g in gradients)


# --- objectives


@pytest.mark.parametrize("cls", OBJECTIVES, ids=lambda cls: cls.__name__)
def test_an_objective_is_the_mean_of_terms_that_belong_to_one_image_each(cls):
    make, subject = OBJECTIVES[cls]
    objective, prior, x = make(), subject(), normal(4, 2, 4, 4)
    drawn = objective.draw(x, torch.Generator().manual_seed(0))
    terms = objective.terms(prior, *drawn)
    assert terms.shape == (4,)
    assert bool(terms.isfinite().all())
    torch.testing.assert_close(objective.terms(prior, *(part[1:3] for part in drawn)), terms[1:3], rtol=1e-6, atol=1e-7)
    value = objective(prior, x, torch.Generator().manual_seed(0))
    torch.testing.assert_close(value.double(), terms.mean().double(), rtol=1e-6, atol=1e-7)


# --- scans and formats


@pytest.mark.parametrize("cls", sorted(exported(scans, Scan) - {Scan}, key=lambda cls: cls.__name__))
def test_a_scan_has_an_operator_for_its_data_and_comes_back_from_its_file(cls, tmp_path):
    scan = cls.example()
    measurement = scan.measurement()
    assert tuple(measurement.y.shape[1:]) == tuple(measurement.operator.shape_out) == tuple(scan.shape_of_data)
    assert tuple(measurement.shape) == tuple(scan.shape)
    again = Scan.load(scan.save(tmp_path / "a.scan"))
    assert type(again) is cls
    assert torch.equal(again.data, scan.data)
    x = normal(1, *scan.shape).to(measurement.operator.H(measurement.y).dtype)
    torch.testing.assert_close(again.operator()(x), scan.operator()(x), rtol=0, atol=0)


@pytest.mark.parametrize("suffix", [suffix for one in FORMATS for suffix in one.suffixes])
def test_a_format_reads_what_it_writes_or_says_that_it_does_not_write(suffix, tmp_path):
    pixels = (torch.arange(30, dtype=torch.float32) * 255 / 29).round().reshape(1, 5, 6)
    path = tmp_path / f"image{suffix}"
    (found,) = [one for one in FORMATS if one.matches(path)]
    image = Image(pixels, (1.0, 1.0))
    if found is dicom:
        with pytest.raises(InputError, match="only read"):
            write(image, path)
        return
    write(image, path)
    assert found.header(path).squeeze().spatial == (5, 6)
    again = found.read(path).pixels
    if again.is_complex():  # a format of complex numbers alone
        assert not bool(again.imag.any())
        again = again.real
    again = again.float().reshape(5, 6)
    if suffix in (".jpg", ".jpeg"):  # the steps of its quantization are at most 60 of 255
        assert float((again - pixels[0]).square().mean().sqrt()) < 60 / math.sqrt(12)
    else:
        torch.testing.assert_close(again, pixels[0], rtol=0, atol=0)
