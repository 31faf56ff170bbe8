"""What a training leaves on disk: after any interruption it continues to the same bits."""

# pyright: reportCallIssue=false

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons import Windows
from scorefield.nets import UNet
from scorefield.priors import EDM, Network
from scorefield.store import checkpoint
from scorefield.store.checkpoint import Card
from scorefield.training.record import CLOCK, Clock
from scorefield.training.trainer import Record, Settings, Steps, Validation, train
from scorefield.trust import reference_of

STEPS = 40
LOG = "prior.jsonl"


def image(seed: int, side: int = 32) -> Tensor:
    return torch.rand(1, side, side, generator=torch.Generator().manual_seed(seed))


def fresh() -> Network:
    torch.manual_seed(0)
    return Network(UNet(widths=(4, 4), blocks=1), EDM(0.3), crop=16)


def trained(
    folder: Path | None,
    *,
    steps: int = STEPS,
    minutes: float = 0,
    resume: bool = False,
    rate: float = 1e-3,
    **options,
) -> Network:
    """A validated training of ``steps`` steps, when it has a folder with a snapshot after each or every ``minutes``."""
    record = Record(folder / "prior", minutes=minutes, resume=resume) if folder else None
    validation = Validation([image(1)], sigmas=(0.1, 0.3), every=7, crops=4, **options)
    settings = Settings(batch=4, rate=rate)
    return train(fresh(), [image(0)], budget=Steps(steps), settings=settings, validation=validation, record=record)


def weights(prior: torch.nn.Module) -> Tensor:
    return torch.cat([t.flatten() for t in prior.state_dict().values()])


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[Tensor, list[dict]]:
    folder = tmp_path_factory.mktemp("whole")
    return weights(trained(folder)), lines(folder)


SCRIPT = """
import os, pathlib, signal, sys
sys.path.insert(0, {here!r})
import test_record as t
{first}
t.trained(pathlib.Path({to!r}), minutes={minutes})
"""
TERMINATED = """
forward, calls = t.UNet.forward, []
def terminated(*given):
    calls.append(given)
    if len(calls) == 10:
        os.kill(os.getpid(), signal.SIGTERM)
    return forward(*given)
t.UNet.forward = terminated
"""


def process_that_trains(folder: Path, minutes: float = 0, first: str = "") -> subprocess.Popen:
    code = SCRIPT.format(here=str(Path(__file__).parent), to=str(folder), minutes=minutes, first=first)
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})


def started(folder: Path) -> subprocess.Popen:
    """A process that trains in ``folder``, returned when its first snapshot is there."""
    process = process_that_trains(folder)
    deadline = time.monotonic() + 120
    while not (folder / "prior" / "training.json").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return process


def test_a_killed_training_continues_to_the_same_bits(tmp_path, uninterrupted):
    """SIGKILL at a random moment, whatever was being written then."""
    process = started(tmp_path)
    time.sleep(random.SystemRandom().uniform(0, 1.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    stopped = json.loads((tmp_path / "prior" / "training.json").read_text())["step"]
    assert 1 <= stopped <= STEPS
    checkpoint.load(tmp_path / "prior")  # what it left is a prior
    resumed = trained(tmp_path, resume=True)
    assert torch.equal(weights(resumed), uninterrupted[0])
    assert torch.equal(weights(checkpoint.load(tmp_path / "prior")), uninterrupted[0])
    checks = [line for line in lines(tmp_path) if "psnr" in line]
    assert checks == [line for line in uninterrupted[1] if "psnr" in line]  # none lost, none twice


def test_an_interrupted_training_keeps_its_last_step(tmp_path, uninterrupted):
    """SIGTERM, as schedulers send it, and Ctrl-C wait for the end of the step and write a snapshot."""
    process = process_that_trains(tmp_path, minutes=60, first=TERMINATED)  # by itself, in the midst of a step
    assert process.wait(timeout=60) == -signal.SIGINT  # a KeyboardInterrupt: it was not killed there
    state = json.loads((tmp_path / "prior" / "training.json").read_text())
    assert not state["finished"]
    assert torch.equal(weights(trained(tmp_path, resume=True)), uninterrupted[0])


def test_a_finished_training_is_left_as_it_is(tmp_path, uninterrupted):
    trained(tmp_path)
    state = json.loads((tmp_path / "prior" / "training.json").read_text())
    assert state["finished"]
    assert state["step"] == STEPS
    again = trained(tmp_path, resume=True)
    assert again.trained_steps == STEPS
    assert torch.equal(weights(again), uninterrupted[0])
    assert len(lines(tmp_path)) == len(uninterrupted[1])


def test_a_longer_budget_goes_on(tmp_path):
    """From the weights of the descent, not from their average."""
    trained(tmp_path, steps=10)
    longer = trained(tmp_path, steps=20, resume=True)
    assert longer.trained_steps == 20
    assert not torch.equal(weights(longer), weights(trained(None, steps=10)))


def test_early_stopping_survives_a_resume(tmp_path):
    """Nothing is gained at a learning rate of nothing: two checks without a gain end it, once and for all."""
    prior = trained(tmp_path, rate=1e-12, patience=2)
    assert prior.trained_steps == 21
    assert trained(tmp_path, rate=1e-12, patience=2, resume=True).trained_steps == 21


def test_the_best_weights_are_kept():
    """With a rate that ruins the weights in the end, validation returns those of the best check."""
    record: list[float] = []

    class Watched(Validation):
        def psnr(self, prior, clean, white, *, known=0):
            found = super().psnr(prior, clean, white)
            record.append(sum(found.values()) / len(found))
            return found

    validation = Watched([image(1)], sigmas=(0.1, 0.3), every=3, crops=4)
    settings = Settings(batch=4, rate=0.3, average=0.0, clip=1e9)
    prior = train(fresh(), [image(0)], budget=Steps(30), settings=settings, validation=validation)
    assert max(record) > record[-1]
    found = Validation.psnr(validation, prior, *validation.pairs(Windows(16), seed=0))
    assert sum(found.values()) / 2 == pytest.approx(max(record), abs=1e-6)


def test_the_last_good_weights_are_kept(tmp_path):
    """A loss that is not finite stops the run; the folder holds the weights before that step."""

    def batches(step: int, generator: torch.Generator) -> Tensor:
        x = torch.rand(2, 1, 16, 16, generator=generator)
        return x if step < 5 else x / 0

    record = Record(tmp_path / "prior", minutes=1e9)
    with pytest.raises(InputError, match=r"at step 6; .* The weights before that step are in .*prior"):
        train(fresh(), [image(0)], batches=batches, budget=Steps(20), record=record)
    assert json.loads((tmp_path / "prior" / "training.json").read_text())["step"] == 5
    assert weights(checkpoint.load(tmp_path / "prior")).isfinite().all()


def test_an_unfinished_training_is_not_overwritten_by_accident(tmp_path):
    (tmp_path / "prior").mkdir()
    (tmp_path / "prior" / "training.json").write_text('{"step": 7, "finished": false}')
    with pytest.raises(InputError, match="stopped at step 7; continue it"):
        Record(tmp_path / "prior")


def test_a_finished_prior_is_not_overwritten_by_accident(tmp_path):
    (tmp_path / "prior").mkdir()
    (tmp_path / "prior" / "training.json").write_text('{"step": 7, "finished": true}')
    with pytest.raises(InputError, match="holds a finished prior; continue it"):
        Record(tmp_path / "prior")
    (tmp_path / "prior" / "training.json").unlink()
    (tmp_path / "prior" / "prior.json").write_text("{}")  # saved by hand
    with pytest.raises(InputError, match="holds a finished prior"):
        Record(tmp_path / "prior")
    Record(tmp_path / "prior", resume=True)


def test_other_images_do_not_resume(tmp_path):
    """As many of the same shape are others; the same ones again, or a snapshot that did not keep them, go on."""
    trained(tmp_path, steps=3)
    record = Record(tmp_path / "prior", resume=True)
    with pytest.raises(InputError, match="was trained with images = 1 of checksum"):
        train(fresh(), [image(5)], budget=Steps(4), settings=Settings(batch=4), record=record)
    assert trained(tmp_path, steps=4, resume=True).trained_steps == 4
    state = tmp_path / "prior" / "training.json"
    plain = json.loads(state.read_text())
    del plain["images"]
    CLOCK.write(state, plain)
    assert trained(tmp_path, steps=5, resume=True).trained_steps == 5


def test_other_settings_do_not_resume(tmp_path):
    trained(tmp_path, steps=3)
    with pytest.raises(InputError, match="was trained with settings"):
        trained(tmp_path, steps=3, rate=2e-3, resume=True)
    other = Network(UNet(widths=(4, 8), blocks=1), EDM(0.3), crop=16)
    record = Record(tmp_path / "prior", resume=True)
    with pytest.raises(InputError, match=r"was trained with lesson\.prior\.net\.widths = \[4, 4\], not \[4, 8\]"):
        train(other, [image(0)], budget=Steps(3), settings=Settings(batch=4), record=record)


@pytest.mark.parametrize(
    ("name", "content"), [("training.json", "{"), ("training.json", "{}"), ("training.safetensors", "nonsense")]
)
def test_damaged_trainings_are_refused(tmp_path, name, content):
    trained(tmp_path, steps=2)
    (tmp_path / "prior" / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name} cannot be read"):
        trained(tmp_path, steps=2, resume=True)


def test_the_card_tells_the_training(tmp_path):
    record = Record(tmp_path / "prior", card=Card("mine", limits="none"))
    train(fresh(), [image(0)], budget=Steps(2), settings=Settings(batch=4), seed=3, record=record)
    card = checkpoint.load(tmp_path / "prior").card
    assert (card.name, card.limits) == ("mine", "none")
    assert card.training["steps"] == 2
    assert card.training["seed"] == 3
    assert card.training["settings"]["batch"] == 4
    assert "pickle" not in (tmp_path / "prior" / "training.safetensors").read_bytes()[:2000].decode(errors="ignore")


def test_a_reference_is_kept_when_asked_for(tmp_path):
    record = Record(tmp_path / "prior", reference=True)
    images = [image(seed, 32) for seed in range(20)]
    train(fresh(), images, budget=Steps(2), settings=Settings(batch=4), record=record)
    assert reference_of(checkpoint.load(tmp_path / "prior")) is not None
    train(fresh(), images, budget=Steps(2), settings=Settings(batch=4), record=Record(tmp_path / "other"))
    assert reference_of(checkpoint.load(tmp_path / "other")) is None


def test_one_image_makes_no_reference(tmp_path):
    record = Record(tmp_path / "prior", reference=True)
    train(fresh(), [image(0, 64)], budget=Steps(2), settings=Settings(batch=4), record=record)
    assert reference_of(checkpoint.load(tmp_path / "prior")) is None


def test_snapshots_are_due_by_the_clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock, due = Clock(0.5), []
    for t in (110.0, 130.0, 131.0, 159.9, 160.0):
        now[0] = t
        due.append(clock.due())
    assert due == [False, True, False, False, True]


def test_bad_minutes_are_refused(tmp_path):
    with pytest.raises(InputError, match="Minutes between snapshots"):
        Record(tmp_path / "prior", minutes=-1)
