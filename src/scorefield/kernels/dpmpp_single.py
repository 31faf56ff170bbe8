"""DPM-Solver++ of order two, single-step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scorefield.kernels.single_step import SingleStep


@dataclass(frozen=True)
class DPMpp2S(SingleStep):
    """DPM-Solver++(2S): data prediction.

    See :class:`SingleStep` for the argument.

    References:
        Lu, Zhou, Bao, Chen, Li, Zhu, "DPM-Solver++", 2022, arXiv 2211.01095, algorithm 1.
    """

    def _predict(self, x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
        return denoised

    def _jump(self, x: Tensor, prediction: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
        return prediction + target / sigma * (x - prediction)
