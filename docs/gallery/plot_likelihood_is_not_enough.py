r"""
Maximum likelihood is not enough
================================

A fast scan measures fewer numbers than an image has pixels.  Many images then explain the data equally well, and the
likelihood :math:`p(y \mid x)` is as large for the one as for the other.  This page shows four answers to one scan:

- the *minimum norm* image, which is the one among them that has nothing where nothing was measured;
- the *most probable* image (MAP), which a prior singles out;
- the *mean* of the images that prior and data allow (MMSE), which has the least squared error;
- *draws*: images that prior and data allow, each as good as the other.
"""

# %%
# In the plane
# ------------
# Two unknowns, one measurement of the first of them, and a prior of three heaps.  All points on the line
# :math:`x_1 = y` have the largest likelihood.

# sphinx_gallery_tags = ["posteriors", "MRI"]

from functools import partial

import matplotlib.pyplot as plt
import torch

import scorefield as sf
from scorefield.baselines import least_squares
from scorefield.data import mr_slice
from scorefield.kernels import Ascent
from scorefield.posteriors import MMPS, AnnealedLikelihood
from scorefield.priors import Scaled

means = torch.tensor([[-2.0, -1.5], [1.5, 2.0], [2.0, -2.0]])
heaps = sf.priors.GaussianMixture(means, torch.full((3,), 0.25), torch.tensor([0.3, 0.3, 0.4]))
line = sf.Measurement(torch.tensor([1.2]), sf.operators.Matrix(torch.tensor([[1.0, 0.0]])), sf.noise.White(0.5))
law = heaps.posterior(line)  # a mixture knows its posterior
draws = law.rsample(300, torch.Generator().manual_seed(0))
axis = torch.linspace(-4, 4, 161)
grid = torch.cartesian_prod(axis, axis)
most_probable = grid[law.log_prob(grid).argmax()]

fig, ax = plt.subplots(figsize=(9, 5))
ax.contour(axis, axis, heaps.log_prob(grid).exp().reshape(161, 161).T, 5, colors="black", linewidths=0.6)
ax.axvline(1.2, color="C3", lw=6, alpha=0.4, label="largest likelihood")
ax.plot(*draws.T, ".", color="C4", ms=4, label="draws")
mean = (law.weights.unsqueeze(1) * law.means).sum(0)
for point, marker, name in (
    (torch.tensor([1.2, 0.0]), "s", "minimum norm"),
    (most_probable, "^", "MAP"),
    (mean, "D", "MMSE"),
):
    ax.plot(*point, marker, color="C1", ms=11, mec="black", label=name)
ax.set(xlabel="$x_1$, measured", ylabel="$x_2$", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
plt.show()

# %%
# The minimum norm lies where the prior has nothing.  MAP names one heap and is silent about the other.  The mean has
# the least squared error of all answers, and lies between the heaps, where no truth is.  The draws say what is known:
# two heaps, and how probable each is.
#
# On an image
# -----------
# The middle of a real MR slice, of which every third line of k-space is measured, and nine in the center.  The prior is
# the package's ``brain``, a network that learned the head of another person.

truth = mr_slice().pixels[:, 8:88, 24:104]
truth = truth / torch.quantile(truth, 0.99)
lines = torch.zeros(1, 80, 80, dtype=torch.bool)
lines[:, :, ::3] = True
lines[:, :, 36:45] = True
scanner = sf.operators.mri(lines) @ sf.operators.RealToComplex(tuple(truth.shape))
generator = torch.Generator().manual_seed(0)
noise = sf.noise.White(0.02)
given = sf.Measurement(noise.corrupt(scanner(truth[None]), generator), scanner, noise)

network = sf.load(sf.shipped.find("brain"))
prior = Scaled(network, scale=1 / network.amplitude)
shortest = least_squares(given)  # conjugate gradients from 0 end at the image of the least norm
levels = sf.schedules.Geometric(0.02, 0.5).grid(150)[:-1]
*_, climbed = sf.walk(AnnealedLikelihood(prior, given), Ascent(0.5), shortest[None], levels, generator)
quick = sf.Method(posterior=partial(MMPS, iterations=3), steps=16)
samples = sf.reconstruct(network, given, n=8, method=quick, seed=0)


def score(x: torch.Tensor) -> str:
    error = 10 * torch.log10(truth.max() ** 2 / (x - truth).square().mean())
    misfit = given.residual(x[None]).abs().square().sum() / (2 * given.y.numel() * 0.02**2)
    return f"{error:.1f} dB, misfit {misfit:.2f}"


answers = {"truth": truth, "minimum norm": shortest, "MAP": climbed.x[0], "MMSE": samples.mean}
answers |= {f"draw {i + 1}": draw for i, draw in enumerate(samples.draws[:3])} | {"spread": samples.std}
for name in ("minimum norm", "MAP", "MMSE", "draw 1"):
    print(f"{name:14} {score(answers[name])}")

fig, axes = plt.subplots(2, 4, figsize=(9, 4.9))
for ax, (name, x) in zip(axes.flat, answers.items(), strict=True):
    colors, top = ("cividis", samples.std.quantile(0.99)) if name == "spread" else ("gray", 1.2)
    ax.imshow(x[0], cmap=colors, vmin=0, vmax=top)
    ax.set_title(name, fontsize=12)
    ax.set_axis_off()
plt.show()

# %%
# *Misfit* is the mean square of the residual in units of the noise: near 1 for an image that explains the data.  The
# minimum norm fits the noise, and folds the brain onto itself in place of what was not measured.  MAP is
# plain where the data do not decide, and plainer than any brain.  The mean of the draws has the least error.  But it is
# no probable image either: it, too, is smoother than the truth, and its misfit is too small, because the noise of its
# draws is averaged out.  A draw is as rough as the truth and explains the data as the truth does, with a misfit of 1;
# its error is 2 dB larger than the mean's, because draw and truth are two independent guesses.  Where draws differ, the
# data and the prior do not decide, and the map of their spread says so.
