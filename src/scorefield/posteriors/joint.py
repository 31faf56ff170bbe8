r"""Join two measurements of one image: stacked data, stacked operator, each part with its own noise."""

from __future__ import annotations

from scorefield.measurement import Measurement
from scorefield.noise.joint import joint
from scorefield.operators.stack import Stack


def join(first: Measurement, second: Measurement) -> Measurement:
    """``y = (y1, y2)`` of one image, with operator (A1; A2) and independent noises.

    A posterior given ``join(first, second)`` knows what both know.  For :class:`~scorefield.posteriors.MMPS` on
    Gaussian priors, and for exact posteriors, conditioning on ``first`` and then on ``second`` gives the same; for the
    other approximations it does not, in either order.

    Raises:
        InputError: images of different shapes, or data of which only one is complex.
    """
    operator = Stack(first.operator, second.operator)
    noise = joint(first.noise, second.noise, (first.operator.shape_out, second.operator.shape_out))
    return Measurement(operator.flatten(first.y, second.y), operator, noise)
