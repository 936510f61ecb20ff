"""The box that an explorer stands in: controls in a row that wraps, the picture below, as wide as the cell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
import plotly.io
from IPython.display import HTML, display

from helo.views.plot import Plot

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


class Explorer(widgets.VBox):
    """Controls, and below them a picture; in a notebook that is opened without its kernel, the picture as it was last.

    Args:
        controls: widgets.
        picture: what to begin with, and later what is shown now; the last of the box's children shows it.
    """

    def __init__(self, controls: Sequence[widgets.Widget], picture: go.Figure):
        self.picture = picture
        super().__init__([*controls, Plot(picture)])
        self._kept, self._due = None, None

    def _ipython_display_(self) -> None:
        display(self._repr_mimebundle_() | {"text/plain": ""}, raw=True)
        display(HTML(_STILL))
        self._kept = display(self._still(), raw=True, display_id=True)

    def _still(self):
        return plotly.io.renderers["plotly_mimetype"].to_mimebundle(self.picture.to_plotly_json())

    def on_click(self, count: int, clicked: Callable[[dict[str, Any]], None]) -> None:
        """Call clicked(point) at a click on one of the first `count` traces, with what `Plot.on_click` tells of it."""

        def told(points):
            for point in [point for point in points if point["trace"] < count][:1]:
                clicked(point)

        self.children[-1].on_click(told)

    def draw(self, picture: go.Figure) -> None:
        """Show another picture; once it has not changed for a second, it is the one that the notebook keeps."""
        self.picture = picture
        self.children[-1].show(picture)
        if self._due is not None:
            self._due.cancel()
        if self._kept is not None:  # in a notebook, whose kernel has a loop
            self._due = asyncio.get_running_loop().call_later(_REST, lambda: self._kept.update(self._still(), raw=True))
