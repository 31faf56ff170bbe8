"""Twins: copies of priors and operators, some of whose methods do more, such as counting.  The originals do not change.

A run samples from a twin of its prior to count evaluations, or to find the one that is not finite.  Wrappers
(posteriors, scalings) are shallow copies around the twins of their parts.  So two runs over one prior, in two threads,
share only its tensors.
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
    """Gives the methods that the twins of leaf priors and of operators have in place of the original ones."""

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
    for thing in things:  # the list grows in the loop, because kernels contain kernels
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
    other.__dict__ = state  # the original's own where nothing changed, so that both share what they remember
    return other


class _Copies:
    """Makes copies of objects around the twins inside them: one of each object, and none of an object without twins."""

    def __init__(self, observer: Observer, operators: set[int]):
        self.observer, self.operators = observer, operators
        self.copies: dict[int, Any] = {}

    def of(self, thing: Any) -> Any:
        if not isinstance(thing, (nn.Module, Portable, Kernel, list, tuple, dict)):
            return thing
        if id(thing) not in self.copies:
            self.copies[id(thing)] = self._copy(thing)
        return self.copies[id(thing)]

    def _copy(self, thing: Any) -> Any:
        if isinstance(thing, dict):
            return {**thing, **self._replacements(thing)}
        if isinstance(thing, Nuisance):  # its prior is no denoiser of images
            return twin(thing, self.observer.nuisance_methods(thing), vars(thing))
        if isinstance(thing, (list, tuple)):
            parts = [self.of(part) for part in thing]
            same = all(a is b for a, b in zip(parts, thing, strict=True))
            return thing if same else parts if isinstance(thing, list) else tuple(parts)
        replaced = self._replacements(vars(thing))
        state = {**vars(thing), **replaced} if replaced else vars(thing)
        if isinstance(thing, Operator) and id(thing) in self.operators:
            return twin(thing, self.observer.operator_methods(thing), state)
        if isinstance(thing, Prior) and not any(isinstance(inner, Prior) for inner in _inside(thing)):
            return twin(thing, self.observer.prior_methods(thing), state)
        if not replaced:
            return thing
        other = copy.copy(thing)
        vars(other).update(replaced)
        return other

    def _replacements(self, parts: Mapping[Any, Any]) -> dict[Any, Any]:
        copies = {name: self.of(part) for name, part in parts.items()}
        return {name: part for name, part in copies.items() if not _same(part, parts[name])}


def _same(copied: Any, original: Any) -> bool:
    """Whether a copy is the original; for a dictionary, whether each of its parts is."""
    if isinstance(original, dict):
        return all(part is original[name] for name, part in copied.items())
    return copied is original


def _inside(module: nn.Module) -> Iterator[nn.Module]:
    return (m for m in module.modules() if m is not module)
