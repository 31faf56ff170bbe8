"""Three ways to train the same patch network, at equal time: denoising PSNR of held-out pixels.

    python benchmarks/patch_training.py [--minutes 1.5] [--size 3] [--json PATH]

``marginal`` is score matching of single patches with the overlap weight fitted afterwards, ``whole`` score matching of
the sum on image crops, ``energy`` the same with the sum the exact gradient of a density.  One photograph, its left half
to train on and its right half to test, one thread.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from skimage.data import camera
from torch import Tensor

from scorefield.nets import PatchMLP, Patchwise
from scorefield.prior import Prior
from scorefield.priors import Energy, FieldOfExperts, Network, Unitless
from scorefield.training.trainer import Minutes, Settings, train

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.5)


def psnr(prior: Prior, clean: Tensor, sigma: float) -> float:
    """Of the denoised image, peak 1."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        error = prior.denoise(clean + sigma * noise, sigma) - clean
    return -10 * math.log10(error.square().mean().item())


def ways(size: int) -> dict[str, tuple[Prior, Settings]]:
    """The same network three times, and batches of about as many patches."""
    nets = []
    for _ in range(3):
        torch.manual_seed(0)
        nets.append(PatchMLP(size=size, levels=1))
    marginal = FieldOfExperts(nets[0], sigma_min=0.005, sigma_max=2.0)
    whole = Network(Patchwise(nets[1]), Unitless(), crop=24)
    energy = Energy(Patchwise(nets[2]), Unitless(), crop=24)
    few, many = Settings(batch=2), Settings(batch=1024)
    return {"marginal": (marginal, many), "whole": (whole, few), "energy": (energy, few)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.5)
    parser.add_argument("--size", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    image = torch.from_numpy(camera()).float() / 255
    clean, rows = image[None, None, 180:340, 300:460], []
    for name, (prior, settings) in ways(args.size).items():
        train(prior, [image[None, :, :256]], budget=Minutes(args.minutes), settings=settings)
        found = {str(sigma): round(psnr(prior, clean, sigma), 2) for sigma in SIGMAS}
        rows.append({"way": name, "steps": prior.trained_steps, "psnr": found})
        print(f"{name:9} {prior.trained_steps:5} steps ", *(f"{sigma}: {dB:5.2f} dB " for sigma, dB in found.items()))
    if args.json:
        args.json.write_text(json.dumps({"minutes": args.minutes, "size": args.size, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
