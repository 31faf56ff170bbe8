r"""
Sliced score matching
=====================

Implicit score matching needs the trace of the score's Jacobian, :math:`\sum_i \partial_i s_i`, and a network of
:math:`N` inputs pays :math:`N` backward passes for it.  Sliced score matching (Song, Garg, Shi and Ermon, 2019) looks
along one random direction :math:`v` instead, which one backward pass gives:

.. math::
    J_{SSM} = E \left[ v^T \frac{\partial s}{\partial x} v + \tfrac12 (v^T s)^2 \right], \qquad E \, v v^T = I.

The mean over :math:`v` is the implicit objective.  A second form, with less variance where it counts, keeps the exact
square: :math:`v^T (\partial s / \partial x) \, v + \tfrac12 \|s\|^2` (SSM-VR).
"""

# %%
# The same mean
# -------------
# A quadratic energy, whose score is linear: :math:`s = -P (x - m)`.  At one point, ten thousand directions of each of
# three kinds: random signs, standard normal, and uniform on the unit sphere.

# sphinx_gallery_tags = ["score matching"]

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import scorefield as sf
from scorefield.objectives import (
    Directions,
    ExactTrace,
    Hutchinson,
    Implicit,
    Rademacher,
    Sliced,
    Sphere,
    StandardNormal,
)
from scorefield.priors import Gaussian
from scorefield.training.fitting import fit

torch.set_default_dtype(torch.float64)

N, DIRECTIONS = 8, 10_000
generator = torch.Generator().manual_seed(0)
basis = torch.linalg.qr(torch.randn(N, N, generator=generator)).Q
covariance = (basis * torch.logspace(0, -1, N)) @ basis.T
prior = Gaussian(torch.zeros(N), covariance)
point = prior.rsample(1, generator)
copies = point.repeat(DIRECTIONS, 1)
exact = Implicit(trace=ExactTrace()).terms(prior, point).item()

KINDS: dict[str, Directions] = {"signs": Rademacher(), "normal": StandardNormal(), "sphere": Sphere()}


def terms(directions: Directions, *, reduced: bool) -> Tensor:
    """One value of the objective for each direction, with the exact square or without."""
    objective = Implicit(trace=Hutchinson(directions)) if reduced else Sliced(directions)
    return objective.terms(prior, *objective.draw(copies, torch.Generator().manual_seed(1))).detach()


values = {(name, reduced): terms(kind, reduced=reduced) for name, kind in KINDS.items() for reduced in (False, True)}
print(f"implicit, exact trace: {exact:.3f}")
print("directions   SSM mean (std)        SSM-VR mean (std)")
for name in KINDS:
    plain, reduced = values[name, False], values[name, True]
    print(f"{name:10} {plain.mean():9.3f} ({plain.std():.3f}) {reduced.mean():13.3f} ({reduced.std():.3f})")

# %%
# All means agree with the exact value, and the exact square halves the spread or better.  A trap lies in the last row:
# the published code may draw :math:`v` on the *unit* sphere, where :math:`E \, v v^T = I / N`.  That scales both terms
# of SSM alike, but in SSM-VR the trace alone loses a factor :math:`N`.  This library's
# :class:`~scorefield.objectives.Sphere` has the radius :math:`\sqrt N`, so that no form is wrong.

fig, axes = plt.subplots(1, 3, sharey=True, figsize=(9, 3.4))
for ax, name in zip(axes, KINDS, strict=True):
    for reduced, label, color in ((False, "SSM", "C1"), (True, "SSM-VR", "C0")):
        ax.hist(
            values[name, reduced], 80, range=(exact - 60, exact + 60), density=True, color=color, alpha=0.6, label=label
        )
    ax.axvline(exact, color="black", lw=1)
    ax.set(title=name, xlabel="objective at one point", yticks=[])
axes[0].legend()
plt.show()

# %%
# The same minimum
# ----------------
# A linear score :math:`s = -P (x - m)` is fitted to 2000 samples.  With the exact trace the minimum is known: m is the
# mean of the samples, and P the inverse of their covariance.  The optimizer sees the same directions at each
# evaluation; slices find the same parameters up to the chance in their directions.


class Linear(sf.Score):
    """The score -P (x - m), at every level."""

    def __init__(self, theta: Tensor):
        super().__init__()
        self.m, root = theta[:N], theta[N:].reshape(N, N)
        self.p = (root + root.T) / 2

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        del sigma
        return -(x - self.m) @ self.p


data = prior.rsample(2000, generator)
mean, precision = data.mean(0), torch.linalg.inv(torch.cov(data.T, correction=0))
start = torch.cat([torch.zeros(N), torch.eye(N).flatten()])
objectives = {
    "implicit": Implicit(trace=ExactTrace()),
    "SSM, signs": Sliced(),
    "SSM, normal": Sliced(StandardNormal()),
    "SSM-VR, signs": Implicit(trace=Hutchinson(Rademacher())),
    "SSM-VR, normal": Implicit(trace=Hutchinson(StandardNormal())),
}
print("relative error of P with  1 direction a sample   with 10")
for name, objective in objectives.items():
    errors = []
    for count in (1, 10):
        result = Linear(fit(Linear, objective, data.repeat(count, 1), start, seed=3))
        errors.append(((result.p - precision).norm() / precision.norm()).item())
    print(f"{name:16} {errors[0]:30.4f} {errors[1]:9.4f}")

# %%
# Ten directions a sample reduce the error by about the root of ten, and the exact square by another factor.
# For networks, denoising score matching is cheaper still, because it needs no derivative at all; sliced score matching
# is for scores at noise level 0, and for models that are given as a score without a denoiser.
