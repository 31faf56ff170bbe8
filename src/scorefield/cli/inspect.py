"""``scorefield inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from scorefield.cli.options import JSON, Options, make_command
from scorefield.cli.raw_options import AXES, ECHO, REPETITION, SLICE, VARIABLE, choice_of
from scorefield.cli.say import say, to_json

if TYPE_CHECKING:
    from scorefield.raw import Contents


class InspectOptions(Options):
    file: Path = Field(description="A raw file of a scanner.", json_schema_extra={"argument": True})
    slice: int | None = SLICE
    echo: int = ECHO
    repetition: int = REPETITION
    axes: str = AXES
    variable: str = VARIABLE
    as_json: bool = JSON


def run(options: InspectOptions) -> None:
    """Say what a raw file holds, from its headers alone, and whether it can be reconstructed."""
    from scorefield import raw

    contents = raw.inspect(options.file, choice_of(options))
    if options.as_json:
        plain = {"remarks": contents.remarks, "refusal": contents.refusal}
        say(to_json({"file": options.file.name, **contents.rows, **plain}))
        return
    say(f"{options.file}")
    for name, value in contents.rows.items():
        say(f"  {name:<16}{value}")
    for remark in contents.remarks:
        say(remark)
    say(_verdict(contents, options))


def _verdict(contents: Contents, options: InspectOptions) -> str:
    """Whether the file can be reconstructed, and the command."""
    if contents.refusal:
        return f"It cannot be reconstructed: {contents.refusal}."
    middle = contents.slices // 2 if options.slice is None else options.slice
    several = {"slice": (middle, contents.slices), "echo": (options.echo, contents.echoes),
               "repetition": (options.repetition, contents.repetitions)}  # fmt: skip
    words = [f"--{name} {index}" for name, (index, count) in several.items() if count > 1]
    words += [f"--axes {options.axes}"] if options.axes else []
    words += [f"--variable {options.variable}"] if options.variable else []
    command = " ".join(["scorefield reconstruct", str(options.file), "--prior brain-t1 --out run", *words])
    return f"It can be reconstructed, with a prior for what it shows: {command}"


command = make_command(InspectOptions, run)
