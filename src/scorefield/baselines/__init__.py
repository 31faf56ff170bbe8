"""Baselines: classical reconstructions without a learned prior; each returns an image shaped like ``samples.mean``."""

from scorefield.baselines.bm3d import BM3D, bm3d
from scorefield.baselines.denoising import as_denoiser
from scorefield.baselines.discrepancy import matched_total_variation
from scorefield.baselines.epll import epll
from scorefield.baselines.linear import filtered_back_projection, least_squares, zero_filled
from scorefield.baselines.nonlocal_means import non_local_means
from scorefield.baselines.oracle import tuned_total_variation
from scorefield.baselines.plug_and_play import plug_and_play, tuned_plug_and_play
from scorefield.baselines.tuning import Tuned, tune
from scorefield.baselines.tv import total_variation
from scorefield.baselines.wavelet import wavelet_shrinkage

__all__ = [
    "BM3D",
    "Tuned",
    "as_denoiser",
    "bm3d",
    "epll",
    "filtered_back_projection",
    "least_squares",
    "matched_total_variation",
    "non_local_means",
    "plug_and_play",
    "total_variation",
    "tune",
    "tuned_plug_and_play",
    "tuned_total_variation",
    "wavelet_shrinkage",
    "zero_filled",
]
