"""Seams: whether the borders of patches are visible in an image made of patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.errors import InputError


def seam_ratio(x: Tensor, rows: Sequence[int], columns: Sequence[int]) -> float:
    r"""Mean square difference across patch borders, over that of all other neighbors; 1 without seams.

    .. math:: \frac{mean_{border}\, |x_{i} - x_{i-1}|^2}{mean_{elsewhere}\, |x_{i} - x_{i-1}|^2}

    over both axes together.

    Args:
        x: images (..., H, W), real or complex.
        rows: first rows of patches; row 0 and rows outside of the image are ignored.
        columns: first columns of patches; likewise.

    Raises:
        InputError: no border inside of the image, or no differences elsewhere.
    """
    energies: list[list[Tensor]] = [[], []]
    for axis, starts in ((-2, rows), (-1, columns)):
        squares = x.diff(dim=axis).abs().square().movedim(axis, 0)
        seam = torch.zeros(len(squares), dtype=torch.bool, device=x.device)
        seam[[i - 1 for i in starts if 0 < i <= len(squares)]] = True
        energies[0].append(squares[~seam].flatten())
        energies[1].append(squares[seam].flatten())
    elsewhere, border = (torch.cat(parts).double() for parts in energies)
    if not len(border) or not len(elsewhere) or not float(elsewhere.mean()) > 0:
        raise InputError("Seams need a patch border inside of the image, and differences elsewhere to compare with.")
    return float(border.mean() / elsewhere.mean())
