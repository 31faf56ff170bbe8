r"""Does the prior know this kind of image?  How well it denoises it, beside one of photographs and beside its hopes.

Renoise an image, :math:`x_\sigma = x + \sigma n`, denoise it, and write :math:`e_p = \|D_p(x_\sigma) - x\|^2`.  For any
two laws p and q, with :math:`s = \sigma^{-2}`,

.. math:: \log p(x) - \log q(x) = \tfrac12 \int E[e_q(x, s) - e_p(x, s)]\, ds,

so whichever denoises x better says that x is likelier, and by how much.  The density of one law alone tells little: it
is highest for plain images, of whatever kind.  Taken against a q that knows images but no anatomy, the shipped prior of
photographs, plainness cancels.  Two statistics, each a mean over a few levels:

.. math:: \text{gain} = \log e_q - \log e_p, \qquad
    \text{surprise} = \log e_p - \log \sigma^2 \langle b, J b \rangle, \quad b \sim N(0, I),\ J = dD_p/dx.

The gain is what the prior knows beyond what holds for any image; another anatomy or resolution takes it away.  If x is
a draw of p then given :math:`x_\sigma` the error has the expectation :math:`\sigma^2 \operatorname{tr} J`, whatever it
shows; the surprise compares them.  Other contrasts raise it at coarse levels, even where the gain stays.  Both alarms
are one-sided: an image that is denoised better than the training images is no reason for mistrust.

A learned prior is not exact, so both are compared with those of training images, the :class:`Reference`: each image is
given the smaller of its two ranks, and the p-value is the share of images, this one counted, whose smaller rank is as
small.  It is uniform where the images are exchangeable, whatever the laws of the statistics (Vovk, Gammerman, Shafer
2005).  Draws are tested and not their mean: averaged over scans, posterior draws of a right model are draws of the
prior, and the mean is smoother than any image.

References:
    Kong, Brekelmans, Ver Steeg, "Information-theoretic diffusion", ICLR 2023, arXiv 2302.03792 (the integral); Ren et
    al., "Likelihood ratios for out-of-distribution detection", NeurIPS 2019, arXiv 1906.02845 (a background law);
    Efron, JASA 2011 (the covariance of x0 given x is :math:`\sigma^2 J`); Ramani, Blu, Unser, IEEE TIP 2008 (the trace
    by a random probe); Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise import normal_like
from scorefield.prior import Prior
from scorefield.priors.algebra import in_precision, precision_of
from scorefield.reconstruct import intensity_of
from scorefield.streams import stream

LEVELS = (0.1, 0.2, 0.4, 0.8)  # of the intensity: finer ones see the sampler's last steps, coarser ones mostly chance
SIDE = 128  # pixels of the window looked at: wider than the networks see
SMALLEST = 16  # pixels of an image
IMAGES = 150  # windows of the reference: the least p-value is 2 / (IMAGES + 1)
FEWEST = 20  # different images below which their spread is unknown
PROBE = 0.1  # length of the finite difference over sigma
FLOOR = 1e-3  # least expected error over the error: a probe of a poor denoiser may come out negative
LIMIT = 0.02  # p-value below which chance is a poor explanation
DRAWS = 4  # looked at: they share the scan, more add little
TRIES = 8  # windows cut before an image is called flat
SIDES = (1.0, -1.0)  # a small gain and a large surprise are far out


@dataclass(frozen=True, eq=False)
class Reference:
    """What the statistics are on training images.

    Args:
        values: gain and surprise of each image (N, 2).
        levels: (L,), rising, over the intensity of the image; windows whose deviation is below the first do not count.
        complex: whether the images were complex.

    Raises:
        InputError: arrays that do not fit together.
    """

    values: Tensor
    levels: Tensor
    complex: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != 2 or len(self.values) == 0 or self.levels.ndim != 1:
            raise InputError(
                f"A reference holds (N, 2) values for (L,) levels, got {tuple(self.values.shape)} for"
                f" {tuple(self.levels.shape)}; take it again from the training images."
            )

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Reference:
        """What :meth:`tensors` said.

        Raises:
            InputError: something else.
        """
        try:
            return Reference(tensors["values"].double(), tensors["levels"], bool(tensors["complex"]))
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(f"This is no reference ({error}); take it again from the training images.") from error

    def tensors(self) -> dict[str, Tensor]:
        """All of it as tensors by name, the values in single precision."""
        return {"values": self.values.float(), "levels": self.levels, "complex": torch.tensor(self.complex)}

    def place(self, value: Tensor) -> tuple[float, bool]:
        """The p-value of an image of statistics ``value`` (2,), and whether its gain is what is further out."""
        both = torch.cat([self.values, value.unsqueeze(0)]) * self.values.new_tensor(SIDES)
        ranks = (both.unsqueeze(0) <= both.unsqueeze(1)).sum(1)  # (N + 1, 2), 1 is furthest out
        smaller = ranks.amin(1)
        return float((smaller <= smaller[-1]).double().mean()), bool(ranks[-1, 0] <= ranks[-1, 1])


@dataclass(frozen=True)
class LikenessCheck:
    """The statistics of the draws, beside those of the training images.

    Attributes:
        p_value: the share of training images, this one counted, that are as far out.
        gain: mean over levels and draws of log error of the prior of photographs over that of the prior.
        surprise: the same of log error over expected error.
        usual_gain: median of the training images.
        usual_surprise: median of the training images.
        by_gain: whether the gain is further out than the surprise.
    """

    p_value: float
    gain: float
    surprise: float
    usual_gain: float
    usual_surprise: float
    by_gain: bool

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the training distribution; it does not speak for it (see docs/trust.md)."""
        return self.p_value > LIMIT

    @property
    def verdict(self) -> str:
        """The outcome in words for a person."""
        p = f"p = {self.p_value:.2g}"
        if self.passed:
            return (
                f"The prior denoises the draws with {_less(self.gain)} error than a prior of photographs does"
                f" ({_less(self.usual_gain)} on its training images), much as expected ({p}): no sign of a foreign kind"
                " of image. A lesion or another small foreign part would not show here."
            )
        if self.by_gain:
            return (
                f"The prior hardly knows this kind of image: it denoises the draws with {_less(self.gain)} error than a"
                f" prior of photographs does, and its training images with {_less(self.usual_gain)} ({p}). Another"
                " anatomy, resolution or contrast: do not trust details or intervals; use a prior for it."
            )
        return (
            f"The draws surprise the prior: its denoising error is {_more(self.surprise)} than it expects, on its"
            f" training images {_more(self.usual_surprise)} ({p}). Another contrast or anatomy, or a wrong model of the"
            " scan: its intervals may be too narrow."
        )


def _less(gain: float) -> str:
    share = 1 - math.exp(-gain)
    return f"{share:.0%} less" if share >= 0 else f"{-share:.0%} more"


def _more(surprise: float) -> str:
    share = math.exp(surprise) - 1
    return f"{share:.0%} larger" if share >= 0 else f"{-share:.0%} smaller"


def take_reference(prior: Prior, images: Sequence[Tensor], *, n: int = IMAGES, seed: int = 0) -> Reference | None:
    """The statistics of ``n`` windows, evenly from ``images`` (C, H, W) in the prior's units.

    Held-out images are best.  None where nothing can be compared: fewer than 20 images, volumes, images smaller than 16
    pixels, or flat ones.
    """
    images = [image for image in images if _comparable(image, prior)]
    if len(images) < FEWEST:
        return None
    generator = torch.Generator(images[0].device).manual_seed(stream(seed, "reference"))
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    chosen = (images[i * len(images) // n] for i in range(n))
    found = [value for image in chosen for value in statistics(prior, image, levels, generator)]
    if 2 * len(found) < n:
        return None
    return Reference(torch.stack(found), levels, images[0].is_complex())


def likeness_check(draws: Tensor, prior: Prior, reference: Reference, *, seed: int = 0) -> LikenessCheck | None:
    """The likeness of ``draws`` (n, C, H, W), in the prior's units, to the images of ``reference``.

    None where nothing can be compared: volumes, images smaller than 16 pixels, or flat ones.
    """
    # draws of double data: the checks need no more than the network has
    draws = in_precision(draws[:DRAWS], precision_of(prior) or draws.real.dtype)
    if not all(_comparable(x, prior) for x in draws):
        return None
    generator = torch.Generator(draws.device).manual_seed(stream(seed, "likeness"))  # not the noise of the draws
    found = [value for x in draws for value in statistics(prior, x, reference.levels, generator)]
    if not found:
        return None
    value, usual = torch.stack(found).mean(0), reference.values.median(0).values
    p_value, by_gain = reference.place(value)
    return LikenessCheck(p_value, float(value[0]), float(value[1]), float(usual[0]), float(usual[1]), by_gain)


def _comparable(image: Tensor, prior: Prior) -> bool:
    """Whether a window of ``image`` can be denoised by ``prior`` and by the prior of photographs."""
    shape = tuple(image.shape)
    return len(shape) == 3 and min(shape[1:]) >= SMALLEST and prior.event_shape in (None, shape)


def statistics(prior: Prior, image: Tensor, levels: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """Gain and surprise (2,) of a window of one image (C, H, W); nothing if the image is flat.

    Args:
        levels: (L,), over the image's intensity.
    """
    sides = tuple(image.shape[1:]) if prior.event_shape else tuple(min(side, SIDE) for side in image.shape[1:])
    levels = levels * intensity_of(image)
    for place in torch.rand(TRIES, 2, generator=generator, device=image.device, dtype=torch.float64).tolist():
        top, left = (int(u * (whole - side + 1)) for u, whole, side in zip(place, image.shape[1:], sides, strict=True))
        window = image[:, top : top + sides[0], left : left + sides[1]]
        if float(window.std()) > float(levels[0]):  # where an image is flat there is nothing to denoise
            yield compare(prior, window.unsqueeze(0), levels, generator)
            return


@torch.no_grad()
def compare(prior: Prior, x: Tensor, levels: Tensor, generator: torch.Generator) -> Tensor:
    """Gain and surprise (2,) over all of x (B, C, H, W), means over ``levels`` (L,), float64, on the CPU."""
    prior, found = prior.draw(generator), []
    for sigma in levels.tolist():
        noisy, probe = x + sigma * normal_like(x, generator), normal_like(x, generator)
        denoised = prior.denoise(noisy, sigma)
        moved = prior.denoise(noisy + PROBE * sigma * probe, sigma)
        error, rival = (_energy(d - x) for d in (denoised, _as_photograph(noisy, sigma)))
        expected = sigma / PROBE * float((probe.conj() * (moved - denoised)).real.double().sum())
        found.append([math.log(rival / error), math.log(error / max(expected, FLOOR * error))])
    return torch.tensor(found, dtype=torch.float64).mean(0)


def _energy(d: Tensor) -> float:
    """``|d|^2``, never quite zero."""
    return max(float(d.abs().double().square().sum()), torch.finfo(torch.float64).tiny)


def _as_photograph(noisy: Tensor, sigma: float) -> Tensor:
    """``noisy`` denoised by the prior of photographs: each channel, and of complex images each part, by itself."""
    parts = torch.view_as_real(noisy).movedim(-1, 0) if noisy.is_complex() else noisy.unsqueeze(0)
    single = parts.reshape(-1, 1, *parts.shape[-2:]).float()
    clean = _photographs(single.device).denoise(single, sigma).reshape(parts.shape).to(noisy.real.dtype)
    return torch.complex(*clean) if noisy.is_complex() else clean[0]


@cache
def _photographs(device: torch.device) -> Prior:
    from scorefield import checkpoint, shipped  # checkpoints hold references

    return checkpoint.load(shipped.find("photo")).to(device)
