"""Progress: one line that moves, wherever it is watched from."""

import io
import re
import threading
import time

import pytest
from conftest import random_data
from test_training import SPLIT

import helo
from helo import progress
from helo.progress import Progress, each

DATA = random_data()
FIT = {"batch_size": 8, "device": "cpu"}


@pytest.fixture
def log(monkeypatch, capsys):
    """What stderr has received, which is no terminal here, as if nothing had been written before."""
    monkeypatch.setattr(progress._Log, "last", -progress.EVERY)
    return lambda: capsys.readouterr().err


@pytest.fixture
def drawn(monkeypatch):
    """Everything a line shows, at every move."""
    stream = io.StringIO()
    monkeypatch.setattr(
        progress,
        "_look",
        lambda: {"file": stream, "bar_format": "{desc}: " + progress._TIMES, "mininterval": 0, "miniters": 0},
    )
    return stream


class TestInALog:
    def test_lines_are_whole_and_apart(self, log, monkeypatch):
        monkeypatch.setattr(progress, "EVERY", 0.5)
        started = time.monotonic()
        with Progress("model fold", "epoch", 1000) as bar:
            for done in range(1, 71):
                time.sleep(0.05)
                bar.to(done, "KL 0.1")
        lines = log().splitlines()
        assert 3 <= len(lines) <= (time.monotonic() - started) / 0.5, lines
        for line in lines:
            assert re.fullmatch(
                r"model fold: epoch \d+ of 1000, \d\d:\d\d so far, (\d\d:\d\d|\?) left(, KL 0.1)?", line
            )

    def test_bars_one_after_the_other_share_the_ten_seconds(self, log):
        for name in ("first", "second", "third"):
            with Progress(name, "epoch", 5) as bar:
                time.sleep(1.2)
                bar.to(1)
        assert [line.split(":")[0] for line in log().splitlines()] == ["first"]

    def test_what_ends_at_once_says_nothing(self, log):
        with Progress("short", "epoch", 3) as bar:
            for done in range(1, 4):
                bar.to(done)
        assert list(each([1, 2, 3], "short", "subject")) == [1, 2, 3]
        assert log() == ""

    def test_time_passes_while_a_step_takes_long(self, log, monkeypatch):
        monkeypatch.setattr(progress, "EVERY", 1.0)
        with Progress("slow", "fit", 2):
            time.sleep(3.4)
        assert len(re.findall(r"slow: fit 0 of 2, 00:0[123] so far, \? left", log())) >= 2


def test_an_inner_line_moves_the_outer_one(drawn):
    with Progress("outer", "fit", 8) as outer:
        outer.to(2)
        with Progress("inner", "epoch", 4, worth=4) as inner:
            for done in (1, 2, 3):
                inner.to(done)
        outer.to(6)
    shown = re.findall(r"outer: fit (\d) of 8.*? left(?:, (inner: epoch \d of 4))?", drawn.getvalue())
    moved = list(dict.fromkeys((n, note) for n, note in shown if note))  # a clock may draw a line again
    assert moved == [("3", "inner: epoch 1 of 4"), ("4", "inner: epoch 2 of 4"), ("5", "inner: epoch 3 of 4")]
    assert shown[-1] == ("6", "") and "inner: epoch" not in drawn.getvalue().split("outer")[0]


def test_it_leaves_nothing_behind_after_an_error(drawn):
    with pytest.raises(KeyboardInterrupt), Progress("a", "epoch", 3) as bar:
        bar.to(1)
        raise KeyboardInterrupt
    with Progress("b", "epoch", 3) as bar:
        bar.to(2)
    assert "b: epoch 2 of 3" in drawn.getvalue(), "the next one is an outermost line again"
    for thread in threading.enumerate():
        if thread.name == "progress":
            thread.join(10)
            assert not thread.is_alive()


def test_a_training_and_an_evaluation_tell_their_epochs(drawn):
    helo.fit(helo.build("early", DATA), DATA, SPLIT, epochs=3, **FIT)
    assert re.search(r"early \S+: epoch 3 of 3", drawn.getvalue())
    drawn.truncate(0)
    helo.evaluate(["mean", "early"], DATA, folds=2, nested=0, workers=1, epochs=3, **FIT)
    shown = [int(n) for n in re.findall(r"fit (\d) of 4", drawn.getvalue())]
    assert shown == sorted(shown) and shown[-1] == 4
    assert re.search(r"fit 3 of 4.* left, early, 2 together: epoch [12] of 3", drawn.getvalue()), "a stack's epochs too"


def test_without_progress_nothing_is_shown(drawn):
    helo.fit(helo.build("early", DATA), DATA, SPLIT, epochs=2, progress=False, **FIT)
    helo.evaluate(["mean", "early"], DATA, folds=2, nested=0, workers=1, epochs=2, progress=False, **FIT)
    assert drawn.getvalue() == ""
