r"""
Annealed Langevin dynamics
==========================

Langevin dynamics walks; it does not jump.  If the density has modes with an empty valley between them, a chain stays
in the mode it first fell into, and the fraction of the chains in each mode says where they began and not how probable
the mode is.  Song and Ermon's noise-conditional score networks (NCSN) go around the valley: add so much noise that
there is only one mode, sample that, and follow the density while the noise is withdrawn,

.. math::
    x \leftarrow x + a_l \, s(x, \sigma_l) + \sqrt{2 a_l} \, z, \qquad a_l = r \sigma_l^2,
    \qquad \sigma_1 > \sigma_2 > \dots > \sigma_L,

:math:`T` times at each of the :math:`L` levels, where :math:`s(x, \sigma) = \nabla \log p_\sigma(x)` is the score of
the data plus noise of standard deviation :math:`\sigma`.

Mind the factor: the paper of 2019 writes the step as :math:`\frac{a}{2} s + \sqrt{a} \, z`, both authors' programs for
images as :math:`a \, s + \sqrt{2a} \, z` with the same number for :math:`a`.  This library's step is the second one.
"""

# %%
# Three modes
# -----------
# A mixture in the plane whose score is known at every level, so that what goes wrong is the sampler's own fault.  Its
# modes have the weights .3, .3 and .4 and are many standard deviations apart.

# sphinx_gallery_tags = ["sampling"]

import math

import matplotlib.pyplot as plt
import torch

import scorefield as sf
from scorefield.kernels import Langevin, Repeat, ncsn
from scorefield.schedules import Geometric

torch.set_default_dtype(torch.float64)

means = torch.tensor([[-2.0, -1.5], [1.5, 2.0], [2.0, -2.0]])
prior = sf.priors.GaussianMixture(means, torch.full((3,), 0.25), torch.tensor([0.3, 0.3, 0.4]))
CHAINS = 4000


def weights(x: torch.Tensor) -> torch.Tensor:
    """Fraction of the points that are nearest to each mean."""
    return torch.bincount(torch.cdist(x, means).argmin(1), minlength=3) / len(x)


def total_variation(x: torch.Tensor) -> float:
    return 0.5 * (weights(x) - prior.weights).abs().sum().item()


def run(kernel: sf.Kernel, start: torch.Tensor, levels: torch.Tensor) -> list[torch.Tensor]:
    """The chains at each of the levels."""
    return [state.x for state in sf.walk(prior, kernel, start, levels, torch.Generator().manual_seed(1))]


white = torch.randn(CHAINS, 2, generator=torch.Generator().manual_seed(0))
lowest = torch.full((3001,), 0.05)
plain = run(Langevin(rate=0.1), white, lowest)[-1]
longer = run(Langevin(rate=4.0), white, lowest)[-1]

setting = ncsn.AnnealedLangevin(Geometric(0.05, 10.0), 30, repeats=100, step=0.1 * 0.05**2)
levels = setting.sigmas
states = run(setting.kernel, levels[0] * white, levels)
annealed = states[-1]

print("mode weights:    ", [0.3, 0.3, 0.4])
print("plain Langevin:  ", [round(w, 3) for w in weights(plain).tolist()], end="  ")
print(f"total variation {total_variation(plain):.3f} (reference .18)")
print(f"plain, its step 40 times as long: total variation {total_variation(longer):.3f}")
print("annealed:        ", [round(w, 3) for w in weights(annealed).tolist()], end="  ")
print(f"total variation {total_variation(annealed):.3f} (reference .012)")
exact = [total_variation(prior.rsample(CHAINS, torch.Generator().manual_seed(seed))) for seed in range(20)]
print(f"as many exact draws: total variation {sum(exact) / len(exact):.3f}")

# %%
# Both make 3000 steps a chain.  The plain one stays at the lowest level; it begins with a standard Gaussian in the
# middle, each chain falls into the mode that is next to it, and the heaviest mode, which is the farthest, gets the
# fewest.  Longer steps do not help.  Annealed Langevin is as close to the weights as exact draws are.

axis = torch.linspace(-5, 5, 121)
grid = torch.cartesian_prod(axis, axis)


def show(ax: plt.Axes, x: torch.Tensor, sigma: float, span: float = 5.0) -> None:
    """Chains, and contours of the density they should have."""
    z = prior.log_prob(grid * span / 5, sigma).exp().reshape(121, 121)
    ax.scatter(*x[:1000].T, s=2, color="C4", alpha=0.6, rasterized=True)
    ax.contour(axis * span / 5, axis * span / 5, z.T, 5, colors="black", linewidths=0.8)
    ax.set(aspect="equal", xlim=(-span, span), ylim=(-span, span), xlabel="$x_1$")


fig, axes = plt.subplots(1, 3, width_ratios=[3, 3, 2])
for ax, x, name in ((axes[0], plain, "plain Langevin"), (axes[1], annealed, "annealed Langevin")):
    show(ax, x, 0.0)
    ax.set_title(name)
axes[0].set_ylabel("$x_2$")
for i, (x, color, name) in enumerate(((plain, "C1", "plain"), (annealed, "C0", "annealed"))):
    axes[2].bar(torch.arange(3) + 0.36 * (i - 0.5), weights(x), 0.36, color=color, label=name)
axes[2].hlines(prior.weights, torch.arange(3) - 0.45, torch.arange(3) + 0.45, color="black", label="exact")
axes[2].set(
    xticks=range(3), xticklabels=("left", "top", "bottom"), title="mode weights", ylim=(0, 0.62), box_aspect=1.5
)
axes[2].legend(loc="upper left")
plt.show()

# %%
# How it gets there: at :math:`\sigma = 10` the mixture is one broad hill, which two or three steps of
# :math:`a = r \sigma^2` cross.  The modes part at about :math:`\sigma = 2`, and there the chains choose, while every
# choice can still be undone.

fig, axes = plt.subplots(1, 4, figsize=(9, 2.9))
for ax, k in zip(axes, (1, 9, 16, 30), strict=True):
    sigma = levels[k - 1].item()
    show(ax, states[k], sigma, 5 + 2.2 * sigma)
    ax.set_title(rf"$\sigma = {sigma:.2f}$")
axes[0].set_ylabel("$x_2$")
plt.show()

# %%
# Five techniques
# ---------------
# The second paper (NCSNv2, 2020) says how to choose the numbers; its rules are in :mod:`scorefield.kernels.ncsn`.
#
# **1. The largest level** is as large as the largest distance between two training images, so that a chain can travel
# from any of them to any other.  Here is what happens if it is smaller, with 30 levels of 20 steps each.

training = prior.rsample(1000, torch.Generator().manual_seed(0))
farthest = ncsn.largest_distance(training)
largest = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, farthest, 15.0, 30.0]
errors = []
for sigma in largest:
    grid_of_levels = Geometric(0.05, sigma).grid(30)
    errors.append(total_variation(run(Repeat(Langevin(rate=0.1), 20), sigma * white, grid_of_levels)[-1]))
print(f"largest distance of two of {len(training)} training points: {farthest:.2f}")

# %%
# **2. The ratio** of two neighboring levels.  In :math:`n` dimensions noise of level :math:`\sigma` lives on a thin
# shell of radius :math:`\sqrt n \sigma`; the next shell must overlap with it.  The ratio :math:`g` that solves
#
# .. math:: \Phi(\sqrt{2n} (g - 1) + 3 g) - \Phi(\sqrt{2n} (g - 1) - 3 g) = \tfrac12
#
# puts half of the one within three standard deviations of the other.


def count(g: float) -> float:
    return 1 + math.log(50 / 0.01) / math.log(g)


g = ncsn.ratio(3 * 32 * 32)
print(f"CIFAR-10, n = 3072: ratio {g:.4f} (reference 1.0398), {count(g):.0f} levels from 50 to 0.01 (232 were used)")

# %%
# **3. The parameterization** :math:`s(x, \sigma) = \tilde s(x) / \sigma`, because scores grow as :math:`1 / \sigma`:
# the network's own output :math:`\sigma s` then has the same size at all levels.  In this library that is
# :class:`~scorefield.priors.Unitless`.

sigmas = torch.logspace(-2, 2, 25)
noisy = [training + sigma * white[:1000] for sigma in sigmas]
size = [(prior.score(x, s).square().sum(1).mean().sqrt().item()) for x, s in zip(noisy, sigmas, strict=True)]

# %%
# **4. The step.**  Enter a level whose law is :math:`N(0, \sigma^2)` with chains of variance :math:`g^2 \sigma^2` from
# the level before.  After :math:`T` steps of :math:`a_l = \epsilon \sigma_l^2 / \sigma_L^2` their variance over
# :math:`\sigma^2` is
#
# .. math::
#     \left(1 - \frac{\epsilon}{\sigma_L^2}\right)^{2T} (g^2 - c) + c, \qquad
#     c = \frac{2 \epsilon / \sigma_L^2}{1 - (1 - \epsilon / \sigma_L^2)^2},
#
# and the best :math:`\epsilon` brings it closest to 1.  With the published 232 levels, :math:`T = 5` and
# :math:`\sigma_L = 0.01` that is the published :math:`\epsilon`.


published = {"sigma_min": 0.01, "ratio": 5000 ** (1 / 231), "repeats": 5}
eps = torch.linspace(1e-7, 2e-5, 400).tolist()
curve = [ncsn.spread(e, **published) for e in eps]
best = ncsn.step(**published)
least = ncsn.spread(best, **published)
print(f"smallest variance ratio {least:.4f} at eps = {best:.1e} (reference 1.0555 at 6.2e-6)")

# %%
# **5. The weights** of the network are averaged exponentially over training (decay .999), which takes the jitter out of
# the samples; ``train`` does so by default.
#
# The first four in figures: the largest level against the error of the mode weights, the number of levels that cover
# 50 to 0.01 against the dimension, the size of the score with and without the factor :math:`\sigma`, and the variance
# ratio against the step.

fig, axes = plt.subplots(2, 2, figsize=(9, 6))
(first, second), (third, fourth) = axes
first.loglog(largest, errors, "o-")
first.axvline(farthest, color="C1", ls="--")
first.text(1.1 * farthest, 0.1, "largest\ndistance\nof data", color="C1", fontsize=11)
first.axhline(sum(exact) / len(exact), color="black", ls=":")
first.text(0.25, sum(exact) / len(exact), "exact draws", va="bottom", fontsize=11)
first.set(xlabel=r"largest level $\sigma_1$", title="1. error of the mode weights")
dimensions = [2**k for k in range(4, 21)]  # below n = 5 any two shells overlap
second.loglog(dimensions, [count(ncsn.ratio(n)) for n in dimensions])
second.plot(3072, count(g), "o", color="C1")
second.annotate("CIFAR-10", (3072, count(g)), (-8, 8), textcoords="offset points", ha="right")
second.set(xlabel="dimension $n$", title="2. number of levels")
third.loglog(sigmas, size, label=r"$s(x, \sigma)$")
third.loglog(sigmas, [a * b for a, b in zip(size, sigmas.tolist(), strict=True)], label=r"$\sigma s(x, \sigma)$")
third.set(xlabel=r"level $\sigma$", title="3. root mean square of the score")
third.legend()
fourth.plot([1e6 * e for e in eps], curve)
fourth.plot(1e6 * best, least, "o", color="C1")
fourth.set(xlabel=r"step $\epsilon \cdot 10^6$", title="4. variance over $\\sigma^2$", ylim=(1.05, 1.08))
plt.show()

# %%
# The first rule is on the safe side: these modes merge already at :math:`\sigma = 1.5`, after which the error is close
# to that of 4000 exact draws.  The third is about images.  This mixture fills its plane, and its score stops growing
# below the width of its components, .5; images lie close to a thin set, where it goes on growing.
