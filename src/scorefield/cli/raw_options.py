"""Options that choose one image of a raw file, and the scan behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from scorefield.errors import InputError

if TYPE_CHECKING:
    from scorefield.raw import Choice
    from scorefield.scans.scan import Scan

SLICE: Any = Field(None, ge=0, description="Raw files: the slice, from 0; default the middle one.")
ECHO: Any = Field(0, ge=0, description="Raw files: the echo, from 0.")
REPETITION: Any = Field(0, ge=0, description="Raw files: the repetition, from 0.")
AXES: Any = Field("", description="Arrays without names of their axes: these names, such as coil,readout,line.")
VARIABLE: Any = Field("", description="Files of several arrays: the name of k-space.")
NAMES = ("slice", "echo", "repetition", "axes", "variable")


class Choosing(Protocol):
    """Options with the fields above."""

    @property
    def slice(self) -> int | None: ...
    @property
    def echo(self) -> int: ...
    @property
    def repetition(self) -> int: ...
    @property
    def axes(self) -> str: ...
    @property
    def variable(self) -> str: ...
    @property
    def model_fields_set(self) -> set[str]: ...


def choice_of(options: Choosing) -> Choice:
    """The image that the options choose."""
    from scorefield.raw import Choice

    axes = tuple(name.strip() for name in options.axes.split(",") if name.strip())
    return Choice(options.slice, options.echo, options.repetition, axes, options.variable)


def read_scan(path: Path, options: Choosing) -> tuple[Scan, list[str]]:
    """The scan in a ``.scan`` file, or behind a raw file; and sentences on how the latter was made.

    Raises:
        InputError: the file cannot be read, or options of raw files are given for a ``.scan``.
    """
    from scorefield import raw
    from scorefield.scans import scan

    if not scan.matches(path):
        preparation = raw.read(path, choice_of(options))
        return preparation.scan, list(preparation.notes)
    for name in NAMES:
        if name in options.model_fields_set:
            raise InputError(f"The option '{name}' is for raw files, and {path} is a scan of scorefield; leave it out.")
    return scan.Scan.load(path), []
