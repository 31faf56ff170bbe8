"""Images in units of their own amplitude, for training."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from scorefield.arguments import as_tensor
from scorefield.data.images import Images
from scorefield.data.reading import Header
from scorefield.errors import InputError


class Normalized(Sequence[Tensor]):
    r"""The pixels of images over the amplitude of their source: tensors (C, \*spatial), read when needed.

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

    def name(self, index: int) -> str:
        """The file or series of item ``index``, for messages."""
        return self.images.name(index)

    def check(self, side: int) -> None:
        """Check by the headers alone that crops of ``side`` pixels can be cut from all images.

        Raises:
            InputError: an image that is smaller, no 2-D image, or unlike the first in channels, by its file.
        """
        first = self.images.header(0)
        for k in range(len(self)):
            name, header = self.name(k), self.images.header(k)
            if len(header.spatial) != 2:
                raise InputError(f"{name} is a volume of {header.spatial} voxels; cut it into slices along an axis.")
            if min(header.spatial) < side:
                raise InputError(
                    f"{name} has {' x '.join(map(str, header.spatial))} pixels and training cuts crops of {side} x"
                    f" {side}; leave it out, or choose smaller crops."
                )
            if (header.channels, header.is_complex) != (first.channels, first.is_complex):
                raise InputError(f"{name} has {_kind(header)}, but {self.name(0)} {_kind(first)}; train on one.")


def _kind(header: Header) -> str:
    return f"{header.channels} {'complex' if header.is_complex else 'real'} channel(s)"


def tensors(images: Sequence[Tensor] | Images) -> Sequence[Tensor]:
    """``images`` in the units of a prior: tensors are in them already, images are normalized."""
    if isinstance(images, (list, tuple)):
        return [as_tensor(image, "training image") for image in images]
    return Normalized(images) if isinstance(images, Images) else images
