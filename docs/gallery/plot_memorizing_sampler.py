r"""
The sampler that memorizes
==========================

There is a generative model that needs no training, has no bias and gives perfect images: keep the training set, and
return one of its images at random.  What it lacks is novelty.  This page shows that it is also a diffusion model, the
one whose score fits the training set exactly, so that a *better fit* cannot be what makes a learned score useful.
"""

# %%
# Drawing with replacement
# ------------------------
# The empirical distribution of T training points is :math:`\frac1T \sum_t \delta(x - x_t)`, a kernel density estimate
# whose bandwidth is 0.  Each of its draws is a training point, to the bit.

# sphinx_gallery_tags = ["sampling"]

import matplotlib.pyplot as plt
import torch

import scorefield as sf

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(0)

truth = sf.priors.GaussianMixture(torch.tensor([[3.0], [13.0]]), torch.tensor([1.0, 9.0]), torch.tensor([0.4, 0.6]))
points = truth.rsample(15, generator)
empirical = sf.priors.Kde(points, bandwidth=0.0)

draws = empirical.rsample(1000, generator)
identical = (draws == points.T).any(dim=1)
print(f"{identical.sum()} of {len(draws)} draws are training points, bit for bit")

# %%
# The same by diffusion
# ---------------------
# Noise of level :math:`\sigma` turns the empirical distribution into a sum of Gaussians around the training points,
# which has a score at every level,
#
# .. math::
#     s(x, \sigma) = \frac{1}{\sigma^2} \left( \sum_t w_t(x) \, x_t - x \right), \qquad
#     w = \operatorname{softmax}_t \left( -\frac{|x - x_t|^2}{2 \sigma^2} \right).
#
# It is the exact minimizer of denoising score matching on these points, over all functions.  Follow it from pure noise
# down to :math:`\sigma = 10^{-4}` and see where the draws end.

levels = sf.schedules.Karras(1e-4, 30.0).grid(80)
start = points.mean() + levels[0] * torch.randn(400, 1, generator=generator)
states = list(sf.walk(empirical, sf.kernels.Heun(), start, levels, generator))
paths = torch.cat([state.x.T for state in states[:-1]])  # (levels, draws), the last level is 1e-4

distance, nearest = (paths[-1].unsqueeze(1) - points.T).abs().min(dim=1)
print(f"farthest from a training point at sigma = 1e-4: {distance.max():.1e}")

order = points[:, 0].argsort().argsort()  # neighboring points in neighboring colors
fig, ax = plt.subplots(figsize=(9, 5))
for path, goal in zip(paths.T[:150], nearest.tolist(), strict=False):
    ax.semilogx(levels[:-1], path, color=plt.cm.viridis(order[goal] / 14), lw=0.7, alpha=0.7)
ax.plot(torch.full_like(points, 0.009), points, "<", color="C1", ms=9, clip_on=False, label="training points")
ax.set(xlim=(30, 0.009), ylim=(-10, 30), xlabel=r"noise level $\sigma$", ylabel="$x$")
ax.set_title("150 draws on their way: every one ends on a training point")
ax.legend(loc="upper right")
plt.show()

# %%
# How often each point is reached is no accident either: each has the same share of the noise.

counts = torch.bincount(nearest, minlength=15)
print("draws that ended at each of the 15 points:", counts.tolist())
print(f"chi-square {((counts - 400 / 15) ** 2 / (400 / 15)).sum():.1f}, expected 14 +- 5.3")

# %%
# What else one could want
# ------------------------
# On the plane, from 40 points of an unknown density: the diffusion with their exact score, the diffusion with the score
# of a kernel density estimate, whose bandwidth is a blunt guess at what lies between the points, and the diffusion with
# the score of the true density, which nobody has.  The three differ in their scores only.

ring = torch.linspace(0, 2 * torch.pi, 13)[:-1]
truth = sf.priors.GaussianMixture(
    torch.stack([ring.cos(), ring.sin()], dim=1), torch.full((12,), 0.02), torch.full((12,), 1 / 12)
)
points = truth.rsample(40, generator)
scores = {
    "exact on the training set": sf.priors.Kde(points, bandwidth=0.0),
    "kernels of width 0.15": sf.priors.Kde(points, bandwidth=0.15),
    "true density": truth,
}
fig, axes = plt.subplots(1, 3, sharex=True, sharey=True, figsize=(10, 4.4))
for ax, (name, prior) in zip(axes, scores.items(), strict=True):
    found = sf.sample(
        prior, sf.kernels.Heun(), sf.schedules.Karras(1e-4, 10.0).grid(60), n=300, seed=0, like=points
    ).draws
    ax.scatter(*found.T, s=10, color="C0", alpha=0.6, label="draws")
    ax.scatter(*points.T, s=45, facecolor="none", edgecolor="C1", lw=1.2, label="training points")
    ax.set(title=name, aspect="equal", xlabel="$x_1$", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    gap = torch.cdist(found, points).min(dim=1).values
    print(f"{name:26} median distance to the nearest training point {gap.median():.1e}")
axes[0].set_ylabel("$x_2$")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
plt.show()

# %%
# What a learned prior does better than the training set is what its network and its training keep it from fitting.
# For images of many pixels the exact score is as useless as it is easy to compute, which is why priors built from
# small patches, of which a few images contain very many, generalize so well.
