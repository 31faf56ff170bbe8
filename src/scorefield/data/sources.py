"""Sources of images: the files and DICOM series that a path names."""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scorefield.data.formats import FORMATS, VOLUMES, dicom, format_of
from scorefield.data.image import Image
from scorefield.data.reading import Header, Slices
from scorefield.errors import InputError

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class File:
    """One file that holds one image."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> Image:
        """The image."""
        return format_of(self.path, FORMATS).read(self.path)

    def header(self) -> Header:
        """Sizes of the image that ``read`` will give."""
        return format_of(self.path, FORMATS).header(self.path).squeeze()

    def slices(self) -> Slices:
        """The volume, to read slices of."""
        return format_of(self.path, VOLUMES).slices(self.path)


@dataclass(frozen=True)
class Series:
    """DICOM slices that make one volume."""

    paths: tuple[Path, ...]

    def __str__(self) -> str:
        return f"{self.paths[0].parent} ({len(self.paths)} slices)"

    def read(self) -> Image:
        """The volume."""
        return dicom.read_series(self.paths)

    def header(self) -> Header:
        """Rows, columns and slices, or rows and columns of a single slice."""
        spatial = dicom.header(self.paths[0]).spatial
        return Header(spatial if len(self.paths) == 1 else (*spatial, len(self.paths)))

    def slices(self) -> Slices:
        """The volume, to read slices of."""
        return dicom.slices(self.paths)


Source = File | Series


def expand(path: PathLike) -> list[Source]:
    """The images that a file, folder or glob names, in natural order of their names (slice2 before slice10).

    In a folder or glob the DICOM files of each folder are one series, and files of unknown formats are ignored.  A
    folder without images of its own stands for the folders in it, as PACS and discs nest them: patient, study, series.

    Raises:
        InputError: nothing there, or nothing readable.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        return _group(_natural(_files(place)), path)
    if place.exists():
        format_of(place, FORMATS)
        return [File(place)]
    if not glob.has_magic(str(place)):
        raise InputError(f"There is no file or folder {path}{_nearest(place)}; check the name.")
    places = _natural(Path(name) for name in glob.iglob(str(place), recursive=True))
    if not places:
        raise InputError(f"The pattern {path} matches no file; check the folder and the suffix.")
    if all(match.is_dir() for match in places):
        return [source for folder in places for source in expand(folder)]
    return _group(places, path)


def _group(files: Sequence[Path], where: PathLike) -> list[Source]:
    readable = [file for file in files if file.is_file() and any(f.matches(file) for f in FORMATS)]
    if not readable:
        known = " ".join(suffix for f in FORMATS for suffix in f.suffixes)
        raise InputError(f"{where} holds no readable image; the known suffixes are {known}, and DICOM by content.")
    series: dict[Path, list[Path]] = {}
    sources: list[Source] = []
    for file in readable:
        if format_of(file, FORMATS) is dicom:
            series.setdefault(file.parent, []).append(file)
        else:
            sources.append(File(file))
    return [*sources, *(Series(tuple(slices)) for slices in series.values())]


def _files(place: Path) -> list[Path]:
    """The readable files of a folder, or of all folders in it where it has none of its own."""
    here = [entry for entry in place.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    if any(f.matches(file) for file in here for f in FORMATS):
        return here
    return [
        Path(folder) / name
        for folder, _, names in os.walk(place)
        if not any(part.startswith(".") for part in Path(folder).relative_to(place).parts)
        for name in names
        if not name.startswith(".")
    ]


def _natural(paths: Iterable[Path]) -> list[Path]:
    """The order of natsort (without its options), in half its time."""

    def key(path: Path) -> list[int | str]:
        parts = re.split(r"(\d+)", str(path))  # text and numbers take turns, so like is compared with like
        return [int(part) if place % 2 else part for place, part in enumerate(parts)]

    return sorted(paths, key=key)


def _nearest(place: Path) -> str:
    names = os.listdir(place.parent) if place.parent.is_dir() else []
    near = difflib.get_close_matches(place.name, names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
