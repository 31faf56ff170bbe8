r"""MCG-Diff: particles that meet the data at the level where the image has as much noise as the data.

In the singular coordinates of :mod:`scorefield.operators.spectrum` a measured coordinate is :math:`\bar y_i = \bar
x_{0,i} + \tau_i z_i` with :math:`\tau_i = 1/d_i`: a datum has the law of the walk's own :math:`\bar x_{s,i}` at the
level :math:`s = \tau_i`.  A path of the diffusion that meets every :math:`\bar y_i` at its :math:`\tau_i` ends in the
posterior.  At a level :math:`t \le \tau_i` the likelihood of such a meeting is exact,

.. math::
    p(\bar y_i \mid \bar x_{t,i}) = N(\bar y_i;\ \bar x_{t,i},\ \tau_i^2 - t^2),

with the variance of the noise that is still to come.  Above it, where :math:`\bar x_{t,i}` has more noise than the
datum, the potentials that lead the particles to the datum can be chosen freely:

.. math::
    g_{t,i}(x) = N(\bar y_i;\ \bar x_i,\ v_{t,i}), \qquad
    v_{t,i} = \max(t^2 - \tau_i^2,\ \kappa\,(e^2 + \tau_i^2),\ u^2),

e being the extent of the prior, 1 in the paper, and u the standard deviation of the step to t.  Kappa and u^2 keep g
from being narrower than the cloud of one step: else the next weights, which contain 1/g, would have an infinite
variance.  The paper has no u, as its steps are short.

**One step, from s to t.**  A coordinate is *open* until the first level with :math:`t^2 \le \tau_i^2 - \kappa(e^2 +
\tau_i^2)`, whose potential is the exact likelihood and stays in the weights; below the last of these the walk is
unconditional.  The prior's step is Gaussian with means m and variance :math:`u^2`
(:mod:`scorefield.kernels.population`), so that the fully adapted step is known: particles are weighted, before they
move, by the potential that they will have on average,

.. math::
    w = \prod_{i\ \mathrm{open}} \frac{N(\bar y_i;\ \bar m_i,\ u^2 + v_{t,i})}{g_{s,i}(x_s)},

resampled, and moved by the Kalman gain :math:`K_i = u^2 / (u^2 + v_{t,i})` towards the data,

.. math::
    \bar x_{t,i} = \bar m_i + K_i (\bar y_i - \bar m_i) + u \sqrt{1 - K_i}\, z_i,

and by :math:`m + u z` in all other directions.  No Jacobian of the network is needed.

**Where this differs from the published code.**  The published code takes the level of its grid next to :math:`\tau_i`
for :math:`\tau_i`, divides the potential of a coordinate out again below it, and weights the final images by the
likelihood over the last potential.  This is exact for any kappa in the limit of many particles.  But the smaller kappa
is, the fewer particles differ in their last potential; where all have met the data, a last weight would count the data
twice (this is an argument, the published code was not run).  Here the potentials of closed coordinates stay, because
they are exact.  Only coordinates that are open at the end, whose noise is below :math:`\sqrt\kappa\,e`, would need a
last weight; their last potential is the likelihood itself, no narrower than kappa.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.kernels.population import ParticleFilter, Population, in_parts
from scorefield.linalg.parts import as_rows
from scorefield.measurement import Measurement
from scorefield.operators.spectrum import Spectrum
from scorefield.prior import Prior
from scorefield.randomness import normal_like


@dataclass(frozen=True)
class MCGDiff(ParticleFilter):
    """Monte Carlo guided diffusion, exact as the number of particles and that of the levels grow.

    Walk it with the unconditional prior.  As for :class:`~scorefield.kernels.Particles`, *the batch of the walk is the
    population*, ``state.x`` is drawn from the particles with their weights, and ``state.memory`` is the
    :class:`~scorefield.kernels.population.Population` with ``log_evidence`` and ``effective_fraction``.

    A level costs ``oversampling`` denoiser evaluations a draw and no vector-Jacobian product: cheaper than
    ``Particles``, which look ahead by the posterior's covariance and stay together where the data are many or the noise
    is small.  The singular basis must be known (:mod:`scorefield.operators.spectrum`).  Walk from well above the
    distance of the modes down to below the noise of the data.

    Differences from the paper: a second-order reverse step, systematic resampling, more particles than draws, and exact
    potentials below the noise of the data in place of a last weight (see the module).

    Args:
        measurement: the data; its noise must be Gaussian.
        oversampling: particles a draw.
        threshold: resample when the effective sample size falls below this fraction of the particles; at 1, the
            paper's, at every level.
        kappa: smallest variance of a potential, in units of that of noisy images of the prior's extent; the paper's
            1e-4.
            Data with less noise are taken to have this much.

    Raises:
        InputError: numbers out of range; at the first step, singular values that are unknown of an operator that is not
            small.

    References:
        Cardoso, Janati, Le Corff, Moulines, ICLR 2024, arXiv 2308.07983.
    """

    threshold: float = 1.0
    kappa: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.kappa < 1:
            raise InputError(f"MCGDiff needs kappa between 0 and 1, got {self.kappa:g}; the paper's is 1e-4.")

    def _enter(self, prior: Prior, x: Tensor, sigma: Tensor, batch: int) -> Population:
        data = _Data(self.measurement, self.kappa, prior.extent)
        coordinates = in_parts(data.spectrum.coordinates, x, batch)
        closed = data.log_potential(coordinates, data.variances(sigma), data.measured & ~data.open(sigma))
        goals = in_parts(lambda part: prior.denoise(part, sigma), x, batch).unsqueeze(0)
        return Population(x, data.constant + closed, torch.zeros_like(closed), goals, sigma, context=data)

    def _foresee(self, cloud: Population, target: Tensor, batch: int) -> Population:
        data, (means, spread) = cloud.context, _step(cloud, target)
        coordinates = in_parts(data.spectrum.coordinates, means, batch)
        log = data.log_potential(coordinates, data.variances(target, spread) + spread**2, data.open(cloud.level))
        return replace(cloud, log_weights=cloud.log_weights + log - cloud.log)

    def _advance(
        self, prior: Prior, cloud: Population, target: Tensor, batch: int, generator: torch.Generator
    ) -> Population:
        if not bool(target > 0):
            return replace(cloud, x=cloud.goals[0], level=target)
        data, (means, spread) = cloud.context, _step(cloud, target)
        variances, chosen = data.variances(target, spread), data.open(cloud.level)
        pairs = zip(means.split(batch), normal_like(means, generator).split(batch), strict=True)
        x = torch.cat([data.guided(mean, spread * z, variances, chosen, spread) for mean, z in pairs])
        coordinates = in_parts(data.spectrum.coordinates, x, batch)
        log = data.log_potential(coordinates, variances, data.open(target))
        goals = in_parts(lambda part: prior.denoise(part, target), x, batch).unsqueeze(0)
        return cloud.at(x, target, gain=torch.zeros_like(log), log=log, goals=goals)


class _Data:
    """The measurement in its singular coordinates.

    Attributes:
        observed: (1, k).
        tau: noise of each, (1, k); 1 where nothing is measured.
        constant: (1,), the log evidence without its potentials, whose factors 2 pi it holds.
    """

    def __init__(self, measurement: Measurement, kappa: float, extent: float):
        noise, scan = measurement.gaussian, measurement.whitened
        self.spectrum = Spectrum(scan.operator, scan.y)
        d = self.spectrum.d
        self.measured = d > 0
        self.tau = 1 / torch.where(self.measured, d, 1)
        self.floor = kappa * (extent**2 + self.tau.square())
        self.observed = self.spectrum.from_data(scan.y).double()
        rest = as_rows(scan.y).square().sum() - (self.observed * d).square().sum()
        scale = noise.log_prob(torch.zeros_like(scan.y)).double()
        self.constant = scale + torch.where(self.measured, self.tau.log(), 0).sum() - rest / 2

    def open(self, sigma: Tensor) -> Tensor:
        """Coordinates (1, k) that are not yet exact at a level."""
        return self.measured & (sigma.square() > self.tau.square() - self.floor)

    def variances(self, sigma: Tensor, spread: Tensor | float = 0.0) -> Tensor:
        """Variances of the potentials (1, k) at a level, after a step of standard deviation ``spread``."""
        known = torch.maximum((sigma.square() - self.tau.square()).abs(), self.floor)
        return torch.where(self.open(sigma), known.clamp(min=float(spread) ** 2), known)

    def log_potential(self, coordinates: Tensor, variances: Tensor, chosen: Tensor) -> Tensor:
        """``sum_i log N(observed_i; coordinate_i, v_i)`` (M,) over chosen coordinates, without factors 2 pi."""
        log = (self.observed - coordinates).square() / variances + variances.log()
        return -torch.where(chosen, log, 0).sum(1) / 2

    def guided(self, mean: Tensor, noise: Tensor, variances: Tensor, chosen: Tensor, spread: Tensor) -> Tensor:
        """Draws of N(mean, spread^2) given the chosen data, of ``noise`` from N(0, spread^2)."""
        gain = torch.where(chosen, spread**2 / (spread**2 + variances), 0)
        innovation = self.observed - self.spectrum.coordinates(mean)
        fresh = ((1 - gain).sqrt() - 1) * self.spectrum.coordinates(noise)
        return mean + noise + self.spectrum.compose((gain * innovation + fresh).to(mean.real.dtype))


def _step(cloud: Population, target: Tensor) -> tuple[Tensor, Tensor]:
    """Means (M, *event) and standard deviation of the prior's step; the last one has none."""
    if not bool(target > 0):
        return cloud.goals[0], torch.zeros_like(target)
    step = cloud.step(target)
    return step.means[0], step.spread
