"""The priors inside the package, each a checkpoint folder with its card."""

from __future__ import annotations

import difflib
from pathlib import Path

from scorefield.errors import InputError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the shipped priors."""
    return sorted(path.parent.name for path in FOLDER.glob("*/prior.json"))


def find(name: str | Path) -> Path:
    """The folder of a shipped prior, or of one that the user trained.

    The small priors of the gallery's pages on phantoms are found as ``phantoms/disks`` and the like; :func:`names` does
    not list them.

    Raises:
        InputError: neither a shipped name nor a folder with a prior.json.
    """
    path = Path(name)
    if (path / "prior.json").is_file():
        return path
    if (FOLDER / path / "prior.json").is_file():
        return FOLDER / path
    near = difflib.get_close_matches(str(name), names(), n=1)
    hint = f", did you mean '{near[0]}'?" if near else ""
    raise InputError(
        f"There is no prior '{name}'; give a folder from 'scorefield train' or one of {', '.join(names())}{hint}"
    )
