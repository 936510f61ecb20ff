"""Windows unlike those of training are told, and another person's ordinary ones mostly are not."""

import numpy as np
import pytest
from conftest import random_data

import helo
from helo.data.signals import Tokens, electrodermal
from helo.evaluation.confidence import Confidence, training_side
from helo.evaluation.strange import averaged, neighbourhood


def told(training, emotions=("a", "b")):
    return Confidence(tuple(emotions), 0.9, 1.0, 1.0, 0, training)


def parts(data, rows):
    return {m: x[rows] for m, x in data.signals.items()}, {m: x[rows] for m, x in data.masks.items()}


@pytest.fixture(scope="module")
def new_person(wesad, wesad_root, tmp_path_factory):
    """What WESAD's others say; a new person's windows, the same before they were normalised, and what that does."""
    rows = wesad.subjects == "S9"
    alone = tmp_path_factory.mktemp("alone")
    (alone / "S9").symlink_to(wesad_root / "S9")
    raw = helo.load("wesad", root=alone, tokens=6, context=0, normalise="none")

    def normalised(m, changed):
        """The person's own centre and scale, found from what the sensor measured before it went wrong."""
        before, after = (x.reshape(-1, x.shape[2]).astype(float) for x in (raw.signals[m], wesad.signals[m][rows]))
        slope, shift = np.transpose([np.polyfit(*pair, 1) for pair in zip(before.T, after.T, strict=True)])
        return changed * slope + shift

    return told(training_side(wesad, np.flatnonzero(~rows))), *parts(wesad, rows), raw, normalised


def test_distance_is_that_of_mahalanobis():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    x = rng.normal(size=(20_000, 3)) @ mixing.T + [5, 0, -50]
    known = neighbourhood(x, np.repeat(np.arange(20), 1000))
    exact = np.sqrt(np.einsum("nf,fg,ng->n", x - x.mean(0), np.linalg.inv(mixing @ mixing.T), x - x.mean(0)))
    assert np.allclose(known.distance(x), exact, rtol=0.05, atol=0.01)


def test_the_limit_is_the_farthest_training_person():
    rng = np.random.default_rng(0)
    x, who = rng.normal(size=(300, 4)), np.repeat(np.arange(10), 30)
    x[77] = 9  # of person 2
    known = neighbourhood(x, who)
    alone = neighbourhood(x[who != 2], who[who != 2])
    assert known.limit == pytest.approx(alone.distance(x[[77]])[0])
    assert known.distance(np.full((1, 4), 9.0))[0] < known.limit < known.distance(np.full((1, 4), 20.0))[0]
    with pytest.raises(ValueError, match="expected two"):
        neighbourhood(x, np.zeros(300))


def test_a_modality_of_which_training_says_nothing():
    data = random_data()
    first, *others = data.signals
    data.signals[first][:] = 1.0
    signals, masks = parts(data, np.arange(3))
    known = told(training_side(data, np.arange(len(data))))
    assert set(known.training) == set(others)
    signals[first] = signals[first] + 5
    assert known.by_modality(signals, masks).keys() == set(others) and (known.strange(signals, masks) < 5).all()
    nothing = told({})
    assert nothing.strange(signals, masks).tolist() == [0, 0, 0] and nothing.warnings(signals, masks) == ["", "", ""]


def test_unit_does_not_matter_if_training_had_it_too():
    rng = np.random.default_rng(0)
    x, who = rng.normal(33, 2, (200, 2)), np.repeat(np.arange(5), 40)
    celsius, fahrenheit = neighbourhood(x, who), neighbourhood(32 + 1.8 * x, who)
    y = rng.normal(30, 4, (50, 2))
    assert np.allclose(
        celsius.distance(y) / celsius.limit, fahrenheit.distance(32 + 1.8 * y) / fahrenheit.limit, rtol=1e-6
    )


def test_a_thermometer_that_changes_to_fahrenheit_is_told(new_person):
    sure, signals, masks, raw, normalised = new_person
    assert not any(sure.warnings(signals, masks)[:20])
    wrong = signals | {"temp": normalised("temp", raw.signals["temp"] * 1.8 + [32, 0])}
    far = sure.by_modality(wrong, masks)
    assert (far["temp"] > 2).all() and (sure.strange(wrong, masks) >= far["temp"]).all()
    assert all(said.startswith("temp is ") for said in sure.warnings(wrong, masks)[:20])
    assert np.array_equal(far["eda"], sure.by_modality(signals, masks)["eda"])


def test_a_flat_signal_is_told(new_person):
    sure, signals, masks, _, normalised = new_person
    flat = electrodermal(np.full((4 * 700, 1), 1.0), 4.0, Tokens.of(np.arange(0, 600, 60.0), 60.0, 6))
    ten = {m: x[:10] for m, x in signals.items()} | {"eda": normalised("eda", flat.values)}
    found = sure.by_modality(ten, {m: x[:10] for m, x in masks.items()})
    assert (found["eda"] > 1).all() and (found["bvp"] <= 1).all()


def test_another_person_of_the_study_is_mostly_ordinary(wesad):
    """Leave-one-person-out on WESAD: what the limit flags of people like those of training."""
    flagged = {}
    for person in np.unique(wesad.subjects):
        rows = wesad.subjects == person
        sure = told(training_side(wesad, np.flatnonzero(~rows)))
        flagged[person] = (sure.strange(*parts(wesad, rows)) > 1).mean()
    assert np.mean(list(flagged.values())) < 0.03, flagged
    assert sum(share > 0 for share in flagged.values()) <= 6, flagged


def test_what_is_missing_is_not_strange():
    data = random_data(80)
    data.masks["eda"][::2] = False
    sure = told(training_side(data, np.arange(60)))
    found = sure.by_modality(data.signals, data.masks)
    assert (found["eda"][::2] == 0).all() and (found["eda"][1::2] > 0).all()
    with pytest.raises(ValueError, match="no 'face'"):
        sure.strange({m: x for m, x in data.signals.items() if m != "face"}, data.masks)
    with pytest.raises(ValueError, match="found 4 features of 'ppg'"):
        sure.strange(data.signals | {"ppg": data.signals["eda"]}, data.masks)


def test_padding_does_not_count():
    data = random_data(40)
    longer = np.concatenate([data.signals["eeg"], np.full((40, 2, 3), 1e6, np.float32)], 1)
    mask = np.concatenate([data.masks["eeg"], np.zeros((40, 2), bool)], 1)
    for got, expected in zip(averaged(longer, mask), averaged(data.signals["eeg"], data.masks["eeg"]), strict=True):
        assert np.allclose(got, expected)
