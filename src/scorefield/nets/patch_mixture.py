r"""A Gaussian mixture on patches, as the unitless patch score that a field of experts asks for.

With zero means, weights w_k and covariances :math:`C_k = U_k \Lambda_k U_k^T`, noise widens the components,

.. math::
    F(v, \sigma) = \sigma \nabla \log p_\sigma(v) = -\sigma \sum_k r_k U_k (\Lambda_k + \sigma^2)^{-1} U_k^T v, \qquad
    r_k \propto w_k\, N(v; 0, C_k + \sigma^2 I).

Expectation maximization fits it: :math:`w_k \leftarrow \bar r_k`, :math:`C_k \leftarrow \overline{r_k v v^T} / w_k`,
with the mean over the patches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.errors import InputError


class PatchMixture(nn.Module):
    """Gaussian mixture on p x p patches with means zero; with :class:`OffsetInvariant`, on patches less their mean.

    It has no weights for an optimizer; :meth:`fit` is expectation maximization.

    Args:
        size: patch side p; 8 as published.
        channels: image channels.
        components: K; 200 as published.
        hard: only the most probable component speaks, the half-quadratic splitting's approximation; all by default.

    Raises:
        InputError: no components.

    References:
        Zoran & Weiss, "From learning models of natural image patches to whole image restoration" (EPLL), ICCV 2011.
    """

    weights: Tensor
    values: Tensor
    bases: Tensor

    RIDGE = 1e-6  # added to the variances: patches less their mean have none along constants

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
        """Patches (B, channels, p, p) and noise levels (B,), a quarter of ln sigma, to patches of the same shape."""
        sigma = (4 * noise).exp().to(x).reshape(-1, 1, 1)
        turned, total, logs = self._components(x.flatten(1), sigma)
        chosen = nn.functional.one_hot(logs.argmax(1), self.components).to(x) if self.hard else logs.softmax(1)
        said = (chosen[:, :, None] * turned / total).flatten(1) @ self.bases.mT.flatten(0, 1).to(x)
        return (-sigma.reshape(-1, 1) * said).reshape(x.shape)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma`` of patches (B, channels, p, p): (B,)."""
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
        constant = 0.5 * x[0].numel() * torch.log(torch.tensor(2 * torch.pi, dtype=x.dtype))
        return self._components(x.flatten(1), level)[2].logsumexp(1) - constant.to(x.device)

    @torch.no_grad()
    def fit(self, patches: Tensor, generator: torch.Generator, *, iterations: int = 50) -> list[float]:
        """Expectation maximization from random assignments: the mean log-likelihood before each iteration.

        Args:
            patches: (m, channels, p, p), many more than their pixels.
        """
        v, history = patches.flatten(1), []
        start = torch.randint(self.components, (len(v),), generator=generator)
        shares = nn.functional.one_hot(start, self.components).to(v)
        for _ in range(iterations):
            self._maximize(v, shares)
            logs = torch.cat([self._components(part, v.new_zeros(1, 1, 1))[2] for part in v.split(4096)])
            history.append(
                logs.logsumexp(1).mean().item() - 0.5 * v.shape[1] * torch.log(v.new_tensor(2 * torch.pi)).item()
            )
            shares = logs.softmax(1)
        return history

    def _maximize(self, v: Tensor, shares: Tensor) -> None:
        """Weights and covariances of patches v (m, n) shared out (m, K)."""
        counts = shares.sum(0)
        ridge = self.RIDGE * torch.eye(v.shape[1], dtype=v.dtype, device=v.device)
        for k, count in enumerate(counts.tolist()):
            covariance = (v * shares[:, k : k + 1]).T @ v / max(count, 1e-12) + ridge
            values, bases = torch.linalg.eigh(covariance)
            self.values[k], self.bases[k] = values.clamp(min=self.RIDGE), bases
        self.weights.copy_((counts / len(v)).clamp(min=1e-12))

    def _components(self, v: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Patches and variances in each component's basis, (m, K, n), and ``log w_k N(v)`` up to a constant (m, K)."""
        turned = (v @ self.bases.transpose(0, 1).flatten(1).to(v)).unflatten(1, (self.components, -1))
        total = self.values.to(v) + sigma.square()
        logs = self.weights.to(v).log() - 0.5 * (turned.square() / total + total.log()).sum(2)
        return turned, total, logs
