"""Equations as MathML, which browsers draw themselves: no script and no network.

`math-core` translates the LaTeX of an equation when the pages are built, to the part of MathML that
all browsers know. LaTeX that cannot be translated ends the build with an error.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from math_core import LatexToMathML
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

_CONVERTER = LatexToMathML()


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write an equation that stands in a line."""
    translator.body.append(_mathml(node, displayed=False))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation that stands alone, with its number and an anchor."""
    attributes = {"CLASS": "math", "ids": node.get("ids", [])}
    translator.body.append(translator.starttag(node, "div", **attributes))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(_mathml(node, displayed=True))
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def _mathml(node: nodes.Element, displayed: bool) -> str:
    return _CONVERTER.convert_with_local_state(node.astext().strip(), displaystyle=displayed)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name by which Sphinx chooses one."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
