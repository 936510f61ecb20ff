"""Pictures with controls, for JupyterLab: thin faces on the pure functions of `helo.views`.

explore.windows(data)                          signals, features and rated distribution of every window
run = await explore.train(model, data, split)        curves while it trains, and a stop button
explore.transport(model, data, split.test)     cost, plans, flows; epsilon on a slider
explore.correlation(snapshots, target, data)   the label correlation over the epochs; click a pair
explore.answers(model, data, split.test)       rated and predicted; what if a modality were missing?
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import signal
import threading
from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from IPython.display import display

from helo import views
from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.evaluation.confidence import Confidence
from helo.evaluation.ensemble import predict
from helo.measures import score
from helo.models import EmotionModel
from helo.models.helo import HeLo
from helo.training import Run, fit
from helo.training.member import most_epochs
from helo.views.boxes import CONTROL, Explorer

__all__ = ["answers", "correlation", "live", "numbers", "tabs", "train", "transport", "windows"]


def live(draw: Callable[..., go.Figure], **controls: widgets.Widget) -> Explorer:
    """A picture that is drawn anew whenever a control moves.

    Args:
        draw: takes the controls' values by name, gives a Figure.
        **controls: ipywidgets with a value.
    """

    def values():
        return {name: control.value for name, control in controls.items()}

    box = Explorer(list(controls.values()), draw(**values()))
    for control in controls.values():
        control.observe(lambda _: box.draw(draw(**values())), names="value")
    return box


def tabs(explorers: Mapping[str, Callable[[], widgets.Widget]]) -> widgets.Tab:
    """Explorers under tabs, each made when its tab is opened first.

    Args:
        explorers: title -> a function without arguments that makes the explorer.
    """
    makers = list(explorers.values())
    tab = widgets.Tab([widgets.Box() for _ in makers], titles=list(explorers))

    def opened(_):
        box = tab.children[tab.selected_index or 0]
        if not box.children:
            box.children = [makers[tab.selected_index or 0]()]

    opened(None)
    tab.observe(opened, names="selected_index")
    return tab


def windows(data: EmotionData) -> Explorer:
    """Look through a data set: who, which window; signals, features, what is missing, what was rated."""
    names = list(dict.fromkeys(data.subjects.tolist()))
    rows = {name: np.flatnonzero(data.subjects == name).tolist() for name in names}

    @functools.lru_cache(2)
    def recording(subject):
        return None if data.recording is None else data.recording(subject)

    subject = widgets.Dropdown(options=names, description="subject", **CONTROL)
    window = numbers(rows[names[0]])
    box = live(lambda window: views.window(data, window, recording(str(data.subjects[window]))), window=window)
    box.children = [subject, *box.children]

    def another(change):
        place = window.index
        window.options = rows[change["new"]]
        window.index = min(place, len(window.options) - 1)

    subject.observe(another, names="value")
    return box


def numbers(index: Sequence[int], description: str = "window") -> widgets.SelectionSlider:
    """A slider over windows, by their numbers in the data set, from 0, as every title has them."""
    return widgets.SelectionSlider(options=[int(k) for k in index], description=description, **CONTROL)


async def train(
    model: EmotionModel, data: EmotionData, split: Split, reference: float | None = None, **settings
) -> Run:
    """`helo.fit` with curves that move while it trains: `run = await explore.train(model, data, split)`.

    The stop button, or the kernel's own, ends training with the best epoch so far; nothing is lost. Training has a
    thread of its own, so that the kernel hears the button.

    Args:
        model, data, split: as for `helo.fit`.
        reference: the training mean's KL on the validation windows, drawn as a line.
        **settings: arguments of `helo.fit` but `progress` and `on_epoch`, which are set here.

    Returns:
        What `helo.fit` gives.
    """
    stop, drawing, loop = threading.Event(), threading.Event(), asyncio.get_running_loop()
    rows: list[dict] = []
    batch = settings.get("batch_size", inspect.signature(fit).parameters["batch_size"].default)
    most = None if model.closed_form else settings.get("epochs") or most_epochs(split, batch)
    button = widgets.Button(description="stop, keep the best epoch", icon="stop", layout=widgets.Layout(width="18em"))
    button.on_click(lambda _: stop.set())
    box = Explorer([button], views.history([], reference=reference, epochs=most))
    display(box)

    def draw():
        drawing.clear()
        box.draw(views.history(list(rows), reference=reference, epochs=most))

    def on_epoch(_, row):
        rows.append(row)
        if not drawing.is_set():  # epochs can be faster than pictures; the button must not wait behind them
            drawing.set()
            loop.call_soon_threadsafe(draw)
        return stop.is_set()

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set()) if main else None
    try:
        run = await asyncio.to_thread(fit, model, data, split, on_epoch=on_epoch, progress=False, **settings)
    finally:
        stop.set()  # for the thread, should this be cancelled
        button.disabled = True
        if main:
            signal.signal(signal.SIGINT, before)
    box.draw(views.history(run.history, run.best_epoch, reference, most))
    return run


def transport(model: HeLo, data: EmotionData, index: Sequence[int], first: int = 0) -> Explorer:
    """HeLo's transport in any of the windows `index`, at first `index[first]`, at any epsilon."""
    window = numbers(index)
    window.value = int(index[first])
    return live(
        lambda window, epsilon: views.transport(model, data, window, epsilon), window=window, epsilon=epsilons(model)
    )


def epsilons(model: HeLo) -> widgets.FloatLogSlider:
    """A slider of epsilon that begins with the model's own, wherever that lies."""
    own = float(np.log10(model.epsilon))
    ends = {"min": min(-2.5, own), "max": max(0.5, own)}
    return widgets.FloatLogSlider(model.epsilon, **ends, step=0.05, description="epsilon", **CONTROL)


def correlation(
    snapshots: Sequence[np.ndarray], target: np.ndarray, data: EmotionData, epoch: int | None = None
) -> Explorer:
    """The learned label correlation, epoch by epoch, beside that of the data; click a pair to see its windows.

    Args:
        snapshots: R(E) after every epoch, each (L, L).
        target: R*, (L, L).
        data: the data set.
        epoch: where to begin; default the last.
    """
    names = list(data.emotions)
    epoch = widgets.IntSlider(epoch or len(snapshots), 1, len(snapshots), description="epoch", **CONTROL)
    first, second = (
        widgets.Dropdown(options=[(name, k) for k, name in enumerate(names)], value=value, description=label, **CONTROL)
        for value, label in ((0, "emotion"), (1, "and emotion"))
    )
    box = live(
        lambda epoch, first, second: views.correlation(
            target, snapshots[epoch - 1], data.distributions, names, (first, second)
        ),
        epoch=epoch,
        first=first,
        second=second,
    )

    def clicked(point):
        second.value, first.value = names.index(str(point["x"])), names.index(str(point["y"]))

    box.on_click(3, clicked)
    return box


def answers(
    model: EmotionModel | Sequence[EmotionModel],
    data: EmotionData,
    index: Sequence[int],
    sure: Confidence | None = None,
) -> Explorer:
    """Rated and predicted distributions, best or worst first; and what the model says if a modality is changed.

    Args:
        model: a trained model, or several that answer together.
        data: the data set.
        index: the windows to go through, such as `split.test`.
        sure: from `helo.evaluation.confidence`: whiskers show the band around the answer.
    """
    said = predict(model, data, np.asarray(index), explain=False).distributions
    kl = score(data.distributions[np.asarray(index)], said, per_window=True)["kl"]
    best = np.argsort(kl, kind="stable")
    orders = {"as recorded": np.arange(len(index)), "best first": best, "worst first": best[::-1]}
    if sure is not None:
        signals, masks = ({m: x[np.asarray(index)] for m, x in group.items()} for group in (data.signals, data.masks))
        orders["least like training first"] = np.argsort(-sure.strange(signals, masks), kind="stable")
    kept, dropped, other = "as recorded", "dropped", "from the window half the set away"
    place = {int(k): row for row, k in enumerate(index)}

    def draw(window, **modalities):
        elsewhere = int(index[(place[window] + len(index) // 2) % len(index)])
        instead = {m: None if choice == dropped else elsewhere for m, choice in modalities.items() if choice != kept}
        return views.answer(model, data, window, instead, kl, sure)

    order = widgets.Dropdown(options=list(orders), description="order", **CONTROL)
    window = numbers(index)
    changes = {m: widgets.Dropdown(options=[kept, dropped, other], description=m, **CONTROL) for m in data.signals}
    box = live(draw, window=window, **changes)
    box.children = [order, *box.children]

    def sort(change):
        window.options = [int(index[row]) for row in orders[change["new"]]]

    order.observe(sort, names="value")
    return box
