r"""Tweedie moment projected diffusion: the exact second moment, its data covariance replaced by row sums."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.posteriors.base import Guided
from scorefield.prior import Vjp


class TMPD(Guided):
    r"""V = sigma^2 J as in MMPS, but :math:`A V A^H` replaced by the diagonal of its row sums :math:`A V A^H 1`.

    Two vector-Jacobian products and no iteration.  Exact where :math:`A V A^H` is diagonal: pixels (or masked Fourier
    coefficients) that were measured directly, under a prior that is diagonal in the same basis.  Row sums are the
    right size for operators with non-negative entries (inpainting, blur, block averages).  With mixed signs they
    can be negative: a variance below 0 is taken as 0, and one below -R, where the published quotient changes
    sign and sampling diverges, raises an error.  The sums are taken in units of the noise,
    :math:`R^{-1/2} A V A^H R^{-1/2} 1`, which for white noise, the paper's case, is the same.

    The 1 of complex data is 1 + i: real and imaginary parts are numbers of their own.

    Raises:
        InputError: on denoising, when a row sum is below minus the noise variance.

    References:
        Boys et al., TMLR 2024, arXiv 2310.06721.
    """

    def _pull(self, variance: Tensor, vjp: Vjp, residual: Tensor) -> Callable[[Tensor], Tensor]:
        operator, noise = self.measurement.whitened.operator, self.measurement.gaussian
        ones = torch.ones_like(residual)
        ones = torch.complex(ones.real, ones.real) if ones.is_complex() else ones
        rows = _parts(operator(variance * vjp(operator.H(ones))))
        if bool((rows <= -1).any()):
            raise InputError(
                "TMPD needs row sums of A V A^H, in units of the noise variance, above -1, but the lowest is"
                f" {rows.min().item():.3g}: the operator or the prior's Jacobian has mixed signs; use MMPS."
            )
        total = 1 + rows.clamp(min=0)
        return lambda r: vjp(operator.H(_whole(_parts(noise.whiten(r)) / total, r)))


def _parts(v: Tensor) -> Tensor:
    """Real components along a last axis, one or two."""
    return torch.view_as_real(v.resolve_conj()) if v.is_complex() else v.unsqueeze(-1)


def _whole(parts: Tensor, like: Tensor) -> Tensor:
    return torch.view_as_complex(parts) if like.is_complex() else parts.squeeze(-1)
