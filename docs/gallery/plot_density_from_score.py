r"""
A density from its score
========================

Can a density be recovered from its score?  The tutorial asks it as a question.  On a line it can, by the fundamental
theorem of calculus: the score is the slope of the log-density,

.. math::
    s(x) = \frac{d}{dx} \log p(x), \qquad \log p(x) = \log p(x_0) + \int_{x_0}^x s(u) \, du,

and the one number that the score does not know, :math:`\log p(x_0)`, follows from :math:`\int p = 1`.  A score says
everything about a density but its normalizing constant, which is why a model of scores never needs one.
"""

# %%
# On a line
# ---------
# The tutorial's mixture :math:`0.4 \, N(3, 1) + 0.6 \, N(13, 3^2)`.  ``log_density`` looks at nothing but the score,
# which it adds up by the trapezoidal rule.

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_tags = ["scores"]

import matplotlib.pyplot as plt
import torch

import scorefield as sf
from scorefield.densities.potential import log_density, log_ratio

torch.set_default_dtype(torch.float64)

prior = sf.priors.GaussianMixture(torch.tensor([[3.0], [13.0]]), torch.tensor([1.0, 9.0]), torch.tensor([0.4, 0.6]))


def exact(x: torch.Tensor) -> torch.Tensor:
    return prior.log_prob(x.unsqueeze(1)).exp()


x = torch.linspace(-10, 30, 4001)
found = log_density(prior, x).exp()
print(f"largest error of the density on {len(x)} points: {(found - exact(x)).abs().max():.1e}")

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 4))
left.plot(x, prior.score(x.unsqueeze(1), 0.0), color="C1")
left.axhline(0, color="0.6", lw=0.8)
left.set(title="the score", xlabel="$x$", ylabel="$s(x)$", xlim=(-1, 25), ylim=(-2.5, 4))
middle.plot(x, exact(x), color="0.75", lw=7, label="exact")
middle.plot(x, found, color="C0", label="from the score")
middle.set(title="summed and normalized", xlabel="$x$", ylabel="$p(x)$", xlim=(-1, 25), ylim=(0, 0.21))
middle.legend()

counts = torch.tensor([41, 81, 161, 321, 641, 1281, 2561, 5121])
grids = [torch.linspace(-10, 30, n) for n in counts.tolist()]
errors = [(log_density(prior, grid).exp() - exact(grid)).abs().max() for grid in grids]
spacing = 40 / (counts - 1)
right.loglog(spacing, errors, "o-", color="C0")
right.loglog(spacing, 0.03 * spacing**2, "--", color="0.5")
right.text(0.05, 3e-4, r"$\propto h^2$", color="0.4")
right.set(title="error", xlabel="spacing $h$", ylabel=r"$\max |\hat p - p|$")
plt.show()

# %%
# The same holds at any noise level.  Wherever a learned score is defined on a line, this is the density that it
# believes in.
#
# In more dimensions
# ------------------
# Along any segment the same integral gives a difference of log-densities,
#
# .. math::
#     \log p(b) - \log p(a) = \int_0^1 \langle s(a + u (b - a)), \, b - a \rangle \, du,
#
# for which :func:`~scorefield.densities.potential.log_ratio` uses Simpson's rule.  But there are many ways from a to b,
# and they agree only if the field is a gradient.  The score of a density is one; the output of a neural network in
# general is not.  Below, the log-density of a mixture on the plane is integrated from the lower left corner, once going
# right and then up, once up and then right: from the true score, and from a score with a small rotation added, which
# stands for the error of a network.


class Rotated(sf.Score):
    """A score plus ``speed`` times a rotation about the origin, whose curl is ``2 speed``."""

    def __init__(self, prior: sf.Prior, speed: float):
        super().__init__()
        self.prior, self.speed = prior, speed

    def score(self, x, sigma):
        return self.prior.score(x, sigma) + self.speed * torch.stack([-x[:, 1], x[:, 0]], dim=1)


mixture = sf.priors.GaussianMixture(
    torch.tensor([[-0.9, -0.7], [0.9, -0.5], [0.0, 1.0]]),
    torch.tensor([0.12, 0.12, 0.2]),
    torch.tensor([0.3, 0.3, 0.4]),
)
axis = torch.linspace(-2, 2, 81)
end = torch.cartesian_prod(axis, axis)
start = torch.full_like(end, -2.0)


def integrate(prior: sf.Prior, corner: torch.Tensor) -> torch.Tensor:
    """log p(end) - log p(start) by way of the corner, on the grid."""
    both = log_ratio(prior, start, corner, 0.0, 64) + log_ratio(prior, corner, end, 0.0, 64)
    return both.reshape(81, 81).T


right_then_up = torch.stack([end[:, 0], start[:, 1]], dim=1)
up_then_right = torch.stack([start[:, 0], end[:, 1]], dim=1)

fig, axes = plt.subplots(2, 3, sharex=True, sharey=True, figsize=(9.5, 6.2))
for row, (name, field) in zip(axes, {"exact": mixture, "rotated": Rotated(mixture, 0.2)}.items(), strict=True):
    first, second = integrate(field, right_then_up), integrate(field, up_then_right)
    for ax, log_p in zip(row, (first, second), strict=False):
        ax.contourf(axis, axis, log_p - log_p.max(), torch.arange(-6, 0.1, 0.5), cmap="Blues", vmax=3, extend="min")
    shown = row[2].pcolormesh(axis, axis, first - second, cmap="RdBu_r", vmin=-7, vmax=7)
    row[0].set_ylabel(f"{name} score\n$x_2$")
    print(f"{name:8} largest disagreement of the two paths: {(first - second).abs().max():.1e}")
for ax, title in zip(axes[0], ("right, then up", "up, then right", "difference"), strict=True):
    ax.set_title(title)
for ax in axes.flat:
    ax.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
for ax in axes[1]:
    ax.set_xlabel("$x_1$")
fig.colorbar(shown, ax=axes[:, 2], label="log-density", shrink=0.8)
plt.show()

# %%
# The difference is the curl times the area between the two paths (Stokes), here 0.4 times up to 16.  So a field that
# deviates a little everywhere disagrees with itself a lot over long ways, and little over short ones.  Samplers that
# need a log-density and have only a score use it over short ways: the score-only Metropolis acceptance is one
# ``log_ratio`` a step, with four intervals.

x0 = prior.rsample(1000, torch.Generator().manual_seed(0))
step = log_ratio(prior, x0, x0 + 1, 0.0) - (prior.log_prob(x0 + 1) - prior.log_prob(x0))
print(f"largest error of log p(x + 1) - log p(x) with four intervals: {step.abs().max():.1e}")
