r"""
One pixel: maximum likelihood and acceptance-rejection
======================================================

Before images, one number: the value of one pixel over a collection of photographs.  It is positive and skewed, so a
Gamma law is a fair model,

.. math::
    p(x; k, \theta) = \frac{x^{k-1} e^{-x/\theta}}{\Gamma(k) \, \theta^k}, \qquad x > 0,

with shape k and scale :math:`\theta` (the library takes the rate :math:`1/\theta`).  Fitting it and drawing from it
are the two classical problems that score models solve for images, where the classical ways fail.  This page takes the
classical ways.
"""

# %%
# Maximum likelihood
# ------------------
# The tutorial's data are 100 draws of a Gamma law of shape 8 and scale 1.  For a model :math:`p = e^{-U} / Z` of T
# independent data the log-likelihood is
#
# .. math::
#     -\sum_t U(x_t) - T \log Z,
#
# where the slides print :math:`-T \, Z` without the logarithm (erratum 3).  Here
# :math:`\log Z = \log \Gamma(k) + k \log \theta` is known; for images it is not, and that is the end of maximum
# likelihood.
#
# Setting the derivatives to 0 gives :math:`\theta = \bar x / k` and one equation for k,
#
# .. math::
#     \log k - \psi(k) = \log \bar x - \overline{\log x},
#
# which ``Gamma.fit`` leaves to SciPy.  Newton's method gets there in a few steps from a good guess.

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["scores", "sampling"]

import matplotlib.pyplot as plt
import torch
from scipy import stats

import scorefield as sf
from scorefield.priors.gamma import acceptance_rejection

torch.set_default_dtype(torch.float64)

truth = sf.priors.Gamma(shape=8.0, rate=1.0)
data = truth.rsample(100, torch.Generator().manual_seed(0))
fit = sf.priors.Gamma.fit(data)
print(f"fitted:  shape {fit.shape:.6f}, scale {1 / fit.rate:.6f}")

s = data.mean().log() - data.log().mean()
k = (3 - s + ((s - 3) ** 2 + 24 * s).sqrt()) / (12 * s)
for i in range(4):
    print(f"Newton {i}: shape {k:.6f}, scale {data.mean() / k:.6f}")
    k = k - (k.log() - torch.digamma(k) - s) / (1 / k - torch.polygamma(1, k))

# %%
# The likelihood has a long ridge: shape and scale may both be wrong as long as their product, the mean, is right.

shapes, scales = torch.linspace(4, 14, 81), torch.linspace(0.5, 1.8, 81)
cost = torch.stack(
    [torch.stack([-sf.priors.Gamma(k, 1 / v).log_prob(data).mean() for k in shapes.tolist()]) for v in scales.tolist()]
)

fig, (left, right) = plt.subplots(1, 2)
blues = plt.cm.Blues(torch.linspace(0.65, 0.05, 6))
left.contourf(shapes, scales, cost - cost.min(), [0, 0.01, 0.03, 0.1, 0.3, 1, 3], colors=blues)
left.plot(shapes, data.mean() / shapes, "--", color="0.3", lw=1.2, label="shape x scale = mean")
left.plot(8, 1, "o", color="C2", ms=9, label="truth")
left.plot(fit.shape, 1 / fit.rate, "*", color="C1", ms=15, label="fit")
left.set(xlabel="shape $k$", ylabel=r"scale $\theta$", title="negative log-likelihood", ylim=(0.5, 1.8))
left.legend()
x = torch.linspace(0.02, 22, 500)
right.hist(data[:, 0], 22, range=(0, 22), density=True, color="C4", alpha=0.6, label="100 draws")
for name, law, color, style in (("truth", truth, "C2", "--"), ("fit", fit, "C1", "-")):
    right.plot(x, law.log_prob(x.unsqueeze(1)).exp(), style, color=color, label=name)
right.set(xlabel="$x$", ylabel="density", title="data and fit")
right.legend()
plt.show()

# %%
# Acceptance-rejection
# --------------------
# To draw from a density :math:`p`, throw points evenly under a curve :math:`c \, g` that lies above it, g being an
# easy density, and keep those that fall under p.  One proposal in c is kept, so everything depends on how closely the
# envelope fits.  A box around the Gamma density wastes three of four.  Marsaglia and Tsang (2000) cube a Gaussian,
# :math:`v = (1 + z / \sqrt{9 d})^3` with :math:`d = k - 1/3`, and keep :math:`d v` when
# :math:`\log u < z^2/2 + d - d v + d \log v` for a uniform u.

n = 100_000
draws, proposals = acceptance_rejection(8.0, n, torch.Generator().manual_seed(0))
test = stats.kstest(draws.numpy(), stats.gamma(8).cdf)
print(f"kept {n} of {proposals} proposals: {n / proposals:.4f}")
print(f"Kolmogorov-Smirnov distance {test.statistic:.4f}, p-value {test.pvalue:.2f}")
print(f"fitted to the draws: shape {sf.priors.Gamma.fit(draws).shape:.3f}")


def box(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Proposals from a box, and the height at which each is thrown."""
    generator = torch.Generator().manual_seed(0)
    return 25 * torch.rand(n, generator=generator), 0.15 * torch.rand(n, generator=generator)


def cube(n: int, d: float = 8 - 1 / 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Proposals of Marsaglia and Tsang, and the height at which each is thrown."""
    generator = torch.Generator().manual_seed(0)
    z, u = torch.randn(n, generator=generator), torch.rand(n, generator=generator)
    x = d * (1 + z / (9 * d) ** 0.5) ** 3
    log_ratio = z**2 / 2 + d - x + d * (x / d).log()  # of the density to its envelope, <= 0
    return x, u * (truth.log_prob(x.unsqueeze(1)) - log_ratio).exp()


fig, axes = plt.subplots(1, 3, figsize=(11, 4))
x = torch.linspace(0.02, 25, 500)
for ax, propose, name in zip(axes, (box, cube), ("a box", "a cubed Gaussian"), strict=False):
    where, height = propose(2000)
    kept = height < truth.log_prob(where.unsqueeze(1)).exp()
    ax.scatter(where[kept], height[kept], s=3, color="C0", label="kept")
    ax.scatter(where[~kept], height[~kept], s=3 if propose is box else 14, color="C1", label="rejected")
    ax.plot(x, truth.log_prob(x.unsqueeze(1)).exp(), color="black", lw=1.2)
    ax.set(xlabel="$x$", title=f"{name}: {100 * kept.double().mean():.1f} % kept", xlim=(0, 25), ylim=(0, 0.16))
axes[0].set_ylabel("density")
axes[1].legend(markerscale=3)

shapes = [1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 20.0, 50.0]
rates = [20_000 / acceptance_rejection(k, 20_000, torch.Generator().manual_seed(1))[1] for k in shapes]
axes[2].semilogx(shapes, rates, "o-", color="C0")
axes[2].set(xlabel="shape $k$", title="acceptance rate of the second", ylim=(0.94, 1.002))
axes[2].set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
axes[2].minorticks_off()
plt.show()

# %%
# At shape 8 hardly a proposal is wasted.  The method has no future in d dimensions: an envelope that fits with a factor
# c per pixel fits an image with :math:`c^d`, and even 1.004 to the power of 256 x 256 pixels is beyond
# :math:`10^{100}`.  Scores do not need envelopes.
