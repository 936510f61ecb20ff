from collections import Counter

import numpy as np
import pytest
from conftest import shared

import helo

HEADER = '"","A","D","F","H","N","S","fileName","numResponses"'


@pytest.fixture(scope="module")
def votes():
    return helo.load("crema-d", root=shared("crema-d/tabulatedVotes.csv").parent)


def small(clips=2):
    rows = []
    for kind in (1, 2, 3):
        for clip in range(1, clips + 1):
            votes = [0] * 6
            votes[kind] = 4
            votes[0] = clip
            name = f"100{clip}_IEO_ANG_XX"
            rows.append([str(100000 * kind + clip), *map(str, votes), name, str(sum(votes))])
    return rows


def write(folder, rows, header=HEADER):
    (folder / "tabulatedVotes.csv").write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return folder


def test_real_votes_have_the_known_counts(votes):
    assert len(votes) == 7442 and len(np.unique(votes.subjects)) == 91
    assert votes.emotions == ("angry", "disgusted", "fearful", "happy", "neutral", "sad")
    assert Counter(votes.conditions) == {"HAP": 1271, "SAD": 1271, "FEA": 1271, "ANG": 1271, "DIS": 1271, "NEU": 1087}
    # the first rows of the file: clip 1 is heard as neutral by ten of eleven, as happy by one
    np.testing.assert_allclose(votes.signals["voice"][0, 0], [0, 0, 0, 1 / 11, 10 / 11, 0], atol=1e-6)


def test_the_face_says_more_than_the_voice(votes):
    """Known of CREMA-D: raters agree more on faces, and the votes for both lie nearer to the face's."""
    both = votes.distributions
    common = {m: np.minimum(both, votes.signals[m][:, 0]).sum(1).mean() for m in ("voice", "face")}
    assert common["voice"] == pytest.approx(0.594, abs=0.001) and common["face"] == pytest.approx(0.734, abs=0.001)


def test_small_file(tmp_path):
    data = helo.load("crema-d", root=write(tmp_path, small()))
    np.testing.assert_allclose(data.distributions, [[0.2, 0, 0, 0.8, 0, 0], [1 / 3, 0, 0, 2 / 3, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(data.signals["face"][0, 0], [0.2, 0, 0.8, 0, 0, 0], atol=1e-6)
    assert data.subjects.tolist() == ["1001", "1002"] and data.trials[0] == "IEO_ANG_XX"


def test_order_of_rows_does_not_matter(tmp_path):
    rows = small(4)
    one = helo.load("crema-d", root=write(tmp_path, rows))
    two = helo.load("crema-d", root=write(tmp_path, rows[::-1]))
    np.testing.assert_array_equal(one.distributions, two.distributions)
    np.testing.assert_array_equal(one.signals["voice"], two.signals["voice"])


def test_smoothing_adds_votes(tmp_path):
    data = helo.load("crema-d", root=write(tmp_path, small()), smoothing=1.0)
    np.testing.assert_allclose(data.distributions[0], np.array([2, 1, 1, 5, 1, 1]) / 11, atol=1e-6)


def test_sentences_keep_their_clips_as_they_are(votes):
    wanted = ("IOM", "DFA")
    some = helo.load("crema-d", root=shared("crema-d/tabulatedVotes.csv").parent, sentences=wanted)
    rows = [k for k, name in enumerate(votes.trials) if name.startswith(wanted)]
    assert len(some) == len(rows) == 2 * 546 and some.trials.tolist() == votes.trials[rows].tolist()
    np.testing.assert_array_equal(some.distributions, votes.distributions[rows])
    for m in ("voice", "face"):
        np.testing.assert_array_equal(some.signals[m], votes.signals[m][rows])


def test_a_sentence_nobody_speaks_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"tabulatedVotes\.csv: no clip of sentence 'DFA'; found IEO"):
        helo.load("crema-d", root=write(tmp_path, small()), sentences=["IEO", "DFA"])
    with pytest.raises(ValueError, match="sentences is 'IEO'; expected a list"):
        helo.load("crema-d", root=tmp_path, sentences="IEO")


def broken(change):
    rows = small()
    change(rows)
    return rows


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: r[1].__setitem__(2, "-1"), r"row 3, D, is '-1'; expected a whole number from 0"),
        (lambda r: r[1].__setitem__(2, "many"), "row 3, D, is 'many'"),
        (lambda r: r[1].__setitem__(2, ""), "row 3, D, is ''"),
        (lambda r: r[0].__setitem__(0, "7"), "row 2, first column, is '7'"),
        (lambda r: r[0].__setitem__(slice(1, 7), ["0"] * 6), "row 2 has no vote"),
        (
            lambda r: r[0].__setitem__(7, "clip.wav"),
            "row 2 has fileName 'clip.wav'; expected actor_sentence_emotion_level",
        ),
        (lambda r: r.pop(), r"1 rows of type 3 \(both\); expected one for each of the 2 clips"),
        (lambda r: r[5].__setitem__(7, "1009_IEO_ANG_XX"), "clip 2 has two fileNames"),
        (lambda r: r.clear(), "no rows below the header"),
    ],
)
def test_bad_files_name_row_and_column(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        helo.load("crema-d", root=write(tmp_path, broken(change)))
    assert "tabulatedVotes.csv" in str(error.value)


def test_missing_columns_and_files(tmp_path):
    with pytest.raises(ValueError, match="no such file; expected CREMA-D's tabulatedVotes.csv"):
        helo.load("crema-d", root=tmp_path)
    write(tmp_path, small(), header=HEADER.replace('"N"', '"M"'))
    with pytest.raises(ValueError, match=r"columns \['N'\] are missing"):
        helo.load("crema-d", root=tmp_path)
    (tmp_path / "tabulatedVotes.csv").write_bytes(b"\xff\xfe\x00" * 100)
    with pytest.raises(ValueError, match="tabulatedVotes.csv"):
        helo.load("crema-d", root=tmp_path)


def test_a_model_beats_the_votes_mean_for_new_actors(votes):
    from helo.evaluation import summarise

    summary = summarise(helo.evaluate(["mean", "sa-bfgs"], votes, folds=3, progress=False))
    assert summary.loc["sa-bfgs", "kl"] < 0.6 * summary.loc["mean", "kl"]
