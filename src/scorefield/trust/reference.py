"""The reference of a prior: the statistics of :mod:`scorefield.trust.likeness` on training images.

A reference travels with its prior: as ``reference.safetensors`` in the folder, as ``prior.beside["reference"]`` in
memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.prior import Prior
from scorefield.trust.rivals import RIVALS

NAME = "reference"  # of the tensors beside a prior


@dataclass(frozen=True, eq=False)
class Reference:
    """The statistics of training images.

    Args:
        values: of each image the gain over each rival, and the surprise (N, rivals + 1).
        levels: (L,), rising, over the intensity of the image; windows whose deviation is below the first do not count.
        complex: whether the images were complex.
        rivals: names of the shipped priors that were compared with.
    """

    values: Tensor
    levels: Tensor
    complex: bool = False
    rivals: tuple[str, ...] = ("photo",)

    def __post_init__(self) -> None:
        columns, known = len(self.rivals) + 1, all(name in RIVALS for name in self.rivals)
        shaped = self.values.ndim == 2 and self.values.shape[1] == columns and len(self.values) > 0
        if not (known and columns > 1 and shaped and self.levels.ndim == 1):
            raise InputError(
                f"A reference holds values (N, {columns}) of {' '.join(self.rivals)} for (L,) levels, got"
                f" {tuple(self.values.shape)} for {tuple(self.levels.shape)}; take it again from the training images."
            )

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Reference:
        """What :meth:`tensors` said.

        Raises:
            InputError: something else.
        """
        try:
            names = bytes(tensors["rivals"].tolist()).decode().split() if "rivals" in tensors else ["photo"]
            return Reference(tensors["values"].double(), tensors["levels"], bool(tensors["complex"]), tuple(names))
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"This is no reference ({error}); take it again from the training images.") from error

    def tensors(self) -> dict[str, Tensor]:
        """All of it as tensors by name, the values in single precision, the names of the rivals as bytes."""
        names = torch.tensor(list(" ".join(self.rivals).encode()), dtype=torch.uint8)
        plain = {"values": self.values.float(), "levels": self.levels, "complex": torch.tensor(self.complex)}
        return {**plain, "rivals": names}

    def attach(self, prior: Prior) -> None:
        """Let ``prior`` carry this reference, into its checkpoints too."""
        prior.beside = {**prior.beside, NAME: self.tensors()}

    def place(self, value: Tensor) -> Place:
        """Where an image of statistics ``value`` (rivals + 1,) lies among the training images."""
        both = torch.cat([self.values, value.unsqueeze(0)])
        over = both[:, :-1] - both[:, :-1].median(0).values  # the tested image counts like any other
        far = torch.stack([over.amin(1), -both[:, -1]], 1)  # a small gain and a large surprise are far out
        ranks = (far.unsqueeze(0) <= far.unsqueeze(1)).sum(1)  # (N + 1, 2), 1 is furthest out
        smaller = ranks.amin(1)
        share = float((smaller <= smaller[-1]).double().mean())
        return Place(share, bool(ranks[-1, 0] <= ranks[-1, 1]), int(over[-1].argmin()))


class Place(NamedTuple):
    """Where an image lies among the training images.

    Attributes:
        p_value: the share of them, this one counted, that are as far out.
        by_gain: whether its gain is further out than its surprise.
        rival: the number of the one whose gain is least, over what it is for training images.
    """

    p_value: float
    by_gain: bool
    rival: int


def reference_of(prior: Prior) -> Reference | None:
    """The reference that travels with ``prior``; None where there is none.

    Raises:
        InputError: the tensors beside the prior are no reference.
    """
    return Reference.of(prior.beside[NAME]) if NAME in prior.beside else None
