"""The exception for bad input, and how old forms of calls are answered."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class InputError(ValueError):
    """An argument or a file cannot be used; the message is one sentence that says what is wrong and how to mend it.

    The command line prints it without a traceback and exits with status 2.
    """


class Diverged(InputError, ArithmeticError):
    """A sampling stopped being finite.

    Args:
        message: one sentence.
        level: the noise level from which the step that broke was made.
        culprit: what broke: the prior's ``"denoiser"``, its ``"product"`` by the Jacobian, or the ``"step"``.
    """

    def __init__(self, message: str, *, level: float, culprit: str):
        super().__init__(message)
        self.level, self.culprit = level, culprit


def rename_arguments(**names: str) -> Callable[[F], F]:
    """A function decorator: an argument of version 0.1 is taken under its new name.

    Args:
        names: the new names by the old ones.
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
    """A function decorator: an argument of version 0.1 that is gone is answered with what takes its place.

    Args:
        mends: by the name of the argument, what to write instead.

    Raises:
        InputError: when the function is called with one of them.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            for old in mends.keys() & options.keys():
                raise InputError(f"{function.__name__} has no argument '{old}' any more; {mends[old]}.")
            return function(*args, **options)

        return call  # pyright: ignore[reportReturnType]  # the same signature, as checkers should see it

    return decorate
