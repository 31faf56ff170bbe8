r"""Priors: distributions over images, known through their score at every noise level.

With :math:`x = x_0 + \sigma n`, :math:`n \sim N(0, I)`, Tweedie's formula ties the two views of a prior:

.. math:: D(x, \sigma) = E[x_0 \mid x] = x + \sigma^2 \, \nabla_x \log p_\sigma(x).

So score and denoiser are one object.  A user's own prior subclasses :class:`Denoiser` and writes ``denoise``, or
subclasses :class:`Score` and writes ``score``; it inherits everything else.

References:
    Robbins 1956; Miyasawa 1961; Efron, "Tweedie's formula and selection bias", JASA 2011.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scorefield.arguments import of_kind
from scorefield.errors import InputError, NoDensity
from scorefield.linalg.parts import per_image
from scorefield.linalg.root import square_root
from scorefield.randomness import normal_like

if TYPE_CHECKING:
    from typing import Self

    from scorefield.lessons.lesson import Lesson
    from scorefield.measurement import Measurement

Vjp = Callable[[Tensor], Tensor]


def level(sigma: Tensor | float, x: Tensor) -> Tensor:
    """``sigma``, () or (B,), as a tensor that broadcasts against ``x`` (B, ...), in its real dtype.

    Numbers and tensors on the CPU are checked.  Those on another device are not, since a check would wait for it, and
    nothing is checked while torch compiles; ``sample`` checks its levels once.

    Raises:
        InputError: negative or non-finite sigma, or a length other than 1 or B.
    """
    sigma = torch.as_tensor(sigma, dtype=x.real.dtype)
    if sigma.ndim > 1 or sigma.numel() not in (1, len(x)):
        raise InputError(f"sigma must have shape () or ({len(x)},) for {len(x)} images, got {tuple(sigma.shape)}.")
    if readable(sigma) and not bool(((sigma >= 0) & sigma.isfinite()).all()):
        raise InputError(f"sigma must be a finite number >= 0, got {sigma.min().item():g}; it is a noise level.")
    return per_image(sigma.to(x.device), x)


def readable(sigma: Tensor | float) -> bool:
    """Whether the numbers can be read without waiting for a device, and nothing is being compiled."""
    return not torch.compiler.is_compiling() and torch.as_tensor(sigma).device.type == "cpu"


def as_prior(given: Any) -> Prior:
    """A prior itself.

    Raises:
        InputError: anything else, such as the name of one.
    """
    return of_kind(given, Prior, "a prior", "give one, such as sf.load(sf.shipped.find('brain-t1'))")


class Prior(nn.Module, ABC):
    """A distribution over images (or vectors), known at every noise level.

    Attributes:
        event_shape: shape of one image, or None when any image size will do.
        amplitude: the intensity of images (:mod:`scorefield.units`) in a learned prior's own units; None for a closed
            form, whose units are the user's.
        beside: further tensors that its checkpoint holds, by the name of their file, then by their own.
        trained_steps: number of optimizer steps that this session has made on a learned prior.
    """

    event_shape: tuple[int, ...] | None = None
    amplitude: float | None = None
    beside: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({})
    trained_steps: int = 0
    _card: Any = None

    @property
    def card(self) -> Any:
        """The card of a learned prior, a text for people (:class:`scorefield.Card`); None where there is none.

        Setting the card also sets the amplitude, the only part of it that computations use.
        """
        return self._card

    @card.setter
    def card(self, card: Any) -> None:
        self._card = card
        self.amplitude = None if card is None else card.amplitude

    @property
    def extent(self) -> float:
        """The unit of the numbers that methods hold, such as levels and variances of images of unit size.

        The amplitude of a learned prior; the standard deviation of a real number of the image, over all of them, of a
        closed form.  Other priors say 1; one whose images have another size overrides this.
        """
        return self.amplitude or 1.0

    @abstractmethod
    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Posterior mean ``E[x0 | x]`` for ``x = x0 + sigma n``.

        Args:
            x: noisy images (B, C, *spatial), or vectors (B, d).
            sigma: noise level per real component, () or (B,).
        """

    @abstractmethod
    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """``grad_x log p_sigma(x)``, shaped like ``x``."""

    def linearize(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Vjp]:
        """The denoised ``D`` and the map ``v -> J^T v`` with ``J = dD/dx``.

        For an exact denoiser ``sigma^2 J`` is the covariance of x0 given x, so J is symmetric and positive.
        """
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            denoised = self.denoise(leaf, sigma)

        def vjp(v: Tensor) -> Tensor:
            return torch.autograd.grad(denoised, leaf, v, retain_graph=True)[0]

        return denoised.detach(), vjp

    def draw_clean(self, x: Tensor, sigma: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        """A draw of x0 | x from its Gaussian approximation, ``D + sigma J^1/2 z`` with white noise z.

        It is exact for a Gaussian prior, up to the few products by J that the root takes, and accurate for others
        where sigma is small, at the last level of a walk.

        Args:
            x: noisy images (B, C, *spatial), or vectors (B, d).
            sigma: noise level per real component, () or (B,).
            generator: makes the noise z.
        """
        mean, vjp = self.linearize(x, sigma)
        return mean + per_image(sigma, mean) * square_root(vjp, normal_like(mean, generator))

    def draw(self, generator: torch.Generator | None = None) -> Prior:
        """The prior with its random choices fixed; a prior without random choices returns itself."""
        del generator
        return self

    # methods that only some priors support; a prior around another one asks that one

    def lesson(self) -> Lesson[Self]:
        """How :func:`scorefield.train` trains this prior.

        Raises:
            InputError: ``train`` cannot train this prior.
        """
        raise InputError(
            f"{type(self).__name__} has no lesson, so train cannot train it; fit a closed form with scorefield.fit,"
            " train the prior inside a wrapper, or write lesson() for a prior of your own (docs/training.md)."
        )

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma(x)`` for x (B, ...), up to a constant that may depend on sigma: (B,).

        Raises:
            NoDensity: this prior does not know its density.
        """
        del x, sigma
        raise NoDensity(
            f"{type(self).__name__} has no log-density (log_prob); use a prior that has one, or a method that needs the"
            " score alone, such as kernels.Langevin, or kernels.MALA and kernels.HMC with their default acceptance."
        )

    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent draws (n, *event_shape).

        Raises:
            InputError: this prior can be sampled by walks only.
        """
        del n, generator
        raise InputError(
            f"{type(self).__name__} has no exact draws (rsample); walk it with scorefield.sample and a kernel, or use a"
            " closed form."
        )

    def posterior(self, measurement: Measurement) -> Prior:
        """The exact distribution of x0 given the measurement.

        Raises:
            InputError: it is not known in closed form.
        """
        del measurement
        raise InputError(
            f"{type(self).__name__} has no exact posterior; use a closed form, or an approximation such as"
            " posteriors.MMPS."
        )


class Denoiser(Prior):
    """A prior given by its denoiser; the score follows from Tweedie's formula."""

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        s = level(sigma, x)
        if readable(sigma) and bool((s == 0).any()):
            raise InputError("A denoiser has no score at sigma = 0; ask for it at a small positive sigma.")
        return (self.denoise(x, sigma) - x) / s.square()


class Score(Prior):
    """A prior given by its score; the denoiser follows from Tweedie's formula."""

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        return x + level(sigma, x).square() * self.score(x, sigma)


class Density(Score):
    """A prior whose log-density is known at every noise level, up to a constant that may depend on sigma."""

    @abstractmethod
    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """``log p_sigma(x)`` for x (B, ...): (B,)."""

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        # the gradient of log_prob; its graph stays when the caller differentiates through the score
        outer = torch.is_grad_enabled() and x.requires_grad
        with torch.enable_grad():
            leaf = x if outer else x.detach().requires_grad_()
            return torch.autograd.grad(self.log_prob(leaf, sigma).sum(), leaf, create_graph=outer)[0]


class ClosedForm(Density):
    """A density that can be sampled, and conditioned on linear-Gaussian data in closed form."""

    @abstractmethod
    def rsample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent draws (n, *event_shape)."""

    @abstractmethod
    def posterior(self, measurement: Measurement) -> Density:
        """The exact distribution of x0 given the measurement."""


Exact = ClosedForm  # its name in version 0.1; `scorefield.posteriors.Exact` is another class
