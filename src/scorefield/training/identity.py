"""What a training is, as plain data: two trainings of the same identity take the same steps.

An object is its class with the arguments of its constructor, which each of our classes keeps under its own name; a
tensor is its digest.  So a new option of a lesson, of a cut or of an objective counts without being listed.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from scorefield.store.tensors import digest

DEEPEST = 12  # objects inside objects
PLAIN = (bool, int, float, str, type(None))


def identity(thing: Any, depth: int = DEEPEST) -> Any:
    """The plain data of ``thing``, as JSON gives them back.

    Args:
        thing: a lesson, settings, or a part of them; of a network only its class and its options count, as its weights
            change.
        depth: of objects inside objects; what is deeper counts by its class.
    """
    if isinstance(thing, PLAIN):
        return thing
    if isinstance(thing, Tensor):
        return digest([thing])[:16]
    if isinstance(thing, (list, tuple)):
        return [identity(part, depth - 1) for part in thing]
    if isinstance(thing, Mapping):
        return {str(name): identity(part, depth - 1) for name, part in thing.items()}
    if inspect.isfunction(thing) or inspect.ismethod(thing) or inspect.isclass(thing):
        return thing.__qualname__
    return {"class": type(thing).__qualname__, **(_arguments(thing, depth) if depth > 0 else {})}


def first_difference(old: Any, new: Any, place: str) -> tuple[str, Any, Any] | None:
    """Where two identities differ first: the path, and both values; None where they agree.

    Entries that ``old`` does not have count as equal: an older version did not write them.
    """
    if not isinstance(old, Mapping) or not isinstance(new, Mapping) or old.get("class") != new.get("class"):
        return None if old == new else (place, _short(old), _short(new))
    differences = (first_difference(value, new.get(name), f"{place}.{name}") for name, value in old.items())
    return next((difference for difference in differences if difference is not None), None)


def as_json(plain: Any) -> Any:
    """Plain data as a file gives them back."""
    return json.loads(json.dumps(plain))


def _short(value: Any) -> Any:
    """A value in a sentence: of an object its class."""
    return value["class"] if isinstance(value, Mapping) and "class" in value else value


def _arguments(thing: Any, depth: int) -> dict[str, Any]:
    try:
        names = list(inspect.signature(type(thing)).parameters)
    except (TypeError, ValueError):  # a class of C
        return {}
    missing = object()
    values = {name: getattr(thing, name, missing) for name in names}
    own = {name: value for name, value in values.items() if value is not missing and not _is_weight(thing, value)}
    return {name: identity(value, depth - 1) for name, value in own.items()}


def _is_weight(owner: Any, value: Any) -> bool:
    return isinstance(owner, nn.Module) and isinstance(value, Tensor)
