r"""
One network for all noise levels
================================

Denoising score matching at one level gives the score at that level.  A sampler that anneals needs the score at many,
so Song and Ermon train one network on all of them at once,

.. math::
    L(\theta) = \tfrac12 \, E_\sigma \, \sigma^2 \, E_{x_0, n}
    \left| s_\theta(x_0 + \sigma n, \sigma) + \frac n\sigma \right|^2 ,

with the weight :math:`\sigma^2` because the scores themselves are of size :math:`1 / \sigma`: every level then counts
alike.  Does the network have to be told :math:`\sigma`?  In their second paper they leave it out and divide by it,
:math:`s_\theta(x, \sigma) = \tilde s_\theta(x) / \sigma`, and the tutorial follows.  This page shows, in one dimension,
what that network learns.
"""

# %%
# Data and truth
# --------------
# Ten thousand samples of the tutorial's mixture, whose score is known at every level, and levels that are uniform
# between .2 and 2.

# sphinx_gallery_tags = ["score matching"]

import itertools

import matplotlib.pyplot as plt
import torch
from torch import nn

import scorefield as sf
from scorefield.objectives import NoiseConditional
from scorefield.prior import level
from scorefield.training.trainer import Settings, Steps, descend

truth = sf.priors.GaussianMixture(torch.tensor([[3.0], [13.0]]), torch.tensor([1.0, 9.0]), torch.tensor([0.4, 0.6]))
data = truth.rsample(10_000, torch.Generator().manual_seed(0))
mean, std = data.mean(), data.std()
noise = sf.schedules.Karras(0.2, 2.0, rho=1.0)  # at rho = 1 the quantiles are linear: sigma is uniform


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers with GELU between them, and nothing after the last."""
    layers = [(nn.Linear(a, b), nn.GELU()) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(*itertools.chain(*layers))[:-1]


# %%
# A network that is told
# ----------------------
# The tutorial's: two inputs, 8, 16 and 8 hidden units, one output.  It learns the difference to the score of a Gaussian
# with the mean and the variance of the data,
#
# .. math::
#     s_\theta(x, \sigma) = \frac{F_\theta(y, \log \sigma) - y}{\sqrt{v + \sigma^2}}, \qquad
#     y = \frac{x - \bar x}{\sqrt{v + \sigma^2}},
#
# which is right for Gaussian data with :math:`F = 0`.  Two things differ from the tutorial's program.  There the result
# is multiplied by :math:`\sqrt{v + \sigma^2} / v` instead, so that the network must first unlearn a baseline of
# :math:`-(x - \bar x) / v`, the clean score; and there the last layer is followed by a GELU, whose values are never
# below -.17, so that the network can correct the score upward only.


class Told(sf.Score):
    """A score that sees the noise level, on top of the score of a Gaussian."""

    event_shape = (1,)

    def __init__(self, last: nn.Module):
        super().__init__()
        self.net = nn.Sequential(perceptron(2, 8, 16, 8, 1), last)

    def score(self, x, sigma):
        sigma = level(sigma, x).expand(len(x), 1)
        scale = (std**2 + sigma**2).sqrt()
        y = (x - mean) / scale
        return (self.net(torch.cat([y, sigma.log()], 1)) - y) / scale


def trained(prior: sf.Prior) -> sf.Prior:
    def batches(step: int, generator: torch.Generator) -> torch.Tensor:
        return data[torch.randint(len(data), (1000,), generator=generator)]

    losses = [
        step.loss
        for step in descend(prior, batches, NoiseConditional(noise), Steps(2000), settings=Settings(rate=0.01))
    ]
    print(f"{type(prior).__name__:8} loss {sum(losses[:20]) / 20:.3f} -> {sum(losses[-200:]) / 200:.3f}")
    return prior.eval().requires_grad_(False)


torch.manual_seed(0)
told = trained(Told(nn.Identity()))
bent = trained(Told(nn.GELU()))

# %%
# The loss does not tend to 0, since the noise cannot be guessed from the noisy sample; its least value is
# :math:`\tfrac12 (1 - E \, \sigma^2 s(x, \sigma)^2)`, known here.  What matters is the error of the score:
# :math:`\sigma` times the difference to the closed form, root mean square over the noisy law.

LEVELS = (0.2, 0.5, 1.0, 2.0)
x = torch.linspace(-5, 25, 1501).unsqueeze(1)


def rms(error: torch.Tensor, density: torch.Tensor) -> float:
    return ((density * error.square()).sum() / density.sum()).sqrt().item()


def score_error(prior: sf.Prior, sigma: float) -> float:
    error = sigma * (prior.score(x, sigma) - truth.score(x, sigma))
    return rms(error.squeeze(1), truth.log_prob(x, sigma).exp())


sigmas = noise.quantile((torch.arange(200) + 0.5) / 200).tolist()
density = torch.stack([truth.log_prob(x, s).exp() for s in sigmas])
unitless = torch.stack([s * truth.score(x, s).squeeze(1) for s in sigmas])
print(f"least possible loss {(1 - (density * unitless**2).sum() / density.sum()) / 2:.3f}")
print("sigma                        ", *(f"{sigma:6.1f}" for sigma in LEVELS))
for name, prior in (("told (below .1 is asked for)", told), ("told, with the last GELU", bent)):
    print(f"{name:30}", *(f"{score_error(prior, sigma):.3f} " for sigma in LEVELS))

# %%

fig, axes = plt.subplots(2, 2, sharex=True, sharey=True, figsize=(9, 5.5))
for ax, sigma in zip(axes.flat, LEVELS, strict=True):
    ax.plot(x, sigma * bent.score(x, sigma), color="C1", lw=1.5, label="network, GELU at the end")
    ax.plot(x, sigma * truth.score(x, sigma), color="black", lw=3.5, alpha=0.4, label="closed form")
    ax.plot(x, sigma * told.score(x, sigma), color="C0", lw=1.5, label="network")
    ax.set_title(rf"$\sigma = {sigma:g}$")
    ax.set(xlim=(0, 21), ylim=(-1.6, 1.6))
axes[0, 0].set_ylabel(r"$\sigma \, s(x, \sigma)$")
axes[1, 0].set_ylabel(r"$\sigma \, s(x, \sigma)$")
axes[1, 0].set_xlabel("$x$")
axes[1, 1].set_xlabel("$x$")
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
# A network that is not told
# --------------------------
# Now :math:`\tilde s_\theta(x)` sees :math:`x` only.  With :math:`s_\theta = \tilde s_\theta / \sigma` the loss becomes
# :math:`\tfrac12 E |\tilde s_\theta(x_0 + \sigma n) + n|^2`: predict minus the noise, whatever its level was.  The best
# prediction is a blend over all the levels that could have led to :math:`x`,
#
# .. math::
#     \tilde s(x) = -E[n \mid x] = \frac{\int p(\sigma) \, p_\sigma(x) \; \sigma s(x, \sigma) \, d\sigma}
#     {\int p(\sigma) \, p_\sigma(x) \, d\sigma},
#
# and that is what it learns.


class Untold(nn.Module):
    """A perceptron called as the library calls its networks; the noise level goes unheard."""

    def __init__(self):
        super().__init__()
        self.net = perceptron(1, 16, 16, 1)

    def forward(self, x, noise):
        return self.net((x - mean) / std)


torch.manual_seed(0)
untold = trained(sf.priors.Network(Untold(), sf.priors.Unitless()))

mixed = density.mean(0)
blend = (density * unitless).mean(0) / mixed

found = untold.score(x, 1.0).squeeze(1)  # at sigma = 1 the score is the network's own output
print(f"least possible loss of one that is not told {(1 - (mixed * blend**2).sum() / mixed.sum()) / 2:.3f}")
print(f"network to blend: root mean square {rms(found - blend, mixed):.3f} (below .1 is asked for)")
for sigma in LEVELS:
    own = sigma * truth.score(x, sigma).squeeze(1)
    weight = truth.log_prob(x, sigma).exp()
    print(
        f"to sigma * score at {sigma:3}: network {rms(found - own, weight):.3f}, blend {rms(blend - own, weight):.3f}"
    )

# %%

fig, (left, right) = plt.subplots(1, 2, sharey=True)
for sigma, color in zip(LEVELS, ("C4", "C2", "C3", "C1"), strict=True):
    for ax in (left, right):
        ax.plot(x, sigma * truth.score(x, sigma), color=color, lw=1.2)
    left.plot(x, sigma * told.score(x, sigma), ":", color=color, lw=3, label=rf"$\sigma = {sigma:g}$")
right.plot(x, blend, color="black", lw=3.5, alpha=0.4, label="blend of all levels")
right.plot(x, found, color="C0", label="network, not told")
left.set(xlabel="$x$", ylabel=r"$\sigma \, s(x, \sigma)$", title="told: dotted, on the closed form")
left.set(xlim=(0, 21), ylim=(-2.3, 1.6))
right.set(xlabel="$x$", title="not told: one curve for all levels", xlim=(0, 21))
left.legend(loc="lower left", ncols=2)
right.legend(loc="lower left")
plt.show()

# %%
# Training cannot mend this, since the network is right: it answers another question.  For images the trick works,
# because thousands of pixels tell how much noise they carry: then :math:`p(\sigma \mid x)` is a point, and the blend is
# the score at that level.  One number does not tell, and neither do nine, so a network for 3 x 3 patches must be told.
# :class:`~scorefield.nets.PatchMLP` takes the level as an input with ``levels=1``.
