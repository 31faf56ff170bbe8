"""Raw files of MRI scanners: what is in them, and the scan that can be reconstructed from them.

    preparation = sf.raw.read("meas.h5", sf.raw.Choice(slice=3))
    samples = sf.reconstruct(prior, preparation.scan.measurement())

The formats are in :mod:`scorefield.raw.formats`, one module each.
"""

from __future__ import annotations

import os
from pathlib import Path

from scorefield.raw.acquisition import Acquisition
from scorefield.raw.choice import Choice
from scorefield.raw.contents import Contents
from scorefield.raw.formats import format_of
from scorefield.raw.geometry import Geometry
from scorefield.raw.preparation import Preparation, prepare

__all__ = ["Acquisition", "Choice", "Contents", "Geometry", "Preparation", "acquire", "inspect", "prepare", "read"]
DEFAULT = Choice()


def inspect(path: str | os.PathLike[str], choice: Choice = DEFAULT) -> Contents:
    """What a raw file holds, from its headers: no samples are read.

    Raises:
        InputError: missing, damaged, or of an unknown format.
    """
    place = Path(path).expanduser()
    return format_of(place).contents(place, choice)


def acquire(path: str | os.PathLike[str], choice: Choice = DEFAULT) -> Acquisition:
    """The k-space of one image of a raw file, as it was measured.

    Raises:
        InputError: missing, damaged, of an unknown format, or refused: the sentence says why.
    """
    place = Path(path).expanduser()
    return format_of(place).read(place, choice)


def read(path: str | os.PathLike[str], choice: Choice = DEFAULT) -> Preparation:
    """The scan of one image of a raw file, ready to reconstruct, with notes on how it was made.

    Raises:
        InputError: as :func:`acquire` and :func:`prepare`.
    """
    return prepare(acquire(path, choice))
