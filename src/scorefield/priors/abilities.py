"""What some priors can and others cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scorefield.errors import InputError
from scorefield.prior import Prior


def able(prior: Prior, method: str, what: str) -> Callable[..., Any]:
    """The prior's ``method``; asked by name and not by class, so that priors made of priors nest.

    Raises:
        InputError: it has none.
    """
    found = getattr(prior, method, None)
    if found is None:
        raise InputError(f"{type(prior).__name__} has no {what}; use a closed-form prior, or a method without.")
    return found
