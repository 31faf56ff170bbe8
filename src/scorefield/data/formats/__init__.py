"""File formats of images, one module each; this list is the registry.

A format is a module with ``suffixes``, ``matches(path)``, ``read(path) -> Image``, ``header(path) -> Header`` (sizes,
without the pixels) and ``write(image, path, window)``, which may write further files of the same stem beside ``path``;
one that holds volumes also has ``slices(path) -> Slices``, which reads single slices of them.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Protocol, TypeVar

from scorefield.data.formats import cfl, dicom, nifti, npy, raster
from scorefield.data.image import Image
from scorefield.data.reading import Header, Slices, Window
from scorefield.errors import InputError


class Matcher(Protocol):
    """An object that knows its files by name or first bytes."""

    @property
    def suffixes(self) -> tuple[str, ...]: ...

    def matches(self, path: Path) -> bool: ...


class Format(Matcher, Protocol):
    """The functions of a module in this folder."""

    def read(self, path: Path) -> Image: ...

    def header(self, path: Path) -> Header: ...

    def write(self, image: Image, path: Path, window: Window | None = None) -> None: ...


class VolumeFormat(Format, Protocol):
    """A format whose files may hold volumes."""

    def slices(self, path: Path) -> Slices: ...


FORMATS: tuple[Format, ...] = (nifti, npy, cfl, raster, dicom)
VOLUMES: tuple[VolumeFormat, ...] = (nifti, npy)

M = TypeVar("M", bound=Matcher)


def format_of(path: Path, among: tuple[M, ...]) -> M:
    """The first format of ``among`` that matches ``path``.

    Raises:
        InputError: none does; the message lists the known suffixes and the nearest one.
    """
    for candidate in among:
        if candidate.matches(path):
            return candidate
    known = [suffix for candidate in among for suffix in candidate.suffixes]
    given = "".join(path.suffixes[-2:]).lower(), path.suffix.lower()
    # .8: a slip of the finger; three letters that share two, as .img and .ima, are other formats
    near = [match for suffix in given for match in difflib.get_close_matches(suffix, known, n=1, cutoff=0.8)]
    hint = f"; did you mean {near[0]}?" if near else "; rename it or convert it."
    raise InputError(f"{path} has no known suffix, which are {' '.join(known)}{hint}")
