"""Formulas as MathML, made when the documentation is built: a reader's browser draws them without network or script."""

from __future__ import annotations

import re

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

# the annotation is the source: a formula can be copied from the page
_CONVERTER = LatexToMathML(annotation=True, fancy_error=False)
_ENVIRONMENT = re.compile(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL)
_ROWS = re.compile(r"\\\\|(?<!\\)&")  # of a formula that is written as aligned lines, outside of any environment
_LOGGER = logging.getLogger(__name__)


def inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_mathml(node.astext(), node, displayed=False))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="formula"))  # the theme moves what it calls math to the right
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})</span>')
    source = node.astext()
    rows = _ROWS.search(_ENVIRONMENT.sub("", source))
    latex = rf"\begin{{aligned}}{source.strip()}\end{{aligned}}" if rows else source
    self.body.append(_mathml(latex, node, displayed=True))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _mathml(latex: str, node: nodes.Element, *, displayed: bool) -> str:
    try:
        return _CONVERTER.convert_with_local_state(latex.strip(), displaystyle=displayed)
    except LatexError as error:  # a warning, and warnings are errors
        _LOGGER.warning("formula %r: %s", latex, error, location=node)
        return nodes.unescape(latex)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
