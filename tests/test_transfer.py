"""Train on one data set, test on another."""

import dataclasses

import numpy as np
import pytest
from conftest import random_data

import helo
from helo import splits
from helo.data.transfer import join

PHYSIOLOGICAL = {"eda": (2, 3), "bvp": (2, 2)}


def one(seed=0, n=40, **fields):
    shapes = PHYSIOLOGICAL | {"face": (2, 4)}
    masks = {"eda": np.random.default_rng(seed).random((n, 2)) < 0.8}
    return random_data(**({"n": n, "seed": seed, "shapes": shapes, "masks": masks, "name": "lab"} | fields))


def other(**fields):
    """The same emotions in another order, people of the same names, the modalities in another order."""
    data = one(seed=1, n=20, name="street")
    order = [3, 0, 4, 1, 2]
    changed = dataclasses.replace(
        data,
        emotions=[data.emotions[k] for k in order],
        distributions=data.distributions[:, order],
        roles={"physiological": ("bvp", "eda"), "behavioral": ("face",)},
    )
    return dataclasses.replace(changed, **fields)


def test_the_target_is_tested_whole_and_the_source_validates():
    source, target = one(), other()
    data, split = splits.transfer(source, target)
    assert data.name == "lab+street" and split.name == "transfer-lab-to-street"
    assert split.test.tolist() == list(range(40, 60))
    assert sorted([*split.train, *split.validation]) == list(range(40))
    assert len(set(data.subjects[split.validation])) == 1
    assert not set(data.subjects[split.validation]) & set(data.subjects[split.train])
    assert set(data.subjects) == {f"{name}:{who}" for name in ("lab", "street") for who in "abcd"}
    assert splits.leaks(data, split)["subject"] == splits.leaks(data, split)["trial"] == 0
    # every number is where it belongs
    for m in ("eda", "bvp", "face"):
        np.testing.assert_array_equal(data.signals[m], np.concatenate([source.signals[m], target.signals[m]]))
        np.testing.assert_array_equal(data.masks[m], np.concatenate([source.masks[m], target.masks[m]]))
    for e in source.emotions:
        found = data.distributions[40:, data.emotions.index(e)]
        np.testing.assert_array_equal(found, target.distributions[:, target.emotions.index(e)])
    assert data.emotions == source.emotions and data.query == source.query


def test_nobody_trains_on_the_target(simulated):
    """Another target, the same model: what is learned hangs on the source alone."""
    source = one()
    weights = []
    for target in (other(), other(distributions=other().distributions[::-1].copy())):
        data, split = splits.transfer(source, target)
        model = helo.build("ridge", data, seed=0)
        helo.fit(model, data, split, progress=False)
        weights.append(helo.predict(model, data, split.train, explain=False).distributions)
    np.testing.assert_array_equal(*weights)


def test_two_studies_of_one_name_are_two():
    data, split = splits.transfer(one(), one(seed=2), validation=0)
    assert len(set(data.subjects)) == 8 and {"lab:1:a", "lab:2:a"} < set(data.subjects)
    assert len(split.validation) == 0 and len(split.train) == 40


def test_what_one_set_lacks_is_left_out():
    timed = {"starts": np.arange(40.0), "window": 10.0, "conditions": ["x"] * 40}
    late = {"starts": np.arange(20.0), "window": 10.0}
    data = join(one(**timed), other(**late))
    assert data.conditions is None and data.window == 10 and data.starts.tolist() == [*range(40), *range(20)]
    assert join(one(**timed), other(**late | {"window": 5.0})).window is None
    assert join(one(**timed), other()).starts is None


def without(m, **fields):
    data = other()
    roles = {role: tuple(x for x in ms if x != m) for role, ms in data.roles.items()}
    signals = {x: v for x, v in data.signals.items() if x != m}
    given = {"roles": roles, "signals": signals, "masks": {}, "features": {}, "tokens": {}, "query": None}
    return dataclasses.replace(data, **(given | fields))


@pytest.mark.parametrize(
    "target, message",
    [
        (lambda: without("bvp"), r"street: modalities are \['eda', 'face'\]; expected \['eda', 'bvp', 'face'\]"),
        (lambda: other(features={"eda": ("a", "b", "c")}), "street: features of modality 'eda': .*'a', 'b', 'c'"),
        (lambda: other(tokens={"eda": ("early", "late")}), "tokens of modality 'eda': .*'early', 'late'.*expected"),
        (
            lambda: other(roles={"physiological": ("eda",), "behavioral": ("bvp", "face")}, query="eda"),
            "role of modality 'bvp': behavioral; expected physiological, as lab has",
        ),
        (lambda: other(emotions=["e0", "e1", "e2", "e3", "joy"]), "street: emotions are .*'joy'.*; expected .*'e4'"),
        (
            lambda: without("bvp", signals=other().signals | {"eda": np.zeros((20, 1, 3))}, roles=other().roles),
            r"shape \(tokens, features\) of modality 'eda': \(1, 3\); expected \(2, 3\)",
        ),
    ],
)
def test_what_does_not_agree_is_named(target, message):
    with pytest.raises(ValueError, match=message):
        splits.transfer(one(), target())


def test_clips_of_one_name_stay_one():
    """Where one set alone has clips of several trials, the other's trials are its clips."""
    data = join(one(clips=np.tile(["x"] * 5 + ["y"] * 5, 4)), other())
    assert data.clips.tolist() == [*(["x"] * 5 + ["y"] * 5) * 4, *other().trials]
    assert join(one(), other()).clips is None


def test_asked_for_modalities_both_have_them():
    data, split = splits.transfer(one(), without("bvp"), modalities=["eda", "face"])
    assert list(data.signals) == ["eda", "face"] and len(split.test) == 20 and data.query == "eda"
    for wrong in (["bvp"], []):
        with pytest.raises(ValueError, match="modalities are"):
            splits.transfer(one(), without("bvp"), modalities=wrong)


def test_a_model_of_one_study_answers_in_another(study):
    """The same people's physiology in two simulated studies: what is learned in one holds in the other."""
    other_study = helo.load("simulated", seed=7)
    data, split = splits.transfer(study, other_study)
    model = helo.build("ridge", data, seed=0)
    helo.fit(model, data, split, progress=False)
    truth = data.distributions[split.test]
    answer = helo.predict(model, data, split.test, explain=False).distributions
    mean = np.tile(data.distributions[split.seen].mean(0), (len(truth), 1))
    assert helo.score(truth, answer)["kl"] < 0.7 * helo.score(truth, mean)["kl"]
