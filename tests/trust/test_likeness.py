"""The likeness check on closed forms: its identity, honest p-values under right models, power against wrong ones."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scorefield import checkpoint, nets, operators
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.priors import GaussianMixture, Network
from scorefield.report import findings, report
from scorefield.samples import Samples
from scorefield.trust import LikenessCheck, Reference, assess, likeness_check, recorded_likeness, take_reference
from scorefield.trust.assess import UNKNOWN
from scorefield.trust.likeness import LIMIT, PROBE, surplus
from support import White as WhitePrior
from support import complex_normal, normal

SIZE = 20


def textured(n: int, variance: float = 1.0, seed: int = 0) -> list[Tensor]:
    return list(math.sqrt(variance) * normal(n, 1, SIZE, SIZE, seed=seed))


def white() -> WhitePrior:
    prior = WhitePrior(1.0)
    prior.reference = take_reference(prior, textured(150), seed=1)
    return prior


def scans(variance: float, n: int, *, seed: int) -> list[tuple[Samples, Measurement]]:
    """Truths of ``variance``, seen through the identity, and exact posterior draws of the prior N(0, I)."""
    std, found = 0.3, []
    for truth in textured(n, variance, seed):
        y = truth + std * normal(*truth.shape, seed=seed + len(found) + 1)
        v = std**2
        noise = normal(3, *truth.shape, seed=seed + len(found) + 10_000)
        draws = y / (1 + v) + math.sqrt(v / (1 + v)) * noise
        found.append((Samples(draws), Measurement(y, operators.Identity(tuple(truth.shape)), White(std))))
    return found


def p_values(variance: float, n: int, *, seed: int) -> Tensor:
    prior = white()
    checks = [assess(samples, measurement, prior).likeness for samples, measurement in scans(variance, n, seed=seed)]
    return torch.tensor([check.p_value for check in checks if check])


def test_a_prior_expects_the_error_that_it_makes_on_its_own_draws():
    means = torch.stack([torch.zeros(1, 4, 4), 2 * torch.eye(4)[None]]).double()
    prior = GaussianMixture(means, torch.tensor([1.0, 0.2]).double(), torch.tensor([0.4, 0.6]).double())
    generator, levels = torch.Generator().manual_seed(0), torch.tensor([0.3, 1.0, 2.0]).double()
    found = torch.stack([surplus(prior, prior.rsample(400, generator), levels, generator) for _ in range(40)])
    error = found.std(0) / math.sqrt(40)
    # the finite difference widens the noise by PROBE^2 of its variance, and the expected error by no more
    assert bool((found.mean(0).abs() < 4 * error + PROBE**2).all()), (found.mean(0), error)
    other = GaussianMixture(0 * means, torch.tensor([1.0, 0.2]).double(), torch.tensor([0.4, 0.6]).double())
    assert float(surplus(other, prior.rsample(400, generator), levels, generator)[1]) > 20 * float(error[1])


@pytest.mark.parametrize("levels", [1, 3])
def test_p_values_are_uniform_whatever_the_law_of_the_statistic(levels: int):
    n, repeats = 99, 1500
    generator = torch.Generator().manual_seed(0)
    mix = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.3, 0.9, 0.4]]).double()[:levels, :levels]
    found = []
    for _ in range(repeats):
        values = torch.empty(n + 1, levels, dtype=torch.float64).cauchy_(generator=generator) @ mix.T
        reference = Reference(values[:n], torch.arange(1.0, levels + 1).double(), 16)
        found.append(reference.place(values[n])[0])
    p = torch.tensor(found)
    for a in (0.02, 0.1, 0.3, 0.6):
        share, error = float((p <= a).double().mean()), math.sqrt(a * (1 - a) / repeats)
        assert share < a + 4 * error, (a, share)
        assert share > a - 4 * error - 2 / (n + 1), (a, share)  # ties of the ranks cost up to one more image


def test_the_likeness_of_right_scans_is_silent_and_of_wrong_ones_is_not():
    right = p_values(1.0, 120, seed=500)
    # draws of one reference share its 150 images
    for a in (LIMIT, 0.1, 0.3):
        error = math.sqrt(a * (1 - a) * (1 / 120 + 1 / 150))
        assert float((right <= a).double().mean()) < a + 4 * error
    assert float((p_values(4.0, 30, seed=900) < LIMIT).double().mean()) > 0.9


def test_surprise_has_the_sign_of_the_error():
    prior = white()
    reference = prior.reference
    # images of 16 times the prior's variance, and sparse ones, of high intensity and so of high noise
    sparse = torch.zeros(4, 1, SIZE, SIZE, dtype=torch.float64)
    sparse[..., 7:9, 7:10] = 5
    worse = likeness_check(4 * normal(4, 1, SIZE, SIZE, seed=3), prior, reference)
    better = likeness_check(sparse, prior, reference)
    assert worse is not None
    assert better is not None
    assert worse.surprise > 0.9
    assert better.surprise < -0.9
    assert "worse" in worse.verdict
    assert "better" in better.verdict
    assert "narrow" in worse.verdict
    assert not worse.passed
    assert not better.passed


def test_p_values_of_dependent_draws_are_joined_validly():
    assert LikenessCheck((0.03,), 0.0).p_value == pytest.approx(0.03)
    assert LikenessCheck((0.2, 0.03), 0.0).p_value == pytest.approx(0.06)
    assert LikenessCheck((0.9, 0.03, 0.1), 0.0).p_value == pytest.approx(0.15)
    assert LikenessCheck((0.03,) * 4, 0.0).p_value == pytest.approx(0.06)
    assert LikenessCheck((0.9,) * 4, 0.0).p_value == 1.0
    for same in (True, False):  # one p-value four times, and four independent ones
        uniform = torch.rand(4000, 4, generator=torch.Generator().manual_seed(0))
        uniform = uniform[:, :1].expand(-1, 4) if same else uniform
        joined = torch.tensor([LikenessCheck(tuple(row), 0.0).p_value for row in uniform.tolist()])
        for a in (0.02, 0.1, 0.5):
            assert float((joined <= a).double().mean()) < a + 4 * math.sqrt(a * (1 - a) / 4000)


def test_units_do_not_matter_to_scaled_draws():
    prior = white()
    prior.card = checkpoint.Card("white", amplitude=2.0)
    samples, measurement = scans(1.0, 1, seed=7)[0]
    plain = likeness_check(samples.draws, prior, prior.reference)
    scaled = Samples(50 * samples.draws, provenance={"intensity": 100.0})
    given = Measurement(50 * measurement.y, measurement.operator, White(15.0))
    found = assess(scaled, given, prior).likeness
    assert found is not None
    assert plain is not None
    assert found.p_values == plain.p_values


def test_complex_draws_of_a_real_prior_are_compared_by_magnitude():
    prior = white()
    draws = complex_normal(2, 1, SIZE, SIZE)
    given = Measurement(draws[0], operators.Identity((1, SIZE, SIZE)), White(1.0))
    assert assess(Samples(draws), given, prior).likeness == likeness_check(draws.abs(), prior, prior.reference)
    lifted = take_reference(prior, list(complex_normal(20, 1, SIZE, SIZE)), n=10)
    assert lifted is not None
    assert lifted.complex


def test_what_cannot_be_compared_is_said():
    prior = white()
    samples, measurement = scans(1.0, 1, seed=7)[0]
    reference = prior.reference
    assert likeness_check(samples.draws[..., :12], prior, reference) is None
    assert likeness_check(0 * samples.draws, prior, reference) is None
    assert likeness_check(normal(2, 1, 20, 20, 20), prior, reference) is None
    assert take_reference(prior, []) is None
    assert take_reference(prior, [normal(1, 8, 8)]) is None
    assert take_reference(prior, [normal(1, 20, 20, 20)]) is None
    assert take_reference(prior, [torch.ones(1, 20, 20)], n=5) is None
    prior.reference = None
    trust = assess(samples, measurement, prior)
    assert trust.likeness is None
    assert trust.passed is trust.residual.passed
    assert trust.sentences[1] == UNKNOWN
    with pytest.raises(InputError, match="take it again"):
        Reference(torch.zeros(3, 2), torch.ones(2), 16)


def test_the_reference_travels_with_the_prior(tmp_path: Path):
    prior = Network(nets.UNet(widths=(4,), blocks=1), crop=16)
    prior.reference = white().reference
    checkpoint.save(prior, tmp_path / "p")
    loaded = checkpoint.load(tmp_path / "p").reference
    torch.testing.assert_close(loaded.values, prior.reference.values, rtol=1e-6, atol=1e-7)
    assert (loaded.side, loaded.complex) == (SIZE, False)
    torch.testing.assert_close(loaded.levels, prior.reference.levels)
    (tmp_path / "p" / checkpoint.REFERENCE).write_bytes(b"nothing")
    with pytest.raises(InputError, match="restore"):
        checkpoint.load(tmp_path / "p")
    checkpoint.write_tensors({"values": torch.zeros(2)}, tmp_path / "p" / checkpoint.REFERENCE)
    with pytest.raises(InputError, match="no reference"):
        checkpoint.load(tmp_path / "p")
    prior.reference = None
    checkpoint.save(prior, tmp_path / "q")
    assert checkpoint.load(tmp_path / "q").reference is None


def test_the_report_and_the_record_say_it(tmp_path: Path):
    prior = white()
    for variance, tone in ((1.0, "note"), (9.0, "watch")):
        samples, measurement = scans(variance, 1, seed=40)[0]
        trust = assess(samples, measurement, prior)
        assert recorded_likeness({"trust": trust.record()}) == trust.likeness
        assert trust.likeness is not None
        assert findings.kind(trust.likeness).tone == tone
        page = report(samples, measurement, path=tmp_path / "r.html", likeness=trust.likeness).read_text()
        assert findings.kind(trust.likeness).title.replace("'", "&#39;") in page
    assert recorded_likeness({}) is None
