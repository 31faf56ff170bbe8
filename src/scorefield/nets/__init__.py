"""Networks: tensors in, tensors out; they know no diffusion.

Every network is called as ``net(x, noise)``: ``noise`` (B,) is the noise level as the preconditioning states it.
"""

from scorefield.nets.patch_mlp import PatchMLP
from scorefield.nets.unet import UNet

__all__ = ["PatchMLP", "UNet"]
