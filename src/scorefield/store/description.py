"""Plain data for objects: a class name and constructor arguments, from which the object is built again.

Every public class keeps each constructor argument under its own name, so an object can be written to JSON (a
checkpoint, a run card) and built again.  Only classes of scorefield's own namespaces are built, so reading a
checkpoint cannot run foreign code.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, get_args, get_type_hints

from scorefield.errors import InputError, shorten

NAMESPACES = ("priors", "nets", "posteriors", "kernels", "noise", "measurement", "schedules")
PLAIN = (bool, int, float, str)


def describe(thing: Any) -> Any:
    """The description of ``thing``, JSON-able: numbers and strings as they are, objects as class and fields.

    Raises:
        InputError: an object from outside scorefield's namespaces.
    """
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if isinstance(thing, (list, tuple)):
        return [describe(item) for item in thing]
    name = f"{_namespace(type(thing))}.{type(thing).__name__}"
    names = inspect.signature(type(thing)).parameters
    return {"class": name, "fields": {n: describe(getattr(thing, n)) for n in names}}


def build(plain: Any) -> Any:
    """Build the object from its description by :func:`describe`.

    Raises:
        InputError: the description has an unknown class or field.
    """
    if isinstance(plain, list):
        return [build(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    namespace, _, name = str(plain.get("class")).partition(".")
    cls: Any = getattr(_module(namespace), name, None) if namespace in NAMESPACES else None
    if not _ours(cls):
        raise InputError(
            f"'{shorten(plain.get('class'), 80)}' is not a class of scorefield; the file is from another version or"
            " corrupt."
        )
    fields = plain.get("fields", {})
    known = inspect.signature(cls).parameters
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise InputError(f"{plain['class']} has no field '{shorten(unknown[0], 80)}'; it has {', '.join(known)}.")
    values = {n: build(value) for n, value in fields.items()}
    for n, hint in _hints(cls).items():
        if isinstance(values.get(n), PLAIN) and not _may_be_plain(hint):
            raise InputError(f"{plain['class']} has the field '{n}', and {shorten(values[n], 40)} is no value of it.")
    return cls(**values)


def _hints(cls: Any) -> dict[str, Any]:
    """The annotations of the arguments of a class, by their names."""
    try:
        return get_type_hints(cls.__init__)
    except (NameError, TypeError, AttributeError):  # an annotation that only checkers import
        return {}


def _may_be_plain(hint: Any) -> bool:
    """Whether an annotation lets a number or a text be the value; else it names classes only."""
    parts = [part for part in get_args(hint) or (hint,) if part is not type(None)]
    return not all(inspect.isclass(part) and part.__module__ != "builtins" for part in parts)


def _module(namespace: str) -> Any:
    return importlib.import_module(f"scorefield.{namespace}")


def _ours(cls: Any) -> bool:
    """Whether a class is from scorefield, and not only imported there, as torch.Tensor is."""
    return inspect.isclass(cls) and cls.__module__.startswith("scorefield.")


def _namespace(cls: type) -> str:
    for namespace in NAMESPACES:
        if _ours(cls) and getattr(_module(namespace), cls.__name__, None) is cls:
            return namespace
    raise InputError(f"{cls.__name__} is not one of scorefield's own classes, so it cannot be written as plain data.")
