r"""
Kernel density estimates and their scores
=========================================

Put a Gaussian of width :math:`\sigma` on each of T data and take the mean,

.. math::
    q_\sigma(x) = \frac1T \sum_{t=1}^T N(x; x_t, \sigma^2 I), \qquad
    s(x) = \nabla \log q_\sigma(x) = \frac{1}{\sigma^2} \left( \sum_t w_t(x) \, x_t - x \right),

with weights :math:`w = \operatorname{softmax}_t(-|x - x_t|^2 / 2 \sigma^2)`.  The slides print the density as a sum,
without 1/T (erratum 4), which is harmless for the score and not for the density.  The estimate is also the law of a
training point with noise of level :math:`\sigma` added: a library whose priors answer at any noise level needs no
bandwidth for it.
"""

# %%
# The density
# -----------
# The tutorial's 100 draws of a Gamma law of shape 8, and its six widths.  The gray curve is the true density with the
# same noise added, which ``Gamma`` knows by quadrature.

# sphinx_gallery_tags = ["scores"]

import matplotlib.pyplot as plt
import torch

import scorefield as sf

torch.set_default_dtype(torch.float64)

truth = sf.priors.Gamma(shape=8.0, rate=1.0)
data = truth.rsample(100, torch.Generator().manual_seed(0))
estimate = sf.priors.Kde(data, bandwidth=0.0)
SIGMAS = (0.0005, 0.05, 0.1, 0.5, 1.0, 5.0)


def line(sigma: float) -> torch.Tensor:
    """Points from 0 to 22, with more of them around each datum, for kernels narrower than a pixel."""
    near = (data + sigma * torch.linspace(-4, 4, 33)).flatten()
    return torch.cat([torch.linspace(0, 22, 801), near]).sort().values.unsqueeze(1)


fig, axes = plt.subplots(2, 3, sharex=True, figsize=(10, 5))
for ax, sigma in zip(axes.flat, SIGMAS, strict=True):
    x = line(sigma)
    ax.fill_between(x[:, 0], truth.log_prob(x, sigma).exp(), color="0.8", lw=0, label="true")
    ax.plot(x, estimate.log_prob(x, sigma).exp(), color="C0", lw=1 if sigma < 0.5 else 2, label="estimate")
    ax.plot(data, 0 * data, "|", color="C1", ms=9, clip_on=False, label="data")
    ax.set(title=rf"$\sigma = {sigma:g}$", xlim=(0, 22), ylim=(0, None))
axes[1, 0].legend(loc="upper right", handlelength=1)
fig.supxlabel("$x$", fontsize=13)
fig.supylabel("density", fontsize=13)
plt.show()

# %%
# Too narrow, and the estimate is the list of the data; too wide, and it is a Gaussian.
#
# The score
# ---------
# The same levels, without the first, in units of :math:`1/\sigma`: what a network has to say about the noise in x.
# At small levels the estimated score jumps from datum to datum, and no smooth function could follow it; the true one
# hardly moves.  At :math:`\sigma = 1`, where the kernels overlap, the two agree where data abound.

fig, axes = plt.subplots(1, 4, sharex=True, sharey=True, figsize=(11, 3.6))
for ax, sigma in zip(axes, (0.05, 0.5, 1.0, 5.0), strict=True):
    x = line(sigma)
    ax.axhline(0, color="0.6", lw=0.8)
    ax.plot(x, sigma * truth.score(x, sigma), color="0.75", lw=5, label="true")
    ax.plot(x, sigma * estimate.score(x, sigma), color="C0", lw=0.8 if sigma < 0.5 else 2, label="estimate")
    ax.plot(data, 0 * data - 4, "|", color="C1", ms=9, label="data")
    ax.set(title=rf"$\sigma = {sigma:g}$", xlabel="$x$", xlim=(0, 22), ylim=(-4, 4))
axes[0].set_ylabel(r"$\sigma \, s(x, \sigma)$")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
# The denoiser
# ------------
# By Tweedie's formula :math:`x + \sigma^2 s(x, \sigma)` is the expected clean value of x, and here that is the
# weighted mean of the data, :math:`\sum_t w_t(x) \, x_t`.  With little noise it is a staircase, the nearest datum; with
# much noise it tends to the mean of all of them, and the score to :math:`-(x - \bar x) / \sigma^2`.

x = torch.linspace(0, 22, 4001).unsqueeze(1)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5))
for sigma, color in zip((0.05, 0.5, 2.0, 10.0), ("C0", "C2", "C3", "C1"), strict=True):
    left.plot(x, estimate.denoise(x, sigma), color=color, lw=1.5, label=rf"$\sigma = {sigma:g}$")
left.plot(data[:, 0] * 0 + 22.4, data, "_", color="0.4", ms=9, clip_on=False)
left.set(xlabel="$x$", ylabel=r"$D(x, \sigma)$", title="denoised", xlim=(0, 22), ylim=(0, 22))
left.legend()

levels = torch.logspace(-1, 3, 41)
gap = [(s**2 * estimate.score(x, s) - (data.mean() - x)).abs().max() for s in levels]
right.loglog(levels, gap, color="C0")
right.loglog(levels, 22 * data.var() / levels**2, "--", color="0.5")
right.text(120, 0.05, r"$\propto \sigma^{-2}$", color="0.4")
right.set(xlabel=r"$\sigma$", title=r"largest $|D(x, \sigma) - \bar x|$", ylim=(1e-5, 30))
plt.show()

# %%
# The weights are computed as a softmax, by subtracting the largest exponent first.  Far from the data all the
# exponentials underflow, and without that care the score would be 0/0; with it the weight of the nearest datum is 1.

far = torch.tensor([[1000.0]])
print(f"at x = 1000, sigma = 0.1: D = {estimate.denoise(far, 0.1).item():.4f}, largest datum {data.max():.4f}")

points = torch.linspace(0, 22, 50).unsqueeze(1)
for sigma in SIGMAS:
    leaf = points.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(estimate.log_prob(leaf, sigma).sum(), leaf)
    error = ((estimate.score(points, sigma) - gradient) * sigma).abs().max()
    print(f"sigma = {sigma:<6g} closed form against autograd of log q, times sigma: {error:.0e}")
