"""What all tests share: the benches within reach, one thread, fixed initial weights, the shared data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared" / "data"
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


@pytest.fixture
def oblique() -> NDArray:
    """A RAS affine (rows, columns, slices) with unequal steps and no axis along the patient's."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turn[:, 2] = np.cross(turn[:, 1], turn[:, 0])  # DICOM: normal = row direction x column direction
    flip = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = flip @ turn @ np.diag([1.5, 0.75, 4.0])
    affine[:3, 3] = [10.0, -20.0, 30.0]
    return affine
