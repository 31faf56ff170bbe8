r"""
Score functions
===============

The score of a density is the gradient of its logarithm,

.. math::
    s(x) = \nabla_x \log p(x), \qquad p(x) = \frac{e^{-U(x)}}{Z} \;\Rightarrow\; s(x) = -\nabla_x U(x).

It does not contain the normalizing constant Z, which nobody can compute for images, and it points uphill: where to
change x so that it becomes more probable, and how strongly.  Here it is for four densities of the tutorial.
"""

# %%
# On a line
# ---------
# A Gaussian :math:`N(8, 3^2)`, the mixture :math:`0.4 \, N(3, 1) + 0.6 \, N(13, 3^2)` and a Gamma density of shape 8
# and rate 1.  Their scores are
#
# .. math::
#     -\frac{x - \mu}{\sigma^2}, \qquad \sum_k r_k(x) \, \frac{\mu_k - x}{\sigma_k^2}, \qquad \frac{k - 1}{x} - \lambda,
#
# with :math:`r_k(x)` the probability that x came from component k.  The slides print the first one without its minus
# (erratum 1); the arrows show what that would do.

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_tags = ["scores"]

import matplotlib.pyplot as plt
import torch

import scorefield as sf

torch.set_default_dtype(torch.float64)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values).unsqueeze(1)


densities = {
    "Gaussian": sf.priors.DiagonalGaussian(torch.tensor([8.0]), torch.tensor([9.0])),
    "mixture": sf.priors.GaussianMixture(column(3.0, 13.0), torch.tensor([1.0, 9.0]), torch.tensor([0.4, 0.6])),
    "Gamma": sf.priors.Gamma(shape=8.0, rate=1.0),
}
x = torch.linspace(-2, 22, 961).unsqueeze(1)

fig, axes = plt.subplots(2, 3, sharex=True, sharey="row", height_ratios=[3, 2])
for (name, prior), (above, below) in zip(densities.items(), axes.T, strict=True):
    p, s = prior.log_prob(x).exp(), prior.score(x, 0.0)
    above.fill_between(x[:, 0], p, color="C4", alpha=0.6, lw=0)
    at = torch.arange(1.0, 22, 2).unsqueeze(1)
    arrows = prior.score(at, 0.0)[:, 0].clamp(-1, 1)
    style = {"angles": "xy", "scale_units": "xy", "scale": 0.65, "width": 0.012, "minlength": 0.5}
    above.quiver(at[:, 0], 0 * arrows - 0.015, arrows, 0 * arrows, color="C1", **style)
    above.set_title(name)
    below.axhline(0, color="0.6", lw=0.8)
    below.plot(x[s.isfinite()], s[s.isfinite()], color="C1")
    below.set(xlabel="$x$", ylim=(-2.2, 2.2), xlim=(-2, 22))
axes[0, 0].set(ylabel="density $p(x)$", ylim=(-0.03, 0.2))
axes[1, 0].set_ylabel("score $s(x)$")
plt.show()

# %%
# The arrows, cut at length 1, point uphill everywhere.  A score vanishes at every mode and, in the mixture, in the
# valley between them as well; far out it grows linearly for a Gaussian, while a Gamma density, which is 0 for negative
# numbers, has a score without bound at the edge of its support.
#
# None of this needs to be done by hand: the score is what automatic differentiation makes of the log-density.

for name, prior in densities.items():
    points = column(0.7, 4.0, 9.0, 17.0).requires_grad_()
    (gradient,) = torch.autograd.grad(prior.log_prob(points).sum(), points)
    error = (prior.score(points.detach(), 0.0) - gradient).abs().max()
    print(f"{name:8}  largest difference between closed form and autograd: {error:.0e}")

# %%
# On a plane
# ----------
# With two numbers the score is a vector field.  Left and middle are a Gaussian and a mixture.  On the right the two
# numbers are neighboring pixels of an image, whose difference follows a generalized Gaussian law close to total
# variation,
#
# .. math::
#     \log p(x) = -\beta \, |x_2 - x_1|^\alpha + \text{const}, \qquad
#     s(x) = \alpha \beta \, |x_2 - x_1|^{\alpha - 1} \operatorname{sign}(x_2 - x_1)
#     \begin{bmatrix} 1 \\ -1 \end{bmatrix},
#
# with :math:`\alpha = 1.01`, :math:`\beta = 1`.  Its score pulls the two pixels together, with a force that hardly
# depends on how far apart they are, and says nothing about their mean: the law is flat along the diagonal.  Each shade
# of blue is half a unit of log-density.

pair = {
    "Gaussian": sf.priors.Gaussian(torch.zeros(2), torch.tensor([[0.6, 0.4], [0.4, 0.6]])),
    "mixture": sf.priors.GaussianMixture(
        torch.tensor([[-0.9, -0.7], [0.9, -0.5], [0.0, 1.0]]),
        torch.tensor([0.12, 0.12, 0.2]),
        torch.tensor([0.3, 0.3, 0.4]),
    ),
    "two pixels": sf.priors.GeneralizedGaussian(weight=1.0, exponent=1.01),
}
axis = torch.linspace(-2, 2, 101)  # the tutorial's grid
plane = torch.cartesian_prod(axis, axis)
some = torch.cartesian_prod(axis[5::10], axis[5::10])

fig, axes = plt.subplots(1, 3, sharex=True, sharey=True, figsize=(10, 4))
for ax, (name, prior) in zip(axes, pair.items(), strict=True):
    log_p = prior.log_prob(plane).reshape(101, 101).T
    ax.contourf(axis, axis, log_p - log_p.max(), torch.arange(-6, 0.1, 0.5), cmap="Blues", vmax=3, extend="min")
    arrows = prior.score(some, 0.0)
    arrows = arrows / (arrows.norm(dim=1, keepdim=True) / 1.5).clamp_min(1)  # long ones would cover the picture
    ax.quiver(*some.T, *arrows.T, color="C1", angles="xy", scale_units="xy", scale=4.2, width=0.008)
    ax.set(title=name, xlabel="$x_1$", aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2])
axes[0].set_ylabel("$x_2$")
plt.show()

# %%
# The sign
# --------
# The slides print this last score with the opposite sign (erratum 2), and the Julia demonstration plots it without
# the factor :math:`\alpha`, which at 1.01 nobody sees (erratum 9).  A sign is easy to get wrong and easy to check: a
# small step along the score must ascend.

prior = pair["two pixels"]
points = torch.tensor([[0.3, 1.2], [-1.0, 0.5], [1.5, -0.2]])
score = prior.score(points, 0.0)
for direction, sign in (("along the score", 1), ("as printed", -1)):
    change = prior.log_prob(points + sign * 1e-3 * score) - prior.log_prob(points)
    print(f"{direction:16} log p changes by", " ".join(f"{c:+.4f}" for c in change.tolist()))

# %%
# The diagonal itself, where two neighbors are equal, is a ridge without a gradient; the library's score is 0 there.
