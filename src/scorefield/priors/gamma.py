r"""The Gamma law: a positive number, such as one pixel of a photograph or a variance.

.. math::
    \log p(x) = k \log \lambda - \log \Gamma(k) + (k - 1) \log x - \lambda x, \qquad
    \nabla \log p(x) = \frac{k - 1}{x} - \lambda, \qquad x > 0,

with shape k and rate :math:`\lambda`.  Noise takes u = x_0 to x, and with :math:`u = \sigma v`,
:math:`\mu = x/\sigma - \lambda\sigma`,

.. math::
    p_\sigma(x) = \frac{\lambda^k \sigma^{k-1}}{\sqrt{2\pi}\,\Gamma(k)}\, e^{-\lambda x + \lambda^2\sigma^2/2}
    \int_0^\infty v^{k-1} e^{-(v-\mu)^2/2}\, dv, \qquad
    \nabla \log p_\sigma(x) = \frac{E[v] - \mu}{\sigma} - \lambda .

The integral is a parabolic cylinder function, for which torch has no code; a quadrature computes it.  In
:math:`t = \log v` its integrand is :math:`e^{h(t)}`, :math:`h = kt - (e^t - \mu)^2/2`, with one mode at
:math:`v_* = (\mu + \sqrt{\mu^2 + 4k})/2`, where :math:`v_* - \mu = k/v_*` and :math:`-h'' = v_*^2 + k = w^{-2}`.
With :math:`\delta = t - t_*` and :math:`\epsilon = e^\delta - 1`,

.. math:: h(t) - h(t_*) = k(\delta - \epsilon) - v_*^2\epsilon^2/2, \qquad v - \mu = k/v_* + v_*\,\epsilon,

in which nothing cancels however small sigma is, and the trapezoidal rule in :math:`\delta = w \sinh s` converges
exponentially.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Density, level

_NODES = 241  # relative error of the density below 1e-11 for shapes from 0.1 to 1000, 1e-6 at 0.01


class Gamma(Density):
    """The Gamma law over one real number, events of shape (1,).

    Outside of its support, x <= 0, the clean law has log-density -inf and score +inf, the limits of small sigma.

    Args:
        shape: k > 0; the mode is (k - 1)/rate, the mean k/rate.
        rate: lambda > 0, in inverse units of x; the scale is 1/rate.

    Raises:
        InputError: an argument is not positive and finite.
    """

    event_shape = (1,)

    def __init__(self, shape: float, rate: float):
        super().__init__()
        for value, name in ((shape, "shape"), (rate, "rate")):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"The {name} of a Gamma law is a positive finite number, got {value}.")
        self.shape, self.rate = float(shape), float(rate)

    @classmethod
    def fit(cls, points: Tensor) -> Gamma:
        r"""The maximum-likelihood law of independent draws.

        The shape solves :math:`\log k - \psi(k) = \log \bar x - \overline{\log x}`, the rate is
        :math:`k / \bar x`; SciPy brackets the root.

        Args:
            points: positive and not all equal, any shape.

        Raises:
            InputError: points that are not positive and finite, or that do not differ.
        """
        from scipy.stats import gamma

        values = points.detach().double().flatten().cpu().numpy()
        if not ((values > 0) & (values < math.inf)).all():
            raise InputError("A Gamma law is fitted to positive finite numbers; remove the others.")
        if len(values) < 2 or values.min() == values.max():
            raise InputError("A Gamma law is fitted to numbers that differ: the likelihood of equal ones is unbounded.")
        shape, _, scale = gamma.fit(values, floc=0)
        return cls(float(shape), 1 / float(scale))

    @property
    def extent(self) -> float:
        return math.sqrt(self.shape) / self.rate

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        u, s = self._as_columns(x, sigma)
        k, rate = self.shape, self.rate
        positive = torch.where(u > 0, u, 1)
        clean = torch.where(u > 0, k * math.log(rate) - math.lgamma(k) + (k - 1) * positive.log() - rate * u, -math.inf)
        scale = torch.where(s > 0, s, 1)
        constant = k * math.log(rate) - math.lgamma(k) - 0.5 * math.log(2 * math.pi)
        noisy = constant + (k - 1) * scale.log() - rate * u + (rate * scale).square() / 2
        return torch.where(s > 0, noisy + self._integral(u / scale - rate * scale)[0], clean)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        u, s = self._as_columns(x, sigma)
        clean = torch.where(u > 0, (self.shape - 1) / torch.where(u > 0, u, 1) - self.rate, math.inf)
        scale = torch.where(s > 0, s, 1)
        noisy = self._integral(u / scale - self.rate * scale)[1] / scale - self.rate
        return torch.where(s > 0, noisy, clean).reshape(x.shape)

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        u, s = self._as_columns(x, sigma)
        scale = torch.where(s > 0, s, 1)  # not x + sigma^2 score, which is 0 times inf where there is no density
        pull = self._integral(u / scale - self.rate * scale)[1]
        return (u + s * pull - self.rate * s.square()).reshape(x.shape)

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent draws (n, 1), by :func:`acceptance_rejection`, in torch's default dtype."""
        return acceptance_rejection(self.shape, n, generator)[0].unsqueeze(1) / self.rate

    def _integral(self, mu: Tensor) -> tuple[Tensor, Tensor]:
        """Log of the integral over v, and ``E[v] - mu``, for mu (B,): (B,) and (B,)."""
        k, mu = self.shape, mu.unsqueeze(1)
        root = (mu.square() + 4 * k).sqrt()
        mode = torch.where(mu > 0, (mu + root) / 2, 2 * k / (root - mu.clamp(max=0)))
        width = (mode.square() + k).rsqrt()
        # 9 Gaussian widths to the left if the mode is that far from 0, else until e^(k delta) is negligible
        reach = torch.where(mode > 18, 12.5, (38 / k + 1) / width)
        s = torch.asinh(reach) * torch.linspace(-1, 1, _NODES, dtype=mu.dtype, device=mu.device)
        delta = torch.minimum(width * s.sinh(), torch.log1p(40 / mode))  # beyond, the integrand is below e^-800
        eps = delta.expm1()
        rise = k * (delta - eps) - (mode * eps).square() / 2 + s.cosh().log()
        spacing = 2 * torch.asinh(reach) / (_NODES - 1)
        offset = k * mode.log() - (k / mode).square() / 2 + (spacing * width).log()
        mean = k / mode + mode * (rise.softmax(1) * eps).sum(1, keepdim=True)
        return (offset + rise.logsumexp(1, keepdim=True)).squeeze(1), mean.squeeze(1)

    def _as_columns(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """x (B, 1) and its level as (B,) and (B,)."""
        if tuple(x.shape[1:]) != (1,) or x.is_complex():
            raise InputError(
                f"A Gamma law is over one real number (B, 1), got {x.dtype} of shape {tuple(x.shape)};"
                " reshape or convert the input."
            )
        return x.squeeze(1), level(sigma, x).flatten().expand(len(x))


def acceptance_rejection(shape: float, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, int]:
    """``n`` draws (n,) of the Gamma law of that shape and rate 1, and how many proposals they took.

    Acceptance-rejection from the cube of a Gaussian: with d = k - 1/3, c = (9 d)^(-1/2), z ~ N(0, 1), v = (1 + c z)^3
    and u ~ U(0, 1), the number d v is accepted when v > 0 and log u < z^2/2 + d - d v + d log v.  Each draw proposes
    until its own acceptance, so ``n`` over the proposals estimates the acceptance rate.  A shape k below 1
    takes a draw of shape k + 1 times U^(1/k).

    Args:
        shape: k > 0.
        n: number of draws.
        generator: source of randomness; the draws lie on its device.

    References:
        Marsaglia & Tsang, "A simple method for generating gamma variables", ACM TOMS 26, 2000.
    """
    device = None if generator is None else generator.device
    d = (shape if shape >= 1 else shape + 1) - 1 / 3
    draws = torch.empty(n, device=device)
    waiting, proposals = torch.arange(n, device=device), 0
    while len(waiting):
        z = torch.randn(len(waiting), generator=generator, device=device)
        u = torch.rand(len(waiting), generator=generator, device=device)
        v = (1 + z / math.sqrt(9 * d)) ** 3
        kept = (v > 0) & (u.log() < z.square() / 2 + d - d * v + d * v.clamp_min(torch.finfo(v.dtype).tiny).log())
        draws[waiting[kept]] = d * v[kept]
        waiting, proposals = waiting[~kept], proposals + len(waiting)
    if shape < 1:
        draws = draws * torch.rand(n, generator=generator, device=device) ** (1 / shape)
    return draws, proposals
