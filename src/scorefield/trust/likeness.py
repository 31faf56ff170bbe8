r"""Is the image like those the prior learned from?  How well the prior denoises it, beside how well it expects to.

Renoise a crop, :math:`x_\sigma = x + \sigma n`.  If x is a draw of the prior, then given :math:`x_\sigma` its denoising
error has the expectation :math:`E\|D - x\|^2 = \sigma^2 \operatorname{tr} J`, :math:`J = dD/dx`, whatever it shows:
the prior knows how hard each image is.  The statistic

.. math:: u_\sigma = \log \sum \|D(x_\sigma) - x\|^2 - \log \sum \sigma^2 \langle b, J b \rangle,
    \qquad b \sim N(0, I),

summed over a few crops of one image, is above zero where the image surprises the prior, and below where it is plainer
than the prior thinks.  A learned prior is not exact, so u is compared with that of training images, the
:class:`Reference`: by its rank among theirs at each level, and by how far the mean of these ranks is from the middle.
Draws are tested and not their mean: averaged over scans, posterior draws of a right model are draws of the prior, and
the mean is smoother than any image.

The p-value of one draw is the rank of that distance among N training images, ranks and distances taken over all N + 1:
uniform where they are exchangeable, whatever the law of u (Vovk, Gammerman, Shafer 2005).  Draws of one scan depend on
each other; for any dependence, K/k times the k-th smallest of K p-values is a p-value (Rüger 1978), here with k = K/2.

References:
    Efron, JASA 2011 (the covariance of x0 given x is :math:`\sigma^2 J`); Ramani, Blu, Unser, IEEE TIP 2008 (the trace
    by a random probe); Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005; Rüger, Metrika 1978.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.noise import normal_like
from scorefield.prior import Prior
from scorefield.reconstruct import intensity_of

LEVELS = (0.05, 0.1, 0.2)  # of the intensity: finer ones see the sampler's last step, coarser ones vary most by chance
SIDE = 64  # pixels of a crop: that of the networks' training
CROPS = 8  # of an image: enough that images differ more than the noise that probes them
IMAGES = 150  # of the reference: enough that twice the smallest p-value is below LIMIT
PROBE = 0.1  # length of the finite difference over sigma
FLOOR = 1e-3  # least expected error over the error: a probe of a poor denoiser may come out negative
LIMIT = 0.02  # p-value below which chance is a poor explanation
DRAWS = 4  # looked at: they share the scan, more add little
TRIES = 8  # crops cut for each one kept, before an image is called flat


@dataclass(frozen=True, eq=False)
class Reference:
    """What the statistic is on training images.

    Args:
        values: u of each image at each level (N, L).
        levels: (L,), rising, over the intensity of the image; crops whose deviation is below the first do not count.
        side: of a crop in pixels.
        complex: whether the images were complex.

    Raises:
        InputError: arrays that do not fit together.
    """

    values: Tensor
    levels: Tensor
    side: int
    complex: bool = False

    def __post_init__(self) -> None:
        n, k = tuple(self.values.shape) if self.values.ndim == 2 else (0, 0)
        if n < 2 * k or k == 0 or tuple(self.levels.shape) != (k,):
            raise InputError(
                f"A reference holds (N, L) values, N >= 2 L, for (L,) levels, got {tuple(self.values.shape)} for"
                f" {tuple(self.levels.shape)}; take it again."
            )

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Reference:
        """What :meth:`tensors` said.

        Raises:
            InputError: something else.
        """
        try:
            return Reference(
                tensors["values"].double(), tensors["levels"], int(tensors["side"]), bool(tensors["complex"])
            )
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(f"This is no reference ({error}); take it again from the training images.") from error

    def tensors(self) -> dict[str, Tensor]:
        """All of it as tensors by name, the values in single precision."""
        return {
            "values": self.values.float(),
            "levels": self.levels,
            "side": torch.tensor(self.side),
            "complex": torch.tensor(self.complex),
        }

    def place(self, value: Tensor) -> tuple[float, float]:
        """Where an image of statistic ``value`` (L,) lies among those of the reference: (p-value, surprise).

        The p-value is the share of images, this one counted, whose mean rank is as far from the middle; the surprise is
        that mean rank, from -1, plainer than all others at every level, to 1.
        """
        both = torch.cat([self.values, value.unsqueeze(0)])
        below = (both.unsqueeze(0) < both.unsqueeze(1)).sum(1)  # (N + 1, L)
        middle = below.double().mean(1) / len(self.values) - 0.5
        distances = middle.abs()
        return float((distances >= distances[-1] - 1e-9).double().mean()), 2 * float(middle[-1])


@dataclass(frozen=True)
class LikenessCheck:
    """The p-values of the draws, and what they say together.

    Attributes:
        p_values: of each draw looked at.
        surprise: mean over the draws of that of :meth:`Reference.place`; above zero: denoised worse than expected.
    """

    p_values: tuple[float, ...]
    surprise: float

    @property
    def p_value(self) -> float:
        """Valid for any dependence: under a right model it is at most a with probability at most a."""
        total = len(self.p_values)
        middle = (total + 1) // 2
        return min(1.0, total / middle * sorted(self.p_values)[middle - 1])

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the training distribution; it does not speak for it (see docs/trust.md)."""
        return self.p_value >= LIMIT

    @property
    def verdict(self) -> str:
        """The outcome in words for a person."""
        p = f"p = {self.p_value:.2g}"
        if self.passed:
            return (
                f"The prior denoises the draws about as well as images it was trained on ({p}): no sign of a foreign"
                " kind of image, though many foreign images give none."
            )
        if self.surprise > 0:
            return (
                f"The prior denoises the draws worse than it expects to, unlike images it was trained on ({p}): another"
                " anatomy, contrast or resolution, or a wrong model of the scan; its intervals may be too narrow."
            )
        return (
            f"The prior denoises the draws better than it expects to, unlike images it was trained on ({p}): plainer or"
            " smoother ones, of another anatomy, contrast or resolution; its intervals may be too wide."
        )


def take_reference(prior: Prior, images: Sequence[Tensor], *, n: int = IMAGES, seed: int = 0) -> Reference | None:
    """The statistic of ``n`` images, drawn by their area from ``images`` (C, H, W) in the prior's units.

    Held-out images are best.  None where nothing can be compared: volumes, images smaller than 16 pixels, or flat ones.
    """
    images = [image for image in images if image.ndim == 3]
    side = min([SIDE, *(min(image.shape[1:]) for image in images)]) if images else 0
    if side < SIDE // 4 or (prior.event_shape or (side,))[-1] != side:
        return None
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    generator = torch.Generator(images[0].device).manual_seed(seed)
    areas = torch.tensor([float(image[0].numel()) for image in images], device=images[0].device)
    found = []
    for _ in range(2 * n):
        image = images[int(torch.multinomial(areas, 1, generator=generator))]
        found += statistic(prior, image, levels, side, generator)
        if len(found) == n:
            return Reference(torch.stack(found), levels, side, images[0].is_complex())
    return None


def likeness_check(draws: Tensor, prior: Prior, reference: Reference, *, seed: int = 0) -> LikenessCheck | None:
    """The likeness of ``draws`` (n, C, H, W), in the prior's units, to the images of ``reference``.

    None where nothing can be compared: volumes, images smaller than a crop, or flat ones.
    """
    if draws.ndim != 4 or min(draws.shape[2:]) < reference.side:
        return None
    generator = torch.Generator(draws.device).manual_seed(seed)
    found = [value for x in draws[:DRAWS] for value in statistic(prior, x, reference.levels, reference.side, generator)]
    if not found:
        return None
    places = [reference.place(value) for value in found]
    return LikenessCheck(tuple(p for p, _ in places), sum(s for _, s in places) / len(places))


def statistic(prior: Prior, image: Tensor, levels: Tensor, side: int, generator: torch.Generator) -> Iterator[Tensor]:
    """``u`` of one image (C, H, W) at each of ``levels`` over its intensity: (L,); nothing if the image is flat."""
    (height, width), levels = image.shape[1:], levels * intensity_of(image)
    places = torch.rand(TRIES * CROPS, 2, generator=generator, device=image.device, dtype=torch.float64)
    tops, lefts = (places * torch.tensor([height - side + 1, width - side + 1]).to(places)).long().T.tolist()
    crops = [image[:, r : r + side, c : c + side] for r, c in zip(tops, lefts, strict=True)]
    # where an image is flat there is nothing to denoise
    kept = [crop for crop in crops if float(crop.std()) > float(levels[0])][:CROPS]
    if len(kept) == CROPS:
        yield surplus(prior, torch.stack(kept), levels, generator)


@torch.no_grad()
def surplus(prior: Prior, x: Tensor, levels: Tensor, generator: torch.Generator) -> Tensor:
    """``u`` over all of x (B, C, H, W) at each of ``levels``: (L,), float64, on the CPU."""
    prior, found = prior.draw(generator), []
    for sigma in levels.tolist():
        noisy, probe = x + sigma * normal_like(x, generator), normal_like(x, generator)
        denoised = prior.denoise(noisy, sigma)
        moved = prior.denoise(noisy + PROBE * sigma * probe, sigma)
        error = float((denoised - x).abs().square().double().sum())
        expected = sigma / PROBE * float((probe.conj() * (moved - denoised)).real.double().sum())
        found.append(math.log(error / max(expected, FLOOR * error)))
    return torch.tensor(found, dtype=torch.float64)
