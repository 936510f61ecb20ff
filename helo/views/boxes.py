"""The box that an explorer stands in: controls in a row that wraps, the picture below, as wide as the cell."""

from __future__ import annotations

from collections.abc import Sequence

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go

from helo.views.panels import CONFIG

#: how a control stands in the row
CONTROL = {
    "layout": {"width": "auto", "flex": "1 1 17em", "max_width": "26em"},
    "style": {"description_width": "initial"},
}


class _Page(anywidget.AnyWidget):
    """What only the browser knows, an empty child of the box: how wide the cell is.

    plotly's widget is drawn before it is in the page, 700 pixels wide, and asks again only when the window changes: not
    for a sidebar that opens, nor for a tab. This watches the box, and passes each change on as a change of the window.
    """

    _esm = """
    function render({ el }) {
      const watch = new ResizeObserver(() => {
        const box = el.parentElement;
        if (!box) return;
        box.classList.add("helo-explorer");
        watch.observe(box);
        for (const plot of box.querySelectorAll(".js-plotly-plot")) {
          const drawn = plot.querySelector(".main-svg");
          if (drawn && plot.clientWidth && Math.abs(drawn.clientWidth - plot.clientWidth) > 1)
            window.dispatchEvent(new Event("resize"));
        }
      });
      el.style.width = "100%";
      watch.observe(el);
      return () => watch.disconnect();
    }
    export default { render };
    """
    _css = """
    .helo-explorer { flex-flow: row wrap !important; column-gap: 1.5em; overflow: auto hidden; }
    .helo-explorer > .js-plotly-plot { flex: 1 1 100%; min-width: 540px; }
    """


class Explorer(widgets.VBox):
    """Controls, and below them a picture.

    Args:
        controls: widgets.
        figure: the picture; the last of the box's children.
    """

    def __init__(self, controls: Sequence[widgets.Widget], figure: go.FigureWidget):
        figure._config = figure._config | CONFIG  # before it is shown: there is no public way yet
        super().__init__([*controls, _Page(), figure])
