"""Seams: whether images made of patches show where those meet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scorefield.errors import InputError


def seam_ratio(x: Tensor, rows: Sequence[int], columns: Sequence[int]) -> float:
    r"""Energy of the differences across patch borders over that of all other differences; 1 without seams.

    .. math:: \frac{mean_{border}\, |x_{i} - x_{i-1}|^2}{mean_{elsewhere}\, |x_{i} - x_{i-1}|^2}

    over both axes together.

    Args:
        x: images (..., H, W), real or complex.
        rows: rows that begin a patch; those outside of the image, and row 0, are not counted.
        columns: columns that begin a patch, likewise.

    Raises:
        InputError: no border inside of the image, or nothing else.
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
