"""A model that listens: signals running, its answer moving, and what it is not sure of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from helo.live import Answer, Replay, Session, Setup, Tail, run
from helo.views import figures
from helo.views.boxes import CONTROL, Explorer
from helo.views.palette import BLUE, GREEN, ORANGE, PINK, VERMILION, emotion_colours
from helo.views.panels import ABSENT, INK, NAMES, axis, bars, finish, panels, room
from helo.views.windows import _extremes

#: seconds of answers that are drawn; seconds between two pictures
_PAST, _PICTURE = 120.0, 0.25
#: pixels of a signal's row, between rows, above and below
_ROW, _GAP, _ABOVE, _BELOW = 84, 34, 72, 55
#: a modality's colour, in its signal and in how far it lies from training
_COLOURS = (BLUE, ORANGE, VERMILION, GREEN, PINK)


def listening(setup: Setup, answers: Sequence[Answer], tail: Tail) -> go.Figure:
    """What came in the window that just ended, what the model says of it, and how that has moved.

    Args:
        setup: how signals become windows.
        answers: so far, at least one; the last minutes are drawn.
        tail: raw signals of the last window.

    Raises:
        ValueError: there is no answer yet.

    Returns:
        On the left a row a modality: its raw signal, grey over the tokens that are not there. On the right the answer
        now, with the band in which the shares are expected where that is known; the answers of the last two minutes;
        how far each modality lies from training (above 1: farther than any training person), or, where nobody says
        that, what share of its tokens is there.
    """
    if not answers:
        raise ValueError(
            "there is no answer to draw yet; expected a source that lasts until the first, a second or more"
        )
    modalities, last = list(setup.rates), answers[-1]
    rows = len(modalities)
    inside = max(_ROW * rows + _GAP * (rows - 1), round(12 * len(setup.emotions) / 0.34))  # a name takes 12 pixels
    row = (inside - _GAP * (rows - 1)) / rows
    domains = [[max(0.0, 1 - (r * (row + _GAP) + row) / inside), 1 - r * (row + _GAP) / inside] for r in range(rows)]
    right = [[0.69, 1.0], [0.33, 0.52], [0.0, 0.19]]
    frame = panels(max(rows, 3), 2, horizontal_spacing=0.12)
    traces: list[dict] = []
    shapes: list[dict] = []
    layout: dict[str, dict] = {name: {"visible": False} for name in frame if name[1:5] == "axis"}
    left_edge, middle = [0.0, 0.47], [0.5 + room(setup.emotions) / 900, 1.0]
    for r, m in enumerate(modalities):
        n = axis(1 + 2 * r)
        drawn, marks, own = _signal(setup, tail, m, last, n)
        traces += drawn
        shapes += marks
        own[f"xaxis{n}"] |= {"domain": left_edge, "anchor": f"y{n}", "showticklabels": r == rows - 1}
        own[f"xaxis{n}"] |= {"title": "time (s)" if r == rows - 1 else ""}
        own[f"yaxis{n}"] |= {"domain": domains[r], "anchor": f"x{n}"}
        layout |= own
    past = [a for a in answers if a.time > last.time - _PAST]
    for k, (drawn, own) in enumerate((_now(setup, last), _moved(setup, past), _unsure(setup, past))):
        n = axis(2 + 2 * k)
        traces += [trace | {"xaxis": f"x{n}", "yaxis": f"y{n}"} for trace in drawn]
        layout[f"xaxis{n}"] = own["x"] | {"domain": middle, "anchor": f"y{n}"}
        layout[f"yaxis{n}"] = own["y"] | {"domain": right[k], "anchor": f"x{n}"}
    height = inside + _ABOVE + _BELOW
    return finish(
        frame,
        traces,
        _title(last),
        height,
        shapes=shapes,
        margin={"l": 75, "r": 20, "t": _ABOVE, "b": _BELOW},
        **layout,
    )


def _title(last):
    told = last.told
    what = "; ".join(told[:2]) + (f"; and {len(told) - 2} more" if len(told) > 2 else "") if told else "all is well"
    return f"{last.time:.0f} s: answered {1000 * last.delay:.0f} ms after the window's end<br><sup>{what}</sup>"


def _signal(setup, tail, m, last, n):
    """A modality's lines, grey over its tokens that are not there, and its axes."""
    stamps, samples = tail.signal(m)
    begin = last.time - setup.cut.window
    inside = (stamps >= begin) & (stamps <= last.time)
    stamps, samples = stamps[inside], samples[inside]
    rows: list[dict] = []
    ticks = np.zeros(0)
    if len(stamps) and np.isfinite(samples).any():
        keep, (drawn, ticks) = _extremes(samples), figures.lanes(samples)
        color = _COLOURS[list(setup.rates).index(m) % len(_COLOURS)]
        line = {"type": "scatter", "mode": "lines", "line": {"width": 1.2, "color": color}, "hoverinfo": "skip"}
        line |= {"xaxis": f"x{n}", "yaxis": f"y{n}"}
        rows = [line | {"x": stamps[row], "y": drawn[row, k]} for k, row in enumerate(keep.T)]
    shades = [
        {
            "type": "rect",
            "xref": f"x{n}",
            "yref": f"y{n} domain",
            "x0": begin + t * setup.length,
            "x1": begin + (t + 1) * setup.length,
            "y0": 0,
            "y1": 1,
            "fillcolor": ABSENT,
            "opacity": 0.45,
            "line": {"width": 0},
        }
        for t in np.flatnonzero(~last.there[m])
    ]
    unit = setup.units.get(m, "")
    own: dict[str, Any] = {"title": f"{m} ({unit})" if unit else m}
    if len(ticks) > 1:
        own |= {"showticklabels": False}
    return rows, shades, {f"xaxis{n}": {"range": [begin, last.time]}, f"yaxis{n}": own}


def _now(setup, last):
    """Bars of the answer, with the band in which the shares are expected."""
    said = np.zeros(len(setup.emotions)) if last.distribution is None else last.distribution
    bar = bars(setup.emotions, said, "now")
    if last.band is not None and last.band < 1 and last.distribution is not None:
        up, down = np.minimum(1 - said, last.band), np.minimum(said, last.band)
        whisker = {"type": "data", "symmetric": False, "array": up, "arrayminus": down}
        bar |= {"error_x": whisker | {"thickness": 1.2, "width": 3, "color": INK}}
    side = NAMES | {"range": [len(setup.emotions) - 0.5, -0.5], "dtick": 1, "tickfont": {"size": 9}}
    most = float(np.max(said)) + (last.band or 0 if "error_x" in bar else 0)
    return [bar], {"x": {"title": "share now", "range": [0, min(1.0, max(0.2, 1.05 * most))]}, "y": side}


def _moved(setup, past):
    """Each emotion's share over the last answers."""
    times = [a.time for a in past]
    blank = np.full(len(setup.emotions), np.nan)
    shares = np.stack([blank if a.distribution is None else a.distribution for a in past])
    line = {"type": "scatter", "mode": "lines", "hovertemplate": "%{x:.0f} s: %{y:.2f}"}
    lines = [
        line | {"x": times, "y": shares[:, k], "name": name, "line": {"width": 2, "color": color}}
        for k, (name, color) in enumerate(emotion_colours(setup.emotions).items())
    ]
    return lines, {"x": {"range": _span(past), "showticklabels": False}, "y": {"title": "share", "rangemode": "tozero"}}


def _unsure(setup, past):
    """How far each modality lies from training; without that, how much of it is there."""
    times, known = [a.time for a in past], any(a.strange for a in past)
    line = {"type": "scatter", "mode": "lines", "hovertemplate": "%{x:.0f} s: %{y:.2f}"}
    lines = [
        line
        | {"x": times, "y": [a.strange.get(m, np.nan) if known else a.seen[m] for a in past], "name": m}
        | {"line": {"width": 2, "color": _COLOURS[k % len(_COLOURS)]}}
        for k, m in enumerate(setup.rates)
    ]
    if known:
        limit = {"x": _span(past), "y": [1, 1], "line": {"width": 1, "dash": "dot", "color": INK}}
        lines.append({"type": "scatter", "mode": "lines", "hoverinfo": "skip", "name": "limit"} | limit)
    title = "strangeness" if known else "share seen"
    return lines, {"x": {"range": _span(past), "title": "time (s)"}, "y": {"title": title, "rangemode": "tozero"}}


def _span(past):
    return [min(past[0].time, past[-1].time - 10), past[-1].time]


class Listening(Explorer):
    """`listening` that runs: Listen starts and pauses a replay, a button for each sensor unplugs it.

    Args:
        session: a new session.
        source: a replay of infinite speed, its default; the box itself waits between pictures, by its own speed.
        speed: seconds of the recording in a second, to begin with.
        first: seconds that have gone by when it is first seen.

    Raises:
        ValueError: the source ends before the first answer.
    """

    def __init__(self, session: Session, source: Replay, speed: float = 4.0, first: float = 30.0):
        self.session, self.source = session, source
        self.tail, self.answers = Tail(session.setup, session.setup.cut.window, session.start), list[Answer]()
        self._coming: Iterator[Answer] = run(session, self.tail.watch(source))
        self._task: asyncio.Task | None = None
        self.listen = widgets.ToggleButton(description="Listen", icon="play", layout={"width": "auto"})
        speeds = sorted({1.0, 2.0, 4.0, 10.0, speed})
        self.speed = widgets.Dropdown(options=speeds, value=speed, description="speed", **CONTROL)
        self.plugs = {
            m: widgets.ToggleButton(description=f"unplug {m}", icon="unlink", layout={"width": "auto"})
            for m in session.setup.rates
        }
        self._advance(first)
        controls = [widgets.HBox([self.listen, *self.plugs.values()], layout={"flex_flow": "row wrap"}), self.speed]
        super().__init__(controls, listening(session.setup, self.answers, self.tail))
        for m, plug in self.plugs.items():
            plug.observe(lambda change, m=m: self._plug(m, change["new"]), names="value")
        self.listen.observe(self._toggled, names="value")

    def _plug(self, m, out):
        """A sensor that is off sends nothing; plugged in again, what it sends from then on."""
        (self.source.unplugged.add if out else self.source.unplugged.discard)(m)

    def _advance(self, seconds):
        """Go on so far at once; False at the recording's end."""
        until = (self.answers[-1].time if self.answers else 0.0) + seconds
        for answer in self._coming:
            self.answers.append(answer)
            del self.answers[: -int(2 * _PAST)]
            if answer.time >= until:
                return True
        return False

    def step(self, seconds: float = 1.0) -> bool:
        """Go on by some seconds and draw; False at the recording's end."""
        more = self._advance(seconds)
        self.draw(listening(self.session.setup, self.answers, self.tail))
        return more

    def _toggled(self, change):
        if change["new"]:
            self._task = asyncio.get_running_loop().create_task(self._listened())
        elif self._task is not None:
            self._task.cancel()

    async def _listened(self):
        """Real time, times the speed; the kernel hears the buttons in between."""
        then, due = time.monotonic(), 1.0
        while self.step(seconds := max(1, round(due))):
            speed = self.speed.value
            await asyncio.sleep(max(_PICTURE, 1 / speed - (time.monotonic() - then)))
            now = time.monotonic()
            # the step's own time counts, but no more than a second is made up for: where a step takes longer than what
            # it steps over, each would be longer than the one before, until no button is heard
            due, then = min(due - seconds + (now - then) * speed, 1 + speed), now
        self.listen.value = False
