"""The one exception for bad input: a sentence that says what is wrong, where, and how to mend it."""

from __future__ import annotations


class InputError(ValueError):
    """Something the caller gave cannot be used; the message is one sentence that tells the fix.

    The command line prints it without a traceback and exits with status 2.
    """
