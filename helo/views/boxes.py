"""The box that an explorer stands in: controls in a row that wraps, the picture below, as wide as the cell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go
import plotly.io
from IPython.display import HTML, display

from helo.views.panels import CONFIG

#: how a control stands in the row
CONTROL: dict[str, Any] = {
    "layout": {"width": "auto", "min_width": "0", "flex": "1 1 15em", "max_width": "26em"},
    "style": {"description_width": "initial"},
}
#: seconds without a move, after which the picture is kept
_REST = 1.0

# Without its kernel JupyterLab says "model not found" in the widget's place, or "loading" for ever: that is hidden, and
# so is the picture that is kept beside it while the widget, which marks itself with the class helo-explorer, is there.
_STILL = """<style>
.jp-OutputArea:has(.helo-still):has(.helo-explorer) > .jp-OutputArea-child:has(> .jp-RenderedPlotly),
.jp-OutputArea:has(.helo-explorer) > .jp-OutputArea-child:has(.helo-still),
.jp-OutputArea:has(.helo-still):not(:has(.helo-explorer)) > .jp-OutputArea-child:has(> .lm-Panel) { display: none }
.jp-OutputArea:has(.helo-still) .plot-img { max-width: 100% }
.jp-OutputArea:has(.helo-still) .main-svg > g:not(.hoverlayer) text { fill: var(--jp-ui-font-color1) !important }
</style><p class="helo-still">The picture as it was last. Run this cell and those above it to move it.</p>"""


class _Page(anywidget.AnyWidget):
    """What only the browser knows, an empty child of the box.

    plotly's widget is drawn before it is in the page, 700 pixels wide, and asks again only when the window changes: not
    for a sidebar that opens, nor for a tab. This watches the box, and passes each change on as a change of the window.
    And a slider's handle has no name for who hears the page, and says its place rather than its value (-0.7 for an
    epsilon of 0.2): it is given the text beside it.
    """

    _esm = """
    function fit(box) {
      for (const plot of box.querySelectorAll(".js-plotly-plot")) {
        const drawn = plot.querySelector(".main-svg");
        if (drawn && plot.clientWidth && Math.abs(drawn.clientWidth - plot.clientWidth) > 1) {
          delete plot.layout.width; // plotly notes it when a picture is drawn anew, and then keeps it
          window.dispatchEvent(new Event("resize"));
        }
      }
    }
    function name(box) {
      for (const handle of box.querySelectorAll(".noUi-handle")) {
        const slider = handle.closest(".widget-inline-hbox");
        const said = { "aria-label": ".widget-label", "aria-valuetext": ".widget-readout" };
        for (const [attribute, where] of Object.entries(said)) {
          const text = slider?.querySelector(where)?.textContent.trim();
          if (text && handle.getAttribute(attribute) !== text) handle.setAttribute(attribute, text);
        }
      }
    }
    function render({ el }) {
      let box = null;
      const words = new MutationObserver(() => name(box));
      const size = new ResizeObserver(() => {
        if (!el.parentElement) return;
        if (!box) {
          box = el.parentElement;
          box.classList.add("helo-explorer");
          size.observe(box);
          const changes = { subtree: true, childList: true, characterData: true, attributeFilter: ["aria-valuetext"] };
          for (const child of box.children)
            if (!child.matches(".js-plotly-plot")) words.observe(child, changes);
          name(box);
        }
        fit(box);
      });
      el.style.width = "100%";
      size.observe(el);
      return () => { size.disconnect(); words.disconnect(); };
    }
    export default { render };
    """
    _css = """
    .helo-explorer { flex-flow: row wrap !important; column-gap: 1.5em; overflow: auto hidden; }
    .helo-explorer > .js-plotly-plot { flex: 1 1 100%; min-width: 560px; }
    .helo-explorer .main-svg > g:not(.hoverlayer) text { fill: var(--jp-ui-font-color1, currentColor) !important; }
    """


class Explorer(widgets.VBox):
    """Controls, and below them a picture; in a notebook that is opened without its kernel, the picture as it was last.

    Args:
        controls: widgets.
        picture: what to begin with; the last of the box's children is a widget that shows it.
    """

    def __init__(self, controls: Sequence[widgets.Widget], picture: go.Figure):
        figure = go.FigureWidget(picture)
        figure._config = figure._config | CONFIG  # there is no public way
        super().__init__([*controls, _Page(), figure])
        self._picture, self._kept, self._due = picture, None, None
        self._clicked: tuple[int, Callable] | None = None

    def _ipython_display_(self) -> None:
        display(self._repr_mimebundle_() | {"text/plain": ""}, raw=True)
        display(HTML(_STILL))
        self._kept = display(self._still(), raw=True, display_id=True)

    def _still(self):
        # not the widget's own data: the browser's answers take from them what it has found out by itself
        return plotly.io.renderers["plotly_mimetype"].to_mimebundle(self._picture.to_plotly_json())

    def on_click(self, count: int, clicked: Callable) -> None:
        """Call clicked(trace, points, state) at a click on one of the first `count` traces, of later pictures too."""
        self._clicked = count, clicked
        self._listen()

    def _listen(self):
        count, clicked = self._clicked or (0, None)
        for trace in self.children[-1].data[:count]:
            trace.on_click(clicked)  # in the place of the one before

    def draw(self, picture: go.Figure) -> None:
        """Show another picture; once it has not changed for a second, it is the one that the notebook keeps."""
        self._picture = picture
        show(self.children[-1], picture)
        self._listen()  # of another number of traces all are new
        if self._due is not None:
            self._due.cancel()
        if self._kept is not None:  # in a notebook, whose kernel has a loop
            self._due = asyncio.get_running_loop().call_later(_REST, lambda: self._kept.update(self._still(), raw=True))


def show(figure: go.FigureWidget, new: go.Figure) -> None:
    """Let a picture on the screen become another one."""
    with figure.batch_update():
        if len(figure.data) == len(new.data):
            for old, trace in zip(figure.data, new.data, strict=True):
                old.update(trace.to_plotly_json(), overwrite=True)
        else:
            figure.data = ()
            figure.add_traces(new.data)
        figure.update_layout(new.layout.to_plotly_json(), overwrite=True)  # a new layout would have a fixed width
