"""One self-contained page: inline pictures, styles and scripts, no downloads.

Without a script the page shows its pictures in 8 bits.  With it they are 16-bit numbers
(:mod:`scorefield.reports.raster`) under one gray window, and all panels zoom and are read together.  The page's
content-security policy forbids all network access.  Every text that comes from the caller is escaped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield.arguments import as_tensor, of_kind
from scorefield.data.view import View
from scorefield.errors import InputError
from scorefield.measurement import Measurement, as_measurement
from scorefield.reports.card import run_card
from scorefield.reports.page import SHOWN, Page
from scorefield.samples import Samples
from scorefield.store.atomic import atomic_path
from scorefield.trust.residual import residual_check

__all__ = ["SHOWN", "render", "report"]


def report(
    samples: Samples,
    measurement: Measurement,
    *,
    path: str | os.PathLike[str],
    truth: Tensor | None = None,
    baselines: Mapping[str, Tensor] | None = None,
    title: str = "Reconstruction report",
    view: View | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Write one HTML page about a reconstruction, to be opened anywhere and shown to anybody.

    Args:
        samples: at least two posterior draws (n, C, H, W) or (n, C, D, H, W).  The page shows the checks of
            likeness and of predictions that they carry: see :meth:`scorefield.trust.Trust.attach`.
        measurement: the scan they explain.
        path: the file to write; it appears whole or not at all.
        truth: the reference image (C, *spatial), if there is one.
        baselines: other reconstructions of the scan by name, each (C, *spatial).
        title: headline.
        view: how images are shown: unit, gray window, the patient's geometry.
        card: more rows of the run card, nested plain data: the prior's card, the patient's code.

    Returns:
        The path written.

    Raises:
        InputError: fewer than two draws, shapes that differ, or a path that cannot be written.
    """
    of_kind(samples, Samples, "samples", "give the samples of a reconstruction, or sf.Samples(draws)")
    measurement, truth = as_measurement(measurement), None if truth is None else as_tensor(truth, "truth")
    baselines = {name: as_tensor(image, f"image '{name}'") for name, image in (baselines or {}).items()}
    _check(samples, truth, baselines)
    page = Page(samples, truth, baselines, view or View())
    check = residual_check(samples, measurement)
    text = render(page.context(check) | {"title": title, "card": run_card(samples, measurement, card or {})})
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write the report to {path} ({error.strerror}); give a path you may write.") from error
    return Path(path)


def _check(samples: Samples, truth: Tensor | None, baselines: Mapping[str, Tensor]) -> None:
    if len(samples.draws) < 2:
        raise InputError("A report shows uncertainty and needs at least two draws; reconstruct with a larger n.")
    shape = tuple(samples.draws.shape[1:])
    for name, image in {**baselines, **({} if truth is None else {"truth": truth})}.items():
        if tuple(image.shape) != shape:
            raise InputError(f"The image '{name}' has shape {tuple(image.shape)} but the draws are images {shape}.")


def render(context: dict[str, Any], template: str = "reconstruction.html") -> str:
    """The text of a page, from one of the templates of ``web/``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("scorefield.reports", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)
