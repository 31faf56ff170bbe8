"""The command line: every wrong input is one sentence, exit status 2, and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from scorefield.cli import COMMANDS, main
from scorefield.nets import UNet
from scorefield.priors import Homogeneous, Network
from scorefield.reconstruction import pipeline
from scorefield.reconstruction.results import load_draws, save_run
from scorefield.samples import OnDisk, Samples
from scorefield.scans import Scan
from scorefield.store import checkpoint
from scorefield.training.record import CLOCK


@pytest.fixture
def picture(tmp_path):
    """A 48 x 40 image of smooth blobs as .npy."""
    rows, columns = np.mgrid[:48, :40]
    path = tmp_path / "image.npy"
    np.save(path, (np.exp(-((rows - 20) ** 2 + (columns - 18) ** 2) / 90) + 0.2).astype(np.float32)[None])
    return path


@pytest.fixture
def prior(tmp_path):
    """A small untrained prior on disk."""
    torch.manual_seed(0)
    card = checkpoint.Card("tiny")
    return checkpoint.save(Network(UNet(widths=(4, 8), blocks=1), Homogeneous()), tmp_path / "tiny", card=card)


def sentence(err):
    """The one sentence of an error, without a traceback."""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1
    return lines[0]


def test_help_lists_every_command_and_each_has_its_own(call):
    status, out, _ = call("--help")
    assert status == 0
    assert all(name in out for name in COMMANDS)
    for name in COMMANDS:
        status, out, _ = call(name, "--help")
        assert status == 0
        assert "--config" in out


def test_help_does_not_import_torch():
    code = "\n".join(
        [
            "import sys",
            "sys.argv = ['scorefield', '--help']",
            "import scorefield.cli",
            "try: scorefield.cli.main()",
            "except SystemExit: pass",
            "assert 'torch' not in sys.modules and 'numpy' not in sys.modules",
        ]
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_whole_life_cycle(call, tmp_path, picture):
    assert call("train", "--images", picture, "--out", tmp_path / "p", "--steps", 3, "--batch", 64)[0] == 0
    assert (
        call("simulate", picture, "--out", tmp_path / "s.scan", "--coils", 2, "--acceleration", 2, "--center", 0.2)[0]
        == 0
    )
    run = tmp_path / "run"
    assert (
        call("reconstruct", tmp_path / "s.scan", "--prior", tmp_path / "p", "--out", run, "--draws", 2, "--steps", 2)[0]
        == 0
    )
    names = {path.name for path in run.iterdir()}
    assert {"mean.nii.gz", "std.nii.gz", "lower.nii.gz", "upper.nii.gz", "mean.npy", "mean.png", "run.json"} <= names
    record = json.loads((run / "run.json").read_text())
    assert record["cost"]["forward"] == 2 * 4  # two draws; the start, two steps, and the draw at the end takes two
    status, out, _ = call("evaluate", run, "--truth", tmp_path / "s.truth.npy", "--out", tmp_path / "e.json")
    assert status == 0
    assert "psnr" in out
    assert json.loads((tmp_path / "e.json").read_text())["psnr"] > 0
    assert call("report", run, "--truth", tmp_path / "s.truth.npy")[0] == 0
    assert "<html" in (run / "report.html").read_text()


def test_training_leaves_the_arithmetic_of_the_process_as_it_was(call, tmp_path, picture):
    tiny = torch.tensor(1e-40)
    assert bool(tiny * 1 > 0)
    assert call("train", "--images", picture, "--kind", "patch", "--steps", "1", "--out", tmp_path / "p")[0] == 0
    assert bool(tiny * 1 > 0)


def test_same_seed_same_reconstruction(call, tmp_path, picture, prior):
    call("simulate", picture, "--out", tmp_path / "s.scan", "--coils", 2)
    for name in ("a", "b"):
        call("reconstruct", tmp_path / "s.scan", "--prior", prior, "--out", tmp_path / name, "--draws", 2, "--steps", 2)
    np.testing.assert_array_equal(np.load(tmp_path / "a/mean.npy"), np.load(tmp_path / "b/mean.npy"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reconstruct", "missing.scan", "--prior", "brain"], "missing.scan"),
        (["train", "--images", "missing.png"], "missing.png"),
        (["train"], "'images' is missing"),
        (["train", "--images", "x.png", "--batch", "-3"], "'batch' is -3"),
        (["train", "--images", "x.png", "--sigma-min", "-0.1"], "'sigma_min' is -0.1"),
        (["simulate", "missing.dcm"], "missing.dcm"),
        (["evaluate", "nowhere", "--truth", "x.npy"], "give the folder that 'scorefield reconstruct' wrote"),
        (["report", "nowhere"], "nowhere holds no samples.safetensors"),
        (["priors", "brian"], "brian"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_sentence(call, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, _, err = call(*arguments)
    assert status == 2
    assert words in sentence(err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["simulate", "--modality", "pet"], ["train", "--kind", "pet"]])
def test_a_word_that_is_no_choice_is_refused_in_plain_words(call, arguments):
    status, _, err = call(*arguments)
    assert status == 2
    assert f"'{arguments[1]}': 'pet' is not one of" in " ".join(err.split())


@pytest.mark.parametrize("arguments", [["train", "--foo"], ["trian"], ["train", "--batch", "many"]])
def test_unknown_options_and_commands(call, arguments):
    status, _, err = call(*arguments)
    assert status == 2
    sentence(err)


def test_corrupt_files_are_one_sentence_and_leave_nothing(call, tmp_path, picture, prior):
    call("simulate", picture, "--out", tmp_path / "s.scan", "--coils", 2)
    whole = (tmp_path / "s.scan").read_bytes()
    (tmp_path / "cut.scan").write_bytes(whole[: len(whole) // 2])
    weights = (prior / "weights.safetensors").read_bytes()
    out = tmp_path / "out"
    status, _, err = call("reconstruct", tmp_path / "cut.scan", "--prior", prior, "--out", out)
    assert status == 2
    assert "cut.scan" in sentence(err)
    (prior / "weights.safetensors").write_bytes(weights[:50])
    status, _, err = call("reconstruct", tmp_path / "s.scan", "--prior", prior, "--out", out)
    assert status == 2
    assert "weights.safetensors" in sentence(err)
    (prior / "prior.json").write_text("{")
    status, _, err = call("reconstruct", tmp_path / "s.scan", "--prior", prior, "--out", out)
    assert status == 2
    assert "JSON" in sentence(err)
    for name in ("bad.dcm", "bad.nii.gz", "bad.png"):
        (tmp_path / name).write_bytes(b"nonsense" * 40)
        status, _, err = call("simulate", tmp_path / name, "--out", tmp_path / "t.scan")
        assert status == 2
        assert name in sentence(err)
    assert not out.exists()
    assert not (tmp_path / "t.scan").exists()


def test_configuration_file(call, tmp_path, picture):
    config = tmp_path / "c.yaml"
    config.write_text(f"images: ['{picture}']\nsteps: 2\nbatch: 32\nout: {tmp_path / 'p'}\n")
    assert call("train", "--config", config)[0] == 0
    assert json.loads((tmp_path / "p/prior.json").read_text())["card"]["training"]["steps"] == 2
    assert call("train", "--config", config, "--steps", 3, "--out", tmp_path / "q")[0] == 0  # the command line wins
    assert json.loads((tmp_path / "q/prior.json").read_text())["card"]["training"]["steps"] == 3
    config.write_text("imagse: [a.png]\n")
    status, _, err = call("train", "--config", config)
    assert status == 2
    assert "did you mean 'images'" in sentence(err)
    config.write_text("images: [unclosed\n")
    status, _, err = call("train", "--config", config)
    assert status == 2
    assert "YAML" in sentence(err)


def test_a_defect_is_told_without_a_traceback_unless_debugging(call, monkeypatch, picture):
    import scorefield.cli.simulate as module

    def broken(options):
        raise RuntimeError("the ceiling fell")

    monkeypatch.setattr(module, "command", module.make_command(module.SimulateOptions, broken))
    status, _, err = call("simulate", picture)
    assert status == 1
    assert "Traceback" not in err
    assert "the ceiling fell" in err
    monkeypatch.setattr(sys, "argv", ["scorefield", "simulate", str(picture), "--debug"])
    with pytest.raises(RuntimeError, match="ceiling"):
        main()


def test_version(call):
    from scorefield import __version__

    assert call("--version")[1].strip() == f"scorefield {__version__}"


def test_progress_reaches_standard_error(call, tmp_path, picture):
    _, out, err = call("train", "--images", picture, "--out", tmp_path / "p", "--steps", 2, "--batch", 32)
    assert "100%" in err
    assert "%" not in out


def test_an_interrupted_reconstruction_is_resumed(call, tmp_path, picture, monkeypatch):
    """Ctrl-C after the first batch; --resume ends with the draws of an uninterrupted run, and cleans up."""
    monkeypatch.setattr(pipeline, "LARGEST_BATCH", 2)
    scan = tmp_path / "s.scan"
    assert call("simulate", picture, "--out", scan)[0] == 0
    options = (scan, "--prior", "photo", "--draws", 4, "--steps", 2)
    assert call("reconstruct", *options, "--out", tmp_path / "whole")[0] == 0
    out, kept = tmp_path / "parts", OnDisk.write

    def keep_and_stop(self, *args):
        kept(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(OnDisk, "write", keep_and_stop)
    assert call("reconstruct", *options, "--out", out)[0] == 130
    monkeypatch.setattr(OnDisk, "write", kept)
    assert not out.exists()
    status, _, err = call("reconstruct", *options, "--out", out)
    assert status == 2
    assert "--resume" in sentence(err)
    assert call("reconstruct", *options, "--out", out, "--resume")[0] == 0
    draws = [Samples.load(folder / "samples.safetensors").draws for folder in (tmp_path / "whole", out)]
    assert torch.equal(*draws)
    assert not [entry for entry in os.listdir(tmp_path) if "partial" in entry]


def test_a_killed_training_is_resumed_by_the_command(call, tmp_path, picture):
    options = ("train", "--images", picture, "--batch", 64, "--out")
    assert call(*options, tmp_path / "whole", "--steps", 4)[0] == 0
    state = tmp_path / "whole/training.json"
    plain = json.loads(state.read_text())
    CLOCK.write(state, {**plain, "finished": False})
    status, _, err = call(*options, tmp_path / "whole", "--steps", 6)
    assert status == 2
    assert "--resume" in sentence(err)
    assert call(*options, tmp_path / "whole", "--steps", 6, "--resume")[0] == 0
    assert json.loads(state.read_text())["step"] == 6


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("patch", "--sigma-min", 0.01),
        ("patch", "--sigma-max", 0.7),
        ("patch", "--amplitude", 1.5),
        ("patch", "--balance", 0.3),
        ("patch", "--memory", 0.5),
        ("patch", "--seed", 1),
        ("patch", "--patch-size", 4),
        ("network", "--crop", 32),
    ],
)
def test_a_training_goes_on_with_the_same_options_only(call, tmp_path, picture, kind, name, value):
    options = ("train", "--images", picture, "--batch", 4, "--out", tmp_path / "p", "--kind", kind, "--crop", 16)
    assert call(*options, "--steps", 1)[0] == 0
    status, _, err = call(*options, "--steps", 2, "--resume", name, value)
    assert status == 2
    assert re.search("was trained with|another prior", sentence(err))
    assert len(sentence(err)) < 500


@pytest.mark.parametrize("options", [("--slice", 3), ("--axis", 1)], ids=str)
def test_a_picture_has_no_slices(call, tmp_path, picture, options):
    status, _, err = call("simulate", picture, "--out", tmp_path / "s.scan", *options)
    assert status == 2
    assert "image.npy is a 2-D image and has no slices" in sentence(err)
    assert not (tmp_path / "s.scan").exists()


def test_a_perfect_reconstruction_is_written_as_json(call, tmp_path, picture):
    """Its PSNR is infinite, which JSON cannot say."""
    truth = torch.from_numpy(np.load(picture))
    call("simulate", picture, "--out", tmp_path / "s.scan", "--coils", 2)
    save_run(Samples(truth.expand(2, *truth.shape).contiguous()), tmp_path / "run", scan=Scan.load(tmp_path / "s.scan"))
    status, out, _ = call("evaluate", tmp_path / "run", "--truth", picture, "--out", tmp_path / "scores.json")
    assert status == 0
    assert "inf" in out
    scores = json.loads((tmp_path / "scores.json").read_text(), parse_constant=pytest.fail)
    assert scores["psnr"] is None
    assert scores["nmse"] == 0


def test_training_names_the_file_that_does_not_fit(call, tmp_path, picture):
    small, phase = tmp_path / "small.npy", tmp_path / "phase.npy"
    np.save(small, np.zeros((20, 50), np.float32))
    np.save(phase, np.ones((1, 80, 80), np.complex64))
    for other, words in ((small, "small.npy has 20 x 50 pixels"), (phase, "phase.npy has 1 complex channel")):
        options = ("--images", picture, "--images", other, "--kind", "network", "--crop", 32, "--out", tmp_path / "p")
        status, _, err = call("train", *options)
        assert status == 2
        assert words in sentence(err)
    assert not (tmp_path / "p").exists()


def test_a_finished_prior_is_not_trained_over(call, tmp_path, picture):
    options = ("train", "--images", picture, "--batch", 32, "--steps", 2, "--out", tmp_path / "p")
    assert call(*options)[0] == 0
    status, _, err = call(*options)
    assert status == 2
    assert "p holds a finished prior; continue it (--resume), or choose another folder" in sentence(err)
    other = tmp_path / "other.npy"
    np.save(other, np.load(picture) + 0.1)
    status, _, err = call("train", "--images", other, *options[3:], "--resume")
    assert status == 2
    assert "was trained with images" in sentence(err)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--warmup", 1.5), "'warmup' is '?1.5'?: input should be less than 1"),
        (("--batch", 0), "'batch' is '?0'?: input should be greater than or equal to 1"),
        (("--hold-out", 0.3), "single file"),
        (("--patience", 3), "there is none; add --hold-out or --validate-on"),
        (("--seed", 2**63), "input should be less than"),
        (("--tensorboard", "runs"), r"pip install tensorboard"),
    ],
)
def test_training_options_are_checked(call, tmp_path, picture, options, match):
    status, _, err = call("train", "--images", picture, "--steps", 2, "--out", tmp_path / "p", *options)
    assert status == 2
    assert re.search(match, sentence(err))
    assert not (tmp_path / "p").exists()


def test_a_run_is_replaced_with_its_report(call, tmp_path, picture):
    """The same command again, after a report: the old run goes, and foreign files are refused before the sampling."""
    scan, run = tmp_path / "s.scan", tmp_path / "run"
    assert call("simulate", picture, "--out", scan, "--coils", 2, "--acceleration", 2, "--center", 0.2)[0] == 0
    again = ("reconstruct", scan, "--prior", "photo-patch", "--out", run, "--draws", 2, "--steps", 1)
    assert call(*again)[0] == 0
    assert call("report", run)[0] == 0
    assert "provenance" not in (run / "report.html").read_text()  # of run.json: the page has it of the draws already
    before = (run / "samples.safetensors").read_bytes()
    status, _, err = call(*again)
    assert status == 2
    assert "--overwrite" in sentence(err)
    assert (run / "report.html").exists()
    status, out, err = call(*again, "--resume")
    assert status == 0
    assert "is finished: it holds 2 draws, and nothing was sampled" in out
    assert "sampling" not in err
    assert (run / "samples.safetensors").read_bytes() == before
    more = (*again[:-4], "--draws", 3, "--steps", 1, "--resume")
    status, _, err = call(*more, "--seed", 4)
    assert status == 2
    assert "its seed differs" in sentence(err)
    assert (run / "samples.safetensors").read_bytes() == before
    assert call(*more)[0] == 0
    three = load_draws(run).draws
    assert call(*again[:-4], "--draws", 3, "--steps", 1, "--out", tmp_path / "three")[0] == 0
    torch.testing.assert_close(load_draws(tmp_path / "three").draws, three, rtol=1e-4, atol=1e-5)
    again = (*again, "--overwrite")
    assert call(*again)[0] == 0
    assert not (run / "report.html").exists()
    (run / "notes.txt").write_text("mine")
    status, out, err = call(*again)
    assert status == 2
    assert "notes.txt" in err
    assert "sampling" not in out + err
    assert not list(tmp_path.glob(".run*"))


def test_a_scan_with_a_wrong_name_leaves_the_truth_alone(call, tmp_path, picture):
    (tmp_path / "head.truth.npy").write_bytes(b"mine")
    status, _, err = call("simulate", picture, "--out", tmp_path / "head.scn")
    assert status == 2
    assert ".scan" in err
    assert (tmp_path / "head.truth.npy").read_bytes() == b"mine"


def test_what_the_system_refuses_is_one_sentence(call, tmp_path, picture):
    status, _, err = call("simulate", picture, "--out", picture / "s.scan")  # a file is no folder
    assert status == 2
    assert err.count("\n") == 1
    assert "cannot be used" in err


def test_a_truth_beside_the_run_is_the_users(call, tmp_path, picture):
    """What was put into the folder of a run by hand is never deleted."""
    scan, run = tmp_path / "s.scan", tmp_path / "run"
    assert call("simulate", picture, "--out", scan, "--coils", 2, "--acceleration", 2, "--center", 0.2)[0] == 0
    again = ("reconstruct", scan, "--prior", "photo-patch", "--out", run, "--draws", 2, "--steps", 1)
    assert call(*again)[0] == 0
    (run / "truth.npy").write_bytes(b"mine")
    status, _, err = call(*again, "--overwrite")
    assert status == 2
    assert "truth.npy" in err
    assert (run / "truth.npy").read_bytes() == b"mine"


def test_an_interrupt_says_how_to_go_on(tmp_path, picture):
    """Ctrl-C, which typer turns into an exit before we see it."""
    import signal
    import subprocess
    import sys
    import time

    command = [sys.executable, "-m", "scorefield", "train", "--images", str(picture), "--out", str(tmp_path / "p")]
    heard = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    process = subprocess.Popen([*command, "--minutes", "5"], stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    for _ in range(600):
        time.sleep(0.1)
        if (tmp_path / "p.jsonl").exists():  # it trains
            break
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "--resume" in said.splitlines()[-1]
    assert "Traceback" not in said


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
CONFIGURATIONS = {
    "no number": "steps: !!int abc",
    "a bad date": "unit: 2024-13-45",
    "nesting": "steps: " + "[" * 5000,
    "closed nesting": "steps: " + "[" * 500 + "]" * 500,
    "digits": "steps: " + "9" * 5000,
    "references": BOMB + "images: *i",
    "merges": "a: &a {x: 1}\nb: {<<: [*a, *a]}",
    "infinity": "minutes: .inf",
    "no number at all": "rate: .nan",
    "no key": "? [a, b]\n: c",
    "a foreign object": "images: !!python/object:os.system x",
    "no text": "\xff\xfe",
    "a null character": 'images: ["a\\0b"]',
    "half a character": 'images: ["\\ud800"]',
    "a long value": "kind: " + "x" * 10**5,
    "a long name": "x" * 10**5 + ": 1",
    "many images": "images: [" + "1, " * 50_000 + "1]",
    "too long": "# " + "x" * 2**20,
    "an empty file": "",
    "a list": "[a]",
}


@pytest.mark.parametrize("text", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_bad_configuration_is_one_short_sentence(call, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_bytes(text.encode("latin-1"))
    status, _, err = call("train", "--config", "c.yaml")
    assert status == 2
    assert len(sentence(err)) < 600
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["c.yaml"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_leaves_nothing_half_written(call, tmp_path, monkeypatch, name):
    import signal

    import scorefield.cli.simulate as module
    from scorefield.store.atomic import atomic_path

    def killed(options):
        with atomic_path(options.out) as temporary:
            temporary.write_text("half")
            signal.raise_signal(getattr(signal, name))

    before = signal.getsignal(getattr(signal, name))
    monkeypatch.setattr(module, "command", module.make_command(module.SimulateOptions, killed))
    status, _, err = call("simulate", "x.npy", "--out", tmp_path / "s.scan")
    assert status == 130
    assert "nothing half-written" in err
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(getattr(signal, name)) == before


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_too_little_memory_is_no_defect(call, monkeypatch, picture, error):
    import scorefield.cli.simulate as module

    def run(options):
        raise error

    monkeypatch.setattr(module, "command", module.make_command(module.SimulateOptions, run))
    status, _, err = call("simulate", picture)
    assert status == 2
    assert "memory is not enough" in sentence(err)


@pytest.mark.parametrize("command", ["reconstruct", "calibrate", "demo", "train"])
def test_a_place_that_takes_no_files_is_refused_before_the_work(call, tmp_path, picture, prior, monkeypatch, command):
    from pathlib import Path

    arguments = {"reconstruct": (tmp_path / "s.scan", "--prior", prior), "calibrate": (prior,),
                 "demo": (), "train": ("--images", picture)}  # fmt: skip
    call("simulate", picture, "--out", tmp_path / "s.scan", "--coils", 2)
    shut, make = tmp_path / "shut", Path.mkdir
    shut.mkdir()

    def refuse(path, *args, **options):
        if path.parent == shut:
            raise PermissionError(13, "Permission denied", str(path))
        make(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    status, _, err = call(command, *arguments[command], "--out", shut / "result")
    assert status == 2
    assert "takes no new files" in sentence(err)
    assert "%" not in err
    assert list(shut.iterdir()) == []


@pytest.mark.parametrize("left", ["s.scan", "s.truth.npy"])
def test_a_scan_is_replaced_only_when_asked(call, tmp_path, picture, left):
    arguments = ("simulate", picture, "--out", tmp_path / "s.scan", "--coils", 2)
    (tmp_path / left).write_bytes(b"mine")
    status, _, err = call(*arguments)
    assert status == 2
    assert f"{left} exists; add --overwrite" in sentence(err)
    assert sorted(os.listdir(tmp_path)) == sorted(["image.npy", left])
    assert (tmp_path / left).read_bytes() == b"mine"
    assert call(*arguments, "--overwrite")[0] == 0
    assert (tmp_path / left).read_bytes() != b"mine"


def test_a_scan_and_its_truth_are_written_both_or_neither(call, tmp_path, picture, monkeypatch):
    replace, moves = os.replace, []

    def full(source, target):
        if str(target).endswith("truth.npy") and str(tmp_path) == os.path.dirname(target):
            raise OSError(28, "No space left on device", str(target))
        moves.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    status, _, err = call("simulate", picture, "--out", tmp_path / "s.scan", "--coils", 2)
    assert status == 2
    assert "No space left" in sentence(err)
    assert moves
    assert os.listdir(tmp_path) == ["image.npy"]
