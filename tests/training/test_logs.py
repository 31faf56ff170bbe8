"""Logs: a JSON object a line, readable at any moment, and rewound with the training."""

from __future__ import annotations

import json
import sys

import pytest

from scorefield.errors import InputError
from scorefield.training.logs import JsonLines, TensorBoard


def test_lines_are_there_when_written(tmp_path):
    log = JsonLines(tmp_path / "deep" / "log.jsonl")
    for step in (1, 2):
        log.write({"step": step, "loss": 0.5, "levels": {"0.1": 30.0}})
        assert json.loads(log.path.read_text().splitlines()[-1]) == {"step": step, "loss": 0.5, "levels": {"0.1": 30.0}}


def test_rewinding_forgets_what_came_later(tmp_path):
    log = JsonLines(tmp_path / "log.jsonl")
    log.rewind(3)  # nothing there yet
    for step in range(6):
        log.write({"step": step})
    with log.path.open("a") as file:
        file.write('{"step": 1, "lo')  # killed in the middle of a line
    log.rewind(3)
    assert [json.loads(line)["step"] for line in log.path.read_text().splitlines()] == [0, 1, 2, 3]
    log.rewind(-1)
    assert log.path.read_text() == ""


def test_tensorboard_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install tensorboard"):
        TensorBoard(tmp_path)


def test_tensorboard_gets_every_number(tmp_path, monkeypatch):
    seen: list[tuple] = []

    class Writer:
        def __init__(self, folder):
            assert folder == str(tmp_path)

        def add_scalar(self, name, value, step):
            seen.append((name, value, step))

        def flush(self):
            pass

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    TensorBoard(tmp_path).write({"step": 4, "psnr": 30.0, "levels": {"0.1": 31.0}, "loss": float("nan")})
    assert seen == [("psnr", 30.0, 4), ("levels/0.1", 31.0, 4)]
