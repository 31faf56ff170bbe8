"""The answers to the tutorial's questions: the numbers are those of the results, the words are written by hand.

After new measurements check that the words still fit.
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
        yield f"**{question}**\n{_write(answer, results)}\n"


def _write(answer: Callable[[Results], str], results: Results) -> str:
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
        "It depends on the shift.  A CNN of 9 x 9 pixels and a U-Net were trained until they were equally good"
        " without a"
        f" shift ({_by(r, small, large)}, for 4 and 16 times the work).  The difference of the CNN from the U-Net"
        " is then"
        f" {_by(r, small, large, shift=INVERTED)} under inverted contrast,"
        f" {_by(r, small, large, shift=ZOOMED)} at another resolution and {_by(r, small, large, shift=HEART)} on"
        " hearts; with the least work the CNN is better everywhere.  For amplitude scale invariance matters, not"
        " size: on"
        f" images four times as bright it improves 3 x 3 patches by {_by(r, 'p3-scale-100', 'p3-100', shift=MUCH)} and"
        f" the U-Net by {_by(r, 'unet-100', 'unet-biased-100', shift=MUCH)}."
    )


def slices(r: Results) -> str:
    """Training-set sizes."""
    return (
        "For so little training one slice is as good as a hundred: the difference of 1 slice from 100 is"
        f" {_by(r, 'p3-1', 'p3-100')} for 3 x 3 patches, {_by(r, 'told-1', 'told-100')} for the CNN of 9 x 9 pixels and"
        f" {_by(r, 'unet-1', 'unet-100')} for the U-Net.  The choice of the slices may matter more than their"
        " number (for"
        f" five others it is {_by(r, 'unet-5', 'unet-100')} for the U-Net).  After 16 times the work the difference"
        " of 1"
        f" slice from 100 is {_by(r, 'unet-1-x16', 'unet-100-x16')}."
    )


def side(r: Results) -> str:
    """Patch sides."""
    return (
        f"Three: at equal work the difference of 5 x 5 from 3 x 3 is {_by(r, 'p5-100', 'p3-100')}, that of 9 x 9"
        f" {_by(r, 'p9-100', 'p3-100')}, and perceptrons on 17 and 33 pixels had learned little or nothing at the"
        " end of"
        " the work.  The reason is their training, and not that a larger part of the image would not help: the"
        " difference"
        f" of PaDIS with a U-Net on 32 x 32 pixels from 3 x 3 patches is {_by(r, 'padis-100', 'p3-100')}, that of a"
        " U-Net"
        f" on whole images {_by(r, 'unet-100', 'p3-100')}, and after 16 times the work"
        f" {_by(r, 'unet-100-x16', 'p3-100')}."
    )


def invariances(r: Results) -> str:
    """Scale, offset, turns."""
    return (
        f"Scale invariance costs 3 x 3 patches nothing ({_by(r, 'p3-scale-100', 'p3-100')}).  It gains"
        f" {_by(r, 'p3-scale-100', 'p3-100', shift=MUCH)} on images four times as bright and"
        f" {_by(r, 'p3-scale-100', 'p3-100', shift=FEW)} on images four times darker."
        f"  Offset invariance loses ({_by(r, 'p3-offset-100', 'p3-100')}), because the mean of so few pixels is much of"
        " their information.  The mean over turns and flips, whose evaluation costs eight times as much for the same"
        f" training, changes {_by(r, 'p3-turns-100', 'p3-100')}."
    )


def small(r: Results) -> str:
    """A CNN of small receptive field against explicit patches."""
    dark = _by(r, "told-100", "p3-scale-100", shift=FEW)
    return (
        "Yes: the difference of a CNN of 9 x 9 pixels, with the noise level as an input, from 3 x 3 patches is"
        f" {_by(r, 'told-100', 'p3-100')} ({_by(r, 'told-100-x4', 'p3-100-x4')} after four times the training),"
        " that from"
        f" 9 x 9 patches {_by(r, 'told-100', 'p9-100')}, and that from scale-invariant 3 x 3 patches on images four"
        " times"
        f" darker {dark}.  The noise level matters: without this input the same network changes by"
        f" {_by(r, 'untold-100', 'told-100')}.  `LocalCNN`, which has no such input and normalizes over the batch,"
        " differs"
        f" from the network without it by {_by(r, 'local-100', 'untold-100')}."
    )


def scales(r: Results) -> str:
    """Multi-scale."""
    return (
        "Not here: the difference of two scales of conditional CNNs, with a U-Net below them, from the same kind of"
        " CNN on"
        f" one scale is {_by(r, 'multiscale-100', 'told-100')} at equal work.  The three networks share the work of"
        " one,"
        " and each denoises what the network below it left, so longer training may give another result."
    )


def better(r: Results) -> str:
    """Against total variation and BM3D."""
    return (
        "For denoising of T1 brains the difference of 3 x 3 patches from tuned total variation is"
        f" {_by(r, 'p3-100')} and"
        f" from BM3D {_by(r, 'p3-100', 'bm3d')}; that of a U-Net with 16 times the work from BM3D is"
        f" {_by(r, 'unet-100-x16', 'bm3d')}.  On CT of another subject, part and resolution 3 x 3 patches lose against"
        f" total variation ({_by(r, 'p3-body-100', shift=BODY.name)}).  The same holds for scans: in 4x MRI the mean of"
        f" 3 x 3 patches is {_by(r, 'p3-100', task='mri', key='limit')} and of that U-Net"
        f" {_by(r, 'unet-100-x16', task='mri', key='limit')} over total variation, in 23-view CT that of 3 x 3 patches"
        f" {_by(r, 'p3-body-100', task='ct', shift=BODY.name, key='limit')}."
    )


def honest(r: Results) -> str:
    """Coverage."""
    return (
        "Roughly: the coverage of the 90 % intervals minus that of exact draws is, in percentage points,"
        f" {r.honesty('p3-100', 'mri')} with 3 x 3 patches and {r.honesty('unet-100', 'mri')} with the U-Net in 4x MRI,"
        f" {r.honesty('p3-body-100', 'ct', BODY.name)} and {r.honesty('unet-body-100', 'ct', BODY.name)} in CT.  Under"
        f" inverted contrast it is {r.honesty('p3-100', 'mri', INVERTED)} and {r.honesty('unet-100', 'mri', INVERTED)}"
        " in MRI: the draws of the patches vary enough, those of the U-Net too little."
    )


ANSWERS: dict[str, Callable[[Results], str]] = {
    "Is a patch prior more robust to shift than a prior of whole images?": robust,
    "How many training images does a prior need?": slices,
    "Which side of the patches is best?": side,
    "Do invariances help?": invariances,
    "Is a CNN with a small receptive field as good as explicit patches?": small,
    "Does multi-scale help?": scales,
    "Is it better than total variation and BM3D?": better,
    "Are the intervals right?": honest,
}
