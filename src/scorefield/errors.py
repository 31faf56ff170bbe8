"""Exceptions, and decorators that answer calls in the form of version 0.1."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
ALLOCATION = ("can't allocate memory", "not enough memory", "out of memory", "Cannot allocate memory")
LENGTH = 300  # of the part of a message that quotes a file


def shorten(text: object, length: int = LENGTH) -> str:
    """The words of another library, or of a file, as part of a sentence: on one line, without control characters, and
    not longer than ``length``."""
    start = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * length])
    line = " ".join(start.split())
    return line if len(line) <= length else line[: length - 3] + "..."


class InputError(ValueError):
    """An argument or a file cannot be used; the message is one sentence that says what is wrong and how to mend it.

    The command line prints it without a traceback and exits with status 2.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory is not enough: Python's own, or that of an allocator of PyTorch."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in ALLOCATION)


class NoDensity(InputError):
    """A prior does not know its log-density; what can work with the score alone catches this."""


class Diverged(InputError, ArithmeticError):
    """A sampling gave numbers that are not finite.

    Args:
        message: one sentence.
        level: the noise level at which the step that broke began.
        culprit: what broke: the prior's ``"denoiser"``, its ``"product"`` by the Jacobian, or the ``"step"``.
    """

    def __init__(self, message: str, *, level: float, culprit: str):
        super().__init__(message)
        self.level, self.culprit = level, culprit


def rename_arguments(**names: str) -> Callable[[F], F]:
    """Make a decorator: the function takes arguments of version 0.1 under their new names.

    Args:
        names: the new names, by the old ones.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            for old in names.keys() & options.keys():
                value = options.pop(old)
                if value is not None:
                    options[names[old]] = value
            return function(*args, **options)

        return call  # pyright: ignore[reportReturnType]  # the same signature, as checkers should see it

    return decorate


def refuse_arguments(**mends: str) -> Callable[[F], F]:
    """Make a decorator: an argument of version 0.1 that is gone raises a sentence that says what to write instead.

    It decorates a function, or a class, whose constructor then refuses.

    Args:
        mends: what to write instead, by the name of the argument.

    Raises:
        InputError: a call has one of these arguments.
    """

    def decorate(target: Any) -> Any:
        if not inspect.isclass(target):
            return _refusing(target, target.__name__, mends)
        target.__init__ = _refusing(target.__init__, target.__name__, mends)
        return target

    return decorate


def _refusing(function: Any, name: str, mends: Mapping[str, str]) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        for old in mends.keys() & options.keys():
            raise InputError(f"{name} has no argument '{old}' any more; {mends[old]}.")
        return function(*args, **options)

    return call
