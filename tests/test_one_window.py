"""One window through the model: what the picture shows is what the model computes, for every system."""

import dataclasses

import numpy as np
import pytest
from conftest import random_data

import helo
from helo import views
from helo.views.linked import linked, one_window
from helo.views.one_window import _seconds


@pytest.fixture(scope="module")
def walked(simulated):
    split = helo.splits.by_subject(simulated, folds=3)[0]
    model = helo.build("helo", simulated, width=32)
    helo.fit(model, simulated, split, epochs=3, progress=False)
    return views.walk(model, simulated, split.test), split


def traces(figure, name):
    return [t for t in figure.data if t.name == name]


def test_the_parts_of_the_kl_are_its_sum(walked, simulated):
    walk, _ = walked
    expected = helo.score(simulated.distributions[walk.index], walk.said, per_window=True)["kl"]
    assert np.allclose(walk.shares.sum(1), walk.kl) and np.allclose(walk.kl, expected, atol=1e-6)
    (bar,) = traces(views.through(walk, 4), "part of the KL")
    assert np.allclose(bar.x, walk.shares[4]) and list(bar.y) == list(simulated.emotions)


def test_the_mean_over_windows_is_what_knockout_says(walked):
    """One window's knock-outs, averaged over all, are `helo.knockout`'s."""
    walk, split = walked
    table = helo.knockout(walk.model, walk.data, split)
    moved, worse = (
        np.mean([[v[k] for v in walk.knocked(row).values()] for row in range(len(walk.index))], 0) for k in (0, 1)
    )
    assert list(walk.without) == list(table.index)
    assert np.allclose(worse, table["worse"], atol=1e-6)
    spread = 0.5 * np.abs(walk.said - walk.said.mean(0)).sum(1).mean()
    assert np.allclose(moved / spread, table["change"], atol=1e-5)


def test_a_click_a_slider_and_the_titles_count_windows_alike(walked, simulated):
    walk, split = walked
    box = one_window(walk.model, simulated, split.test)
    window = box.children[0]
    assert window.label == str(split.test[0]) and f"window {split.test[0]}:" in box.picture.layout.title.text
    window.value = 7
    assert f"window {split.test[7]}:" in box.picture.layout.title.text
    assert list(box.picture.data[0].x) == list(split.test) and box.picture.data[1].x[0] == split.test[7]
    _click(box, 11)
    assert window.value == 11 and f"window {split.test[11]}:" in box.picture.layout.title.text


def _click(box, row):
    """What the page says of a click on a point of the first curve."""
    box.children[-1]._handle_custom_msg([{"trace": 0, "index": row, "x": 0, "y": 0}], [])


def test_clicks_select_in_pictures_of_fewer_curves_too(walked, simulated):
    """Somebody's recording lacks a signal: the picture has other curves, and the first is still that of the windows."""
    walk, split = walked
    names = list(dict.fromkeys(simulated.subjects[split.test]))

    def recording(subject):
        found = simulated.recording(subject)
        held = {m: x for m, x in found.signals.items() if subject != names[1] or m != "face"}
        return dataclasses.replace(found, signals=held)

    box = one_window(walk.model, dataclasses.replace(simulated, recording=recording), split.test)
    window = box.children[0]
    other, curves = int(np.flatnonzero(simulated.subjects[split.test] == names[1])[0]), len(box.picture.data)
    for place in (other, 0):
        window.value = place
        assert (len(box.picture.data) == curves) == (place == 0)
        _click(box, 3)
        assert window.value == 3
        window.value = place


def test_arcs_stand_where_the_plan_exceeds_an_even_one(walked):
    """With an even plan there is none; with a plan of one match a token there is that one, at its moments."""
    walk, _ = walked
    n, m = walk.plans.shape[1:]
    even = dataclasses.replace(walk, plans=np.full_like(walk.plans, 1 / (n * m)))
    assert sum(len(t.x) for t in traces(views.through(even, 0), "plan")) == 0
    match = np.zeros((n, m), np.float32)
    match[np.arange(n), (np.arange(n) + 2) % m] = 1 / n
    one = dataclasses.replace(walk, plans=np.repeat(match[None], len(walk.plans), 0))
    recording = walk.data.recording(walk.data.subjects[walk.index[0]])
    arcs = np.concatenate([t.x for t in traces(views.through(one, 0, recording), "plan")])
    ends = arcs[~np.isnan(arcs)].reshape(-1, 14)[:, [0, -1]]
    moments = {(2.0 + 4 * k, 2.0 + 4 * ((k + 2) % m)) for k in range(6)}  # tokens of four seconds
    assert {tuple(map(float, np.round(pair, 6))) for pair in ends} == moments and len(ends) == n


def test_raw_signals_and_arcs_share_their_seconds(walked):
    walk, _ = walked
    index = int(walk.index[3])
    recording = walk.data.recording(walk.data.subjects[index])
    figure = views.through(walk, 3, recording)
    (line,) = traces(figure, "eda")
    start, rate = walk.data.starts[index], recording.rates["eda"]
    rows = np.round((np.array(line.x) + start) * rate).astype(int)
    assert np.allclose(line.y, recording.signals["eda"][rows, 0])
    assert min(line.x) >= 0 and max(line.x) <= walk.data.window


def test_moments_are_read_from_the_names_of_tokens():
    data = random_data(shapes={"a": (2, 3), "b": (3, 2)}, roles={"physiological": ["a"], "behavioral": ["b"]})
    named = dataclasses.replace(
        data, tokens={"a": ("-120 to -60 s", "0.5-4 s"), "b": ("left", "right", "up")}, window=9.0
    )
    assert _seconds(named, "a", 0) == (-120, -60) and _seconds(named, "a", 1) == (0.5, 4)
    assert _seconds(named, "b", 1) == (3, 6)


@pytest.mark.parametrize("name", helo.models.available())
def test_every_system_shows_the_parts_it_has(simulated, name):
    split = helo.splits.by_subject(simulated, folds=3)[0]
    model = helo.build(name, simulated)
    helo.fit(model, simulated, split, epochs=1, progress=False)
    walk = views.walk(model, simulated, split.test[:20])
    figure = views.through(walk, 2)
    knocked = traces(figure, "KL rises by")[0]
    assert list(knocked.y) == [*model.parts, *(f"without {m}" for m in simulated.signals)]
    maps = {t.name for t in figure.data if t.type == "heatmap"}
    assert maps == set(walk.attention)
    assert bool(traces(figure, "plan")) == (hasattr(model, "plan_tokens") and walk.plans is not None)
    assert np.allclose(traces(figure, "predicted")[0].x, walk.said[2])


@pytest.mark.parametrize(
    "data", [random_data(emotions=24), random_data(shapes={"only": (1, 2)}, roles={"physiological": ["only"]})]
)
def test_other_data_sets_are_drawn(data):
    """Many emotions; no raw signals; one token; one modality, which nothing can be knocked out of."""
    model = helo.build("mlp", data)
    walk = views.walk(model, data)
    figure = views.through(walk, 1)
    axes = [a for name, a in figure.layout.to_plotly_json().items() if name[1:5] == "axis"]
    assert all(-1e-9 <= a["domain"][0] < a["domain"][1] <= 1 + 1e-9 for a in axes)
    assert list(traces(figure, "part of the KL")[0].y) == list(data.emotions)


def test_no_panel_lies_on_another(walked):
    walk, _ = walked
    layout = views.through(walk, 0, walk.data.recording(walk.data.subjects[walk.index[0]])).layout.to_plotly_json()
    x, y = ({k[5:]: a["domain"] for k, a in layout.items() if k.startswith(f"{d}axis")} for d in "xy")
    for a in x:
        for b in (b for b in x if b != a):
            across = x[a][1] <= x[b][0] + 1e-9 or x[b][1] <= x[a][0] + 1e-9
            assert across or y[a][1] <= y[b][0] + 1e-9 or y[b][1] <= y[a][0] + 1e-9, (a, b)


def test_tabs_look_at_the_same_window(walked):
    walk, _ = walked
    box = linked(walk)
    window, tab = box.children
    titles = [tab.get_title(k) for k in range(len(tab.children))]
    assert titles == ["one window", "data", "answers", "transport", "label correlation"]
    window.value = 5
    for k in range(4):
        tab.selected_index = k
        assert f"window {walk.index[5]}" in tab.children[k].children[0].picture.layout.title.text
    window.value = 9
    shown = [t.children[0].picture.layout.title.text for t in tab.children[:4]]
    assert [f"window {walk.index[9]}" in title for title in shown] == [False, False, False, True], "only what is seen"
    tab.selected_index = 0
    assert f"window {walk.index[9]}" in tab.children[0].children[0].picture.layout.title.text
    other = linked(views.walk(helo.build("early", walk.data), walk.data, walk.index))
    assert [other.children[1].get_title(k) for k in range(3)] == titles[:3] and len(other.children[1].children) == 3


def test_dropping_the_query_says_what_stands_in(walked):
    walk, _ = walked
    titles = [views.answer(walk.model, walk.data, 3, {m: None}).layout.title.text for m in ("eda", "bvp")]
    assert "eda is the query: its training mean asks bvp and temp" in titles[0] and "query" not in titles[1]
    alone = views.answer(walk.model, walk.data, 3, {"face": None}).layout.title.text
    assert "face is all the behavior: its training mean receives what is carried" in alone
    two = views.answer(walk.model, walk.data, 3, {"eda": None, "bvp": None, "face": None}).layout.title.text
    assert "its training mean asks temp; face is all the behavior" in two
    none = views.answer(walk.model, walk.data, 3, dict.fromkeys(("eda", "bvp", "temp", "face"))).layout.title.text
    assert "training mean" not in none


def test_live_curves_say_how_many_epochs_and_seconds_are_left():
    rows = [{"epoch": k, "train_kl": 1.0, "seconds": 0.5} for k in range(1, 13)]
    assert views.history(rows, epochs=100).layout.title.text == "epoch 12 of at most 100, at most 00:44 left"
    assert views.history([], epochs=100).layout.title.text == "epoch 0 of at most 100"
    ended = views.history(rows, 3, epochs=100).layout.title.text
    assert ended == "epoch 12 of at most 100, best: 3 (dotted)", "nothing is left once it has ended"
    assert views.history([], 0, epochs=100).layout.title.text == "no epochs", "of closed form"
