"""The command line: one sub-command per verb, with options from a pydantic model.

Exit status: 0 done, 1 a defect of ours, 2 input that cannot be used (one sentence on standard error), 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from scorefield.cli.say import printable

COMMANDS = {
    "demo": "Reconstruct a real CT and a real MR slice and write a report of each.",
    "train": "Learn a prior from images.",
    "simulate": "Measure an image: a noisy scan on disk.",
    "inspect": "Say what is in a raw file, and what can be done with it.",
    "reconstruct": "Draw posterior samples of the image behind a scan.",
    "export": "Write a run as DICOM, NIfTI or BART's cfl.",
    "evaluate": "Compare samples with the truth.",
    "report": "Write one self-contained HTML page about a reconstruction.",
    "calibrate": "Check on simulated scans whether a prior's intervals hold.",
    "priors": "List the shipped priors with their cards.",
}


class Verbs(TyperGroup):
    """Sub-commands imported when called, so that help answers at once."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in sys.argv[1:] and cmd_name not in _words_to_complete():
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])  # a line of the help page needs no more
        module = importlib.import_module(f"scorefield.cli.{cmd_name}")
        return module.command


def _words_to_complete() -> list[str]:
    """The line that a shell asks to complete."""
    return " ".join(os.environ.get(name, "") for name in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")).split()


INTERRUPTED = 130

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _scorefield(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
    """Score-based priors for medical image reconstruction, with calibrated uncertainty."""
    del debug  # read by main, which also sees errors raised before this runs
    if version:
        from scorefield import __version__

        typer.echo(f"scorefield {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; every failure is one sentence unless ``--debug`` is given."""
    from scorefield.errors import InputError, is_out_of_memory

    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]  # accepted anywhere on the line
    try:
        with terminable():
            app(arguments, prog_name="scorefield")
    except SystemExit as stopped:  # what typer makes of an interrupt
        if stopped.code == INTERRUPTED:
            _say("Interrupted; nothing half-written was left behind. Training and sampling go on with --resume.")
        raise
    except InputError as error:
        if debug:
            raise
        _say(f"Error: {error}")
        sys.exit(2)
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename} cannot be used" if error.filename else "A file cannot be used"
        _say(f"Error: {where}: {error.strerror or error}; check the path, its permissions and the space left.")
        sys.exit(2)
    except Exception as error:
        if debug:
            raise
        if is_out_of_memory(error):
            _say("Error: The memory is not enough; take a smaller image, fewer draws or a smaller batch.")
            sys.exit(2)
        _say(f"Unexpected {type(error).__name__}: {error}. This is a defect of scorefield; --debug shows where.")
        sys.exit(1)


@contextmanager
def terminable() -> Iterator[None]:
    """In the block SIGTERM and SIGHUP interrupt as Ctrl-C does, so that files are closed and removed.

    A scheduler sends the first before it kills, a closed terminal the second.  Outside the main thread, where Python
    takes no signals, it does nothing.
    """
    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.getsignal(number) for number in numbers}
    heeded = [number for number, handler in before.items() if handler is signal.SIG_DFL]  # nohup ignores SIGHUP
    for number in heeded:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    raise KeyboardInterrupt(signal.Signals(number).name)


def _say(text: str) -> None:
    sys.stderr.write(printable(text) + "\n")
