"""Samples: statistics with the coverage they state, files that give back every bit, sums that add up."""

from __future__ import annotations

import inspect
import json
import math

import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import chi2

from scorefield.errors import InputError
from scorefield.kernels import DPMpp2M
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.posteriors import MMPS
from scorefield.priors.gaussian import DiagonalGaussian
from scorefield.runs.cost import Cost
from scorefield.runs.moments import Moments
from scorefield.runs.provenance import outline
from scorefield.samples import Running, Samples
from scorefield.samples.keep import Sampling
from scorefield.sampling import sample
from scorefield.schedules import Karras
from scorefield.start import begin
from support import complex_normal, normal

PIXELS = 100_000


# --- quantiles and intervals


@pytest.mark.parametrize(("n", "level"), [(19, 0.9), (39, 0.95), (9, 0.6)])
def test_coverage_is_exact_at_whole_positions(n, level):
    """Where (n + 1) q is whole, exchangeability alone fixes the coverage, whatever the law."""
    draws = normal(n + 1, PIXELS).exp()
    low, high = Samples(draws[:-1]).interval(level)
    inside = ((draws[-1] >= low) & (draws[-1] <= high)).double().mean().item()
    assert inside == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / PIXELS))


def test_coverage_of_sixteen_uniform_draws():
    """n = 16, level 0.9: the ends lie a = 0.15 gaps outside the outermost draws, cut by the law's own ends.

    P(below) = E[(u1 - a (u2 - u1))+] = E[u2] / (2 (1 + a)) with E[u2] = 2/17, since u1/u2 is uniform.
    """
    draws = torch.rand(17, PIXELS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = Samples(draws[:-1]).interval(0.9)
    expected = 1 - 2 * (2 / 17) / (2 * 1.15)
    below, above = (draws[-1] < low).double().mean().item(), (draws[-1] > high).double().mean().item()
    assert 1 - below - above == pytest.approx(expected, abs=4 * math.sqrt(0.09 / PIXELS))
    assert below == pytest.approx(above, abs=4 * math.sqrt(0.1 / PIXELS))
    assert expected == pytest.approx(0.9, abs=0.003)


def test_quantiles_between_draws():
    draws = torch.tensor([[3.0], [1.0], [2.0]], dtype=torch.float64)
    samples = Samples(draws)
    for q, expected in [(0.25, 1), (0.5, 2), (0.75, 3), (0.375, 1.5), (0.1, 0.4), (0.95, 3.8)]:
        assert samples.quantile(q).item() == pytest.approx(expected)
    low, high = samples.interval(0.5)
    assert (low.item(), high.item()) == (1, 3)


def test_sixteen_draws_of_a_posterior_rank_and_cover():
    """Simulation-based calibration: 4096 independent pixels, truth from the prior, draws by moment matching."""
    shape, n = (1, 64, 64), 16
    law = DiagonalGaussian(normal(*shape, seed=1), 0.2 + normal(*shape, seed=2).square())
    truth = law.rsample(1, torch.Generator().manual_seed(3))
    noise = White(0.6)
    y = truth + noise.sample(truth, torch.Generator().manual_seed(4))
    posterior = MMPS(law, Measurement(y, Identity(shape), noise), iterations=20, tolerance=1e-4)
    drawn = sample(posterior, DPMpp2M(), Karras(0.01, 15.0).grid(30), n=n, seed=5, like=truth)
    ranks = (drawn.draws < truth).sum(0).flatten()
    expected = 4096 / (n + 1)
    statistic = float((torch.bincount(ranks, minlength=n + 1) - expected).square().sum() / expected)
    assert statistic < chi2(n).ppf(0.999)
    low, high = drawn.interval(0.9)
    inside = ((truth[0] >= low) & (truth[0] <= high)).double().mean().item()
    assert inside == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 4096))


def test_complex_draws_have_quantiles_of_the_magnitude():
    draws = complex_normal(9, 4)
    assert torch.equal(Samples(draws).quantile(0.3), Samples(draws.abs()).quantile(0.3))


def test_the_ends_of_nineteen_draws_are_their_90_percent_interval():
    low, high = Samples(normal(19, 50)).interval(0.9)
    draws = normal(19, 50)
    torch.testing.assert_close(low, draws.amin(0), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(high, draws.amax(0), rtol=1e-12, atol=1e-14)


def test_nineteen_draws_are_the_default_everywhere():
    from scorefield.cli.demo import DemoOptions
    from scorefield.cli.reconstruct import ReconstructOptions
    from scorefield.reconstruction.pipeline import reconstruct

    defaults = [options.model_fields["draws"].default for options in (DemoOptions, ReconstructOptions)]
    assert [*defaults, inspect.signature(reconstruct).parameters["n"].default] == [19, 19, 19]


@pytest.mark.parametrize("n", [2, 16])
def test_the_bounds_of_a_magnitude_are_never_below_zero(n):
    draws = 1e-3 * complex_normal(n, 400)
    assert float(Samples(draws).quantile(0.01).min()) == 0.0  # few draws are extrapolated
    keeper = Running(0.9).begin(Sampling(DiagonalGaussian(draws[0].real, torch.tensor(1.0)), DPMpp2M(), begin, {}, n,
                                         draws.device))  # fmt: skip
    keeper.add(0, draws, Cost())
    assert torch.equal(keeper.result(Cost()).quantile(0.01), Samples(draws).quantile(0.01))


def test_magnitudes_are_samples_of_the_magnitude():
    draws, theta = complex_normal(5, 3), {"theta": normal(5, 1)}
    samples = Samples(draws, nuisance=theta)
    assert torch.equal(samples.magnitudes.draws, draws.abs())
    assert samples.magnitudes.nuisance == theta
    real = Samples(normal(5, 3))
    assert real.magnitudes is real


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, math.nan])
def test_bad_quantiles_are_refused(q):
    with pytest.raises(InputError, match="0 < q < 1"):
        Samples(normal(3, 2)).quantile(q)


# --- moments


@pytest.mark.parametrize("draw", [normal, complex_normal])
def test_moments_in_pieces_are_those_of_the_whole(draw):
    draws = 1e3 + draw(23, 2, 3)  # far from 0: a naive sum of squares would lose half the digits
    streamed = Moments().update(draws[:1]).update(draws[1:9])
    streamed.merge(Moments().update(draws[9:]))
    spread = (draws - draws.mean(0)).abs().square().sum(0) / 22
    assert streamed.count == 23
    torch.testing.assert_close(streamed.mean, draws.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(streamed.std, spread.sqrt(), rtol=1e-11, atol=0)
    torch.testing.assert_close(Samples(draws).std, spread.sqrt(), rtol=1e-11, atol=0)
    torch.testing.assert_close(Samples(draws).mean, draws.mean(0), rtol=0, atol=0)


def test_one_draw_has_no_spread():
    single = Samples(normal(1, 2))
    for ask in (lambda: single.std, lambda: single.quantile(0.5), lambda: Moments().std):
        with pytest.raises(InputError, match="at least 2 draws"):
            ask()
    assert len(single) == 1


@pytest.mark.parametrize("draws", [torch.zeros(0, 3), torch.zeros(3), torch.tensor(1.0)])
def test_no_draws_are_refused(draws):
    with pytest.raises(InputError, match="n >= 1"):
        Samples(draws)


# --- together


def run(seed: object, n: int = 2, **origin: object) -> Samples:
    provenance = {"prior": "p", "seed": seed, "batch": n, **origin}
    return Samples(normal(n, 3), Cost(2 * n, n, 3, 0.5, 10.0 * n, n), provenance)


def test_merging_adds_draws_and_costs():
    one, two = run(1), run(2, n=3)
    both = one.merge(two)
    assert torch.equal(both.draws, torch.cat([one.draws, two.draws]))
    assert both.cost == Cost(10, 5, 6, 1.0, 30.0, 5)
    assert both.provenance["seed"] == [1, 2]
    assert both.provenance["prior"] == "p"
    assert both.merge(run(3)).provenance["seed"] == [1, 2, 3]


def test_merging_of_real_runs_of_different_sizes():
    law = DiagonalGaussian(torch.zeros(2), torch.tensor(1.0))
    runs = [sample(law, DPMpp2M(), Karras(0.1, 3.0).grid(3), n=n, seed=n) for n in (2, 3)]
    assert len(runs[0].merge(runs[1])) == 5


def test_merging_keeps_the_versions_of_both():
    old, new = {"torch": "2.0"}, {"torch": "2.9"}
    both = run(1, versions=old).merge(run(2, versions=new))
    assert both.provenance["versions"] == [old, new]
    assert both.merge(run(3, versions=old)).provenance["versions"] == [old, new]
    assert run(1, versions=old).merge(run(2, versions=old)).provenance["versions"] == old
    assert run(1).merge(run(2, versions=new)).provenance["versions"] == new


def test_merging_of_a_kernel_that_has_got_a_field_since():
    """A description without a field that has its default today is of the same kernel, in either order."""
    today = outline(DPMpp2M())
    assert isinstance(today, dict)
    before = {**today, "fields": {}}
    one, two = run(1, kernel=before), run(2, kernel=today)
    assert len(one.merge(two)) == len(two.merge(one)) == 4
    with pytest.raises(InputError, match="'kernel'"):
        one.merge(run(2, kernel=outline(DPMpp2M(1.0))))


@pytest.mark.parametrize(
    ("one", "two", "match"),
    [
        (run(1), run(1), "seed 1"),
        (run([1, 2]), run(2), "seed 2"),
        (run(1), run(2, prior="q"), "'prior'"),
        (run(1, more=3), run(2), "'more'"),
        (run(1), Samples(normal(2, 4)), "shapes"),
    ],
)
def test_samples_of_different_laws_are_not_merged(one, two, match):
    with pytest.raises(InputError, match=match):
        one.merge(two)


# --- files

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_gives_back_every_bit(dtype, tmp_path):
    draws = (complex_normal(3, 1, 4, 5) if dtype.is_complex else normal(3, 1, 4, 5)).to(dtype)
    samples = Samples(draws, Cost(1, 2, 3, 0.1, 5.5, 3), {"seed": 7, "of": {"x": [1.5, None]}})
    assert samples.save(tmp_path / "s.samples") == tmp_path / "s.samples"
    back = Samples.load(tmp_path / "s.samples")
    assert back.draws.dtype == dtype
    assert torch.equal(back.draws, draws)
    assert back.cost == samples.cost
    assert dict(back.provenance) == dict(samples.provenance)


@pytest.mark.parametrize("view", [lambda x: x.conj(), lambda x: x.mT, lambda x: x[:, ::2]])
def test_a_view_is_saved_with_its_numbers(view, tmp_path):
    draws = view(complex_normal(3, 4, 5))
    Samples(draws).save(tmp_path / "s")
    assert torch.equal(Samples.load(tmp_path / "s").draws, draws)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = Samples(normal(2, 3)).save(tmp_path / "s")
    before = path.read_bytes()
    with pytest.raises(TypeError):
        Samples(normal(2, 3), provenance={"not json": object()}).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def foreign(path, metadata):
    save_file({"draws": torch.zeros(2, 3)}, path, metadata=metadata)


COST = {"forward": 1, "backward": 0, "operator": 0, "seconds": 0.0, "peak_memory_mb": 0.0, "draws": 1}
DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "cut header": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "other program": lambda path: foreign(path, None),
    "no json": lambda path: foreign(path, {"scorefield.samples": "{"}),
    "a number": lambda path: foreign(path, {"scorefield.samples": "3"}),
    "no fields": lambda path: foreign(path, {"scorefield.samples": "{}"}),
    "other cost": lambda path: foreign(
        path, {"scorefield.samples": json.dumps({"complex": False, "cost": {"euros": 3}, "provenance": {}})}
    ),
    "not pairs": lambda path: foreign(
        path, {"scorefield.samples": json.dumps({"complex": True, "cost": COST, "provenance": {}})}
    ),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_refused_in_one_sentence(damage, tmp_path):
    path = Samples(normal(2, 3)).save(tmp_path / "s.samples")
    damage(path)
    with pytest.raises(InputError, match=r"s\.samples cannot be read as samples") as caught:
        Samples.load(path)
    assert "\n" not in str(caught.value)
