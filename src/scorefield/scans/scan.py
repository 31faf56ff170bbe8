r"""Raw scans: the data, the law of their noise, and the frame of the image.

A kind of scan is one frozen dataclass in one file, with named fields for what its forward model needs; it is exported
from :mod:`scorefield.scans`.  ``scan.measurement()`` is data, operator and noise, :math:`y = A x_0 + n`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from inspect import isabstract
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from scorefield.arguments import of_kind
from scorefield.data.frame import Frame
from scorefield.errors import InputError
from scorefield.linalg.parts import at_least_single
from scorefield.noise import Noise
from scorefield.noise.words import in_words
from scorefield.randomness import stream
from scorefield.scans import layout
from scorefield.scans.readouts import Readouts

if TYPE_CHECKING:
    from scorefield.measurement import Measurement
    from scorefield.operators.linear import Operator

suffixes, matches = layout.suffixes, layout.matches  # this module is a format to ``scorefield.read``
UNPLACED = Frame(source="The scan")


@dataclass(frozen=True, eq=False, repr=False)
class Scan(ABC):
    r"""One raw scan; the kinds are in :mod:`scorefield.scans`.

    Args:
        data: shaped like the operator's output, any floating or complex dtype, finite; numpy arrays become tensors.
        noise: the law of the data, one of :mod:`scorefield.noise`, in the unit of the data: ``White(std)``;
            ``Weighted(std)`` with a number for each datum; ``Colored(covariance)`` between the first axis of the data.
        frame: pixel size in mm, position in the patient, and unit of the image's values.

    Raises:
        InputError: NaN or infinite numbers, data that do not fit the other fields, a noise that does not fit the
            data, or a frame for another number of axes.
    """

    data: Tensor
    noise: Noise = field(kw_only=True)
    frame: Frame = field(default=UNPLACED, kw_only=True)

    kinds: ClassVar[dict[str, type[Scan]]] = {}

    def __init_subclass__(cls) -> None:
        Scan.kinds[cls.__name__] = cls

    def __new__(cls, *arguments: Any, **options: Any) -> Scan:
        """A new scan of a kind.

        Raises:
            InputError: ``Scan`` itself is asked for, as version 0.1 did for all kinds.
        """
        if cls is Scan:
            given = next((a for a in arguments if isinstance(a, dict)), options.get("geometry", {}))
            concrete = (name for name, kind in Scan.kinds.items() if not isabstract(kind))
            known = layout.CLASSES.get(given.get("kind", ""))
            names = f"scorefield.scans.{known}" if known else f"one of scorefield.scans: {', '.join(concrete)}"
            raise InputError(f"Each kind of scan is a class of its own with named fields; build {names}.")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        of_kind(self.frame, Frame, "a frame for the scan", "give sf.Frame(spacing, unit=...)")
        self._set("data", torch.as_tensor(self.data))
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, (np.ndarray, Tensor)):
                self._set(item.name, _finite(torch.as_tensor(value), item.name))
        if not (self.data.is_floating_point() or self.data.is_complex()):
            raise InputError(f"The scan's data have dtype {self.data.dtype}; convert them to float or complex.")
        self._check()
        if tuple(self.data.shape) != self.shape_of_data:
            raise InputError(
                f"The scan's data have shape {tuple(self.data.shape)} and its other fields ask for"
                f" {self.shape_of_data}; {type(self).__name__} says what each axis is."
            )
        self._check_noise()
        self._set("frame", self.frame.for_axes(len(self.shape) - 1))

    @classmethod
    @abstractmethod
    def example(cls) -> Scan:
        """A small scan of this kind, for tests."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        r"""Shape of the image, (C, \*spatial)."""

    @property
    @abstractmethod
    def shape_of_data(self) -> tuple[int, ...]:
        """The shape of the data by the other fields."""

    @abstractmethod
    def operator(self) -> Operator:
        """The forward model A that made the data."""

    @abstractmethod
    def _check(self) -> None:
        """Bring the fields of this kind into their final form, or raise InputError."""

    @property
    def spatial(self) -> tuple[int, ...]:
        """Size of the image along each spatial axis."""
        return self.shape[1:]

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Step along each spatial axis in mm, or None."""
        return self.frame.spacing

    @property
    def affine(self) -> np.ndarray | None:
        """(4, 4), array indices to RAS+ mm, or None."""
        return self.frame.affine

    @property
    def unit(self) -> str:
        """Unit of the image's values."""
        return self.frame.unit

    @property
    def readouts(self) -> Readouts:
        """The parts in which the data were taken, such as lines of k-space or views.

        Raises:
            InputError: this kind of scan does not say.
        """
        raise InputError(f"{type(self).__name__} does not say in which parts its data were taken; leave none out.")

    def leave_out(self, share: float, *, seed: int = 0) -> tuple[Scan, Scan]:
        """A random share of the readouts, at least one, as a scan of its own.

        Args:
            share: of the readouts, in (0, 1).
            seed: fixes which.

        Returns:
            The scan without them, and the scan of them alone.

        Raises:
            InputError: a share outside (0, 1), or too few readouts to leave one out.
        """
        readouts = self.readouts
        chosen = readouts.draw(share, torch.Generator().manual_seed(stream(seed, "readouts")))
        return self.part(~chosen), self.part(chosen)

    def part(self, chosen: Tensor) -> Scan:
        """The scan of some readouts alone, True in ``chosen`` (readouts,)."""
        readouts, shape = self.readouts, tuple(self.data.shape)
        index = chosen[readouts.labels].nonzero().squeeze(1)
        data, noise = self.data.index_select(readouts.axis, index), self.noise.part(readouts.axis, index, shape)
        return replace(self, data=data, noise=noise, **readouts.fields(chosen))

    def measurement(self) -> Measurement:
        """Data, forward model and noise, ready for a posterior."""
        from scorefield.measurement import Measurement

        return Measurement(self.data, self.operator(), self.noise)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.scan`` file, whole or not at all; every dtype is kept exactly.

        Raises:
            InputError: another suffix, or a noise that is not of :mod:`scorefield.noise`.
        """
        return layout.write(path, type(self).__name__, {item.name: getattr(self, item.name) for item in fields(self)})

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Scan:
        """Read a ``.scan`` file, of this version or of 0.1.

        Raises:
            InputError: missing, damaged, of another program or of a newer version.
        """
        return layout.read(path, Scan.kinds)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_noise(self) -> None:
        if not isinstance(self.noise, Noise):
            raise InputError(
                f"The scan's noise is {self.noise!r}; give a law of scorefield.noise, such as White(std) with the"
                " standard deviation per real component."
            )
        data = at_least_single(self.data).unsqueeze(0)
        try:
            fits = self.noise.score(data, data).shape == data.shape
        except RuntimeError:  # of shapes that do not go together
            fits = False
        if not fits:
            raise InputError(f"The noise, {in_words(self.noise)}, does not fit data {tuple(self.data.shape)}.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(data {tuple(self.data.shape)}, {in_words(self.noise)})"


def read(path: Path) -> Scan:
    """The scan in ``path``; see :meth:`Scan.load`."""
    return Scan.load(path)


def _finite(values: Tensor, name: str) -> Tensor:
    bad = int((~values.isfinite()).sum())
    if bad:
        raise InputError(f"The scan's {name} hold {bad} values that are NaN or infinite; repair them first.")
    return values
