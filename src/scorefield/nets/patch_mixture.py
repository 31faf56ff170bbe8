r"""A Gaussian mixture on patches, as the unitless patch score of a field of experts.

The components have mean 0, weights w_k and covariances :math:`C_k = U_k \Lambda_k U_k^T`.  Noise widens them,

.. math::
    F(v, \sigma) = \sigma \nabla \log p_\sigma(v) = -\sigma \sum_k r_k U_k (\Lambda_k + \sigma^2)^{-1} U_k^T v, \qquad
    r_k \propto w_k\, N(v; 0, C_k + \sigma^2 I).

Expectation maximization fits the mixture: :math:`w_k \leftarrow \bar r_k`,
:math:`C_k \leftarrow \overline{r_k v v^T} / w_k`, with means over the patches.

References:
    Zoran & Weiss, "From learning models of natural image patches to whole image restoration" (EPLL), ICCV 2011.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.errors import InputError

PART = 512  # patches at a time: larger parts do not fit into the cache


class PatchMixture(nn.Module):
    """Gaussian mixture on p x p patches, of mean 0; :class:`OffsetInvariant` subtracts the mean of each patch first.

    An optimizer has nothing to train; :meth:`fit` is expectation maximization.

    Args:
        size: patch side p; 8 as published.
        channels: image channels.
        components: number K of components; 200 as published.
        hard: use the most probable component only, as half-quadratic splitting does; by default all are used.

    Raises:
        InputError: no components.

    References:
        Zoran & Weiss, "From learning models of natural image patches to whole image restoration" (EPLL), ICCV 2011.
    """

    weights: Tensor
    values: Tensor
    bases: Tensor

    RIDGE = 1e-6  # added to the variances: patches without their mean have variance 0 along constants

    def __init__(self, *, size: int = 8, channels: int = 1, components: int = 200, hard: bool = False):
        super().__init__()
        if components < 1:
            raise InputError(f"A mixture needs at least 1 component, got {components}.")
        self.size, self.channels, self.components, self.hard = size, channels, components, hard
        pixels = channels * size**2
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("values", torch.ones(components, pixels))
        self.register_buffer("bases", torch.eye(pixels).repeat(components, 1, 1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """The unitless score of patches.

        Args:
            x: patches (B, channels, p, p).
            noise: a quarter of ln sigma, (B,).
        """
        sigma = (4 * noise).exp().to(x).reshape(-1, 1, 1)
        turned, total, logs = self._components(x.flatten(1), sigma)
        chosen = nn.functional.one_hot(logs.argmax(1), self.components).to(x) if self.hard else logs.softmax(1)
        score = (chosen[:, :, None] * turned / total).flatten(1) @ self.bases.mT.flatten(0, 1).to(x)
        return (-sigma.reshape(-1, 1) * score).reshape(x.shape)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma`` of patches (B, channels, p, p), for sigma () or (B,): (B,)."""
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
        constant = 0.5 * x[0].numel() * torch.log(torch.tensor(2 * torch.pi, dtype=x.dtype))
        return self._components(x.flatten(1), level)[2].logsumexp(1) - constant.to(x.device)

    @torch.no_grad()
    def fit(self, patches: Tensor, generator: torch.Generator, *, iterations: int = 50) -> list[float]:
        """Fit the mixture by expectation maximization, from random assignments.

        Args:
            patches: (m, channels, p, p); m is much larger than the number of pixels of a patch.
            generator: draws the assignments.
            iterations: number of iterations.

        Returns:
            The mean log-likelihood after each iteration, in nats.
        """
        v, history = patches.flatten(1), []
        start = torch.randint(self.components, (len(v),), generator=generator)
        shares = nn.functional.one_hot(start, self.components).to(v)
        for _ in range(iterations):
            self._maximize(v, shares)
            logs = torch.cat([self._components(part, v.new_zeros(1, 1, 1))[2] for part in v.split(PART)])
            history.append(
                logs.logsumexp(1).mean().item() - 0.5 * v.shape[1] * torch.log(v.new_tensor(2 * torch.pi)).item()
            )
            shares = logs.softmax(1)
        return history

    def _maximize(self, v: Tensor, shares: Tensor) -> None:
        """Set weights and covariances, given patches v (m, n) and the shares of the components in them (m, K)."""
        counts = shares.sum(0)
        ridge = self.RIDGE * torch.eye(v.shape[1], dtype=v.dtype, device=v.device)
        for k, count in enumerate(counts.tolist()):
            covariance = (v * shares[:, k : k + 1]).T @ v / max(count, 1e-12) + ridge
            values, bases = torch.linalg.eigh(covariance)
            self.values[k], self.bases[k] = values.clamp(min=self.RIDGE), bases
        self.weights.copy_((counts / len(v)).clamp(min=1e-12))

    def _components(self, v: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Patches and variances in each basis (m, K, n), and ``log w_k N(v)`` up to a constant (m, K)."""
        turned = (v @ self.bases.transpose(0, 1).flatten(1).to(v)).unflatten(1, (self.components, -1))
        total = self.values.to(v) + sigma.square()
        logs = self.weights.to(v).log() - 0.5 * (turned.square() / total + total.log()).sum(2)
        return turned, total, logs
