"""Images in units of their own amplitude, as training wants them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from scorefield.data.images import Images


class Normalized(Sequence[Tensor]):
    r"""The pixels of images over the amplitude of their source: tensors (C, \*spatial), read when asked for.

    Real images are float32, complex ones complex64; the slices of a volume share its amplitude
    (:meth:`scorefield.data.Images.amplitude`).  CT in HU becomes attenuation, as the scanner sees it: air is 0.

    Args:
        images: what to read.
    """

    def __init__(self, images: Images):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]  # integers only
        return (self.images[index].attenuation().pixels / self.images.amplitude(index)).contiguous()

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        r"""(C, \*spatial) of each item, from the headers alone."""
        return [self.images.header(k).shape for k in range(len(self))]

    @property
    def sizes(self) -> list[int]:
        """Bytes of each item, from the headers alone."""
        return [self.images.header(k).nbytes for k in range(len(self))]


def tensors(images: Sequence[Tensor] | Images) -> Sequence[Tensor]:
    """``images`` in the units of a prior: tensors are in them already, images are normalized."""
    return Normalized(images) if isinstance(images, Images) else images
