"""Imports: down the layers, without cycles, and light until something is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

PROJECT = Path(__file__).resolve().parents[1]
HEAVY = {"matplotlib", "scipy", "scipy.stats", "skimage", "torchvision", "h5py", "nibabel", "pydicom"}


def test_the_contracts_of_pyproject_hold(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT / "src"))
    assert lint_imports(str(PROJECT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_no_module_imports_the_package_it_is_in():
    """Such an import finds a package half made; the contract on cycles compares siblings only."""
    graph = grimp.build_graph("scorefield", exclude_type_checking_imports=True, cache_dir=None)
    upward = {(module, other) for module in graph.modules for other in graph.find_modules_directly_imported_by(module)}
    assert not {(a, b) for a, b in upward if a.startswith(f"{b}.") and b != "scorefield"}


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (["-c", "import scorefield"], {"torch", "numpy", *HEAVY}),
        (["-m", "scorefield", "--help"], {"torch", "numpy", *HEAVY}),
        (["-c", "import scorefield as sf; [getattr(sf, name) for name in sf.__all__]"], HEAVY),
    ],
    ids=["import", "help", "every name"],
)
def test_what_is_imported_is_little(command: list[str], absent: set[str]):
    """-X importtime names each module that a process imports."""
    run = subprocess.run([sys.executable, "-X", "importtime", *command], check=True, capture_output=True, text=True)
    imported = {line.rsplit("|", 1)[1].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}
    assert "scorefield" in imported
    assert not imported & absent
