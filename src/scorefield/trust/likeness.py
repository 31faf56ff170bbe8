r"""Does the prior know this kind of image?  Its denoising error, beside that of rivals and its expectation.

Renoise an image, :math:`x_\sigma = x + \sigma n`, denoise it, and write :math:`e_p = \|D_p(x_\sigma) - x\|^2`.  For any
two laws p and q, with :math:`s = \sigma^{-2}`,

.. math:: \log p(x) - \log q(x) = \tfrac12 \int E[e_q(x, s) - e_p(x, s)]\, ds,

so the law that denoises x better gives x the higher density, by that amount.  The density of one law alone says
little: it is highest for plain images, of whatever kind.  Compared with a law q of other images, plainness cancels.
Such laws are the rivals, shipped priors of photographs, heads and bodies.  Statistics, each a mean over a few levels:

.. math:: \text{gain}_q = \log e_q - \log e_p, \qquad
    \text{surprise} = \log e_p - \log \sigma^2 \langle b, J b \rangle, \quad b \sim N(0, I),\ J = dD_p/dx.

The gains measure what the prior knows beyond what holds for all images; another anatomy or resolution takes one of them
away.  Together they count as one: the least of them, each over its median.  If x is a draw of p then given
:math:`x_\sigma` the error has the expectation :math:`\sigma^2 \operatorname{tr} J`, whatever it shows; the surprise
compares them.  Other contrasts raise it at coarse levels, even where the gains stay.  Both alarms are one-sided: an
image that is denoised better than the training images is no reason for mistrust.

A learned prior is not exact, so both are compared with those of training images, the :class:`Reference`: each image
gets the smaller of its two ranks, by gain and by surprise, and the p-value is the share of images, this one counted,
whose smaller rank is as small.  It is uniform where the images are exchangeable, whatever the laws of the statistics
(Vovk, Gammerman, Shafer 2005).  Draws are tested and not their mean: averaged over scans, posterior draws of a right
model are draws of the prior, and the mean is smoother than any image.

References:
    Kong, Brekelmans, Ver Steeg, "Information-theoretic diffusion", ICLR 2023, arXiv 2302.03792 (the integral); Ren et
    al., "Likelihood ratios for out-of-distribution detection", NeurIPS 2019, arXiv 1906.02845 (a background law);
    Efron, JASA 2011 (the covariance of x0 given x is :math:`\sigma^2 J`); Ramani, Blu, Unser, IEEE TIP 2008 (the trace
    by a random probe); Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.linalg.parts import in_precision
from scorefield.prior import Prior
from scorefield.priors.cast import precision_of
from scorefield.randomness import normal_like, stream
from scorefield.trust.reference import Reference
from scorefield.trust.rivals import RIVALS, denoise_by_rival, rivals_of
from scorefield.trust.verdict import Verdict
from scorefield.units import intensity_of

LEVELS = (0.1, 0.2, 0.4, 0.8)  # of the intensity: finer ones see the sampler's last steps, coarser ones mostly chance
SIDE = 128  # pixels of the window: wider than the networks see
SMALLEST = 16  # pixels of an image
IMAGES = 150  # windows of the reference: the least p-value is 2 / (IMAGES + 1)
FEWEST = 20  # different images below which their spread is unknown
PROBE = 0.1  # length of the finite difference over sigma
FLOOR = 1e-3  # least expected error over the error: a probe of a poor denoiser may come out negative
LIMIT = 0.02  # p-value below which chance is a poor explanation
DRAWS = 4  # that are checked: they share the scan, so more add little
TRIES = 8  # windows cut before an image is called flat


@dataclass(frozen=True)
class LikenessCheck:
    """The statistics of the draws, beside those of the training images.

    Attributes:
        p_value: the share of training images, this one counted, that are as far out.
        gain: mean over levels and draws of log error of the rival over that of the prior.
        surprise: the same of log error over expected error.
        usual_gain: median of the training images.
        usual_surprise: median of the training images.
        by_gain: whether the gain is further out than the surprise.
        rival: name of the shipped prior over which the prior gains least, measured by its training images.
    """

    p_value: float
    gain: float
    surprise: float
    usual_gain: float
    usual_surprise: float
    by_gain: bool
    rival: str = "photo"

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the training distribution; it does not speak for it (see docs/trust.md)."""
        return self.p_value > LIMIT

    @property
    def words(self) -> Verdict:
        """The outcome for a person."""
        rival, p = RIVALS[self.rival], f"p = {self.p_value:.2g}"
        gains = (
            f"it denoises the draws with {_less(self.gain)} error than {rival} does, its training images with"
            f" {_less(self.usual_gain)}; {p}"
        )
        if self.passed:
            return Verdict(
                "No sign of a kind of image that the prior does not know",
                "The prior removes noise from these images about as well as from those that it learned from. A lesion"
                " or another small foreign part would not show here.",
                gains,
            )
        if self.by_gain:
            return Verdict(
                "The prior hardly knows this kind of image",
                "Another anatomy, resolution or contrast is likely. Do not trust details or intervals; use a prior for"
                " this kind of image.",
                gains,
            )
        return Verdict(
            "The images surprise the prior",
            "Another contrast or anatomy, or a wrong model of the scan, is likely. The intervals may be too narrow.",
            f"its denoising error is {_more(self.surprise)} than it expects, on its training images"
            f" {_more(self.usual_surprise)}; {p}",
        )

    @property
    def verdict(self) -> str:
        """The outcome in one paragraph."""
        return str(self.words)


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
    levels, rivals = torch.tensor(LEVELS, dtype=torch.float64), rivals_of(prior)
    chosen = (images[i * len(images) // n] for i in range(n))
    found = [value for image in chosen for value in statistics(prior, rivals, image, levels, generator)]
    if 2 * len(found) < n:
        return None
    return Reference(torch.stack(found), levels, images[0].is_complex(), rivals)


def likeness_check(draws: Tensor, prior: Prior, reference: Reference, *, seed: int = 0) -> LikenessCheck | None:
    """The likeness of ``draws`` (n, C, H, W), in the prior's units, to the images of ``reference``.

    None where nothing can be compared: volumes, images smaller than 16 pixels, or flat ones.
    """
    # draws of double data: the checks need no more than the network has
    draws = in_precision(draws[:DRAWS], precision_of(prior) or draws.real.dtype)
    if not all(_comparable(x, prior) for x in draws):
        return None
    generator = torch.Generator(draws.device).manual_seed(stream(seed, "likeness"))  # not the noise of the draws
    found = [value for x in draws for value in statistics(prior, reference.rivals, x, reference.levels, generator)]
    if not found:
        return None
    value, usual = torch.stack(found).mean(0), reference.values.median(0).values
    p_value, by_gain, rival = reference.place(value)
    return LikenessCheck(
        p_value, float(value[rival]), float(value[-1]), float(usual[rival]), float(usual[-1]), by_gain,
        reference.rivals[rival],
    )  # fmt: skip


def _comparable(image: Tensor, prior: Prior) -> bool:
    """Whether a window of ``image`` can be denoised by ``prior`` and its rivals."""
    shape = tuple(image.shape)
    return len(shape) == 3 and min(shape[1:]) >= SMALLEST and prior.event_shape in (None, shape)


def statistics(
    prior: Prior, rivals: Sequence[str], image: Tensor, levels: Tensor, generator: torch.Generator
) -> Iterator[Tensor]:
    """Gains and surprise (rivals + 1,) of a window of one image (C, H, W); nothing if the image is flat.

    Args:
        levels: (L,), over the image's intensity.
    """
    sides = tuple(image.shape[1:]) if prior.event_shape else tuple(min(side, SIDE) for side in image.shape[1:])
    levels = levels * intensity_of(image)
    for place in torch.rand(TRIES, 2, generator=generator, device=image.device, dtype=torch.float64).tolist():
        top, left = (int(u * (whole - side + 1)) for u, whole, side in zip(place, image.shape[1:], sides, strict=True))
        window = image[:, top : top + sides[0], left : left + sides[1]]
        if float(window.std()) > float(levels[0]):  # where an image is flat there is nothing to denoise
            yield compare(prior, rivals, window.unsqueeze(0), levels, generator)
            return


@torch.no_grad()
def compare(prior: Prior, rivals: Sequence[str], x: Tensor, levels: Tensor, generator: torch.Generator) -> Tensor:
    """Gains and surprise (rivals + 1,) over all of x (B, C, H, W), means over ``levels`` (L,), float64, on the CPU."""
    prior, found = prior.draw(generator), []
    for sigma in levels.tolist():
        noisy, probe = x + sigma * normal_like(x, generator), normal_like(x, generator)
        denoised = prior.denoise(noisy, sigma)
        moved = prior.denoise(noisy + PROBE * sigma * probe, sigma)
        error, *theirs = (_energy(d - x) for d in (denoised, *(denoise_by_rival(q, noisy, sigma) for q in rivals)))
        expected = sigma / PROBE * float((probe.conj() * (moved - denoised)).real.double().sum())
        surprise = math.log(error / max(expected, FLOOR * error))
        found.append([*(math.log(rival / error) for rival in theirs), surprise])
    return torch.tensor(found, dtype=torch.float64).mean(0)


def _energy(d: Tensor) -> float:
    """``|d|^2``, never quite zero."""
    return max(float(d.abs().double().square().sum()), torch.finfo(torch.float64).tiny)
