r"""Objectives: functions ``objective(prior, x, generator) -> scalar`` whose expectation is smallest at the true prior.

Score matching fits :math:`s = \nabla \log p` to data without the normalization of p.  All of its forms are one
divergence,

.. math:: J(s) = \tfrac12 E_q \|s(x) - \nabla \log q(x)\|^2,

with q the law of the data at level sigma.  The score of q is unknown, and the forms differ in how they avoid it:

========================= ========================================================== ============= ======
Objective                 Term of an image                                           Needs         Passes
========================= ========================================================== ============= ======
:class:`Likelihood`       :math:`-\log p(x)`                                         the density   0
:class:`Explicit`         :math:`\tfrac12 \|s - s_{target}\|^2`                      its score     0
:class:`Implicit`         :math:`tr\,\partial s/\partial x + \tfrac12 \|s\|^2`       the trace     N or 1
:class:`Regularized`      the same :math:`+ \lambda \sum_i (\partial_i s_i)^2`       the diagonal  N
:class:`Sliced`           :math:`v^T (\partial s/\partial x) v + \tfrac12 (v^T s)^2` one direction 1
:class:`Denoising`        :math:`\tfrac12 \|s + n/\sigma\|^2`                        sigma > 0     0
:class:`NoiseConditional` :math:`\tfrac12 w(\sigma) \|D - x\|^2`                     sigma > 0     0
========================= ========================================================== ============= ======

Passes are the backward passes to x inside the objective, for images of N real components (one with
:class:`Hutchinson`); the gradient of the objective is not counted.  Sums run over the real components of an image,
means over the batch.  A model is any prior whose score has a graph to its parameters: a network, or a closed form
(:func:`scorefield.fit`).
"""

from scorefield.densities.trace import Directions, ExactTrace, Hutchinson, Rademacher, Sphere, StandardNormal, Trace
from scorefield.objectives.base import Objective
from scorefield.objectives.conditional import GivenChannels
from scorefield.objectives.denoising import Denoising, NoiseConditional
from scorefield.objectives.explicit import Explicit
from scorefield.objectives.implicit import Implicit, Regularized
from scorefield.objectives.likelihood import Likelihood
from scorefield.objectives.sliced import Sliced

Normal = StandardNormal  # the name of version 0.1

__all__ = [
    "Objective",
    "Likelihood",
    "Explicit",
    "Implicit",
    "Regularized",
    "Sliced",
    "Denoising",
    "NoiseConditional",
    "GivenChannels",
    # the trace of the Jacobian
    "Trace",
    "ExactTrace",
    "Hutchinson",
    # random directions
    "Directions",
    "Rademacher",
    "StandardNormal",
    "Normal",
    "Sphere",
]
