"""Imports: down the layers, without cycles, and light until something is used."""

from __future__ import annotations

from pathlib import Path

import grimp
from importlinter.cli import lint_imports

PROJECT = Path(__file__).resolve().parents[1]


def test_the_contracts_of_pyproject_hold(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT / "src"))
    assert lint_imports(str(PROJECT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_no_module_imports_the_package_it_is_in():
    """Such an import finds a package half made; the contract on cycles compares siblings only."""
    graph = grimp.build_graph("scorefield", exclude_type_checking_imports=True, cache_dir=None)
    upward = {(module, other) for module in graph.modules for other in graph.find_modules_directly_imported_by(module)}
    assert not {(a, b) for a, b in upward if a.startswith(f"{b}.") and b != "scorefield"}
