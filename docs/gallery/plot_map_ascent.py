r"""
The most probable image, and no beta
====================================

Leave the noise out of Langevin dynamics, and it climbs:

.. math:: x_{k+1} = x_k + a \left( \nabla \log p(y \mid x_k) + s(x_k) \right)

ends at a mode of the posterior, the MAP estimate.  It looks like the minimization of a data term plus a regularizer,
:math:`\tfrac12 |y - A x|^2 + \beta R(x)`, with one difference: there is no :math:`\beta` to tune.  The scanner's
noise level is the weight of the data, and a prior that was learned comes in its own units.
"""

# %%
# Uphill
# ------
# For a Gaussian posterior the mode is the mean, and ascent with a step of one over the largest curvature gets there,
# never going down on the way.  Eight dimensions, four measurements, as on the page before, at three noise levels with
# nothing else changed:

# sphinx_gallery_tags = ["posteriors", "patches"]

import math

import matplotlib.pyplot as plt
import torch

import scorefield as sf
from scorefield.kernels import Absolute, Ascent
from scorefield.posteriors import AnnealedLikelihood

generator = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def climb(prior: sf.Prior, given: sf.Measurement, x: torch.Tensor, step: float, count: int, sigma: float = 0.0):
    """States of the ascent from ``x``, with the prior's score at level ``sigma`` and the data as they are."""
    levels = torch.full((count + 1,), sigma, dtype=torch.float64)
    posterior = AnnealedLikelihood(prior, given, inflation=0)
    return [state.x for state in sf.walk(posterior, Ascent(Absolute(step)), x, levels, generator)]


basis = torch.linalg.qr(normal(8, 8)).Q
prior = sf.priors.Gaussian(normal(8), (basis * 2 * torch.logspace(0, -2, 8, dtype=torch.float64)) @ basis.T)
matrix = sf.operators.Matrix(normal(4, 8) / math.sqrt(8))
clean = matrix(prior.rsample(1, generator))

for std in (0.1, 0.3, 1.0):
    given = sf.Measurement(clean + std * normal(1, 4), matrix, sf.noise.White(std))
    exact = prior.posterior(given)
    path = torch.cat(climb(prior, given, prior.mean.unsqueeze(0), exact.eigenvalues.min().item(), 6000))
    rise = exact.log_prob(path).diff().min().item()
    error = (path[-1] - exact.mean).norm().item()
    print(f"noise {std:3}: distance to the posterior mean {error:.0e} (below 1e-6), log p never falls: {rise > -1e-9}")

# %%
# A posterior with several modes has several mountains, and ascent climbs the one it starts on.  The mode found need not
# be the highest, and the highest need not carry the most probability, which is why the library's default draws samples.

means = torch.tensor([[-2.0, -1.5], [1.5, 2.0], [2.0, -2.0]], dtype=torch.float64)
variances, weights = (torch.tensor(v, dtype=torch.float64) for v in ((0.25, 0.25, 0.25), (0.3, 0.3, 0.4)))
mixture = sf.priors.GaussianMixture(means, variances, weights)
plane = sf.priors.Gaussian(means[0] * 0, torch.tensor([[2.0, 0.9], [0.9, 0.8]], dtype=torch.float64))
first = sf.operators.Matrix(torch.tensor([[1.0, 0.0]], dtype=torch.float64))
starts = torch.cartesian_prod(torch.linspace(-3, 3, 4), torch.linspace(-3, 3, 4)).double()

axis = torch.linspace(-4, 4, 161, dtype=torch.float64)
grid = torch.cartesian_prod(axis, axis)
fig, axes = plt.subplots(1, 2, sharey=True)
for ax, prior, std, title in ((axes[0], plane, 0.3, "a Gaussian"), (axes[1], mixture, 1.5, "a mixture")):
    given = sf.Measurement(torch.tensor([1.0], dtype=torch.float64), first, sf.noise.White(std))
    density = prior.posterior(given).log_prob(grid).exp().reshape(161, 161)
    paths = torch.stack(climb(prior, given, starts, 0.02, 2000))
    ax.contour(axis, axis, density.T, 6, colors="black", linewidths=0.8)
    ax.plot(*paths.unbind(-1), color="C0", lw=0.9)
    ax.plot(*starts.T, ".", color="C4", label="start")
    ax.plot(*paths[-1].T, "o", color="C1", label="end")
    ax.set(aspect="equal", title=f"posterior of {title}", xlabel="$x_1$", xlim=(-4, 4), ylim=(-4, 4))
axes[0].set_ylabel("$x_2$")
axes[1].legend(loc="upper left")
plt.show()

# %%
# Three priors of an image
# ------------------------
# Ellipses on a dark ground, with noise of 0.1.  Each of three priors is learned from other such images or, the last
# one, from something else altogether.

SIZE, STD = 64, 0.1


def ellipses(n: int) -> torch.Tensor:
    """Images (n, 1, SIZE, SIZE) of a few ellipses of random gray."""
    rows, columns = torch.meshgrid(*2 * [torch.linspace(-1, 1, SIZE)], indexing="ij")
    images = torch.zeros(n, 1, SIZE, SIZE)
    for image in images:
        for _ in range(6):
            u, v, a, b, angle, gray = torch.rand(6, generator=generator).tolist()
            x, y = columns - 1.4 * (u - 0.5), rows - 1.4 * (v - 0.5)
            c, s = math.cos(math.pi * angle), math.sin(math.pi * angle)
            inside = ((c * x + s * y) / (0.1 + 0.5 * a)) ** 2 + ((c * y - s * x) / (0.1 + 0.5 * b)) ** 2 < 1
            image[0, inside] = gray
    return images


training, truth = ellipses(200), ellipses(4)
noisy = truth + STD * torch.randn(truth.shape, generator=generator)
whole = sf.operators.Identity((1, SIZE, SIZE))


def psnr(x: torch.Tensor) -> float:
    """Peak 1; mean over the images."""
    return (-10 * (x - truth).square().mean((1, 2, 3)).log10()).mean().item()


# %%
# **A stationary Gaussian**, which is the mean image and its power spectrum.  Its MAP estimate is the Wiener filter.
#
# **Total variation**, :math:`\log p(x) = -\beta \sum |x_i - x_j| - \log Z(\beta)`.  This is where the beta used to be.
# But total variation is homogeneous of degree 1, so that on images of :math:`N` pixels (and a mean value that it does
# not see) :math:`Z(\beta) \propto \beta^{-(N - 1)}`, and the likelihood of the training images is largest at
#
# .. math:: \beta = \frac{N - 1}{E \sum |x_i - x_j|}:
#
# the training images say what beta is.
#
# **A network**, the denoiser for photographs that comes with the library; nobody taught it ellipses.  A learned score
# is asked at a small noise level, here half of the noise in the data.

gaussian = sf.priors.StationaryGaussian.fit(training)
beta = (SIZE**2 - 1) / -sf.priors.TotalVariation(1.0).log_prob(training).mean().item()
variation = sf.priors.TotalVariation(beta)
network = sf.load(sf.shipped.find("photo")).requires_grad_(False)
print(f"total variation: beta = {beta:.1f}, learned")


def estimate(prior: sf.Prior, step: float, count: int, sigma: float = 0.0, std: float = STD) -> torch.Tensor:
    """The end of the ascent from each noisy image, told that the noise is ``std``."""
    scans = (sf.Measurement(y, whole, sf.noise.White(std)) for y in noisy)
    paths = [climb(prior, scan, scan.y, step, count, sigma) for scan in scans]
    return torch.cat([path[-1] for path in paths])


def through_network(std: float, count: int = 30) -> torch.Tensor:
    return estimate(network, 1 / (1 / QUIET**2 + 1 / std**2), count, QUIET, std)


QUIET = STD / 2
step = 1 / (1 / gaussian.power.min().item() + 1 / STD**2)
estimates = {
    "Gaussian": estimate(gaussian, step, 1000),
    "total variation": estimate(variation, 0.003 * STD**2, 4000),
    "network": through_network(STD),
}
print(f"noisy            {psnr(noisy):.1f} dB")
for name, x in estimates.items():
    print(f"{name:16} {psnr(x):.1f} dB")
wiener, proximal = gaussian.denoise(noisy, STD), variation.prox(noisy, STD**2, tolerance=0.003)
print(f"Gaussian: largest difference to the Wiener filter {(estimates['Gaussian'] - wiener).abs().max():.0e}")
difference = (estimates["total variation"] - proximal).square().mean().sqrt()
print(f"total variation: root mean square difference to the exact mode {difference:.4f}")

# %%
# The score of total variation jumps wherever two neighbors are equal, which is where its mode wants to be.  Ascent with
# a constant step therefore never settles; it trembles about the mode by an amount that shrinks with the step.  For this
# prior the library has the exact answer, ``TotalVariation.prox``.

shown = {"true": truth, "noisy": noisy, "Gaussian": wiener, "TV": proximal, "network": estimates["network"]}
fig, axes = plt.subplots(2, len(shown), figsize=(9, 4))
for column, (name, x) in zip(axes.T, shown.items(), strict=True):
    for ax, image in zip(column, x[:, 0], strict=False):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set_axis_off()
    column[0].set_title(name if x is truth else f"{name}\n{psnr(x):.1f} dB")
plt.show()

# %%
# Was there really no beta?
# -------------------------
# To multiply a regularizer by :math:`\beta` is to claim that the variance of the noise is :math:`\beta` times what it
# is.  So we can ask every prior what it would have had to be told to do best.

betas = [2.0**k for k in range(-4, 3)]
curves = {
    "Gaussian": [psnr(gaussian.denoise(noisy, STD * math.sqrt(beta))) for beta in betas],
    "total variation": [psnr(variation.prox(noisy, beta * STD**2, tolerance=0.01)) for beta in betas],
    "network": [psnr(through_network(STD * math.sqrt(beta))) for beta in betas],
}
fig, ax = plt.subplots()
for (name, curve), color in zip(curves.items(), ("C0", "C1", "C2"), strict=True):
    ax.semilogx(betas, curve, "o-", color=color, label=name, base=2)
    best = max(curve)
    print(f"{name:16} {curve[4]:.1f} dB at beta = 1, best {best:.1f} dB at beta = {betas[curve.index(best)]:g}")
mean = network.denoise(noisy, STD)
ax.axhline(psnr(mean), color="C2", ls=":")
ax.text(betas[-1], psnr(mean), "network, posterior mean", va="bottom", ha="right", color="C2")
ax.axvline(1, color="black", lw=0.8)
ax.set(
    xlabel=r"$\beta$: assumed over true variance of the noise",
    ylabel="PSNR (dB)",
    title="the mode, with a beta after all",
)
ax.legend(loc="lower left")
plt.show()
print(f"network, posterior mean: {psnr(mean):.1f} dB")

# %%
# - The Gaussian is best at 1.  It is not the truth about ellipses, but it has their covariance right, and no linear
#   estimate does better on average.
# - Total variation does far better with a quarter to a half of its own weight.  Its model, independent differences with
#   one spread, is wrong in a way that matters: the flat areas drive beta up, and the edges pay for it.  A tuned beta
#   makes up for a wrong prior.
# - The network's mode is nearly as good at 1 as anywhere.  But the same network's posterior *mean*, one evaluation of
#   the denoiser, beats it at every beta: the mode is the likeliest image, not a typical one, and not the one with the
#   least expected error.
#
# So "no beta" is a promise about a prior that is true, and it is best kept by the posterior as a whole: one more reason
# to sample.
