"""Splits of one's own: masks or numbers, windows that exist, a test side apart; and calls that say what is wrong."""

import numpy as np
import pandas as pd
import pytest
from conftest import random_data

import helo
from helo.data.splits import Split
from helo.evaluation import chosen, critical_difference, mean_ranks, people, summarise, to_markdown

NOTHING = np.array([], int)
QUIET = {"progress": False, "workers": 1}


def test_a_mask_is_the_windows_it_names():
    """A shuffled mask once trained on the windows of the person to test."""
    data = random_data(conditions=["x", "y"] * 20)
    held = data.subjects == "d"
    mask, numbers = Split("s", ~held, [], held), Split("s", np.flatnonzero(~held), NOTHING, np.flatnonzero(held))
    tables = [helo.evaluate(["mean", "ridge"], data, protocol=s, nested=0, **QUIET) for s in (mask, numbers)]
    pd.testing.assert_frame_equal(*(t.drop(columns="seconds") for t in tables))
    assert not np.isin(mask.train, mask.test).any() and len(mask.train) + len(mask.test) == len(data)


@pytest.mark.parametrize(
    "sides, told",
    [
        (([0, 1], [], [-1]), "split 's': test holds -1; expected numbers from 0 on"),
        (([0.5], [], [1]), "train has shape \\(1,\\) and holds float64; expected windows' numbers, or a mask"),
        (([[0, 1]], [], [1]), "train has shape \\(1, 2\\)"),
        (([0, 1], [2], [99]), "split 's': test holds window 99; random has 40, from 0 on"),
        ((np.arange(20) < 9, [], np.arange(20) > 9), "split 's': a mask of 20 windows; random has 40"),
        ((np.arange(40) < 9, [], np.arange(20) > 9), "split 's': masks of 20 and 40 windows; expected one number"),
        (([0, 1, 2], [2, 3], [4, 5]), "window 2 \\(1 in all\\) is in train and in validation"),
        (([0, 1], [], [4, 5, 4]), "split 's': test holds window 4 twice; expected it once"),
        (([0, 1], [2, 3, 3], [4, 5]), "split 's': validation holds window 3 twice"),
        (([0, 1, 2], [3], [2, 3, 4]), "split 's': 2 of 3 test windows are on the training side"),
    ],
)
def test_a_split_that_is_none_is_refused(sides, told):
    with pytest.raises(ValueError, match=told):
        helo.evaluate("mean", random_data(), protocol=Split("s", *sides), **QUIET)


def test_training_refuses_windows_that_are_not_there():
    data = random_data()
    with pytest.raises(ValueError, match="train holds window 40; random has 40"):
        helo.fit(helo.build("ridge", data), data, Split("s", [0, 40], [], [1]), progress=False)


@pytest.mark.parametrize(
    "given, told",
    [
        ({"calibrate": 1}, "folds is None and calibrate 1; given splits say both"),
        ({"folds": 2}, "folds is 2 and calibrate 0; given splits say both"),
        ({"protocol": []}, "protocol is \\[\\]; expected the name of a protocol, or splits"),
        ({"seeds": [-1]}, "seeds is \\[-1\\]; expected whole numbers from 0 on"),
        ({"seeds": [1.9]}, "seeds is \\[1.9\\]; expected whole numbers"),
        ({"models": ["mean", "mean"]}, "models has 'mean'; expected each name once"),
        ({"models": [{"model": "ridge"}]}, "models has .*ridge.*; expected each name once"),
        ({"models": {"r": "ridge"}}, "r: 'ridge'; expected {'model': name"),
    ],
)
def test_a_call_that_cannot_be_meant_says_what_is_wrong(given, told):
    data = random_data()
    with pytest.raises(ValueError, match=told):
        helo.evaluate(given.pop("models", "mean"), data, **{"protocol": helo.splits.by_subject(data)} | QUIET | given)


def test_a_seed_of_numpy_is_a_seed():
    data = random_data()
    tables = [helo.evaluate("ridge", data, folds=2, nested=0, seeds=seed, **QUIET) for seed in (3, np.int64(3))]
    assert (tables[0].seed == 3).all() and tables[0].kl.equals(tables[1].kl)


def test_the_mean_is_the_zero_of_skill_where_an_emotion_is_rare():
    """One vote in 480 for the third emotion: without a floor the mean was worse than its own reference by half."""
    rng = np.random.default_rng(0)
    votes = rng.multinomial(5, [0.5, 0.3, 0.2], 96)
    votes = np.concatenate([votes, np.zeros((96, 1), int)], 1)
    votes[7] = [4, 0, 0, 1]
    condition = np.where(votes[:, 0] > 2, "calm", "tense")
    data = helo.EmotionData(
        "votes",
        {"face": rng.normal(size=(96, 1, 3)), "eda": rng.normal(size=(96, 1, 2))},
        votes / votes.sum(1, keepdims=True),
        ["calm", "sad", "tense", "awe"],
        np.repeat(list("abcdefgh"), 12),
        np.tile(np.arange(12), 8).astype(str),
        {"physiological": ["eda"], "behavioral": ["face"]},
        conditions=condition,
    )
    table = helo.evaluate(["mean", "mixture"], data, **QUIET)
    summary = summarise(table, "mean")
    assert summary.skill["mean"] == pytest.approx(0, abs=1e-5)
    assert table[table.model == "mean"].kl.to_numpy() == pytest.approx(table[table.model == "mean"].kl_mean, rel=1e-5)
    assert table[table.model == "mixture"].kl.max() < 2 * table.kl_ceiling.max(), "nor does a mixture of such means"


def test_a_trial_of_two_conditions_counts_once():
    conditions = np.array(["x", "y"] * 20)
    data = random_data(conditions=conditions)
    table = helo.evaluate("mean", data, folds=2, **QUIET)
    trials = table.groupby("subject").trials.sum()
    assert (trials == 5).all(), "ten windows each, of five trials that go from x to y"
    by_window = np.average(table.kl, weights=table.windows)
    assert np.average(table.kl_trial, weights=table.trials) == pytest.approx(by_window, rel=1e-9), "as long as the next"


def test_parts_of_trials_add_up_in_any_order():
    rng = np.random.default_rng(0)
    n = 3 * 10 * 7
    data = random_data(
        n,
        subjects=np.repeat(["x", "y", "z"], 70),
        trials=np.tile(np.repeat(np.arange(10), 7), 3).astype(str),
        conditions=rng.choice(["p", "q", "r"], n),
    )
    table = helo.evaluate(["mean", "uniform"], data, folds=3, nested=0, **QUIET)
    for seed in range(20):
        shuffled = table.sample(frac=1, random_state=seed)
        assert people(shuffled, weight="trials").loc["x", "mean"] == pytest.approx(
            people(table, weight="trials").loc["x", "mean"]
        )
    whole = helo.evaluate("mean", random_data(conditions=np.repeat(["a", "b"], 20)), folds=2, nested=0, **QUIET)
    assert whole.trials.dtype == int


def test_a_name_is_no_path(tmp_path):
    names = np.repeat(["c/../../../outside", "g/1", "ü" * 250, "d"], 10)
    data = random_data(subjects=names)
    inside = tmp_path / "a/b/kept"
    helo.evaluate("ridge", data, nested=0, folder=inside, **QUIET)
    assert len(list(inside.iterdir())) == len(list(tmp_path.rglob("*.npz"))) == 4
    again = helo.evaluate("ridge", data, nested=0, folder=inside, **QUIET)
    assert again.subject.nunique() == 4


@pytest.mark.parametrize("content", ["", "garbage", "cut", "packed"])
def test_a_damaged_kept_fit_is_made_anew(tmp_path, content):
    data = random_data()
    first = helo.evaluate("ridge", data, folds=2, nested=0, folder=tmp_path, **QUIET)
    file = sorted(tmp_path.glob("*.npz"))[0]
    whole = file.read_bytes()
    at = whole.index(b"PK\x01\x02") + 10  # of the compression method
    packed = whole[:at] + b"\x63\0" + whole[at + 2 :]
    broken = {"": b"", "garbage": b"garbage", "cut": whole[:200], "packed": packed}[content]
    file.write_bytes(broken)
    with pytest.warns(UserWarning, match=f"{file.name}: not a kept fit of helo.evaluate, or half of one"):
        again = helo.evaluate("ridge", data, folds=2, nested=0, folder=tmp_path, **QUIET)
    assert again.kl.equals(first.kl) and file.read_bytes() != broken


def test_tables_that_went_through_a_file_say_what_they_have_lost(tmp_path):
    table = helo.evaluate(["mean", "ridge"], random_data(conditions=["x", "y"] * 20), folds=2, **QUIET)
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="lost its attrs\\['fits'\\]"):
        chosen(pd.read_csv(tmp_path / "t.csv"))
    with pytest.raises(ValueError, match="1 models, 10 people"):
        critical_difference(1, 10)
    with pytest.raises(ValueError, match="ranks of \\[\\]"):
        helo.figures.critical_difference({}, 1.0)
    assert helo.figures.critical_difference(mean_ranks(table), 1.0).axes, "as it comes"
    named = to_markdown(summarise(table.assign(model="a|" + table.model), "a|mean")).splitlines()
    assert {line.replace("\\|", "").count("|") for line in named if line.startswith("|")} == {
        named[0].replace("\\|", "").count("|")
    }
