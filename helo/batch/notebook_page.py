"""An executed notebook as one HTML page: plots, pictures and formulas without the network."""

from __future__ import annotations

import html
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from helo.batch.offline import part, policy

PLOT = "application/vnd.plotly.v1+json"


def notebook_page(file: str | Path) -> str:
    """The page of an executed notebook.

    Formulas become MathML (latex2mathml), which browsers draw themselves; plots keep their data and are drawn by
    plotly's script, which is in the page once if there is one. Scripts of the notebook's own outputs do not run.

    Args:
        file: the notebook.
    """
    import nbformat
    from jinja2 import DictLoader

    notebook = nbformat.read(file, as_version=4)
    plots = place_plots(notebook)
    exporter = _exporter()(
        embed_images=True,
        template_file="helo.html.j2",
        extra_loaders=[DictLoader({"helo.html.j2": part("notebook.html.j2")})],
    )
    page, _ = exporter.from_notebook_node(
        notebook, {"metadata": {"name": Path(file).stem, "path": str(Path(file).parent)}}
    )
    scripts = []
    if plots:
        from plotly.offline import get_plotlyjs

        scripts = [get_plotlyjs(), part("plots.js")]
    head, body = re.search("<head>", page), page.rindex("</body>")
    assert head is not None, "nbconvert's own template"
    elements = "".join(f"<script>{script}</script>" for script in scripts)
    return page[: head.end()] + policy(*scripts) + page[head.end() : body] + elements + page[body:]


def place_plots(notebook: Any) -> int:
    """Give a notebook's plots a place and their data, and its pictures the name of what they stand under.

    Args:
        notebook: from nbformat; its outputs are changed. page/plots.js draws the plots.

    Returns:
        The number of plots.
    """
    plots, heading = 0, ""
    for cell in notebook.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            heading = line.lstrip("# ") if line.startswith("#") else heading
        kept = []
        for output in cell.get("outputs", []):
            data: dict[str, Any] = output.get("data", {})
            if PLOT in data:
                figure = data.pop(PLOT)
                height = figure.get("layout", {}).get("height", 450)
                data.clear()
                data["text/html"] = _place(figure, height, f"{heading}: an interactive plot")
                plots += 1
            elif "cdn.plot.ly" in "".join(data.get("text/html", "")):  # plotly's own way to its script
                continue
            if "image/png" in data:
                output.setdefault("metadata", {}).setdefault("alt", f"{heading}: a picture")
            kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    return plots


def _place(figure, height, name):
    content = json.dumps(figure).replace("<", "\\u003c")  # no "</script>" inside
    return (
        f'<div class="helo-plot" role="figure" aria-label="{html.escape(name)}" style="height:{float(height):g}px">'
        f"</div>"
        f'<script type="application/json">{content}</script>'
    )


def _exporter():
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body):
            return mathml(body, "block")

        def inline_math(self, body):
            return mathml(body, "inline")

        def latex_environment(self, name, body):
            return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")

    class Exporter(HTMLExporter):
        def default_filters(self):
            yield from super().default_filters()
            yield "markdown2html", lambda source: MarkdownWithMath(Renderer(escape=False)).render(source)

    return Exporter


def mathml(formula: str, display: str) -> str:
    """MathML of a formula, or the formula as code where latex2mathml does not understand it.

    Args:
        formula: LaTeX, without its dollars.
        display: "inline" or "block".
    """
    from latex2mathml.converter import convert

    with suppress(Exception):
        found = convert(re.sub(r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}", formula.strip()), display=display)
        if "\\" not in found:  # as it leaves commands that it does not know
            return found
    return f"<code>{html.escape(formula)}</code>"
