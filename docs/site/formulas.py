"""Formulas as MathML, which browsers draw themselves: no script, and nothing to fetch."""

from docutils import nodes
from sphinx.util import logging

from helo.batch.notebook_page import mathml

LOGGER = logging.getLogger(__name__)


def _visit(display):
    def visit(self, node):
        found = mathml(node.astext(), display)
        if found.startswith("<code>"):  # as it stands where latex2mathml does not understand it
            LOGGER.warning("no MathML for the formula %r", node.astext(), location=node)
        self.body.append(f'<div class="helo-math">{found}</div>' if display == "block" else found)
        raise nodes.SkipNode

    return visit


def setup(app):
    """The renderer that conf.py names."""
    app.add_html_math_renderer("mathml", (_visit("inline"), None), (_visit("block"), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
