"""Subsamples and summaries agree with all draws: exactly where they promise it, else within their error."""

from __future__ import annotations

import math

import pytest
import torch
from benches import tb_g

from scorefield.errors import InputError
from scorefield.kernels import Ancestral
from scorefield.priors import AsComplex, DiagonalGaussian
from scorefield.reconstruction.pipeline import reconstruct
from scorefield.runs.cost import Cost
from scorefield.samples import All, OnDisk, Reservoir, Running, Samples, Subsample, Summary
from scorefield.samples.keep import Sampling
from scorefield.sampling import sample
from scorefield.schedules import Karras
from scorefield.start import begin

BENCH = tb_g()
SIGMAS = Karras(0.05, 5.0).grid(4)
LIKE = torch.empty(0, dtype=torch.float64)
COST = Cost()


def drawn(keep=None, *, n: int = 40, batch: int | None = 7, seed: int = 3):
    keep = (keep or All()).with_batch(batch)
    return sample(BENCH.prior, Ancestral(), SIGMAS, n=n, seed=seed, like=LIKE, keep=keep)


def sampled(keep, complex_images: bool):
    """The result of a sampling of nine images (1, 4, 4)."""
    prior = DiagonalGaussian(torch.zeros(1 + complex_images, 4, 4).double(), torch.tensor(1.0).double())
    like = torch.empty((1, 4, 4), dtype=torch.complex128 if complex_images else torch.float64)
    prior = AsComplex(prior) if complex_images else prior
    return sample(prior, Ancestral(), SIGMAS, n=9, seed=1, like=like, keep=keep)


def about_to_begin(seed: int, n: int) -> Sampling:
    return Sampling(BENCH.prior, Ancestral(), begin, {"seed": seed}, n, torch.device("cpu"))


def everything(tmp_path):
    return [All(), OnDisk(tmp_path / "draws.safetensors"), Running(), Reservoir(5)]


def test_by_default_a_sampling_stores_all_draws():
    found = drawn(All())
    assert isinstance(found, Samples)
    assert torch.equal(found.draws, drawn().draws)


def test_moments_cost_and_origin_are_the_same_for_every_keep(tmp_path):
    whole = drawn()
    for keep in everything(tmp_path):
        found = drawn(keep)
        torch.testing.assert_close(found.mean, whole.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.std, whole.std, rtol=1e-12, atol=1e-12)
        assert (found.cost.forward, found.cost.draws) == (whole.cost.forward, 40)
        assert found.provenance.items() >= whole.provenance.items()


@pytest.mark.parametrize("level", [0.0, 0.5, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("n", [2, 3, 19, 40])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_running_intervals_are_those_of_all_draws_to_the_bit(level, n, batch):
    whole, found = drawn(n=n, batch=batch), drawn(Running(level), n=n, batch=batch)
    assert len(found) == n
    for asked in {level, 0.9, 0.95, 0.999} - {0.0}:
        if asked >= level:
            for mine, theirs in zip(found.interval(asked), whole.interval(asked), strict=True):
                assert torch.equal(mine, theirs)
    if level == 0:
        assert torch.equal(found.quantile(0.5), whole.quantile(0.5))
    assert len(found.lowest) == len(found.highest) <= math.floor((n + 1) * (1 - level) / 2 + 1e-9) + 2


def test_a_summary_refuses_a_quantile_inside_its_level():
    found = drawn(Running(0.9))
    with pytest.raises(InputError, match=r"keep=Running\(level=0.4\)"):
        found.quantile(0.7)
    drawn(Running(0.4)).quantile(0.7)
    for bad in (0.0, 1.0):
        with pytest.raises(InputError, match="0 < q < 1"):
            found.quantile(bad)


def test_running_quantiles_of_complex_images_are_of_the_magnitude():
    whole, found = (sampled(keep, complex_images=True) for keep in (All(batch=4), Running(batch=4)))
    assert torch.equal(found.interval(0.9)[1], whole.interval(0.9)[1])
    assert found.mean.is_complex()


def test_a_reservoir_holds_draws_of_the_sampling():
    whole, found = drawn(), drawn(Reservoir(5))
    places = [(whole.draws == draw).all(1).nonzero().item() for draw in found.draws]
    assert len(set(places)) == len(found) == 5
    assert found.provenance["subsample"] == {"draws": 40, "size": 5}
    assert torch.equal(drawn(Reservoir(5), batch=7).draws, found.draws)
    assert len(drawn(Reservoir(50))) == 40


def test_each_draw_is_in_the_reservoir_equally_often():
    """k of n draws: a draw is among them with probability k / n, over seeds, within four standard errors."""
    n, k, runs = 12, 4, 1500
    keepers = torch.zeros(n)
    numbers = torch.arange(float(n)).reshape(n, 1)
    for seed in range(runs):
        run = Reservoir(k).begin(about_to_begin(seed, n))
        for first in range(0, n, 5):
            run.add(first, numbers[first : first + 5], COST)
        keepers[run.result(COST).draws.long().flatten()] += 1
    share = k / n
    assert (keepers.sum() == runs * k).item()
    assert (keepers / runs - share).abs().max().item() < 4 * math.sqrt(share * (1 - share) / runs)


@pytest.mark.parametrize("complex_images", [False, True])
def test_a_file_of_a_subsample_gives_back_the_moments_of_all_draws(complex_images, tmp_path):
    found = sampled(Reservoir(3, batch=4), complex_images)
    path = found.save(tmp_path / "s")
    for back in (Samples.load(path), Subsample.load(path)):
        assert isinstance(back, Subsample)
        assert torch.equal(back.draws, found.draws)
        assert torch.equal(back.mean, found.mean)
        assert torch.equal(back.std, found.std)
        assert (back.moments.count, back.cost, back.provenance) == (9, found.cost, found.provenance)


def test_a_file_of_draws_is_no_subsample(tmp_path):
    path = drawn().save(tmp_path / "s")
    with pytest.raises(InputError, match="it holds Samples, not Subsample"):
        Subsample.load(path)


@pytest.mark.parametrize("complex_images", [False, True])
def test_a_file_of_a_summary_gives_back_every_bit(complex_images, tmp_path):
    found = sampled(Running(0.8, batch=4), complex_images)
    assert found.save(tmp_path / "s") == tmp_path / "s"
    back = Summary.load(tmp_path / "s")
    assert len(back) == 9
    for mine, theirs in zip((back.mean, back.std, *back.interval(0.8)), (found.mean, found.std, *found.interval(0.8)),
                            strict=True):  # fmt: skip
        assert torch.equal(mine, theirs)
    assert (back.cost, back.provenance) == (found.cost, found.provenance)


def test_other_files_are_no_summary(tmp_path):
    path = drawn().save(tmp_path / "s")
    for file in (path, tmp_path / "missing"):
        with pytest.raises(InputError, match="cannot be read as a summary of draws"):
            Summary.load(file)


def test_subsamples_are_not_merged():
    with pytest.raises(InputError, match=r"keep=All\(\)"):
        drawn(Reservoir(5)).merge(drawn(Reservoir(5), seed=4))


def test_a_reconstruction_takes_the_same_keep():
    options = {"n": 9, "seed": 2}
    given = BENCH.measurement
    whole, found = (
        reconstruct(BENCH.prior, given, **options),
        reconstruct(BENCH.prior, given, **options, keep=Running()),
    )
    assert torch.equal(found.interval(0.9)[0], whole.interval(0.9)[0])
    assert found.provenance == whole.provenance
    assert found.provenance["intensity"] > 0


@pytest.mark.parametrize("bad", [lambda: Running(1.0), lambda: Running(-0.1), lambda: Reservoir(0)])
def test_bad_arguments_are_refused(bad):
    with pytest.raises(InputError, match="got"):
        bad()


def test_the_old_name_of_the_argument_is_taken(tmp_path):
    keep = OnDisk(tmp_path / "draws.safetensors")
    found = sample(BENCH.prior, Ancestral(), SIGMAS, n=2, seed=3, like=LIKE, partial=keep)
    assert keep.path.exists()
    assert torch.equal(found.draws, drawn(n=2, batch=None).draws)
    assert len(sample(BENCH.prior, Ancestral(), SIGMAS, n=2, seed=3, like=LIKE, partial=None)) == 2


@pytest.mark.parametrize("old", ["keep", "partial"])
def test_the_name_of_a_file_is_refused(old):
    with pytest.raises(InputError, match="OnDisk"):
        sample(BENCH.prior, Ancestral(), SIGMAS, n=2, **{old: "draws.safetensors"})
    with pytest.raises(InputError, match="OnDisk"):
        reconstruct(BENCH.prior, BENCH.measurement, n=2, **{old: "draws.safetensors"})
