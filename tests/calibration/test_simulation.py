"""Simulation-based calibration: exact samplers pass, wrong ones are measured, and what is done is not done again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

import scorefield as sf
from scorefield.calibration import (
    LEVELS,
    Calibration,
    Cropped,
    Experiment,
    FromDensity,
    FromImages,
    FromWalk,
    Prepared,
    Scanner,
    benches,
    calibrate,
    observe,
)
from scorefield.data import Image, Images
from scorefield.errors import InputError
from scorefield.kernel import Kernel, State
from scorefield.measurement import Measurement
from scorefield.nets import UNet
from scorefield.noise import White
from scorefield.operators import Identity, Matrix
from scorefield.prior import Prior
from scorefield.priors import DiagonalGaussian, Homogeneous, Network, Scaled
from scorefield.reconstruction.method import Method
from scorefield.scans.protocols import ParallelCT
from support import complex_normal, normal

BENCH = benches.tb_g()
MIXTURE = benches.tb_m()


@dataclass(frozen=True)
class Oracle(Kernel):
    """Exact draws of a closed-form posterior, ``factor`` times as far from its mean."""

    factor: float = 1.0

    def step(self, prior: Prior, state: State, sigma: Tensor, target: Tensor, generator: torch.Generator) -> State:
        draws = prior.rsample(len(state.x), generator).to(state.x)  # pyright: ignore[reportCallIssue]
        return state.at(draws if self.factor == 1 else prior.mean + self.factor * (draws - prior.mean))


def exact(factor: float = 1.0) -> Method:
    return Method(posterior=lambda prior, given: prior.posterior(given), kernel=Oracle(factor), steps=1)


def measuring(matrix: Tensor, std: float):
    """``simulate`` of data ``matrix @ truth`` with noise."""

    def simulate(truth: Tensor, seed: int) -> Measurement:
        clean = Matrix(matrix)(truth.unsqueeze(0))
        return Measurement(
            clean + White(std).sample(clean, torch.Generator().manual_seed(seed)), Matrix(matrix), White(std)
        )

    return simulate


GAUSSIAN = measuring(BENCH.matrix, 0.1)
OTHER = benches.tb_g(1).prior
PLANAR = measuring(torch.tensor([[1.0, 0.0]], dtype=torch.float64), 0.5)


@pytest.mark.parametrize(("prior", "simulate"), [(BENCH.prior, GAUSSIAN), (MIXTURE.prior, PLANAR)])
def test_an_exact_sampler_passes(prior, simulate):
    result = calibrate(prior, simulate, n_scans=200, method=exact(), seed=2)
    for quantities in (result.pixels, result.regions):
        assert quantities.uniformity.p_value > 1e-4
        assert all(abs(quantities.coverage(level).z) < 4.5 for level in LEVELS)
        low, high = quantities.factor_range()
        assert low - 0.1 < 1 < high + 0.1
    assert result.tarp.p_value > 1e-4
    # of one scan the mean misfit varies at most as a chi-square
    assert abs(float(result.numbers("residual_z").mean())) < 4.5 / 200**0.5


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_a_wrong_spread_is_found_and_measured(factor):
    result = calibrate(BENCH.prior, GAUSSIAN, n_scans=200, method=exact(factor), seed=2)
    narrow = factor < 1
    assert (result.pixels.coverage(0.9).z < -4.5) == narrow
    assert result.tarp.p_value < 1e-4
    low, high = result.pixels.factor_range()
    assert low < result.pixels.factor() < high
    # 19 draws of the wrong spread also have a mean that varies by the wrong amount: (1 + f^2 / n) / (1 + 1 / n)
    wanted = ((1 + factor**2 / 19) / (1 + 1 / 19)) ** 0.5 / factor
    assert low - 0.1 < wanted < high + 0.1
    assert result.pixels.spread_skill.ratio == pytest.approx(1 / wanted, rel=0.1)


class Counting:
    """``simulate`` that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, truth: Tensor, seed: int) -> Measurement:
        self.calls += 1
        return GAUSSIAN(truth, seed)


def same(a: Calibration, b: Calibration) -> bool:
    pairs = zip(a.scans, b.scans, strict=True)
    return all(torch.equal(x.observation.pixels, y.observation.pixels) for x, y in pairs)


def test_finished_scans_are_not_made_again(tmp_path):
    def run(n_scans: int, simulate: Counting) -> Calibration:
        return calibrate(BENCH.prior, simulate, n_scans=n_scans, draws=4, method=exact(), seed=1, folder=tmp_path)

    whole = calibrate(BENCH.prior, Counting(), n_scans=6, draws=4, method=exact(), seed=1)
    short = run(4, Counting())
    (tmp_path / "scan-00002.safetensors").unlink()
    simulate = Counting()
    longer = run(6, simulate)
    assert simulate.calls == 4  # the one deleted and two more, and the first to compare with
    assert same(longer, whole)
    assert short.n_scans == 4
    pairs = zip(short.scans, longer.scans, strict=False)
    assert all(torch.equal(a.observation.blocks, b.observation.blocks) for a, b in pairs)
    assert longer.scans[0].numbers == short.scans[0].numbers


def test_the_draws_do_not_depend_on_how_many_are_walked_together():
    def pixels(batch: int | None) -> list[Tensor]:
        method = Method(steps=4, batch=batch)
        found = calibrate(BENCH.prior, GAUSSIAN, n_scans=2, draws=4, method=method, seed=1)
        return [scan.observation.pixels for scan in found.scans]

    torch.testing.assert_close(pixels(1), pixels(None))
    torch.testing.assert_close(pixels(3), pixels(None))


def test_an_interruption_keeps_what_was_done(tmp_path):
    class Stopped(sf.Silent):
        def track(self, steps, *, total: int, label: str) -> Iterator:
            for i, step in enumerate(steps):
                if i == 3:
                    raise KeyboardInterrupt
                yield step

    with pytest.raises(KeyboardInterrupt):
        calibrate(BENCH.prior, GAUSSIAN, n_scans=6, draws=4, method=exact(), folder=tmp_path, progress=Stopped())
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 5},
        {"draws": 5},
        {"method": exact(0.5)},
        {"prior": OTHER},
        {"experiment": measuring(BENCH.matrix, 0.2)},
        {"prior": Scaled(BENCH.prior, 9.0), "experiment": Experiment(GAUSSIAN, FromDensity(BENCH.prior))},
    ],
)
def test_scans_of_another_calibration_are_refused(tmp_path, other):
    given = {"prior": BENCH.prior, "experiment": GAUSSIAN, "n_scans": 2, "draws": 4, "method": exact(), "seed": 1}
    calibrate(**given, folder=tmp_path)
    with pytest.raises(InputError, match="another calibration"):
        calibrate(**given | other, folder=tmp_path)


@pytest.mark.parametrize("other", [{"axis": 1}, {"unit": "HU"}])
def test_truths_of_a_volume_tell_how_it_is_read(tmp_path, other):
    """The same file cut along another axis, or in another unit, is another source."""
    np.save(tmp_path / "volume.npy", np.zeros((8, 8, 8), np.float32))
    texts = [repr(FromImages(Images(tmp_path / "volume.npy", **{"axis": 0, **changed}))) for changed in ({}, {}, other)]
    assert texts[0] == texts[1] != texts[2]


def test_a_damaged_scan_is_named(tmp_path):
    calibrate(BENCH.prior, GAUSSIAN, n_scans=2, draws=4, method=exact(), folder=tmp_path)
    path = tmp_path / "scan-00001.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="scan-00001"):
        calibrate(BENCH.prior, GAUSSIAN, n_scans=2, draws=4, method=exact(), folder=tmp_path)


def test_the_choice_of_quantities_treats_truth_and_draws_alike():
    """Whichever image is called the truth, the same pixels are looked at."""
    stack = normal(5, 1, 9, 8) * (torch.arange(8) > 3)
    first = observe(stack[0], stack[1:], torch.Generator().manual_seed(3))
    second = observe(stack[3], stack[[0, 1, 2, 4]], torch.Generator().manual_seed(3))
    for name in ("pixels", "regions", "blocks"):
        a, b = getattr(first, name), getattr(second, name)
        torch.testing.assert_close(a[[3, 0, 1, 2, 4]], b)
    assert bool((first.pixels != 0).all())  # none of the empty half


def test_complex_images_have_the_quantities_of_their_magnitudes():
    stack = complex_normal(4, 1, 8, 8)
    result = observe(stack[0], stack[1:], torch.Generator().manual_seed(0))
    assert bool((result.pixels >= 0).all())
    torch.testing.assert_close(result.blocks, observe(stack[0].abs(), stack[1:].abs(), torch.Generator()).blocks)


def test_blocks_are_means():
    image = normal(1, 8, 12)
    result = observe(image, image.unsqueeze(0), torch.Generator().manual_seed(0)).blocks[0]
    torch.testing.assert_close(result, image.reshape(4, 2, 4, 3).mean((1, 3)).flatten())
    vector = normal(5)
    torch.testing.assert_close(observe(vector, vector[None], torch.Generator().manual_seed(0)).blocks[1], vector)


def test_truths_of_a_density_are_its_draws_and_those_of_images_come_once_a_pass():
    source = FromDensity(BENCH.prior)
    assert torch.equal(source.draw(3, 1), source.draw(3, 1))
    assert not torch.equal(source.draw(3, 1), source.draw(4, 1))
    many = torch.stack([source.draw(i, 0) for i in range(400)])
    assert bool(
        ((many.mean(0) - BENCH.prior.mean).abs() < 4.5 * (BENCH.prior.covariance.diagonal() / 400).sqrt()).all()
    )
    images = FromImages([torch.full((1, 4, 4), float(i)) for i in range(5)])
    for start in (0, 5):
        assert {float(images.draw(start + i, 0).mean()) for i in range(5)} == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_truths_of_a_walk_have_the_priors_moments():
    prior = DiagonalGaussian(torch.full((1, 2, 2), 3.0), torch.tensor(0.25))
    result = torch.stack([FromWalk(prior, (1, 2, 2)).draw(i, 0) for i in range(60)])
    # 240 numbers of mean 3 and standard deviation 1/2
    assert abs(float(result.mean()) - 3) < 4.5 * 0.5 / 240**0.5
    assert abs(float(result.std()) / 0.5 - 1) < 4.5 / 480**0.5 + 0.02
    scaled = FromWalk(prior, (1, 2, 2), intensity=7.0).draw(2, 0)
    torch.testing.assert_close(scaled, result[2] * 7 / result[2].max())
    empty = DiagonalGaussian(torch.zeros(1, 2, 2), torch.tensor(1e-8))
    with pytest.raises(InputError, match="given images"):
        FromWalk(empty, (1, 2, 2)).draw(0, 0)


@pytest.mark.parametrize(("sizes", "rows", "columns"), [((9, 6), (2, 6), (1, 5)), ((3, 5), (0, 3), (0, 4))])
def test_cropped_truths_are_the_middle_of_the_images(sizes, rows, columns):
    whole = Image(normal(2, *sizes).float(), (2.0, 3.0))
    part = Cropped(FromImages([whole]), 4).draw(0, 0)
    assert torch.equal(part.pixels, whole.pixels[:, slice(*rows), slice(*columns)])
    assert part.spacing == whole.spacing


def test_a_scanner_measures_images_in_their_own_geometry():
    hounsfield = Image(torch.zeros(1, 16, 16), (2.0, 2.0), unit="HU")
    protocol = ParallelCT(views=4)
    truth = Prepared(FromImages([hounsfield]), protocol).draw(0, 0)
    assert torch.equal(truth.pixels, hounsfield.attenuation().pixels)
    given = Scanner(protocol)(truth, 3)
    assert given.operator(truth.pixels[None]).max() > 0.5  # 2 mm pixels of water, 32 mm long: 0.6
    smaller = Scanner(protocol, spacing=1.0)(truth.pixels, 3)
    assert torch.allclose(smaller.operator(truth.pixels[None]) * 2, given.operator(truth.pixels[None]))


def test_learned_priors_calibrate_on_images():
    torch.manual_seed(0)
    prior = Network(UNet(widths=(4, 8), blocks=1), Homogeneous())
    image = torch.rand(1, 16, 16) + 0.1

    def simulate(truth: Tensor, seed: int) -> Measurement:
        noisy = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
        return Measurement(noisy, Identity(tuple(truth.shape)), White(0.1))

    experiment = Experiment(simulate, FromImages([image]))
    result = sf.calibrate(prior, experiment, n_scans=2, draws=2, method=Method(steps=2))
    assert result.pixels.draws.shape == (2, 2, 64)
    assert float(result.numbers("evaluations").min()) >= 3
    with pytest.raises(InputError, match="cannot be sampled exactly"):
        sf.calibrate(prior, simulate)


def test_no_images_are_refused():
    with pytest.raises(InputError, match="no images"):
        FromImages([])


def test_the_verb_is_public():
    assert sf.calibrate is calibrate
    assert sf.recalibrated.__module__.startswith("scorefield.calibration")


@pytest.mark.parametrize("wrong", [{"n_scans": 1}, {"draws": 1}])
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(InputError):
        calibrate(BENCH.prior, GAUSSIAN, **wrong)
