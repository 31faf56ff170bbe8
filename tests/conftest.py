"""What all tests share: the benches within reach, one thread, fixed initial weights, the shared data."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared" / "data"
sys.path.insert(0, str(HERE / "laws"))  # the closed-form benches serve every folder
torch.set_num_threads(1)  # the tensors are small: more threads would wait for each other


def pytest_collectstart() -> None:
    """The networks that a module makes as it is imported have the same weights in every run."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _fixed_weights():
    """Networks draw their initial weights from torch's global generator."""
    torch.manual_seed(0)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the development data (../shared/data) are absent")
    return SHARED
