"""File formats of raw data, one module each; this list is the registry.

A format is a module with ``name``, ``suffixes``, ``recognizes(path)`` (by its first bytes or names inside),
``contents(path, choice) -> Contents`` (headers only) and ``read(path, choice) -> Acquisition``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from scorefield.errors import InputError
from scorefield.raw.acquisition import Acquisition
from scorefield.raw.choice import Choice
from scorefield.raw.contents import Contents
from scorefield.raw.formats import bart, fastmri, ismrmrd, matlab, npy


class Format(Protocol):
    """The functions of a module in this folder."""

    @property
    def name(self) -> str: ...

    @property
    def suffixes(self) -> tuple[str, ...]: ...

    def recognizes(self, path: Path) -> bool: ...

    def contents(self, path: Path, choice: Choice) -> Contents: ...

    def read(self, path: Path, choice: Choice) -> Acquisition: ...


FOREIGN = {
    ".dat": "Siemens' raw data (twix) are not read here; convert them with siemens_to_ismrmrd",
    ".7": "GE's P-files are not read here; convert them with ge_to_ismrmrd",
    ".raw": "Philips' raw data are not read here; convert them with philips_to_ismrmrd",
    ".lab": "Philips' raw data are not read here; convert them with philips_to_ismrmrd",
    ".sin": "Philips' raw data are not read here; convert them with philips_to_ismrmrd",
}  # raw data of scanners, by their suffix

FORMATS: tuple[Format, ...] = (ismrmrd, fastmri, bart, matlab, npy)


def format_of(path: Path) -> Format:
    """The format of a file.

    Raises:
        InputError: missing, or of no format that is known; the message names the known ones.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}; check the name.")
    for candidate in FORMATS:
        if candidate.recognizes(path):
            return candidate
    if path.suffix.lower() in FOREIGN:
        raise InputError(f"{path}: {FOREIGN[path.suffix.lower()]}, and read the .h5 that it writes.")
    known = ", ".join(f"{candidate.name} ({' '.join(candidate.suffixes)})" for candidate in FORMATS)
    raise InputError(
        f"{path} is no raw file of a format that is read here, which are {known}; convert it, or build a scan from"
        " arrays with sf.scans.Cartesian."
    )
