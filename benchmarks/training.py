"""Training: speed against the matrix-product rate of the same run, memory over time, and how soon a prior is good.

    python benchmarks/training.py [--minutes 5] [--json PATH]

*Rate.*  A step costs three times the multiply-adds of the forward pass; the ratio is their number per second over that
of plain matrix products, same run, same threads (2048 x 320 x 320 for the perceptron, 1024 x 1024 x 1024 for the
U-Net).  *Memory* is the growth of the resident set over the second half of a run.  *Time to a good prior*: a 3 x 3
prior is trained from one image (scikit-image's camera man) for 1 minute and for ``--minutes``; the mean denoising PSNR
of both on that image, over five levels, is compared.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from skimage.data import camera
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from scorefield.lessons.crops import Crops
from scorefield.nets import PatchMLP, UNet
from scorefield.objectives import NoiseConditional
from scorefield.prior import Prior
from scorefield.priors import FieldOfExperts, Homogeneous, Network
from scorefield.randomness import normal_like
from scorefield.schedules import Geometric
from scorefield.training.trainer import Minutes, Settings, descend, train

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.5)


def image() -> Tensor:
    return torch.from_numpy(camera()).float()[None] / 255


def product_rate(run: Callable[[], object], madds: float, seconds: float = 1.0) -> float:
    """Multiply-adds per second of ``run`` repeated for about ``seconds``."""
    run()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        run()
        count += 1
    return count * madds / (time.perf_counter() - start)


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def rate(name: str, prior: Prior, trainee: Prior, batch: int, product: tuple[int, int, int], *, half: bool) -> dict:
    """Samples per second of training, and the ratio to the matrix products of the same run."""
    crops = Crops([image()], trainee.crop, batch)  # pyright: ignore[reportArgumentType]
    objective = NoiseConditional(Geometric(0.005, 1.0), trainee.weight)  # pyright: ignore[reportArgumentType]
    x = crops(0, torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trainee.denoise(x, 0.1)
    forward = counter.get_total_flops() / 2
    settings = Settings(batch=batch, half=half)
    seconds, marks, memory = 10.0, [], []
    for step in descend(trainee, crops, objective, Minutes(seconds / 60), settings=settings):
        marks.append(step.seconds)
        memory.append(resident())
    steps = len(marks) - 5  # after a warm-up
    took = marks[-1] - marks[4]
    m, k, n = product
    a, b = torch.randn(m, k), torch.randn(k, n)
    plain = product_rate(lambda: a @ b, m * k * n)
    half_way = len(memory) // 2
    row = {
        "network": name,
        "half": half,
        "samples_per_second": steps * batch / took,
        "ratio": 3 * forward * steps / took / plain,
        "growth_mb": memory[-1] - memory[half_way],
    }
    print(f"{name:28} {row['samples_per_second']:9.0f} samples/s, {row['ratio']:.2f} of the product rate,"
          f" memory {row['growth_mb']:+.1f} MB")  # fmt: skip
    return row


def psnr(prior: Prior, clean: Tensor) -> float:
    """Mean over the levels of the denoising PSNR in dB, peak 1."""
    noise = normal_like(clean[None], torch.Generator().manual_seed(0))
    found = []
    with torch.no_grad():
        for sigma in SIGMAS:
            error = (prior.denoise(clean + sigma * noise, sigma) - clean).square().mean()
            found.append(-10 * error.log10().item())
    return sum(found) / len(found)


def time_to_good(minutes: float) -> dict:
    """A 3 x 3 prior after one minute against the same after ``minutes``."""
    clean, found = image(), {}
    settings = Settings(batch=1024, rate=5e-3, half=True)  # as 'scorefield train', and bfloat16
    for budget in (1.0, minutes):
        torch.manual_seed(0)
        prior = FieldOfExperts(PatchMLP(size=3, levels=1), sigma_min=0.005)
        lesson = prior.lesson().over(Geometric(0.005, 1.0))
        start = time.perf_counter()
        train(lesson, [clean], budget=Minutes(budget), settings=settings)
        found[budget] = psnr(prior, clean)
        print(f"3 x 3, {prior.trained_steps:5d} steps, {time.perf_counter() - start:5.0f} s: {found[budget]:.3f} dB")
    return {"psnr": found, "gap_db": found[minutes] - found[1.0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    patch = FieldOfExperts(PatchMLP(size=3, levels=1))
    net = Network(UNet(), Homogeneous())
    rows = [rate("patch MLP 3 x 3, batch 2048", patch, patch.lesson().trainee, 2048, (2048, 320, 320), half=False)]
    for half in (False, True):
        name = "U-Net 0.61 M, 16 x 64 x 64" + (", bf16" if half else "")
        rows.append(rate(name, net, net, 16, (1024, 1024, 1024), half=half))
    good = time_to_good(args.minutes)
    print(f"gap after one minute: {good['gap_db']:.3f} dB")
    if args.json:
        args.json.write_text(json.dumps({"rates": rows, "time_to_good": good}, indent=2) + "\n")


if __name__ == "__main__":
    main()
