"""The exception for bad input; its message is one sentence that says what is wrong, where, and how to mend it."""

from __future__ import annotations


class InputError(ValueError):
    """An argument or a file cannot be used; the message is one sentence that says what is wrong and how to mend it.

    The command line prints it without a traceback and exits with status 2.
    """
