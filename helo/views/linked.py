"""Explorers that look at the same window: one selector, a picture under each tab."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
import numpy as np

from helo import views
from helo.data.emotion_data import EmotionData
from helo.evaluation.confidence import Confidence
from helo.models import EmotionModel
from helo.models.helo import HeLo
from helo.views.boxes import CONTROL, Explorer
from helo.views.explore import epsilons, live
from helo.views.walks import Walk

_KEPT, _DROPPED = "as recorded", "dropped"
_UNSEEN = {"display": "none"}


def one_window(model: EmotionModel, data: EmotionData, index: Sequence[int]) -> widgets.VBox:
    """One window on its way through a trained model (`views.through`); a click on the curve of KL goes to another.

    Args:
        model: a trained model.
        data: the data set.
        index: the windows to go through, such as `split.test`.
    """
    walk = views.walk(model, data, index)
    window = selector(walk)
    return _clickable(live(_through(walk, _recordings(walk.data)), window=window), window)


def selector(walk: Walk) -> widgets.SelectionSlider:
    """A slider over the windows of a walk, each by its number in the data set; the value is its row."""
    options = [(f"{number}", row) for row, number in enumerate(walk.index)]
    return widgets.SelectionSlider(options=options, description="window", layout=widgets.Layout(width="100%"))


def linked(
    walk: Walk, snapshots: Sequence[np.ndarray] = (), sure: Confidence | None = None, epoch: int | None = None
) -> widgets.VBox:
    """All explorers of a trained model under tabs, the selected window the same in each.

    Only the picture that is seen is drawn; one that comes to be seen is drawn then.

    Args:
        walk: from `views.walk`.
        snapshots: R(E) after every epoch, where they were kept.
        sure: how sure the answers are, where it is known.
        epoch: the epoch whose weights the model has; default the last.
    """
    window = selector(walk)
    makers = _makers(walk, snapshots, sure, epoch)
    own = [widgets.IntText(layout=_UNSEEN) for _ in makers]
    # also in its tab: whoever closes all that is there closes those of explorers that were not made
    tab = widgets.Tab([widgets.Box([number]) for number in own], titles=list(makers))

    def seen(_):
        k = tab.selected_index or 0
        own[k].value = window.value
        if tab.children[k].children == (own[k],):
            box = list(makers.values())[k](own[k])
            box.layout.width = "100%"
            tab.children[k].children = [_clickable(box, window) if k == 0 else box, own[k]]

    seen(None)
    tab.observe(seen, names="selected_index")
    window.observe(seen, names="value")
    return widgets.VBox([window, tab], layout=widgets.Layout(width="100%"))


def _makers(walk: Walk, snapshots, sure, epoch) -> Mapping[str, Callable[[widgets.Widget], widgets.VBox]]:
    """Tab -> what makes its explorer of the widget that holds the window's row."""
    model, data = walk.model, walk.data
    recording = _recordings(data)
    makers = {
        "one window": lambda window: live(_through(walk, recording), window=window),
        "data": lambda window: live(_window(walk, recording), window=window),
        "answers": lambda window: live(
            _answer(walk, sure),
            window=window,
            **{m: widgets.Dropdown(options=[_KEPT, _DROPPED], description=m, **CONTROL) for m in data.signals},
        ),
    }
    if isinstance(model, HeLo) and model.transport != "none":
        makers["transport"] = lambda window: live(
            lambda window, epsilon: views.transport(model, data, int(walk.index[window]), epsilon),
            window=window,
            epsilon=epsilons(model),
        )
    if isinstance(model, HeLo) and model.correlation != "per-sample":
        makers["label correlation"] = lambda _: _correlation(model, data, snapshots, epoch)
    return makers


def _through(walk, recording):
    return lambda window: views.through(walk, window, recording(walk.data.subjects[walk.index[window]]))


def _window(walk, recording):
    def draw(window):
        index = int(walk.index[window])
        return views.window(walk.data, index, recording(walk.data.subjects[index]))

    return draw


def _answer(walk, sure):
    def draw(window, **modalities):
        instead: dict[str, int | None] = {m: None for m, choice in modalities.items() if choice == _DROPPED}
        return views.answer(walk.model, walk.data, int(walk.index[window]), instead, walk.kl, sure)

    return draw


def _correlation(model, data, snapshots, epoch):
    from helo.views.explore import correlation

    last = model.learned_correlation().detach().cpu().numpy()
    return correlation(list(snapshots) or [last], model.target_correlation.cpu().numpy(), data, epoch)


def _recordings(data: EmotionData):
    """subject -> raw signals or None; the last two people's are kept."""
    return functools.lru_cache(2)(lambda subject: None if data.recording is None else data.recording(subject))


def _clickable(box: Explorer, window: widgets.SelectionSlider) -> Explorer:
    """Let a click on the picture's first curve select that window."""
    box.on_click(1, lambda point: setattr(window, "value", point["index"]))
    return box
