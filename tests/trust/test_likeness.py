"""The likeness check on closed forms: its identity, honest p-values under right models, power against wrong ones."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import math
import re
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scorefield import nets, operators, shipped
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.priors import GaussianMixture, Network
from scorefield.reports import findings, report
from scorefield.samples import Samples
from scorefield.store import checkpoint
from scorefield.trust import (
    LikenessCheck,
    Reference,
    assess,
    likeness_check,
    recorded_likeness,
    reference_of,
    take_reference,
)
from scorefield.trust.assess import UNKNOWN
from scorefield.trust.likeness import FEWEST, LIMIT, PROBE, SIDE, compare
from scorefield.trust.rivals import RIVALS, denoise_by_rival, rivals_of
from support import White as WhitePrior
from support import complex_normal, normal

SIZE = 20


def textured(n: int, variance: float = 1.0, seed: int = 0) -> list[Tensor]:
    return list(math.sqrt(variance) * normal(n, 1, SIZE, SIZE, seed=seed))


@cache
def reference() -> Reference | None:
    return take_reference(WhitePrior(1.0), textured(150), seed=1)


def white() -> WhitePrior:
    prior = WhitePrior(1.0)
    found = reference()
    assert found is not None
    found.attach(prior)
    return prior


def small() -> GaussianMixture:
    means = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    return GaussianMixture(means, torch.ones(1).double(), torch.ones(1).double())


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
    other = GaussianMixture(0 * means, torch.tensor([1.0, 0.2]).double(), torch.tensor([0.4, 0.6]).double())
    generator = torch.Generator().manual_seed(0)
    for level in torch.tensor([0.3, 1.0, 2.0]).double().split(1):
        found = torch.cat([compare(prior, (), prior.rsample(200, generator), level, generator) for _ in range(30)])
        error = float(found.std()) / math.sqrt(30)
        # the finite difference widens the noise by PROBE^2 of its variance, and the expected error by no more
        assert abs(float(found.mean())) < 4 * error + PROBE**2, (level, found.mean(), error)
        if float(level) == 1.0:
            assert float(compare(other, (), prior.rsample(200, generator), level, generator)) > 10 * error


@pytest.mark.parametrize("variance", [0.2, 1.0, 5.0])
def test_no_other_prior_denoises_the_draws_of_a_law_better(variance: float):
    generator, x = torch.Generator().manual_seed(0), math.sqrt(variance) * normal(20, 1, 32, 32, seed=5)
    for level in torch.tensor([0.2, 1.0, 3.0]).double().split(1):
        gain = float(compare(WhitePrior(variance), tuple(RIVALS), x, level, generator)[:-1].min())
        # e_q - e_p is on average the energy of D_q - D_p, far above its noise for white images
        assert gain > 0.02, (level, gain)


def test_a_shipped_prior_gains_nothing_over_itself_and_is_not_its_rival():
    prior = checkpoint.load(shipped.find("photo"))
    x, generator = normal(2, 3, 32, 32, seed=5).float(), torch.Generator().manual_seed(0)
    assert float(compare(prior, ("photo",), x[:, :1], torch.tensor([0.1, 0.5]), generator)[0]) == 0.0
    assert rivals_of(prior) == tuple(name for name in RIVALS if name != "photo")
    assert rivals_of(WhitePrior(1.0)) == tuple(RIVALS)


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_sees_channels_and_parts_one_by_one(name: str):
    x = normal(2, 3, 32, 32, seed=5).float()
    prior = checkpoint.load(shipped.find(name))
    parts = torch.cat([prior.denoise(x[:, i : i + 1], 0.3) for i in range(3)], 1)
    torch.testing.assert_close(denoise_by_rival(name, x, 0.3), parts)
    both = denoise_by_rival(name, torch.complex(x, 2 * x.flip(0)), 0.3)
    torch.testing.assert_close(both, torch.complex(parts, denoise_by_rival(name, 2 * x.flip(0), 0.3)))


@pytest.mark.parametrize("rivals", [("photo",), ("photo", "brain", "body")], ids=len)
@pytest.mark.parametrize("rho", [0.0, 0.9, -0.9])
def test_p_values_are_uniform_whatever_the_laws_of_the_statistics(rho: float, rivals: tuple[str, ...]):
    """Statistics that depend on each other, without moments, each rival in a place and a width of its own."""
    n, repeats, columns = 99, 1500, len(rivals) + 1
    generator = torch.Generator().manual_seed(0)
    mix = torch.eye(columns).double()
    mix[0, -1], mix[-1, -1] = rho, math.sqrt(1 - rho**2)
    width, place = torch.linspace(0.1, 4, columns).double(), torch.linspace(-9, 3, columns).double()
    found = []
    for _ in range(repeats):
        values = torch.empty(n + 1, columns, dtype=torch.float64).cauchy_(generator=generator) @ mix * width + place
        found.append(Reference(values[:n], torch.ones(1), rivals=rivals).place(values[n]).p_value)
    p = torch.tensor(found)
    for a in (0.02, 0.1, 0.3, 0.6):
        share, error = float((p <= a).double().mean()), math.sqrt(a * (1 - a) / repeats)
        assert share < a + 4 * error, (a, share)
        assert share > a - 4 * error - 2 / (n + 1), (a, share)  # an image of each statistic has the same rank


def test_an_image_that_another_kind_of_prior_knows_is_foreign():
    """As good as usual beside photographs, but the prior of CT denoises it as well as this one does."""
    values = normal(200, 3) * torch.tensor([0.05, 0.05, 1.0]).double() + torch.tensor([0.2, 0.3, 0.0]).double()
    reference = Reference(values, torch.ones(1), rivals=("photo", "body"))
    foreign = reference.place(torch.tensor([0.2, 0.0, 0.0]).double())
    assert foreign.p_value <= 2 / 201
    assert (foreign.by_gain, foreign.rival) == (True, 1)
    usual = reference.place(torch.tensor([0.2, 0.3, 0.0]).double())
    assert usual.p_value > 0.3
    # far less than the usual gain over CT of 1.3, though more than any over photographs
    higher = Reference(values + torch.tensor([0.0, 1.0, 0.0]).double(), torch.ones(1), rivals=("photo", "body"))
    assert higher.place(torch.tensor([0.25, 0.6, 0.0]).double()).p_value <= 2 / 201
    said = LikenessCheck(foreign.p_value, 0.0, 0.0, 0.3, 0.0, foreign.by_gain, reference.rivals[foreign.rival])
    assert "error than a prior of CT does" in said.verdict


def test_only_a_small_gain_and_a_large_surprise_are_far_out():
    reference = Reference(normal(200, 2), torch.ones(1))
    extremes = {(-9.0, 0.0): True, (0.0, 9.0): False, (9.0, 0.0): None, (0.0, -9.0): None, (9.0, -9.0): None}
    for value, by_gain in extremes.items():
        p, found, _ = reference.place(torch.tensor(value).double())
        if by_gain is None:
            assert p > 0.3
        else:
            assert p <= 2 / 201
            assert found is by_gain


def test_the_likeness_of_right_scans_is_silent_and_of_wrong_ones_is_not():
    right = p_values(1.0, 60, seed=500)
    # draws of one reference share its 150 images
    for a in (LIMIT, 0.1, 0.3):
        error = math.sqrt(a * (1 - a) * (1 / 60 + 1 / 150))
        assert float((right <= a).double().mean()) < a + 4 * error
    assert float((p_values(4.0, 20, seed=900) < LIMIT).double().mean()) > 0.9


def test_the_verdict_names_the_statistic_that_is_far_out():
    prior = white()
    reference = reference_of(prior)
    assert reference is not None
    # images of 16 times the prior's variance, and sparse ones, which photographs resemble more than white noise does
    sparse = torch.zeros(4, 1, SIZE, SIZE, dtype=torch.float64)
    sparse[..., 7:9, 7:10] = 5
    worse = likeness_check(4 * normal(4, 1, SIZE, SIZE, seed=3), prior, reference)
    plain = likeness_check(sparse, prior, reference)
    fine = likeness_check(normal(4, 1, SIZE, SIZE, seed=4), prior, reference)
    assert worse is not None
    assert plain is not None
    assert fine is not None
    assert worse.surprise > worse.usual_surprise
    assert "surprise" in replace(worse, by_gain=False).verdict
    assert not worse.passed
    assert not plain.passed
    assert plain.by_gain
    assert plain.gain < plain.usual_gain
    assert "hardly knows" in plain.verdict
    assert "more error" in plain.verdict
    assert fine.passed
    assert "No sign" in fine.verdict
    assert replace(fine, gain=fine.usual_gain + 9).passed  # the test is one-sided
    for check in (worse, plain, fine):  # the verdict first, without a number; the numbers behind
        assert check.verdict.startswith(check.words.title)
        assert not re.search(r"\d", check.words.title + check.words.text)
        assert f"p = {check.p_value:.2g}" in check.words.numbers


def test_a_flat_window_is_not_looked_at():
    prior, image = white(), torch.zeros(1, 2 * SIDE, 2 * SIDE, dtype=torch.float64)
    image[:, :, SIDE:] = normal(1, 2 * SIDE, SIDE)
    assert likeness_check(image[None], prior, reference_of(prior)) is not None
    assert likeness_check(0 * image[None] + 1, prior, reference_of(prior)) is None


def test_units_do_not_matter_to_scaled_draws():
    prior = white()
    prior.card = checkpoint.Card("white", amplitude=2.0)
    samples, measurement = scans(1.0, 1, seed=7)[0]
    plain = likeness_check(samples.draws, prior, reference_of(prior))
    scaled = Samples(50 * samples.draws, provenance={"intensity": 100.0})
    given = Measurement(50 * measurement.y, measurement.operator, White(15.0))
    found = assess(scaled, given, prior).likeness
    assert found is not None
    assert plain is not None
    assert list(asdict(found).values()) == pytest.approx(list(asdict(plain).values()))  # fifty halves round


def test_complex_draws_of_a_real_prior_are_compared_by_magnitude():
    prior = white()
    draws = complex_normal(2, 1, SIZE, SIZE)
    given = Measurement(draws[0], operators.Identity((1, SIZE, SIZE)), White(1.0))
    assert assess(Samples(draws), given, prior).likeness == likeness_check(draws.abs(), prior, reference_of(prior))
    lifted = take_reference(prior, list(complex_normal(FEWEST, 1, SIZE, SIZE)), n=10)
    assert lifted is not None
    assert lifted.complex


def test_what_cannot_be_compared_is_said():
    prior = white()
    samples, measurement = scans(1.0, 1, seed=7)[0]
    reference = reference_of(prior)
    assert reference is not None
    assert likeness_check(samples.draws[..., :12], prior, reference) is None
    assert likeness_check(samples.draws, small(), reference) is None
    assert likeness_check(0 * samples.draws, prior, reference) is None
    assert likeness_check(normal(2, 1, 20, 20, 20), prior, reference) is None
    assert take_reference(prior, []) is None
    assert take_reference(prior, textured(FEWEST - 1)) is None
    assert take_reference(prior, FEWEST * [normal(1, 8, 8)]) is None
    assert take_reference(prior, FEWEST * [normal(1, 20, 20, 20)]) is None
    assert take_reference(prior, FEWEST * [torch.ones(1, 20, 20)]) is None
    prior.beside = {}
    trust = assess(samples, measurement, prior)
    assert trust.likeness is None
    assert trust.passed is trust.residual.passed
    assert trust.sentences[1] == UNKNOWN
    with pytest.raises(InputError, match="take it again"):
        Reference(torch.zeros(3, 3), torch.ones(2))


def test_the_reference_travels_with_the_prior(tmp_path: Path):
    prior, own = Network(nets.UNet(widths=(4,), blocks=1), crop=16), reference_of(white())
    assert own is not None
    own.attach(prior)
    checkpoint.save(prior, tmp_path / "p")
    loaded = reference_of(checkpoint.load(tmp_path / "p"))
    assert loaded is not None
    assert torch.equal(loaded.values, own.values)
    assert loaded.complex is False
    torch.testing.assert_close(loaded.levels, own.levels)
    assert loaded.rivals == tuple(RIVALS)
    older = {k: v[:, -2:] if k == "values" else v for k, v in own.tensors().items() if k != "rivals"}
    assert Reference.of(older).rivals == ("photo",)  # before there were others
    file = tmp_path / "p" / "reference.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="restore"):
        checkpoint.load(tmp_path / "p")
    checkpoint.save(prior, tmp_path / "p", beside={"reference": {"values": torch.zeros(2)}})
    with pytest.raises(InputError, match="no reference"):
        reference_of(checkpoint.load(tmp_path / "p"))
    prior.beside = {}
    checkpoint.save(prior, tmp_path / "q")
    assert reference_of(checkpoint.load(tmp_path / "q")) is None


def test_the_report_and_the_record_say_it(tmp_path: Path):
    prior = white()
    for variance, tone in ((1.0, "note"), (9.0, "watch")):
        samples, measurement = scans(variance, 1, seed=40)[0]
        trust = assess(samples, measurement, prior)
        stored = Samples.load(trust.attach(samples).save(tmp_path / "s.safetensors"))
        assert recorded_likeness(stored.provenance) == trust.likeness
        assert "trust" not in stored.merge(samples).provenance  # of the first ones' draws, not of all
        assert trust.likeness is not None
        assert findings.likeness(trust.likeness).tone == tone
        page = report(trust.attach(samples), measurement, path=tmp_path / "r.html").read_text()
        assert findings.likeness(trust.likeness).title.replace("'", "&#39;") in page
    assert recorded_likeness({}) is None


def test_draws_of_double_data_are_looked_at_in_the_precision_of_the_network():
    """Data from numpy are double, shipped networks single."""
    prior = checkpoint.load(shipped.find("photo"))
    x = torch.rand(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    one, other = (likeness_check(draws, prior, reference_of(prior)) for draws in (x, x.double()))
    assert one == other
