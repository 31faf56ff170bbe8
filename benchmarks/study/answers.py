"""The tutorial's questions, two sentences each: the numbers are those of the results, the words are chosen by hand.

Whoever measures again checks that the words still fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .plan import BODY, OBJECTS
from .results import Results

HEART, INVERTED, ZOOMED = (shift.name for shift in OBJECTS[:3])
FEW, MUCH = "amplitude / 4", "amplitude x 4"


def answers(results: Results) -> Iterator[str]:
    """Question and answer, as Markdown."""
    for question, answer in ANSWERS.items():
        yield f"**{question}**\n{_said(answer, results)}\n"


def _said(answer: Callable[[Results], str], results: Results) -> str:
    try:
        return answer(results)
    except KeyError as missing:  # a study that was stopped
        return f"Not measured yet: {missing}."


def _by(r: Results, a: str, b: str = "tv", task: str = "noise-0.1", shift: str = "none", key: str = "psnr") -> str:
    return f"{r.difference(a, b, task, shift, key)} dB"


def robust(r: Results) -> str:
    """Patch against whole-image priors under shift."""
    small, large = "told-100-x4", "unet-100-x16"
    return (
        "It depends on the shift: of a CNN that sees 9 x 9 pixels and a U-Net trained until they are equally good"
        f" without one ({_by(r, small, large)}, for 4 and 16 times the work), the CNN is"
        f" {_by(r, small, large, shift=INVERTED)} from the U-Net under inverted contrast,"
        f" {_by(r, small, large, shift=ZOOMED)} at another resolution and {_by(r, small, large, shift=HEART)} on"
        " hearts; at the least work it is ahead everywhere.  Amplitude is a matter of scale invariance, not of size: on"
        f" images four times as bright it is worth {_by(r, 'p3-scale-100', 'p3-100', shift=MUCH)} to 3 x 3 patches and"
        f" {_by(r, 'unet-100', 'unet-biased-100', shift=MUCH)} to the U-Net."
    )


def slices(r: Results) -> str:
    """Training-set sizes."""
    return (
        "One slice teaches what this much training can learn from a hundred: with 1 in place of 100 the difference is"
        f" {_by(r, 'p3-1', 'p3-100')} for 3 x 3 patches, {_by(r, 'told-1', 'told-100')} for the CNN that sees 9 x 9 and"
        f" {_by(r, 'unet-1', 'unet-100')} for the U-Net.  Which slices they are may matter more than how many (five"
        f" others make {_by(r, 'unet-5', 'unet-100')} for the U-Net), and after 16 times the work one in place of a"
        f" hundred makes {_by(r, 'unet-1-x16', 'unet-100-x16')}."
    )


def side(r: Results) -> str:
    """Patch sides."""
    return (
        f"Three: at equal work 5 x 5 is {_by(r, 'p5-100', 'p3-100')} and 9 x 9 {_by(r, 'p9-100', 'p3-100')} away from"
        f" 3 x 3, and perceptrons on 17 and 33 pixels had learned little or nothing when the work was used up.  That is"
        f" about training them, not about how much of an image helps: PaDIS with a U-Net on 32 x 32 is"
        f" {_by(r, 'padis-100', 'p3-100')} away from 3 x 3, a U-Net on whole images {_by(r, 'unet-100', 'p3-100')}, and"
        f" after 16 times the work {_by(r, 'unet-100-x16', 'p3-100')}."
    )


def invariances(r: Results) -> str:
    """Scale, offset, turns."""
    return (
        f"Scale invariance costs 3 x 3 patches nothing ({_by(r, 'p3-scale-100', 'p3-100')}) and is worth"
        f" {_by(r, 'p3-scale-100', 'p3-100', shift=MUCH)} on images four times as bright and"
        f" {_by(r, 'p3-scale-100', 'p3-100', shift=FEW)} on four times darker ones."
        f"  Offset invariance loses ({_by(r, 'p3-offset-100', 'p3-100')}; the level of so few pixels is much of what"
        " they tell), and averaging over turns, an evaluation of eight times the work trained with the same, makes"
        f" {_by(r, 'p3-turns-100', 'p3-100')}."
    )


def small(r: Results) -> str:
    """A CNN of small receptive field against explicit patches."""
    dark = _by(r, "told-100", "p3-scale-100", shift=FEW)
    return (
        "Yes: a CNN that sees 9 x 9 pixels and is told the noise is"
        f" {_by(r, 'told-100', 'p3-100')} away from 3 x 3 patches ({_by(r, 'told-100-x4', 'p3-100-x4')} after four"
        f" times the training), {_by(r, 'told-100', 'p9-100')} from 9 x 9 ones, and {dark} from scale-invariant 3 x 3"
        " ones on images four times darker.  Being told matters: emptied of the noise level the same network is"
        f" {_by(r, 'untold-100', 'told-100')} away from itself, and `LocalCNN`, which never is and normalizes over the"
        f" batch, {_by(r, 'local-100', 'untold-100')} from that."
    )


def scales(r: Results) -> str:
    """Multi-scale."""
    return (
        "Not here: two scales of conditional CNNs with a U-Net below are"
        f" {_by(r, 'multiscale-100', 'told-100')} away from the same kind of CNN on one scale, at equal work.  Its"
        " three networks share the work of one and each denoises what the one below left, so this is no verdict on"
        " longer training."
    )


def better(r: Results) -> str:
    """Against total variation and BM3D."""
    return (
        f"In denoising T1 brains, 3 x 3 patches are {_by(r, 'p3-100')} over tuned total variation and"
        f" {_by(r, 'p3-100', 'bm3d')} from BM3D, a U-Net with 16 times the work {_by(r, 'unet-100-x16', 'bm3d')} over"
        f" BM3D; on CT of another subject, part and resolution 3 x 3 patches lose against total variation"
        f" ({_by(r, 'p3-body-100', shift=BODY.name)}).  From scans the same holds: in 4x MRI the posterior mean of"
        f" 3 x 3 patches is {_by(r, 'p3-100', task='mri', key='limit')} and of that U-Net"
        f" {_by(r, 'unet-100-x16', task='mri', key='limit')} over total variation, in 23-view CT that of 3 x 3 patches"
        f" {_by(r, 'p3-body-100', task='ct', shift=BODY.name, key='limit')}."
    )


def honest(r: Results) -> str:
    """Coverage."""
    return (
        "Roughly: the 90 % intervals cover, in percentage points more than those of exact draws,"
        f" {r.honesty('p3-100', 'mri')} with 3 x 3 patches and {r.honesty('unet-100', 'mri')} with the U-Net in 4x MRI,"
        f" {r.honesty('p3-body-100', 'ct', BODY.name)} and {r.honesty('unet-body-100', 'ct', BODY.name)} in CT.  Under"
        f" inverted contrast it is {r.honesty('p3-100', 'mri', INVERTED)} and {r.honesty('unet-100', 'mri', INVERTED)}"
        " in MRI: the patches' draws stay wide enough, those of the U-Net become too sure."
    )


ANSWERS: dict[str, Callable[[Results], str]] = {
    "Is a patch prior more robust to shift than one of whole images?": robust,
    "How many training images does each need?": slices,
    "Which patch side?": side,
    "Do invariances help?": invariances,
    "Is a CNN with a small receptive field as good as explicit patches?": small,
    "Does multi-scale help?": scales,
    "Is it better than total variation and BM3D?": better,
    "Are the intervals honest?": honest,
}
