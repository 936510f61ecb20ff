import re

import numpy as np
import pytest
from conftest import random_data

from helo.data import ratings_to_distributions


def test_ratings_become_distributions():
    d = ratings_to_distributions([[1, 3], [5, 5]], "here", ["sad", "happy"])
    np.testing.assert_allclose(d, [[0.25, 0.75], [0.5, 0.5]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1])
def test_bad_rating_is_named(bad):
    with pytest.raises(ValueError, match=r"here: the rating of 'happy' in row 1 is"):
        ratings_to_distributions([[1, 1], [1, bad]], "here", ["sad", "happy"])


def test_all_zero_ratings_are_refused():
    with pytest.raises(ValueError, match="row 1 are 0"):
        ratings_to_distributions([[1, 1], [0, 0]], "here", ["sad", "happy"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"emotions": ["joy"]}, "at least two"),
        ({"emotions": ["joy", "joy", "a", "b", "c"]}, "name one twice"),
        ({"distributions": np.ones((40, 5)) / 4}, "distributions row 0"),
        ({"distributions": np.full((40, 5), np.nan)}, "distributions row 0"),
        ({"distributions": np.tile([1.2, -0.2, 0, 0, 0], (40, 1))}, "non-negative"),
        ({"subjects": np.array(["a"] * 39)}, r"subjects has shape \(39,\); expected \(40,\)"),
        ({"clips": np.array([["a"] * 40])}, r"clips has shape \(1, 40\); expected \(40,\)"),
        ({"roles": {"physiological": ["eeg"], "behavioral": ["face"]}}, "roles name"),
        ({"roles": {"physical": ["eeg"]}}, "'physiological' and 'behavioral'"),
        ({"query": "face"}, "query is 'face'"),
        ({"masks": {"face": np.ones((40, 2), bool)}}, "mask of 'face'"),
        ({"masks": {"face": np.zeros((40, 1), bool)}}, "'face' has no token in any window"),
        ({"features": {"face": ["one"]}}, "features of 'face'"),
        (
            {
                "signals": {"eeg": np.zeros((0, 2, 2)), "face": np.zeros((40, 1, 1))},
                "roles": {"physiological": ["eeg"], "behavioral": ["face"]},
            },
            r"modality 'eeg' has shape \(0, 2, 2\)",
        ),
    ],
)
def test_bad_data_names_the_field(change, message):
    with pytest.raises(ValueError, match=message):
        random_data(**change)


def test_nan_needs_a_mask():
    good = random_data()
    signals = {m: x.copy() for m, x in good.signals.items()}
    signals["eeg"][7, 2, 1] = np.nan
    with pytest.raises(ValueError, match=re.escape("modality 'eeg', window 7, token 2 holds NaN")):
        random_data(signals=signals)
    mask = np.ones((40, 6), bool)
    mask[7, 2] = False
    assert (random_data(signals=signals, masks={"eeg": mask}).signals["eeg"][7, 2] == 0).all()


def test_query_is_the_physiological_modality_with_most_tokens():
    assert random_data().query == "eeg"
    assert random_data(shapes={"eda": (2, 3), "ppg": (2, 3), "face": (9, 3)}).query == "eda"
