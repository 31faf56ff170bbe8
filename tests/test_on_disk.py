"""Samplings that were interrupted continue to the same draws, and to no others."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import pytest
import torch
from benches import tb_g

from scorefield.errors import InputError
from scorefield.kernels import DAPS, DPMpp2M, Heun, Langevin, Particles, Then
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity, Matrix
from scorefield.posteriors import MMPS
from scorefield.priors import AsComplex, DiagonalGaussian
from scorefield.runs.fingerprint import fingerprint
from scorefield.runs.progress import Silent
from scorefield.samples import All, OnDisk
from scorefield.samples.on_disk import FILE
from scorefield.sampling import sample
from scorefield.schedules import Karras
from scorefield.start import WarmStart, begin
from support import complex_normal

BENCH = tb_g()
SIGMAS = Karras(0.05, 5.0).grid(6)
LIKE = torch.empty(0, dtype=torch.float64)


class Stops(Silent):
    """Interrupts after some steps."""

    def __init__(self, steps: int):
        self.steps = steps

    def track(self, steps, *, total, label):
        for i, step in enumerate(steps):
            if i == self.steps:
                raise KeyboardInterrupt
            yield step


def drawn(partial: OnDisk | None = None, *, n: int = 10, seed: int = 3, steps: int = 10**9, **options):
    posterior = MMPS(BENCH.prior, BENCH.measurement)
    return sample(
        posterior,
        Heun(),
        SIGMAS,
        n=n,
        seed=seed,
        like=LIKE,
        **options,
        keep=(partial or All()).with_batch(4, Stops(steps)),
    )


@pytest.mark.parametrize("steps", [0, 5, 7, 14, 20])  # 7 states a batch
def test_an_interrupted_sampling_continues_to_the_same_bits(tmp_path, steps):
    path = tmp_path / "draws.safetensors"
    with pytest.raises(KeyboardInterrupt):
        drawn(OnDisk(path), steps=steps)
    before = OnDisk(path)
    assert sorted(before.draws) == [0, 4, 8][: steps // 7]  # only the unfinished batch is lost
    samples = drawn(before)
    assert torch.equal(samples.draws, drawn().draws)
    assert len(OnDisk(path).draws) == 3


def test_the_cost_is_that_of_all_sessions(tmp_path):
    path = tmp_path / "draws.safetensors"
    with pytest.raises(KeyboardInterrupt):
        drawn(OnDisk(path), steps=7)
    samples, whole = drawn(OnDisk(path)), drawn()
    assert (samples.cost.forward, samples.cost.backward) == (whole.cost.forward, whole.cost.backward)
    assert samples.cost.draws == 10
    assert samples.provenance == whole.provenance
    again = drawn(OnDisk(path))  # nothing is left to draw
    assert again.cost.forward == whole.cost.forward
    assert torch.equal(again.draws, whole.draws)


def test_other_samplings_do_not_continue(tmp_path):
    path = tmp_path / "draws.safetensors"
    drawn(OnDisk(path))
    for options in ({"seed": 4}, {"n": 9}, {"start": WarmStart(BENCH.truth)}):
        with pytest.raises(InputError, match="draws of another sampling"):
            drawn(OnDisk(path), **options)
    other = MMPS(BENCH.prior, tb_g(1).measurement)  # the same objects but for their numbers
    with pytest.raises(InputError, match="its numbers differs"):
        sample(other, Heun(), SIGMAS, n=10, seed=3, like=LIKE, keep=OnDisk(path, batch=4))


def test_a_sampling_goes_on_to_more_draws_in_other_batches(tmp_path):
    path = tmp_path / "draws.safetensors"
    whole = drawn(n=13).draws
    first = drawn(OnDisk(path), n=6)
    for batch in (3, 5):
        kept = OnDisk(path, batch=batch)
        samples = sample(MMPS(BENCH.prior, BENCH.measurement), Heun(), SIGMAS, n=13, seed=3, like=LIKE, keep=kept)
        torch.testing.assert_close(samples.draws, whole, rtol=1e-9, atol=1e-9)
        assert torch.equal(samples.draws[:6], first.draws)
    assert samples.cost.forward == drawn(n=13).cost.forward
    finished = OnDisk.of(tmp_path / "more.safetensors", first, OnDisk(path).origin["numbers"])
    torch.testing.assert_close(drawn(finished, n=13).draws, whole, rtol=1e-9, atol=1e-9)


def test_a_population_does_not_go_on_to_more(tmp_path):
    """Its draws compete, so they are those of the number that was asked for."""
    path = tmp_path / "draws.safetensors"
    kernel = Particles(BENCH.measurement)
    for n in (4, 4):
        sample(BENCH.prior, kernel, SIGMAS, n=n, seed=3, like=LIKE, keep=OnDisk(path))
    with pytest.raises(InputError, match=r"differs\)"):
        sample(BENCH.prior, kernel, SIGMAS, n=8, seed=3, like=LIKE, keep=OnDisk(path))


def test_versions_and_new_fields_do_not_matter(tmp_path):
    """A file of another version, of a kernel that has got a field since, goes on; another number in it does not."""
    path = tmp_path / "draws.safetensors"
    kernel = Then(DPMpp2M(), Langevin(0.2))

    def run(kernel):
        return sample(BENCH.prior, kernel, SIGMAS, n=4, seed=3, like=LIKE, keep=OnDisk(path))

    first = run(kernel)
    tensors, record = FILE.read(path)
    record["origin"]["provenance"]["versions"] = {"torch": "0.1"}
    del record["origin"]["provenance"]["kernel"]["fields"]["first"]["fields"]["eta"]
    FILE.write(path, tensors, record)
    assert torch.equal(run(kernel).draws, first.draws)
    assert run(kernel).provenance["versions"]["torch"] == torch.__version__
    for other in (Then(DPMpp2M(), Langevin(0.3)), Then(DPMpp2M(1.0), Langevin(0.2)), DPMpp2M()):
        with pytest.raises(InputError, match="its kernel differs"):
            run(other)


def test_settings_of_the_first_session(tmp_path):
    path = tmp_path / "draws.safetensors"
    assert OnDisk(path).setting("seed", 8) == 8
    drawn(OnDisk(path))
    assert OnDisk(path).setting("seed", 8) == 3
    assert OnDisk(path).setting("batch", 8) == 4


def test_the_fingerprint_depends_on_prior_scan_and_start():
    prior, given = BENCH.prior, BENCH.measurement
    marks = {
        fingerprint(prior, Heun(), begin),
        fingerprint(tb_g(1).prior, Heun(), begin),
        fingerprint(MMPS(prior, BENCH.measurement), Heun(), begin),
        fingerprint(prior, DAPS(tb_g(1).measurement), begin),
        fingerprint(prior, Heun(), WarmStart(BENCH.truth)),
        fingerprint(prior, Heun(), WarmStart(-BENCH.truth)),
        fingerprint(MMPS(prior, Measurement(given.y, given.operator, White(0.3))), Heun(), begin),
        fingerprint(MMPS(prior, Measurement(given.y, Matrix(-BENCH.matrix), given.noise)), Heun(), begin),
    }
    assert len(marks) == 8
    # classes and fields are in the provenance: only numbers count here
    assert fingerprint(prior, Langevin(), begin) in marks
    assert fingerprint(prior, DAPS(BENCH.measurement), begin) in marks


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "draws.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as unfinished draws"):
        OnDisk(path)


def test_a_file_stores_complex_doubles(tmp_path):
    """The file format has no such type; an interrupted sampling of them continues to the same bits."""
    operator = Identity((1, 4, 4))
    y = complex_normal(1, 1, 4, 4)
    given = Measurement(y, operator, White(0.5))
    posterior = MMPS(AsComplex(DiagonalGaussian(torch.zeros(2, 4, 4).double(), torch.tensor(1.0).double())), given)

    def run(partial=None, steps=10**9):
        return sample(
            posterior, Heun(), SIGMAS, n=4, seed=1, like=y, keep=(partial or All()).with_batch(2, Stops(steps))
        )

    with pytest.raises(KeyboardInterrupt):
        run(OnDisk(tmp_path / "draws.safetensors"), steps=10)
    resumed = run(OnDisk(tmp_path / "draws.safetensors"))
    assert resumed.draws.dtype == torch.complex128
    assert torch.equal(resumed.draws, run().draws)
