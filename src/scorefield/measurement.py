r"""Measurements: data, the operator that made them, and their noise.

:math:`y = A x_0 + n`, :math:`n \sim N(0, R)`.  A measurement answers all that a reconstruction asks of the data: how
likely an image is, in which direction it becomes more likely, and the *innovation*, the part of the data that an
estimate of the image does not explain.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from scorefield.arguments import as_tensor, of_kind
from scorefield.errors import InputError
from scorefield.linalg.covariance import Spread
from scorefield.linalg.parts import at_least_single, norm, per_image, power_of_two
from scorefield.noise import Gaussian, Noise, White
from scorefield.noise.gaussian import gaussian
from scorefield.operators.linear import Operator
from scorefield.operators.whitening import Whitening
from scorefield.portable import Portable

COILS = "data of {} coils need their maps in the operator, mri(mask, coils); coil_maps(kspace) finds them."


def as_measurement(given: Any) -> Measurement:
    """A measurement itself, or that of a scan.

    Raises:
        InputError: anything else.
    """
    make: Any = getattr(given, "measurement", None)
    if callable(make):
        given = make()
    return of_kind(given, Measurement, "a measurement", "give sf.Measurement(y, operator, noise), or a scan")


class Measurement(Portable):
    """One scan: ``y = A x0 + n``.

    Args:
        y: the data, shaped ``operator.shape_out`` with or without a leading batch of one; half precision becomes
            single.
        operator: the forward model A.  Where it is not linear, ``A^H`` below is the adjoint of its Jacobian J.
        noise: the law of n.

    Raises:
        InputError: y's shape is not the operator's, y holds NaN or infinity, or numbers so large or so small that sums
            of their squares leave the range of their dtype; y is real where the operator gives complex numbers, or
            operator and noise are no objects of these classes.
    """

    def __init__(self, y: Tensor, operator: Operator, noise: Noise):
        of_kind(operator, Operator, "an operator", "give one of sf.operators, such as sf.operators.Matrix(A)")
        of_kind(noise, Noise, "a law of noise", "give one of sf.noise, such as sf.noise.White(std)")
        y = y if isinstance(y, Tensor) else as_tensor(y, "data")
        if not (y.is_floating_point() or y.is_complex()):
            raise InputError(f"The data have dtype {y.dtype}; convert them to a floating or complex dtype first.")
        if tuple(y.shape) == operator.shape_out:
            y = y.unsqueeze(0)
        if tuple(y.shape[1:]) != operator.shape_out or len(y) != 1:
            coils = y.is_complex() and y.shape[1:] == operator.shape_out[1:] and operator.shape_out[0] == 1
            raise InputError(
                f"The data have shape {tuple(y.shape)} but {operator} gives {operator.shape_out}; "
                + (COILS.format(len(y)) if coils else "pass one scan, shaped like the operator's output.")
            )
        if not bool(y.isfinite().all()):
            bad = int((~y.isfinite()).sum())
            raise InputError(f"The data hold {bad} values that are NaN or infinite; mask or repair them first.")
        y = at_least_single(y)
        _check_range(y)
        self.y, self.operator, self.noise = y, operator, noise
        if isinstance(noise, Gaussian) and not y.is_complex() and self._predicts_complex():
            raise InputError(f"The data are real and {operator} gives complex numbers; give both components.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, without the batch."""
        return self.operator.shape_in

    @property
    def gaussian(self) -> Gaussian:
        """The noise, for a method that needs its covariance R.

        Raises:
            InputError: the noise is not Gaussian.
        """
        return gaussian(self.noise)

    @property
    def linear_data(self) -> Measurement:
        """The same scan with data ``A x + n`` of Gaussian noise, as nearly as its law allows: itself where that is so.

        Line integrals in place of counts, for example (:meth:`scorefield.noise.Noise.linear_data`).

        Raises:
            InputError: the law knows no such data.
        """
        data, noise = self.noise.linear_data(self.y)
        if noise is self.noise:
            return self
        if not data.is_complex() and self._predicts_complex():
            raise InputError(
                f"The data are magnitudes and {self.operator} gives complex numbers: without their phase they are not"
                " linear in the image; take a method that asks for the likelihood's score alone."
            )
        near = copy.copy(self)
        near.y, near.noise = data, noise
        return near

    @property
    def whitened(self) -> Whitened:
        """The same scan in units of its noise, so that R = I: for methods that know only white noise.

        Raises:
            InputError: the noise is not Gaussian.
        """
        return Whitened(self)

    @property
    def gain(self) -> Tensor:
        """Size of the data of an image of unit size, ``|A A^H y| / |A^H y|``, (B,); 1 where ``A^H y`` is 0.

        It is 1 where ``A A^H = I``, and at most the largest singular value, to which it is close.  Methods that were
        published for operators of norm 1 hold numbers with a unit of the data; it gives them that unit.
        """
        back = self.operator.H(self.y)
        size = norm(back)
        unit = power_of_two(size)  # the product by A stays within the range of the numbers
        ratio = norm(self.operator(back / per_image(unit, back))) / torch.where(size > 0, size / unit, 1)
        return torch.where(ratio > 0, ratio, 1)

    def _predicts_complex(self) -> bool:
        try:
            return self.operator(self.operator.blank(self.y)).is_complex()
        except RuntimeError:  # of an adjoint that asks for both components
            return True

    def residual(self, x: Tensor) -> Tensor:
        """``y - A x`` for images x (B, *shape).

        Raises:
            InputError: the noise is not Gaussian: the data are then no values of ``A x`` plus noise.
        """
        gaussian(self.noise)
        return self.y - self.operator(x)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """``log p(y | x)``: (B,)."""
        return self.noise.log_likelihood(self.y, self.operator(x))

    def score(self, x: Tensor) -> Tensor:
        """``grad_x log p(y | x)``; for Gaussian noise ``A^H R^-1 (y - A x)``."""
        return self.operator.at(x).H(self.noise.score(self.y, self.operator(x)))

    def at(self, x: Tensor) -> Measurement:
        """The linearization of this measurement at images ``x`` (B, *shape); each image has data of its own.

        Its residual is ``y - F(x) - J (u - x)`` for images u, J being the operator's Jacobian at x.  A measurement
        whose operator is linear returns itself.
        """
        operator = self.operator.at(x)
        if operator is self.operator:
            return self
        near, center = copy.copy(self), x.detach()
        near.y, near.operator = self.residual(center) + operator(center), operator
        return near

    def replace(self, *, operator: Operator) -> Measurement:
        """The same data and noise with another operator.

        Raises:
            InputError: the shapes of the two operators differ.
        """
        mine, theirs = ((a.shape_in, a.shape_out) for a in (self.operator, operator))
        if mine != theirs:
            raise InputError(f"Cannot put {operator} in place of {self.operator}: their shapes differ.")
        other = copy.copy(self)
        other.operator = operator
        return other

    def innovation(self, mean: Tensor, spread: Spread) -> Tensor:
        """``A^H (R + A V A^H)^-1 (y - A mean)``: the score of ``y`` when x0 ~ N(mean, V).

        Raises:
            InputError: the noise is not Gaussian.
        """
        return self.operator.at(mean).innovation(self.gaussian, spread, self.residual(mean))


class Whitened(Measurement):
    """The same scan in units of its noise: ``R^-1/2 y``, ``R^-1/2 A``, and white noise of level 1.

    Args:
        scan: any scan with Gaussian noise.

    Raises:
        InputError: the noise is not Gaussian.
    """

    def __init__(self, scan: Measurement):
        noise = scan.gaussian
        self.scan, self.noise = scan, White(1.0)  # the scan has been checked
        self.y, self.operator = noise.whiten(scan.y), Whitening(noise, scan.operator.shape_out) @ scan.operator

    def residual(self, x: Tensor) -> Tensor:
        """``R^-1/2 (y - A x)``.  The difference is whitened, as a difference of whitened numbers has more rounding."""
        return self.scan.gaussian.whiten(self.scan.residual(x))

    def at(self, x: Tensor) -> Measurement:
        near = self.scan.at(x)
        return self if near is self.scan else Whitened(near)


def _check_range(y: Tensor) -> None:
    """Refuse data whose products overflow or underflow; an image and an operator come on top of the squares."""
    info = torch.finfo(y.real.dtype)
    largest, (low, high) = float(y.abs().max()) if y.numel() else 0.0, (info.tiny**0.4, info.max ** (1 / 3))
    if largest and not low < largest < high:
        raise InputError(
            f"The data reach {largest:.3g}, and {str(y.real.dtype).removeprefix('torch.')} computes with data from"
            f" {low:.0e} to {high:.0e}; give data and noise in another unit, or as float64."
        )
