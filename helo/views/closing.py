"""Closing what was shown."""

from __future__ import annotations

import ipywidgets as widgets


def close(widget: widgets.Widget) -> None:
    """Close a widget and all in it.

    What is only taken out of its box, or is in one that is closed, stays in ipywidgets' registry as long as the kernel
    runs, with the data and the model that its controls draw from.
    """
    held = [getattr(widget, name, None) for name in ("layout", "style")]
    for part in (*getattr(widget, "children", ()), *held):
        if part is not None:
            close(part)
    widget.close()
