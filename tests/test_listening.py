"""The picture of a model that listens, and its buttons, without a browser."""

import asyncio
import dataclasses
import sys
import types

import numpy as np
import pytest

import helo
from helo import live
from helo.data.simulated import EMOTIONS
from helo.views.listening import Listening, listening


class Unsure:
    band = 0.2
    emotions = EMOTIONS

    def by_modality(self, signals, masks):
        return {m: np.array([0.5 + (m == "temp")]) for m in signals}


@pytest.fixture(scope="module")
def parts():
    data = helo.load("simulated", subjects=4, clips=4, seconds=48, seed=0, features="causal")
    model = helo.build("ridge", data)
    helo.fit(model, data, helo.splits.by_subject(data, folds=2)[0])
    return model, live.Setup.of(data, 12.0), data.recording("P1")


def box(parts, confidence=None, **options):
    model, setup, recording = parts
    return Listening(live.Session(model, setup, confidence=confidence), live.replay(recording, setup), **options)


def test_a_picture_shows_the_window_the_answer_and_what_is_unsure(parts):
    shown = box(parts, Unsure(), first=60)
    figure, last = shown.picture, shown.answers[-1]
    assert figure.layout.title.text.startswith("60 s: answered ")
    assert "temp: 1.5 times as far from training" in figure.layout.title.text
    bar = next(t for t in figure.data if t.type == "bar")
    np.testing.assert_allclose(bar.x, last.distribution)
    np.testing.assert_allclose(np.array(bar.error_x.array), np.minimum(0.2, 1 - last.distribution), atol=1e-6)
    pulse = figure.data[0]
    assert pulse.x[0] >= 36 and pulse.x[-1] < 60 and len(pulse.x) > 1000
    strange = [t for t in figure.data if t.name == "temp"]
    assert strange and set(strange[0].y[-30:]) == {1.5}
    assert not figure.layout.shapes, "nothing is grey"


def test_an_unplugged_sensor_goes_grey_token_by_token(parts):
    shown = box(parts, first=60)
    shown.plugs["eda"].value = True
    grey = []
    for _ in range(3):
        assert shown.step(8)
        grey.append(len(shown.picture.layout.shapes))
    assert grey == [2, 4, 6] and "eda: silent for 24 s, not seen" in shown.picture.layout.title.text
    shown.plugs["eda"].value = False
    shown.step(26)
    assert not shown.picture.layout.shapes and "all is well" in shown.picture.layout.title.text
    gap = next(t for t in shown.picture.data if t.yaxis == "y3")
    assert len(gap.x) and min(gap.x) >= 84


def test_it_ends_with_the_recording(parts):
    shown = box(parts, first=185)
    assert shown.step(3) and not shown.step(60) and shown.answers[-1].time == 192


def test_listen_runs_until_it_is_paused(parts):
    async def pressed():
        shown = box(parts, first=30, speed=10.0)
        shown.listen.value = True
        for _ in range(600):
            await asyncio.sleep(0.1)
            if shown.answers[-1].time > 31:
                break
        shown.listen.value = False
        await asyncio.sleep(0.1)
        paused = shown.answers[-1].time
        await asyncio.sleep(0.5)
        return paused, shown.answers[-1].time

    paused, later = asyncio.run(pressed())
    assert paused > 31 and paused == later


@pytest.mark.parametrize("speed", [1.0, 4.0, 10.0])
@pytest.mark.parametrize("takes", [0.0, 0.1, 0.4, 5.0])
def test_a_step_counts_in_the_speed_and_never_takes_over(parts, monkeypatch, speed, takes):
    """A step of 100 ms, whatever it steps over, slowed a replay by a quarter."""
    shown, clock, steps, sleep = box(parts, speed=speed), [0.0], [], asyncio.sleep

    def step(seconds):
        steps.append((clock[0], seconds))
        clock[0] += takes
        return clock[0] < 100

    async def slept(seconds):
        assert seconds >= 0.25, "time for the buttons"
        clock[0] += seconds
        await sleep(0)

    monkeypatch.setattr(shown, "step", step)
    monkeypatch.setattr(sys.modules[Listening.__module__], "time", types.SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(asyncio, "sleep", slept)
    asyncio.run(shown._listened())
    times, seconds = zip(*steps, strict=True)
    assert max(seconds) <= speed + 1
    assert takes > 1 or abs(sum(seconds) - 1 - speed * times[-1]) <= 0.6


def test_signals_are_drawn_whatever_the_clock(parts):
    model, setup, recording = parts
    pictures = []
    for off in (0.0, 5e4):
        source = live.replay(recording, setup, seconds=40.0)
        moved = (live.Event(e.arrived + off, e.modality, e.stamps + off, e.samples) for e in source)
        tail = live.Tail(setup, 24)
        pictures.append(listening(setup, list(live.run(live.Session(model, setup), tail.watch(moved))), tail))
    assert len(pictures[1].data[0].x) > 1000
    np.testing.assert_allclose(pictures[0].data[0].x, pictures[1].data[0].x, atol=1e-6)


def test_an_outage_is_not_drawn_as_a_line(parts):
    """Of 7,680 samples 2,000 are drawn, and the one row that marked the outage was never among them."""
    setup = dataclasses.replace(parts[1], length=20.0)
    tail, rate = live.Tail(setup, setup.cut.window), setup.rates["bvp"]
    begins = [k / 4 for k in range(480) if not 160 <= k < 320]
    stamps = [begin + np.arange(int(rate / 4)) / rate for begin in begins]
    list(tail.watch(live.Event(t[0] + 0.25, "bvp", t, np.sin(t)[:, None]) for t in stamps))
    there, zero = dict.fromkeys(setup.rates, np.ones(setup.tokens, bool)), dict.fromkeys(setup.rates, 0.0)
    line = listening(setup, [live.Answer(120.0, None, there, zero, zero, zero)], tail).data[0]
    x, y = np.array(line.x), np.array(line.y)
    assert (np.diff(x) >= 0).all() and np.diff(x).max() < 0.3
    assert np.isnan(y[(x > 40.2) & (x < 79.8)]).all() and np.isfinite(y[(x < 39.8) | (x > 80.2)]).all()


@pytest.mark.parametrize("leap", [0.0, 1e9, np.inf])
def test_a_clock_that_leaps_leaves_a_gap_of_a_window_at_most(parts, leap):
    setup = parts[1]
    tail, rate = live.Tail(setup, 24), setup.rates["temp"]
    pieces = [np.arange(rate) / rate, leap + 12 + np.arange(rate) / rate]
    list(tail.watch(live.Event(k + 1.0, "temp", t, t[:, None]) for k, t in enumerate(pieces)))
    gap = np.isnan(tail.signal("temp")[1]).sum()
    assert gap == (24 if leap else 11) * rate


def test_a_source_that_ends_before_an_answer_says_so(parts):
    model, setup, recording = parts
    with pytest.raises(ValueError, match="no answer to draw yet"):
        Listening(live.Session(model, setup), live.replay(recording, setup, seconds=0.5))


def test_before_anything_has_come(parts):
    model, setup, recording = parts
    tail = live.Tail(setup, 24)
    (answer,) = live.run(live.Session(model, setup), tail.watch(live.replay(recording, setup, seconds=1.0)))
    assert answer.distribution is None
    figure = listening(setup, [answer], tail)
    assert len(figure.layout.shapes) == 4 * setup.tokens
