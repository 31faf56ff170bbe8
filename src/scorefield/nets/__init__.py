"""Networks: functions of images or patches and a noise level, without any knowledge of diffusion.

Every network is called as ``net(x, noise)``, with ``x`` (B, C, H, W) and ``noise`` (B,).  The preconditioning decides
which function of sigma ``noise`` is (:class:`scorefield.priors.Network`).
"""

from scorefield.nets.half import Half
from scorefield.nets.invariant import Equivariant, OffsetInvariant, ScaleInvariant
from scorefield.nets.local_cnn import LocalCNN
from scorefield.nets.patch_mixture import PatchMixture
from scorefield.nets.patch_mlp import PatchMLP
from scorefield.nets.patchwise import Patchwise
from scorefield.nets.unet import UNet

__all__ = [
    # of patches
    "PatchMLP",
    "PatchMixture",
    # of images
    "UNet",
    "LocalCNN",
    # around another network
    "Patchwise",
    "OffsetInvariant",
    "ScaleInvariant",
    "Equivariant",
    "Half",
]
