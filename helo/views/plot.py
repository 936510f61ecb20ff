"""A picture of plotly's in a page, which takes as long to load as it needs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go
import traitlets

from helo.views.closing import close
from helo.views.panels import CONFIG

_held: list[widgets.Label] = []


def _script() -> widgets.Label:
    """plotly.js, 5 MB, sent once for all pictures of a kernel."""
    if not _held or _held[0].comm is None:  # none yet, or somebody has closed all widgets
        _held[:] = [widgets.Label((files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8"))]
    return _held[0]


def _text(picture: go.Figure) -> str:
    if picture.frames:
        raise ValueError(f"the picture has {len(picture.frames)} frames; expected none: a control draws each")
    return picture.to_json()


class Plot(anywidget.AnyWidget):
    """Shows a picture, and says where it is clicked.

    plotly's own FigureWidget brings plotly.js as its module, and anywidget passes on no message, ever, to a widget
    whose module takes over two seconds to load: on a busy machine its picture stays empty and its sliders dead, without
    a word. Here the module is small, and plotly.js and the picture are held by widgets of Jupyter's own, to which that
    does not apply: whatever the page has missed, it draws what the picture is now.

    In the page it also fits the picture to the cell, when that changes, and gives a slider's handle beside it a name
    and the text of its value, which it lacks for who hears the page (it says its place, -0.7 for an epsilon of 0.2).

    Args:
        picture: what to show.

    Raises:
        ValueError: a picture with frames, which nothing here would play.
    """

    _esm = """
    async function load(text) {
      const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      const before = window.Plotly;
      try {
        await import(url);
        return window.Plotly;
      } finally {
        URL.revokeObjectURL(url);
        if (before) window.Plotly = before;
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
    function render({ model, el }) {
      const held = trait => model.widget_manager.get_model(model.get(trait).replace("IPY_MODEL_", ""));
      let box = null, shown = null, plotly = null, drawn = 0, gone = false;
      const words = new MutationObserver(() => name(box));
      const size = new ResizeObserver(() => {
        if (!el.parentElement) return;
        if (!box) {
          box = el.parentElement;
          box.classList.add("helo-explorer");
          const changes = { subtree: true, childList: true, characterData: true, attributeFilter: ["aria-valuetext"] };
          for (const child of box.children) if (child !== el) words.observe(child, changes);
          name(box);
        }
        if (plotly && el.clientWidth && Math.abs(el.clientWidth - drawn) > 1) {
          plotly.relayout(el, { width: (drawn = el.clientWidth) });
        }
      });
      async function draw() {
        const { data, layout } = JSON.parse(shown.get("value"));
        drawn = el.clientWidth;
        if (drawn) layout.width = drawn; // else it is not in the page yet, or under another tab
        await plotly.react(el, data, layout, model.get("config"));
        el.removeListener("plotly_click", click);
        el.on("plotly_click", click);
      }
      function click({ points }) {
        model.send(points.map(p => ({ trace: p.curveNumber, index: p.pointNumber, x: p.x, y: p.y })));
      }
      async function begin() {
        const text = (await held("script")).get("value");
        const known = (window.heloPlotly ??= {}), version = text.slice(0, 99); // kernels of one page may have several
        known[version] ??= load(text).catch(error => { delete known[version]; throw error; });
        shown = await held("shown");
        const loaded = await known[version];
        if (gone) return;
        plotly = loaded;
        shown.on("change:value", draw);
        await draw();
      }
      el.classList.add("helo-plot");
      size.observe(el);
      begin().catch(error => {
        if (gone) return; // what it was to show may be gone, too
        if (!plotly) el.textContent = `The picture cannot be drawn: ${error.message}`;
        throw error;
      });
      return () => {
        gone = true;
        size.disconnect();
        words.disconnect();
        shown?.off("change:value", draw);
        plotly?.purge(el);
      };
    }
    export default { render };
    """
    _css = """
    .helo-explorer { flex-flow: row wrap !important; column-gap: 1.5em; overflow: auto hidden; }
    .helo-explorer > .helo-plot { flex: 1 1 100%; min-width: 560px; }
    .helo-explorer .main-svg > g:not(.hoverlayer) text { fill: var(--jp-ui-font-color1, currentColor) !important; }
    """
    script = traitlets.Instance(widgets.Label).tag(sync=True, **widgets.widget_serialization)
    shown = traitlets.Instance(widgets.Label).tag(sync=True, **widgets.widget_serialization)
    config = traitlets.Dict(CONFIG).tag(sync=True)

    def __init__(self, picture: go.Figure):
        super().__init__(script=_script(), shown=widgets.Label(_text(picture)))

    def show(self, picture: go.Figure) -> None:
        """Show another picture."""
        self.shown.value = _text(picture)

    def close(self) -> None:
        """Take it out of every page, and the picture it holds."""
        close(self.shown)
        super().close()

    def on_click(self, clicked: Callable[[list[dict[str, Any]]], None]) -> None:
        """Call clicked(points) at a click: which "trace" of the picture, which "index" in it, and its "x" and "y"."""
        self.on_msg(lambda _, points, __: clicked(points))
