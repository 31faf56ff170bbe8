"""Predictions of data that were left out: z-scores of exact draws are standard normal, and wrong models are noticed."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import pytest
import torch

from scorefield import scans
from scorefield.data import Frame
from scorefield.errors import InputError
from scorefield.measurement import Measurement
from scorefield.noise import Colored, PoissonEmission, Weighted, White
from scorefield.operators import Matrix
from scorefield.priors import Gaussian
from scorefield.randomness import normal_like
from scorefield.reconstruction.method import Method
from scorefield.reports import report
from scorefield.samples import Samples
from scorefield.scans import Cartesian
from scorefield.trust import PredictionCheck, assess, compare_predictions, prediction_check, z_scores
from support import complex_normal, normal

PIXELS, SEEN, UNSEEN = 12, 10, 6
NOISE = 0.3


@functools.cache
def model(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """A random matrix, the root of a Gaussian prior, and of its posterior given the seen rows the gain and the root."""
    root, A = normal(PIXELS, PIXELS, seed=1) / 3, normal(SEEN + UNSEEN, PIXELS, seed=2)
    covariance = root @ root.mT + 0.1 * torch.eye(PIXELS, dtype=torch.float64)
    cross = covariance @ A[:SEEN].mT
    gain = cross @ torch.linalg.inv(A[:SEEN] @ cross + NOISE**2 * torch.eye(SEEN, dtype=torch.float64))
    roots = torch.linalg.cholesky(covariance), torch.linalg.cholesky(covariance - gain @ cross.mT)
    return tuple(part.to(dtype) for part in (A, roots[0], gain, roots[1]))


def problem(seed: int, n: int, dtype: torch.dtype = torch.float64) -> tuple[Samples, Measurement]:
    """Exact draws given the seen rows, and the unseen rows with their data."""
    A, before, gain, after = model(dtype)
    generator = torch.Generator().manual_seed(seed)
    white = normal_like(torch.empty(n + 1, PIXELS, dtype=dtype), generator)
    noise = NOISE * normal_like(torch.empty(1, SEEN + UNSEEN, dtype=dtype), generator)
    y = (white[:1] @ before.mT) @ A.mT + noise
    draws = y[:, :SEEN] @ gain.mT + white[1:] @ after.mT
    return Samples(draws), Measurement(y[:, SEEN:], Matrix(A[SEEN:]), White(NOISE))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_z_scores_of_exact_draws_are_standard_normal(dtype: torch.dtype):
    """Over scans: mean 0 and variance 1 within four standard errors, and the share beyond 1.96 is 5 %."""
    z = torch.stack([z_scores(*problem(seed, 300, dtype)) for seed in range(150)])
    assert z.shape[1] == UNSEEN * (2 if dtype.is_complex else 1)
    means, squares, tails = z.mean(1), z.square().mean(1), (z.abs() > 1.96).double().mean(1)
    for values, wanted in ((means, 0.0), (squares, 1.0), (tails, 0.05)):
        assert abs(float(values.mean()) - wanted) < 4 * float(values.std()) / math.sqrt(len(values))


def test_the_z_score_of_two_draws():
    """Predictions 1 and 3 of noise-free data, noise 2: in units of it mean 1, variance 1/2, so v = 1 + 1.5 / 2."""
    unit = Matrix(torch.ones(1, 1, dtype=torch.float64))
    samples = Samples(torch.tensor([[1.0], [3.0]], dtype=torch.float64))
    z = z_scores(samples, Measurement(torch.tensor([[6.0]], dtype=torch.float64), unit, White(2.0)))
    assert z.item() == pytest.approx((3 - 1) / math.sqrt(1.75))


def test_few_draws_are_allowed_for():
    """Draws and data are exchangeable: what is usual among few draws is usual for the data, whatever their number."""
    checks = [compare_predictions(*problem(seed, 5), seed=seed) for seed in range(150)]
    logs = torch.tensor([math.log(check.ratio) for check in checks])
    assert abs(float(logs.mean())) < 4 * float(logs.std()) / math.sqrt(len(logs)) + 0.02
    alarms = sum(not (check.chance[0] <= check.ratio <= check.chance[1]) for check in checks)
    assert alarms <= 4  # 0.0027 of 150 is 0.4; the logarithm is not quite normal


def test_z_scores_grow_with_an_error_of_the_model():
    """A wrong operator of the unseen data: the squares grow with the error, each time by more than chance."""
    error, squares = normal(UNSEEN, PIXELS, seed=9), []
    for seed in range(60):
        samples, unseen = problem(seed, 100)
        operators = [Matrix(model(torch.float64)[0][SEEN:] + size * error) for size in (0.0, 0.3, 1.0)]
        scans = [Measurement(unseen.y, operator, unseen.noise) for operator in operators]
        squares.append(torch.stack([z_scores(samples, scan).square().mean() for scan in scans]))
    growth = torch.stack(squares).diff(dim=1)
    assert bool((growth.mean(0) > 4 * growth.std(0) / math.sqrt(len(growth))).all())


@pytest.mark.parametrize(("stated", "words"), [(1 / 3, "worse than they claim"), (3.0, "better than they claim")])
def test_wrong_noise_is_noticed(stated: float, words: str):
    draws = 5 + 0.1 * normal(19, 2000, seed=1)
    y = 5 + 0.1 * normal(1, 2000, seed=2) + normal(1, 2000, seed=3)
    unit = Matrix(torch.eye(2000, dtype=torch.float64))
    fine = compare_predictions(Samples(draws), Measurement(y, unit, White(1.0)))
    assert fine.passed
    assert "did not see" in str(fine.words)
    wrong = compare_predictions(Samples(draws), Measurement(y, unit, White(stated)))
    assert not wrong.passed
    assert words in str(wrong.words)
    assert wrong.ratio == pytest.approx(1 / stated, rel=0.1)
    assert PredictionCheck.of(wrong.record()) == wrong


# --- readouts


WHOLE = ("LowResolution", "NoisyImage")  # images: a blur or a noise has no lines or views to leave out


@pytest.mark.parametrize("name", WHOLE)
def test_an_image_is_taken_as_a_whole(name):
    with pytest.raises(InputError, match="leave none out"):
        getattr(scans, name).example().leave_out(0.3, seed=4)


@pytest.mark.parametrize("name", [name for name in scans.__all__ if name not in ("Scan", *WHOLE)])
@pytest.mark.parametrize("shared", [True, False], ids=["one level", "a level for each datum"])
def test_a_scan_is_its_two_parts(name, shared):
    """Together they have every datum once, each with the operator and the noise that it had."""
    scan = getattr(scans, name).example()
    levels = torch.rand(scan.data.shape, generator=torch.Generator().manual_seed(1)) + 0.5
    scan = replace(scan, noise=White(0.2) if shared else Weighted(levels))
    readouts = scan.readouts
    assert len(readouts.labels) == scan.data.shape[readouts.axis]
    rest, left = scan.leave_out(0.3, seed=4)
    x = normal(2, *scan.shape).to(scan.operator().blank(scan.measurement().y).dtype)
    whole, parts = scan.measurement(), [part.measurement() for part in (rest, left)]
    assert sum(part.y.numel() for part in parts) == whole.y.numel()
    assert sum(len(part.readouts) for part in (rest, left)) == len(readouts)
    total = sum(part.log_likelihood(x) for part in parts)
    torch.testing.assert_close(total, whole.log_likelihood(x), rtol=1e-4, atol=1e-3)
    back = sum(part.operator.H(part.y) for part in parts)
    torch.testing.assert_close(back, whole.operator.H(whole.y), rtol=1e-4, atol=1e-4)
    again = scan.leave_out(0.3, seed=4)[1]
    assert torch.equal(again.data, left.data)


def masked(mask: torch.Tensor) -> Cartesian:
    return Cartesian(complex_normal(2, int(mask.sum())), mask, complex_normal(2, *mask.shape[1:]), noise=White(1.0))


def test_lines_run_along_the_axes_on_which_the_mask_is_constant():
    columns = torch.zeros(1, 6, 8, dtype=torch.bool)
    columns[..., [1, 4, 5]] = True
    assert len(masked(columns).readouts) == 3
    assert len(masked(columns.mT.contiguous()).readouts) == 3
    assert len(masked(torch.ones(1, 6, 8, dtype=torch.bool)).readouts) == 8
    points = torch.rand(1, 6, 8, generator=torch.Generator().manual_seed(0)) < 0.4
    assert len(masked(points).readouts) == int(points.sum())
    lines = points.unsqueeze(-1).expand(1, 6, 8, 5)
    assert len(masked(lines).readouts) == int(points.sum())


@pytest.mark.parametrize("shape", [(6, 8), (9, 7), (5, 6, 7)])
@pytest.mark.parametrize("kind", ["lines", "points", "all"])
def test_the_line_of_the_zero_frequency_is_needed_and_no_other(shape: tuple[int, ...], kind: str):
    mask = {
        "lines": (torch.arange(shape[-1]) != 1).expand(1, *shape),
        "points": (torch.arange(math.prod(shape)) % 5 != 1).reshape(1, *shape),
        "all": torch.ones(1, *shape, dtype=torch.bool),
    }[kind].clone()
    center = (0, *(n // 2 for n in shape))
    mask[center] = True
    needed = masked(mask).readouts.needed
    line = masked(mask).part(needed)
    assert int(needed.sum()) == 1
    assert isinstance(line, Cartesian)
    assert bool(line.mask[center])


def test_the_zero_frequency_is_never_left_out():
    scan = Cartesian.example()
    center = tuple(n // 2 for n in scan.mask.shape[1:])
    for seed in range(20):
        rest, left = (part for part in scan.leave_out(0.5, seed=seed) if isinstance(part, Cartesian))
        assert bool(rest.mask[0][center])
        assert not bool((rest.mask & left.mask).any())
    with pytest.raises(InputError, match="between 0 and 1"):
        scan.leave_out(1.0)
    single = masked(torch.nn.functional.one_hot(torch.tensor([[4] * 6]), 8).bool())
    with pytest.raises(InputError, match="too few"):
        single.leave_out(0.05)


def test_noise_between_coils_stays():
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    mask = torch.ones(1, 4, 6, dtype=torch.bool)
    scan = Cartesian(complex_normal(2, 24), mask, complex_normal(2, 4, 6), noise=Colored(covariance))
    noise = scan.leave_out(0.4)[1].noise
    assert isinstance(noise, Colored)
    assert torch.equal(noise.covariance, covariance)
    counts = PoissonEmission(torch.arange(8.0).reshape(1, 4, 2))
    part = counts.part(1, torch.tensor([0, 3]), (1, 4, 2))
    assert torch.as_tensor(part.background).flatten().tolist() == [0, 1, 6, 7]


# --- together


def test_a_check_of_a_scan_joins_trust_and_the_report(tmp_path):
    """A Gaussian prior, and coils that are not those of the scan: noticed, told, and kept with the samples."""
    shape, coils = (1, 8, 8), complex_normal(3, 8, 8, seed=2)
    prior = Gaussian(torch.zeros(shape, dtype=torch.float64), torch.eye(64, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    truth = normal_like(torch.zeros(1, *shape, dtype=torch.float64), generator)
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    blank = Cartesian(torch.zeros(3, 64, dtype=torch.complex128), mask, coils, noise=White(0.1), real=True,
                      frame=Frame())  # fmt: skip
    y = White(0.1).corrupt(blank.operator()(truth), generator)[0]
    method = Method(steps=12, sigma_max=8.0, batch=8)
    found = {}
    for name, maps in {"right": coils, "wrong": coils.flip(0)}.items():
        scan = Cartesian(y, mask, maps, noise=White(0.1), real=True)
        found[name] = prediction_check(prior, scan, share=0.2, n=8, method=method)
    assert found["right"].passed
    assert not found["wrong"].passed
    assert found["wrong"].left == "2 of 8 lines of k-space"
    assert found["wrong"].count == 2 * 8 * 3 * 2
    measurement = Cartesian(y, mask, coils, noise=White(0.1), real=True).measurement()
    samples = Samples(truth + 0.05 * normal(4, *shape))
    trust = assess(samples, measurement, prior, prediction=found["wrong"])
    assert not trust.passed
    assert "worse than they claim" in trust.sentences[2]
    page = report(trust.attach(samples), measurement, path=tmp_path / "r.html")
    assert "The draws predict unseen data worse than they claim" in page.read_text()


def test_bad_input_is_named():
    samples, unseen = problem(0, 4)
    with pytest.raises(InputError, match="shape"):
        z_scores(Samples(samples.draws[:, :5]), unseen)
    with pytest.raises(InputError, match="at least 3 draws"):
        compare_predictions(Samples(samples.draws[:2]), unseen)
