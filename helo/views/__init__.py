"""Interactive pictures with plotly, for looking and for batch runs: arrays, data or a model in, a plotly Figure out.

`helo.explore` puts sliders on them. Saved pictures are `helo.figures`' business.
"""

from helo.views.answer import answer, what_if
from helo.views.correlation import correlation
from helo.views.history import history
from helo.views.transport import transport
from helo.views.window import window

__all__ = ["answer", "correlation", "history", "transport", "what_if", "window"]
