"""Sphinx configuration; `make docs` builds with warnings as errors."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from scorefield import __version__

project = "scorefield"
author = "The scorefield developers"
copyright = author
version = release = __version__

sys.path.insert(0, str(Path(__file__).parent))  # for formulas, gallery_setup

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "formulas",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_preserve_defaults = True
autodoc_type_aliases = {"Spread": "Spread", "Vjp": "Vjp"}
napoleon_numpy_docstring = False
napoleon_custom_sections = [("References", "notes")]

# strings, not objects: the configuration must survive pickling
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "gallery_out",
    "within_subsection_order": "gallery_setup.Order",
    "reset_modules": ("matplotlib", "gallery_setup.reset"),
    "capture_repr": (),  # a page prints what it wants to show
    "image_srcset": ["2x"],
    "write_computation_times": False,
    "show_signature": False,
    "remove_config_comments": True,
    "download_all_examples": False,
}

html_math_renderer = "mathml"  # of formulas.py
html_theme = "pydata_sphinx_theme"
html_title = "scorefield"
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": []}

TABLE = "<!-- the table of methods -->"
_LITERAL = re.compile(r"(``.*?``|:\w+:`.*?`|`.*?`_?)")
_SHAPE = re.compile(r"(?<![\w\\*])\*(?=[A-Za-z_]+\b(?!\*))")  # (B, C, *spatial), but not *emphasis*


def escape_shapes(app, what, name, obj, options, lines):
    """Escape ``(C, *spatial)`` and ``|x|``: docstrings are written for readers of code, not for markup."""
    in_math, indent = False, 0
    for i, line in enumerate(lines):
        margin = len(line) - len(line.lstrip())
        if line.strip().startswith(".. math::"):
            in_math, indent = True, margin
        elif line.strip() and margin <= indent:
            in_math = False
        if in_math:
            continue
        parts = _LITERAL.split(line)
        parts[::2] = [_SHAPE.sub(r"\\*", part).replace("|", r"\|") for part in parts[::2]]
        lines[i] = "".join(parts)


def fill_table(app, docname, source):
    """Put the table of the code where the page on the command line asks for it."""
    if docname == "command_line":
        from scorefield.cli.methods import table

        assert TABLE in source[0]
        source[0] = source[0].replace(TABLE, table())


def setup(app):
    app.connect("source-read", fill_table)
    app.connect("autodoc-process-docstring", escape_shapes, priority=900)
