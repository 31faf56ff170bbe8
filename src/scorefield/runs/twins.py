"""Twins: objects of the same class and state, some of whose methods do more; the originals are not touched.

A run counts evaluations, or looks for the one that broke, by sampling from a twin of its prior.  Wrappers (posteriors,
scalings) are copied shallowly around the twins of what they hold, so two runs over one prior, in two threads, have
nothing in common but its tensors.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from torch import nn

from scorefield.kernel import Kernel
from scorefield.nuisance import Nuisance
from scorefield.operators.linear import Operator
from scorefield.portable import Portable
from scorefield.prior import Prior

T = TypeVar("T")
Methods = Mapping[str, Callable[..., Any]]


class Observer(ABC):
    """Says which methods the twins of leaf priors and of operators have."""

    @abstractmethod
    def prior_methods(self, prior: Prior) -> Methods:
        """Methods of the twin of a prior without priors inside, by name."""

    def operator_methods(self, operator: Operator) -> Methods:
        """Methods of the twin of a measurement's operator, by name."""
        del operator
        return {}

    def nuisance_methods(self, nuisance: Nuisance) -> Methods:
        """Methods of the twin of the parameters of an operator, by name."""
        del nuisance
        return {}

    def twins(self, prior: Prior, kernel: Kernel[Any]) -> tuple[Prior, Kernel[Any]]:
        """Prior and kernel around the twins of their leaf priors and of their measurements' operators."""
        operators = {id(given.operator) for given in measurements(prior, kernel)}
        copies = _Copies(self, operators)
        return copies.of(prior), copies.of(kernel)


def measurements(prior: Prior, kernel: Kernel[Any]) -> list[Any]:
    """The measurements that the posteriors inside ``prior`` and the kernels inside ``kernel`` hold."""
    things: list[Any] = [*prior.modules(), kernel]
    for thing in things:  # grows while it is read: kernels hold kernels
        things += [part for part in vars(thing).values() if isinstance(part, Kernel)]
    return [thing.measurement for thing in things if hasattr(thing, "measurement")]


def nuisances(kernel: Kernel[Any]) -> list[Nuisance]:
    """The parameters of operators that the kernels inside ``kernel`` draw with the images."""
    things: list[Any] = [kernel]
    for thing in things:
        things += [part for part in vars(thing).values() if isinstance(part, (Kernel, Portable))]
    return [thing for thing in things if isinstance(thing, Nuisance)]


def twin(thing: T, methods: Methods, state: dict[str, Any]) -> T:
    """An object of ``thing``'s class with other ``methods`` and with ``state`` for its attributes."""
    cls: Any = type(thing)
    other = object.__new__(type(cls)(cls.__name__, (cls,), {"__module__": cls.__module__, **methods}))
    other.__dict__ = state  # that of the original where nothing changed: what a prior remembers, it remembers
    return other


class _Copies:
    """Copies of objects around the twins inside them; one copy of each, and none of what holds no twin."""

    def __init__(self, observer: Observer, operators: set[int]):
        self.observer, self.operators = observer, operators
        self.made: dict[int, Any] = {}

    def of(self, thing: Any) -> Any:
        if not isinstance(thing, (nn.Module, Portable, Kernel, list, tuple, dict)):
            return thing
        if id(thing) not in self.made:
            self.made[id(thing)] = self._copy(thing)
        return self.made[id(thing)]

    def _copy(self, thing: Any) -> Any:
        if isinstance(thing, dict):
            return {**thing, **self._changed(thing)}
        if isinstance(thing, Nuisance):  # its prior is no denoiser of images
            return twin(thing, self.observer.nuisance_methods(thing), vars(thing))
        if isinstance(thing, (list, tuple)):
            parts = [self.of(part) for part in thing]
            same = all(a is b for a, b in zip(parts, thing, strict=True))
            return thing if same else parts if isinstance(thing, list) else tuple(parts)
        changed = self._changed(vars(thing))
        state = {**vars(thing), **changed} if changed else vars(thing)
        if isinstance(thing, Operator) and id(thing) in self.operators:
            return twin(thing, self.observer.operator_methods(thing), state)
        if isinstance(thing, Prior) and not any(isinstance(inner, Prior) for inner in _inside(thing)):
            return twin(thing, self.observer.prior_methods(thing), state)
        if not changed:
            return thing
        other = copy.copy(thing)
        vars(other).update(changed)
        return other

    def _changed(self, parts: Mapping[Any, Any]) -> dict[Any, Any]:
        copies = {name: self.of(part) for name, part in parts.items()}
        return {name: part for name, part in copies.items() if not _same(part, parts[name])}


def _same(copied: Any, original: Any) -> bool:
    """Whether nothing inside a dictionary, or the object itself, was replaced."""
    if isinstance(original, dict):
        return all(part is original[name] for name, part in copied.items())
    return copied is original


def _inside(module: nn.Module) -> Iterator[nn.Module]:
    return (m for m in module.modules() if m is not module)
