"""DPM-Solver of order two, single-step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scorefield.kernels.single_step import SingleStep


@dataclass(frozen=True)
class DPMSolver2(SingleStep):
    """DPM-Solver-2: noise prediction; at ratio 1/2 the midpoint rule in sigma with the geometric mean as its middle.

    See :class:`SingleStep` for the argument.

    References:
        Lu, Zhou, Bao, Chen, Li, Zhu, "DPM-Solver", NeurIPS 2022, arXiv 2206.00927, algorithm 1.
    """

    def _predict(self, x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
        return (x - denoised) / sigma

    def _jump(self, x: Tensor, prediction: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
        return x - (sigma - target) * prediction
