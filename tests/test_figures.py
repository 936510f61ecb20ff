"""Pictures look as they did when someone looked at them; colors stay apart for color-blind readers.

After a wanted change: `HELO_BASELINE=write python -m pytest tests/test_figures.py`, look at tests/baseline/, commit.
"""

import dataclasses
import os
import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from matplotlib.colors import to_rgb
from matplotlib.testing.compare import compare_images

from helo import figures
from helo.data import Recording

BASELINE = ROOT / "tests" / "baseline"
EMOTIONS = ("happy", "excited", "inspired", "calm", "sad", "tired", "afraid", "angry")


def given():
    """Two models' gain as up to two trials are given."""
    gain = np.array([0, 0.1, 0.15, 0, -0.02, 0.01])
    wide = np.array([0, 0.05, 0.06, 0, 0.04, 0.03])
    low, high = gain - wide, gain + 1.5 * wide
    about = {"model": ["helo"] * 3 + ["ridge"] * 3, "trials": [0, 1, 2] * 2, "people": 12}
    return pd.DataFrame(about | {"gain": gain, "gain_low": low, "gain_high": high})


def pictures(data):
    """Every function of helo.figures on small, fixed data."""
    draw = np.random.default_rng(0)
    matrix = np.corrcoef(draw.normal(size=(8, 30)))
    plan = draw.dirichlet(np.ones(24)).reshape(6, 4)
    shares = draw.dirichlet(np.ones(8), 4)
    rows = [
        {"epoch": k, "train_kl": 1 / k, "validation_kl": 1.2 / k, "train_correlation": 0.3 / k} for k in range(1, 11)
    ]
    tokens = [[f"{side} {k}" for k in range(n)] for side, n in (("body", 6), ("face", 4))]
    return {
        "recording": lambda: figures.recording(data.recording(data.subjects[0]), 60, 30, [(66, 90)]),
        "condition_means": lambda: figures.condition_means(data),
        "window": lambda: figures.window(data, 3),
        "history": lambda: figures.history(rows, 10, 0.9),
        "answers": lambda: figures.answers(shares[:2], shares[2:], EMOTIONS, ["one", "two"]),
        "answers_sure": lambda: figures.answers(
            shares[:2], shares[2:], EMOTIONS, ["one", "two"], (np.maximum(shares[2:] - 0.1, 0), shares[2:] + 0.1)
        ),
        "plan": lambda: figures.plan(plan, *tokens, "a plan"),
        "heatmaps": lambda: figures.heatmaps(
            {"one": matrix, "two": -matrix},
            EMOTIONS,
            EMOTIONS,
            label="correlation",
            xlabel="emotion",
            ylabel="emotion",
            centred=True,
        ),
        "curves": lambda: figures.curves([1, 2, 3], {"up": [1, 2, 3], "down": [3, 2, 1]}, "epoch", "loss"),
        "by_person": lambda: figures.by_person(people(), "helo", "early"),
        "critical_difference": lambda: figures.critical_difference({"a": 1.5, "b": 2.0, "c": 3.5, "d": 3.0}, 1.2),
        "knockout": lambda: figures.knockout(
            pd.DataFrame(
                {
                    "change": [1.2, 0.4, 0.01, 0.7],
                    "kl": 0.02,
                    "worse": [0.2, 0.05, 0.0, 0.1],
                    "worse_low": [0.15, -0.01, 0.0, 0.08],
                    "worse_high": [0.3, 0.09, 0.001, 0.13],
                },
                index=["plan", "R", "compression", "without eda"],
            )
        ),
        "forest": lambda: figures.forest(summary("skill")),
        "forest_of_kl": lambda: figures.forest(summary("kl")),
        "gains": lambda: figures.gains(given()),
        "protocols": lambda: figures.protocols(
            {"subjects": {"a": 1, "b": 2}, "windows": {"a": 0.5, "b": 0.7}}, "KL (nats)"
        ),
    }


def summary(name):
    """Five models over nine people: one is the reference, one was cut at the cap, one is far off."""
    rows = {"helo": (0.7, 0), "early": (0.9, 0.4), "mean": (0.0, 0), "ridge": (-0.2, 0), "uniform": (-4.0, 0)}
    skill = pd.Series({model: value for model, (value, _) in rows.items()})
    table = pd.DataFrame({"skill": skill, "kl": 0.08 - 0.03 * skill, "kl_mean": 0.08, "kl_ceiling": 0.05})
    for column, half in (("skill", 0.3), ("kl", 0.01)):
        table[f"{column}_low"], table[f"{column}_high"] = table[column] - half, table[column] + half
    if name == "kl":
        table[["skill", "skill_low", "skill_high", "kl_ceiling"]] = np.nan
    table["capped"] = [share for _, share in rows.values()]
    return table.assign(reference=table.index == "helo", people=9, unit="subject", weight="windows", level=0.95)


def people():
    """A table of seven people and three models, for most of whom helo's KL is the lower one."""
    kl = np.random.default_rng(1).uniform(0.05, 0.15, (7, 1)) + [[-0.02, 0.0, 0.01]] * 7
    kl[2, 0] += 0.05
    rows = [
        {"model": model, "seed": 0, "fold": "f", "subject": f"S{k + 1}", "condition": "", "windows": 5, "kl": value}
        for k, values in enumerate(kl)
        for model, value in zip(("helo", "early", "ridge"), values, strict=True)
    ]
    return pd.DataFrame(rows).assign(trials=1)


@pytest.mark.parametrize("name", sorted(pictures(None)))
def test_picture_looks_as_before(name, simulated, tmp_path):
    figure = pictures(simulated)[name]()
    for axis in figure.axes:
        if axis.has_data() and name not in ("critical_difference",):
            assert axis.get_xlabel() or axis.get_ylabel(), "every panel names what it shows"
    made = figures.save(figure, tmp_path / f"{name}.png", dpi=50)
    kept = BASELINE / f"{name}.png"
    if os.environ.get("HELO_BASELINE") == "write":
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(made.read_bytes())
    difference = compare_images(str(kept), str(made), tol=3)
    assert difference is None, difference


@pytest.mark.parametrize("name", sorted(set(pictures(None)) - {"history"}))  # which shows no names from outside
def test_a_name_with_two_dollar_signs_is_no_formula(name, simulated, tmp_path, monkeypatch):
    """Emotions, modalities, features, people, conditions, models: $x^$ would be a broken one and end the picture."""

    def cost(x):
        return f"{x} $x^$"

    signals, masks = ({cost(m): x for m, x in held.items()} for held in (simulated.signals, simulated.masks))
    raw = simulated.recording(simulated.subjects[0])
    raw = dataclasses.replace(
        raw,
        **{f: {cost(m): x for m, x in getattr(raw, f).items()} for f in ("signals", "rates", "units")},
        channels={cost(m): tuple(map(cost, x)) for m, x in raw.channels.items()},
    )
    data = dataclasses.replace(
        simulated,
        signals=signals,
        masks=masks,
        roles={role: tuple(map(cost, ms)) for role, ms in simulated.roles.items()},
        query=cost(simulated.query),
        emotions=tuple(map(cost, simulated.emotions)),
        features={cost(m): tuple(map(cost, names)) for m, names in simulated.features.items()},
        tokens={cost(m): tuple(map(cost, names)) for m, names in simulated.tokens.items()},
        conditions=[cost(c) for c in simulated.conditions],
        recording=lambda _: raw,
    )
    monkeypatch.setitem(globals(), "EMOTIONS", tuple(map(cost, EMOTIONS)))
    table, rows = people(), summary("skill")
    told = table.assign(subject=table["subject"].map(cost), model=table["model"].map(cost))
    own = {
        "by_person": lambda: figures.by_person(told, cost("helo"), cost("early")),
        "critical_difference": lambda: figures.critical_difference({cost("a"): 1.0, cost("b"): 2.5}, 1.2, cost("x")),
        "curves": lambda: figures.curves([1, 2], {cost("up"): [1, 2]}, cost("epoch"), cost("loss")),
        "forest": lambda: figures.forest(rows.rename(index=cost), cost("title")),
        "forest_of_kl": lambda: figures.forest(summary("kl").rename(index=cost), cost("title")),
        "gains": lambda: figures.gains(given().assign(model=cost("a"))),
        "knockout": lambda: figures.knockout(
            pd.DataFrame(dict.fromkeys(("change", "kl", "worse", "worse_low", "worse_high"), 0.1), index=[cost("R")]),
            cost("title"),
        ),
        "plan": lambda: figures.plan(np.eye(2) / 2, [cost("b")] * 2, [cost("f")] * 2, cost("a plan")),
        "protocols": lambda: figures.protocols({cost("subjects"): {cost("a"): 1}}, cost("KL")),
    }
    drawn = (own | {k: v for k, v in pictures(data).items() if k not in own})[name]()
    figures.save(drawn, tmp_path / "x.png", dpi=50)
    texts = [text.get_text() for text in drawn.findobj(lambda artist: hasattr(artist, "get_text"))]
    assert any("$" in text for text in texts), "no name is in the picture"


def test_a_changed_picture_is_noticed(tmp_path):
    rows = [{"epoch": k, "train_kl": 1 / k} for k in range(1, 11)]
    paths = [figures.save(figures.history(rows, best), tmp_path / f"{best}.png", dpi=50) for best in (3, 9)]
    assert compare_images(*map(str, paths), tol=3) is not None


def test_save_writes_png_and_pdf_whole_and_always_the_same(tmp_path):
    rows = [{"epoch": k, "train_kl": 1 / k} for k in range(1, 11)]
    for k in (1, 2):
        assert figures.save(figures.history(rows, 3), tmp_path / f"{k}") == tmp_path / f"{k}.png"
    for suffix, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
        one, two = ((tmp_path / f"{k}{suffix}").read_bytes() for k in (1, 2))
        assert one.startswith(start) and one == two
    assert len(list(tmp_path.iterdir())) == 4
    one, two = (figures.save(figures.history(rows, 3), tmp_path / f"{k}.svg").read_bytes() for k in (1, 2))
    assert one == two and b"<svg" in one


# what a color becomes for a reader without one kind of cone (Machado et al. 2009, severity 1)
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color, matrix):
    """CIE L*a*b* of an sRGB color as that reader sees it."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(matrix) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_emotions_keep_colors_that_can_be_told_apart(kind):
    colors = figures.emotion_colours(EMOTIONS)
    assert list(colors) == list(EMOTIONS) and colors == figures.emotion_colours(EMOTIONS)
    seen = [lab(color, BLINDNESS[kind]) for color in colors.values()]
    # 2.3 is a just noticeable difference
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 15


def test_bars_stand_over_their_models_name():
    figure = figures.protocols({"subjects": {"a": 1, "b": 2}, "trials": {"b": 3, "a": 4}, "clips": {"c": 5}}, "KL")
    (axis,) = figure.axes
    names = [label.get_text() for label in axis.get_xticklabels()]
    found = {
        (bars.get_label(), names[round(bar.get_x() + bar.get_width() / 2)]): bar.get_height()
        for bars in axis.containers
        for bar in bars
        if np.isfinite(bar.get_height())
    }
    of_a_and_b = {("by subjects", "a"): 1, ("by subjects", "b"): 2, ("by trials", "b"): 3, ("by trials", "a"): 4}
    assert found == {**of_a_and_b, ("by clips", "c"): 5}


@pytest.mark.parametrize("start, times", [(-3, (0, 1.9)), (0, (0, 4.9)), (-7, ()), (8, (8, 9.9))])
def test_a_stretch_begins_where_it_is_asked_for(start, times):
    """A negative index counts from the recording's end: its last seconds stood where nothing was."""
    made = Recording({"x": np.arange(100.0)[:, None]}, {"x": 10.0}, {"x": "V"})
    (line,) = figures.recording(made, start, 5).axes[0].lines
    x, y = line.get_data()
    assert tuple(x[[0, -1]] if len(x) else x) == pytest.approx(times)
    assert np.allclose(np.diff(y), np.diff(x) * 10) if len(x) else True


def test_a_model_without_epochs_has_no_curve():
    with pytest.raises(ValueError, match="the history has no epochs"):
        figures.history([], 0)


def test_one_person_whom_nobody_helps_is_drawn():
    """Without an interval, and with all worse than the training mean, every model still has its mark."""
    kl = pd.Series({"mean": 0.1192, "aa-knn": 0.1204, "ridge": 0.1245})
    table = pd.DataFrame({"kl": kl, "kl_low": np.nan, "kl_high": np.nan, "kl_mean": 0.1192, "kl_ceiling": np.nan})
    table[["skill", "skill_low", "skill_high"]] = np.nan
    table = table.assign(capped=0.0, reference=False, people=1, unit="fold", weight="windows", level=0.95)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (axis,) = figures.forest(table).axes
    assert sum(line.get_marker() in ("o", "<", ">") for line in axis.lines) == 3


@pytest.mark.parametrize("people, said", [(4, "range of a bootstrap over 4 people"), (12, "95 % interval over people")])
def test_the_range_of_few_people_is_no_interval(people, said):
    rows = {"change": [0.5], "kl": [0.1], "worse": [0.2], "worse_low": [0.1], "worse_high": [0.3]}
    table = pd.DataFrame(rows, index=["plan"])
    table.attrs["people"] = people
    assert said in figures.knockout(table).axes[1].get_xlabel()
