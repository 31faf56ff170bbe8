"""Methods by name: ``dps:weight=1.0``, or the same as nested plain data from YAML, as objects of the library.

The names are those that :mod:`scorefield.posteriors` and :mod:`scorefield.kernels` export, and options are the
arguments of their constructors, which check them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from scorefield import kernels, posteriors, schedules
from scorefield.errors import InputError, shorten
from scorefield.kernel import Kernel
from scorefield.measurement import Measurement
from scorefield.posteriors import MMPS, Posterior
from scorefield.prior import Prior
from scorefield.reconstruction.method import Method, unconditional

PARTS = ("prior", "measurement")  # given by the scan
COMMA = re.compile(r",(?![^\[(]*[\])])")  # none inside brackets
Plain = Mapping[str, Any]


def classes(namespace: ModuleType, kind: type) -> dict[str, type]:
    """The classes of a kind that a namespace exports and that can be made, by name."""
    names = getattr(namespace, "__all__", None) or [n for n in vars(namespace) if not n.startswith("_")]
    found = {name: getattr(namespace, name) for name in sorted(names)}
    made = {n: c for n, c in found.items() if inspect.isclass(c) and not inspect.isabstract(c)}
    return {n: c for n, c in made.items() if issubclass(c, kind) and c.__module__.startswith("scorefield.")}


def options_of(cls: type) -> dict[str, inspect.Parameter]:
    """The arguments of a constructor, without prior and measurement."""
    return {name: p for name, p in inspect.signature(cls).parameters.items() if name not in PARTS}


def method_of(given: str | Plain, kernel: str | Plain | None, measurement: Measurement, **numbers: Any) -> Method:
    """The method that a text or plain data describe.

    Args:
        given: ``NAME:option=value,...`` of a posterior, or of a kernel that holds the measurement; or a mapping with
            ``posterior`` and ``kernel``, each a text or a mapping with ``name`` and options, and fields of
            :class:`scorefield.Method`; empty for the default.
        kernel: the same for the kernel.
        measurement: the scan, for kernels that hold it.
        numbers: fields of the method, such as ``steps``.

    Raises:
        InputError: an unknown name or option, or a value that the constructor refuses.
    """
    if isinstance(given, Mapping) and "name" not in given:
        numbers |= {name: value for name, value in given.items() if name not in ("posterior", "kernel")}
        given, kernel = given.get("posterior", ""), given.get("kernel", kernel)
    holding = {n: c for n, c in classes(kernels, Kernel).items() if "measurement" in inspect.signature(c).parameters}
    chosen: dict[str, Any] = {"posterior": _linear}
    if given:
        name, options = _read(given)
        cls = _find(name, classes(posteriors, Posterior) | holding, "method")
        if issubclass(cls, Kernel):
            chosen = {"posterior": unconditional, "kernel": make(cls, options, measurement=measurement)}
        else:
            chosen = {"posterior": partial(cls, **_checked(cls, options))}
    if kernel:
        name, options = _read(kernel)
        plain = {n: c for n, c in classes(kernels, Kernel).items() if n not in holding}
        chosen["kernel"] = make(_find(name, plain, "kernel"), options)
    return make(Method, chosen | numbers)


def make(cls: type, options: Plain, **parts: Any) -> Any:
    """An object of ``cls`` from options by name.

    Raises:
        InputError: an unknown option, one that is missing, or a value of another type or out of range.
    """
    values = _checked(cls, options)
    missing = [n for n, p in options_of(cls).items() if p.default is p.empty and n not in values]
    if missing:
        raise InputError(f"{cls.__name__} needs the option '{missing[0]}'; it has {', '.join(options_of(cls))}.")
    try:
        return cls(**parts, **values)
    except TypeError as error:
        raise InputError(f"{cls.__name__} cannot take {shorten(options, 80)}: {shorten(error)}.") from error


def table() -> str:
    """Every method and every kernel with its options, as a table in Markdown."""
    lines = ["| name | options and their defaults |", "|---|---|"]
    known = classes(posteriors, Posterior) | classes(kernels, Kernel)
    for name, cls in known.items():
        options = [f"`{n}`" if p.default is p.empty else f"`{n}={p.default}`" for n, p in options_of(cls).items()]
        lines.append(f"| `{name}` | {', '.join(options) or 'none'} |")
    return "\n".join(lines) + "\n"


def _linear(prior: Prior, measurement: Measurement) -> MMPS:
    """The default posterior, for counts and magnitudes too."""
    return MMPS(prior, measurement.linear_data)


def _read(given: Any) -> tuple[str, dict[str, Any]]:
    """Name and options of a text or of plain data."""
    if isinstance(given, Mapping):
        return str(given.get("name", "")), {n: value for n, value in given.items() if n != "name"}
    name, _, rest = str(given).partition(":")
    pairs = [part.partition("=") for part in COMMA.split(rest) if part]
    if wrong := [key for key, sign, _ in pairs if not sign]:
        raise InputError(f"'{shorten(wrong[0], 40)}' is no option; write {name}:option=value,option=value.")
    try:
        return name.strip(), {key.strip(): yaml.safe_load(value) for key, _, value in pairs}
    except yaml.YAMLError as error:
        raise InputError(f"The options of {name} cannot be read ({shorten(error)}); write option=value.") from error


def _find(name: str, known: Mapping[str, type], kind: str) -> type:
    """The class of a name, in capitals or not."""
    by_name = {known_name.lower(): cls for known_name, cls in known.items()}
    if name.lower() not in by_name:
        raise InputError(f"There is no {kind} '{shorten(name, 40)}'; known are {', '.join(known)}.")
    return by_name[name.lower()]


def _checked(cls: type, options: Plain) -> dict[str, Any]:
    """The options with their values as objects of the types that the constructor states."""
    known = options_of(cls)
    if unknown := [name for name in options if name not in known]:
        names = ", ".join(known) or "no options"
        raise InputError(f"{cls.__name__} has no option '{shorten(unknown[0], 40)}'; it has {names}.")
    try:
        hints = get_type_hints(cls.__init__)
    except NameError:  # of an annotation that only checkers import
        hints = {}
    return {name: _value(cls, name, value, hints.get(name, Any)) for name, value in options.items()}


def _value(cls: type, name: str, value: Any, hint: Any) -> Any:
    parts = {n.lower(): c for n, c in (classes(kernels, object) | classes(schedules, object)).items()}
    named = value.get("name") if isinstance(value, Mapping) else value
    if isinstance(named, str) and named.partition(":")[0].lower() in parts:
        inner, options = _read(value)
        return make(parts[inner.lower()], options)
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except PydanticUserError:  # a type that cannot be checked before
        return value
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise InputError(
            f"The option '{name}' of {cls.__name__} is {shorten(repr(value), 40)}: {problem[0].lower()}{problem[1:]}."
        ) from error
