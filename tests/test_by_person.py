"""Two models person by person: who stands where, and that the interval is the paired test's."""

import numpy as np
import pandas as pd
import pytest

from helo import evaluation, views
from helo.views.beside import sorted_people


@pytest.fixture
def table():
    """Four people; "b" is better for s2 and s3, most for s3."""
    kl = {"a": [0.2, 0.1, 0.4, 0.9], "b": [0.3, 0.15, 0.3, 0.2], "c": [0.5, 0.5, 0.5, 0.5]}
    rows = [
        {"model": m, "seed": 0, "fold": "f", "subject": f"s{k}", "condition": "", "windows": 5, "trials": 1, "kl": v}
        for m, values in kl.items()
        for k, v in enumerate(values)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "order, expected",
    [
        ("difference", ["s3", "s2", "s1", "s0"]),
        ("model", ["s1", "s3", "s0", "s2"]),
        ("reference", ["s1", "s0", "s2", "s3"]),
        ("name", ["s0", "s1", "s2", "s3"]),
    ],
)
def test_people_stand_in_the_order_asked_for(table, order, expected):
    assert sorted_people(table, "b", "a", order).index.tolist() == expected


def test_dots_and_interval_are_those_of_the_table(table):
    figure = views.by_person(table, "b", "a")
    by_name = {trace.name: trace for trace in figure.data if trace.name}
    wide = evaluation.people(table)
    for model in ("a", "b", "c"):
        found = dict(zip(by_name[model].y, by_name[model].x, strict=True))
        assert found == pytest.approx(wide[model].to_dict())
    test = evaluation.paired_test(table, "a").loc["b"]
    mean = by_name["mean difference"]
    assert mean.x[0] == pytest.approx((wide["b"] - wide["a"]).mean())
    ends = [mean.x[0] - mean.error_x.arrayminus[0], mean.x[0] + mean.error_x.array[0]]
    assert ends == pytest.approx([test["low"], test["high"]])
    assert "lower for 2 of 4 people" in figure.layout.title.text
    # each line joins one person's two dots
    line = next(trace for trace in figure.data if trace.mode == "lines")
    for k, person in enumerate(sorted_people(table, "b", "a").index):
        assert line.x[3 * k : 3 * k + 2] == pytest.approx(wide.loc[person, ["a", "b"]].tolist())
        assert line.y[3 * k : 3 * k + 2] == (person, person)


def test_one_fold_has_dots_and_no_interval(table):
    figure = views.by_person(table[table["subject"] == "s0"], "b", "a")
    assert "no interval" in figure.layout.title.text
    assert not any(trace.name == "mean difference" for trace in figure.data)


def test_the_explorer_never_sets_a_model_beside_itself(table):
    from helo.views.comparing import comparison

    box = comparison(table, "a")
    model, reference, order = box.children[:3]
    reference.value = "b"
    model.value = "b"
    assert box.picture.layout.title.text.startswith("a − b")
    order.value = "name"
    assert list(np.asarray(box.picture.data[0].y)) == ["s0", "s1", "s2", "s3"]


def test_what_cannot_be_drawn_is_named(table):
    with pytest.raises(ValueError, match="model 'z' is not in the table; expected one of"):
        views.by_person(table, "z", "a")
    with pytest.raises(ValueError, match="order is 'age'; expected one of"):
        views.by_person(table, "b", "a", "age")
    with pytest.raises(ValueError, match="both 'a'; expected two models"):
        views.by_person(table, "a", "a")


def test_p2_stands_before_p10():
    rows = [{"model": m, "subject": f"P{k}", "kl": k + (m == "b")} for k in (1, 10, 2) for m in "ab"]
    table = pd.DataFrame(rows).assign(seed=0, fold="f", condition="", windows=1, trials=1)
    assert sorted_people(table, "b", "a", "name").index.tolist() == ["P1", "P2", "P10"]
