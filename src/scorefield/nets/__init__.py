"""Networks: tensors in, tensors out; they know no diffusion.

Every network is called as ``net(x, noise)``: ``noise`` (B,) is the noise level as the preconditioning states it.
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
