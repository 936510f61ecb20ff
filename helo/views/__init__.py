"""Pictures: `figures` to save (matplotlib), the functions here to look at (plotly), `explore` puts sliders on them.
`source` shows the code behind a name.

Nothing is imported before it is asked for, so saved pictures need no plotly.
"""

import importlib

# function -> the file it is in
_PICTURES = {
    "answer": "answers",
    "architecture": "architectures",
    "by_person": "dots",
    "correlation": "labels",
    "history": "curves",
    "question": "questions",
    "source": "sources",
    "through": "one_window",
    "transport": "plans",
    "walk": "walks",
    "what_if": "answers",
    "window": "windows",
}

__all__ = list(_PICTURES)


def __getattr__(name):
    if name not in _PICTURES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"helo.views.{_PICTURES[name]}"), name)
