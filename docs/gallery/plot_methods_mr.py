r"""
Eleven methods on a real MR slice
=================================

One scan, and what eleven methods make of it: the image without its missing data, two that get a weight from an oracle,
and eight that draw samples.  All learned ones ask the same network, the package's ``brain``, which learned the head of
another person.  Draws are judged as probabilities: their mean by its PSNR, the draws of each pixel by their CRPS (an
error in the unit of the image, lower is better), and the 90 % intervals by how often they contain the truth.

Draws and steps are few, so that the page takes less than a minute of one core.  A method with many more steps may do
better, and the table of :doc:`which sampler is right </which_sampler>` compares all of them with exact posteriors.
"""

# %%
# The scan
# --------
# The brain in nibabel's example image, 2 mm, in units of its brightest tissue.  Every third line of k-space is
# measured, and the nine in the center, with noise of 2 %.

# sphinx_gallery_tags = ["posteriors", "baselines", "MRI"]

from functools import partial

import matplotlib.pyplot as plt
import torch

import scorefield as sf
from scorefield import kernels, posteriors
from scorefield.baselines import tuned_plug_and_play, tuned_total_variation, zero_filled
from scorefield.data import mr_slice
from scorefield.priors import Scaled
from scorefield.reconstruction.method import unconditional

truth = mr_slice().pixels[:, 16:80, 32:96]
truth = truth / truth.quantile(0.99)  # published constants are for images of about this size
lines = torch.zeros(1, 64, 64, dtype=torch.bool)
lines[:, :, ::3] = True
lines[:, :, 28:37] = True
scanner = sf.operators.mri(lines) @ sf.operators.RealToComplex((1, 64, 64))
noise = sf.noise.White(0.02)
given = sf.Measurement(noise.corrupt(scanner(truth[None]), torch.Generator().manual_seed(0)), scanner, noise)
network = sf.load(sf.shipped.find("brain"))
LINEAR, COMPARED = "zero-filled", zero_filled(given)

# %%
# The methods
# -----------
# A posterior is a prior with another denoiser, and a kernel walks down its noise levels; a sampler is a pair of them.
# DAPS holds the data in the kernel instead and walks with the unconditional prior.  ``reconstruct`` is the default
# without any choice: MMPS with four products, a multistep kernel and 24 steps.

METHODS = {
    "MMPS": sf.Method(partial(posteriors.MMPS, iterations=2), kernels.Ancestral(), steps=30),
    "DPS": sf.Method(posteriors.DPS, kernels.Ancestral(), steps=100),
    "PiGDM": sf.Method(posteriors.PiGDM, kernels.Ancestral(), steps=60),
    "DiffPIR": sf.Method(posteriors.DiffPIR, kernels.Renoise(0.3), steps=60),
    "DDS": sf.Method(posteriors.DDS, kernels.PriorNoise(0.85), steps=60),
    "DAPS": sf.Method(unconditional, kernels.DAPS(given), steps=24),
    "annealed Langevin": sf.Method(
        posteriors.AnnealedLikelihood, kernels.Repeat(kernels.Langevin(rate=0.2), 4), steps=25
    ),
    "reconstruct": sf.Method(),
}
DRAWS = 4
samples = {name: sf.reconstruct(network, given, n=DRAWS, method=method, seed=0) for name, method in METHODS.items()}
prior = Scaled(network, scale=1 / network.amplitude)
points = {
    LINEAR: COMPARED,
    "total variation": tuned_total_variation(given, truth).image,
    "plug and play": tuned_plug_and_play(given, truth, prior.denoise).image,
}

print("                     PSNR dB     CRPS   coverage   evaluations  products   (of a draw)")
for name, x in points.items():
    print(f"{name:18} {10 * torch.log10(truth.max() ** 2 / (x - truth).square().mean()):9.2f}")
for name, drawn in samples.items():
    scores = sf.evaluate(drawn, truth)
    passes = f"{drawn.cost.evaluations:13.0f} {drawn.cost.backward / DRAWS:9.0f}"
    print(f"{name:18} {scores.psnr:9.2f} {scores.crps:9.4f} {scores.coverage:9.0%} {passes}")
print(f"exact draws, {DRAWS}: coverage {scores.expected_coverage:.0%}")

# %%
# *Evaluations* are passes through the network, *products* are passes back through it.  Total variation and plug and
# play have the weight that is best for this very image, which nobody could know.

fig, axes = plt.subplots(1, 4, figsize=(9, 2.7))
for ax, (name, x) in zip(axes, {"truth": truth, **points}.items(), strict=True):
    ax.imshow(x[0], cmap="gray", vmin=0, vmax=1.2)
    ax.set_title(name, fontsize=12)
    ax.set_axis_off()
plt.show()

# %%
# The draws
# ---------
# Of each method the mean, the spread, and three draws.

fig, axes = plt.subplots(5, 8, figsize=(12, 7.6))
for column, (name, drawn) in zip(axes.T, samples.items(), strict=True):
    for ax, x in zip(column, (drawn.mean, drawn.std, *drawn.draws[:3]), strict=True):
        spread = x is drawn.std or ax is column[1]
        ax.imshow(x[0], cmap="cividis" if spread else "gray", vmin=0, vmax=0.1 if spread else 1.2)
        ax.set(xticks=[], yticks=[])
    column[0].set_title(name, fontsize=11)
for ax, row in zip(axes[:, 0], ("mean", "spread", "draw 1", "draw 2", "draw 3"), strict=True):
    ax.set_ylabel(row, fontsize=11)
plt.show()

# %%
# One slice and four draws: differences of a few tenths of a decibel are chance.
#
# - Plug and play has the best single image, with an oracle's weight, and no uncertainty.
# - ``reconstruct`` has the least CRPS and the coverage of exact draws, and no number to choose.
# - DAPS, MMPS with two products, DDS and DiffPIR are close behind.  The intervals of MMPS, PiGDM and DDS are narrower
#   than those of exact draws, those of DAPS and of annealed Langevin dynamics wider.
# - DPS does badly: its step has a fixed length, which knows neither the noise nor the number of steps, and the default
#   is the paper's for photographs.  With a third of that weight two draws had 24 dB here.  Its intervals cover the
#   truth because they are far too wide, as its CRPS shows.
