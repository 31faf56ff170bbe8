"""Images in memory for a training that reads each of them several times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor


class Shelf(Sequence[Tensor]):
    """Images that stay in memory after the first read if all together fit; else each access reads the disk.

    Args:
        images: tensors (C, H, W) that do not change between two reads.  If they have ``sizes``, the bytes of each,
            these say whether all fit; else the largest image read so far stands for all.
        memory: bytes for all of them.

    Attributes:
        sizes: bytes of each image, None where the images do not state them.
    """

    def __init__(self, images: Sequence[Tensor], memory: int):
        self.images, self.memory = images, memory
        self.sizes: list[int] | None = getattr(images, "sizes", None)
        self._fits = self.sizes is None or sum(self.sizes) <= memory
        self._known: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]  # integers only
        if index in self._known:
            return self._known[index]
        image = self.images[index]
        if self._fits and self.sizes is None:
            self._fits = len(self) * image.numel() * image.element_size() <= self.memory
        if self._fits:
            self._known[index] = image
        else:
            self._known.clear()
        return image

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """(C, H, W) of each image, without reading any where the images state it."""
        stated = getattr(self.images, "shapes", None)
        return [tuple(image.shape) for image in self] if stated is None else stated

    def name(self, index: int) -> str:
        """The file of an image, or its number, for messages."""
        return self.images.name(index) if hasattr(self.images, "name") else f"Image {index}"  # pyright: ignore
