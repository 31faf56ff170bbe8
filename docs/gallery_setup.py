"""What sphinx-gallery asks of us: the order of the pages, and a clean slate before each."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib.style
import torch
from sphinx.errors import ConfigError

STYLE = Path(__file__).parent / "gallery" / "gallery.mplstyle"
PAGES = (
    "plot_score_functions.py",
    "plot_density_from_score.py",
    "plot_memorizing_sampler.py",
    "plot_gamma.py",
    "plot_kde_score.py",
    "plot_fit_mixture.py",
    "plot_sliced.py",
    "plot_noise_conditional.py",
    "plot_langevin_mixture.py",
    "plot_annealed_langevin.py",
    "plot_posterior_langevin.py",
    "plot_annealed_hmc.py",
    "plot_map_ascent.py",
    "plot_likelihood_is_not_enough.py",
    "plot_rectangle_toy.py",
    "plot_patch_denoising.py",
    "plot_epll.py",
    "plot_shape_shift.py",
    "plot_amplitude_shift.py",
    "plot_methods_mr.py",
    "plot_methods_ct.py",
)


class Order:
    """Pages in the order of ``PAGES``, which is the order in which the subject is taught."""

    def __init__(self, src_dir: str):
        del src_dir

    def __call__(self, name: str) -> int:
        if name not in PAGES:
            raise ConfigError(f"{name} has no place in the gallery yet; add it to PAGES in docs/gallery_setup.py.")
        return PAGES.index(name)


def reset(gallery_conf: dict, page: str | None) -> None:
    """The gallery's style, one thread, torch's own defaults and seed; a warning on a page is an error."""
    del gallery_conf, page
    matplotlib.style.use(STYLE)
    torch.set_num_threads(1)  # the same figures on every machine
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    for module in ("__main__", r"scorefield(\..*)?"):
        warnings.filterwarnings("error", module=rf"{module}$")
    warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")  # pages end with plt.show()
