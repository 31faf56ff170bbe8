"""The command line in the process of the test."""

from __future__ import annotations

import sys

import pytest

from scorefield.cli import main


@pytest.fixture
def call(monkeypatch, capfd):
    """Run the command line in this process: (status, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["scorefield", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capfd.readouterr()
        return stopped.value.code or 0, out, err

    return run
