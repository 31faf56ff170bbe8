"""What commands write names no folder of the machine, and what they print cannot control the terminal."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scorefield import shipped
from scorefield.cli.calibrate import CalibrateOptions
from scorefield.cli.calibrate import run as calibrate
from scorefield.cli.options import Options
from scorefield.cli.priors import PriorsOptions
from scorefield.cli.priors import run as list_priors
from scorefield.cli.reconstruct import ReconstructOptions
from scorefield.cli.reconstruct import run as reconstruct
from scorefield.cli.report import ReportOptions
from scorefield.cli.report import run as report
from scorefield.cli.say import printable
from scorefield.cli.simulate import Modality, SimulateOptions
from scorefield.cli.simulate import run as simulate
from scorefield.cli.train import TrainOptions
from scorefield.cli.train import run as train
from scorefield.data import read_image, write
from scorefield.errors import InputError
from scorefield.runs.provenance import without_folders
from support import normal

SECRET = "folder-of-somebody"


O = TypeVar("O", bound=Options)


def options_of(kind: type[O], **given: object) -> O:
    return kind.model_validate(given)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of every command that writes, each given absolute paths."""
    home = tmp_path_factory.mktemp("machine") / SECRET
    home.mkdir()
    pixels = (2 + normal(1, 24, 24)).abs().float()
    write(pixels, home / "head.nii.gz")
    simulate(
        options_of(SimulateOptions, image=home / "head.nii.gz", modality=Modality.mri, coils=2, out=home / "head.scan")
    )
    train(options_of(TrainOptions, images=[str(home / "*.nii.gz")], out=home / "prior", steps=2, batch=8, snapshot=0.0))
    reconstruct(
        options_of(
            ReconstructOptions,
            scan=home / "head.scan",
            prior=str(home / "prior"),
            out=home / "run",
            draws=3,
            steps=2,
            predict=0.05,
        )
    )
    write(pixels + 1, home / "other.npy")
    report(
        options_of(ReportOptions,
            run=home / "run", out=home / "page.html",
            baseline=[f"Mine={home / 'other.npy'}", "linear", "tv"],
        )
    )  # fmt: skip
    calibrate(
        options_of(CalibrateOptions,
            prior=str(home / "prior"), images=[str(home / "head.nii.gz")], out=home / "calibration", scans=2, draws=2,
            steps=2, coils=2,
        )
    )  # fmt: skip
    return home


def test_no_file_names_a_folder_of_the_machine(written: Path):
    files = [path for path in written.rglob("*") if path.is_file()]
    assert {"run.json", "prior.json", "page.html", "calibration.html", "mean.nii.gz", "prior.jsonl"} <= {
        path.name for path in files
    }
    for path in files:
        data = path.read_bytes()
        plain = gzip.decompress(data) if path.suffix == ".gz" else data
        for word in (SECRET, str(Path.home()), str(written.parent)):
            assert word.encode() not in plain, path.relative_to(written)


def test_names_of_files_stay(written: Path):
    record = json.loads((written / "run" / "run.json").read_text())
    assert (record["scan"], record["prior"]) == ("head.scan", "prior")
    assert json.loads((written / "prior" / "prior.json").read_text())["card"]["provenance"] == ["*.nii.gz"]


def test_the_run_holds_the_check_of_predictions(written: Path):
    record = json.loads((written / "run" / "run.json").read_text())
    assert record["provenance"]["trust"]["prediction"]["left"] == "1 of 6 lines of k-space"


def test_baselines_of_the_command_line_are_on_the_page(written: Path):
    page = (written / "page.html").read_text()
    for name in ("Mine", "Zero-filled", "TV, weight by the noise"):
        assert f'<th scope="row">{name}</th>' in page
    for bad in ("nothing", "=x", "name="):
        with pytest.raises(InputError, match="NAME=FILE"):
            report(options_of(ReportOptions, run=written / "run", baseline=[bad]))


def test_total_variation_without_a_truth_has_the_misfit_of_the_noise(written: Path):
    from scorefield.baselines import matched_total_variation
    from scorefield.scans import Scan

    given = Scan.load(written / "head.scan").measurement()
    image = matched_total_variation(given)
    misfit = float(given.gaussian.whiten(given.residual(image[None])).abs().square().mean()) / 2
    assert misfit == pytest.approx(1.0, abs=0.25)
    assert image.shape == read_image(written / "head.nii.gz").pixels.shape


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("/home/a/b.nii", "b.nii"), ("~/b.nii", "b.nii"), ("../a/b.nii", "b.nii"), ("C:\\Users\\a\\b.nii", "b.nii"),
        ("1/mm", "1/mm"), ("data/b.nii", "data/b.nii"), ("brain", "brain"), (Path("/a/b"), "b"), (3.5, 3.5),
        ({"x": ["/a/b", {"y": "/c/*.png"}]}, {"x": ["b", {"y": "*.png"}]}),
    ],
)  # fmt: skip
def test_paths_become_names(value, wanted):
    assert without_folders(value) == wanted


def test_a_prior_cannot_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "evil"
    folder.mkdir()
    plain = json.loads((shipped.find("photo") / "prior.json").read_text())
    for field in ("name", "summary", "limits", "unit"):
        plain["card"][field] = f"\x1b[31m{field}\x07\x9b2J\r\u202e"
    plain["card"]["provenance"] = ["\x1b]0;title\x07"]
    (folder / "prior.json").write_text(json.dumps(plain))
    save_file({"x": torch.zeros(1)}, folder / "weights.safetensors")
    list_priors(options_of(PriorsOptions, name=str(folder)))
    shown = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert "[31mname" in shown
    assert printable("a\tb\nc\x00") == "a?b\nc?"


def test_a_file_name_cannot_write_to_the_terminal(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    from scorefield import cli

    np.save(tmp_path / "x.npy", np.zeros(3))
    monkeypatch.setattr("sys.argv", ["scorefield", "simulate", str(tmp_path / "\x1b[31mno.npy")])
    with pytest.raises(SystemExit):
        cli.main()
    assert "\x1b" not in capsys.readouterr().err
