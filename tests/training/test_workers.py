"""Several processes take the steps of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.store import checkpoint
from scorefield.training.workers import Workers

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.mark.parametrize(("n", "size", "parts"), [(10, 3, 1), (16, 2, 4), (2, 3, 2), (7, 1, 3)])
def test_every_row_belongs_to_one_process_and_part(n, size, parts):
    seen: list[int] = []
    for rank in range(size):
        one = Workers()
        one.rank, one.size = rank, size
        rows = one.rows(n, parts)
        assert len(rows) <= parts
        lengths = [len(range(n)[r]) for r in rows]
        assert not lengths or max(lengths) - min(lengths) <= 1
        seen += [i for r in rows for i in range(n)[r]]
    assert seen == list(range(n))


def options(folder: Path, out: str) -> list[str]:
    return [
        "-m", "scorefield", "train", "--images", str(folder / "image.npy"), "--out", str(folder / out),
        "--kind", "network", "--crop", "16", "--steps", "4", "--batch", "6", "--rate", "1e-4",
        "--validate-on", str(folder / "image.npy"), "--validate-every", "2",
    ]  # fmt: skip


def weights(folder: Path) -> Tensor:
    return torch.cat([t.flatten().double() for t in checkpoint.load(folder).state_dict().values()])


def test_two_processes_train_as_one(tmp_path):
    """torchrun with 2 gloo processes and one process of the same batch agree to rounding."""
    np.save(tmp_path / "image.npy", np.random.default_rng(0).random((32, 32), np.float32))
    subprocess.run([sys.executable, *options(tmp_path, "one")], check=True, env=ENVIRONMENT, capture_output=True)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    both = [sys.executable, *launch, *options(tmp_path, "two")]
    done = subprocess.run(both, check=False, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Wrote the prior") == 1
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    begun = 4 * 1e-4  # Adam moves a weight by at most about the rate in a step
    assert (one - two).abs().max().item() < 0.02 * begun
    assert (tmp_path / "two.jsonl").read_text().count("psnr") == 2  # one process logs
