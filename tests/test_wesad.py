import re
import shutil
from collections import Counter

import numpy as np
import pytest
from conftest import write_wesad

import helo
from helo.data import wesad as reader
from helo.data.pickles import UnsafePickle

SHORT = {"tokens": 6, "context": 0}  # features of the window alone


def replace(old, new):
    return lambda lines: [line.replace(old, new) for line in lines]


def test_real_recordings_have_the_known_counts(wesad):
    assert len(wesad) == 1398 and len(wesad.emotions) == 24
    assert sorted(set(wesad.subjects), key=lambda s: int(s[1:])) == [f"S{k}" for k in (*range(2, 12), *range(13, 18))]
    assert {m: x.shape[1:] for m, x in wesad.signals.items()} == {
        "bvp": (6, 5),
        "eda": (6, 5),
        "temp": (6, 2),
        "acc": (6, 11),
    }
    assert list(wesad.signals) == ["bvp", "eda", "temp", "acc"]
    assert wesad.roles == {"physiological": ("bvp", "eda", "temp"), "behavioral": ("acc",)}
    # S2: labels of 1144, 615, 391, 362 and 377 s
    assert Counter(wesad.trials[wesad.subjects == "S2"]) == {
        "Base": 37,
        "TSST": 19,
        "Medi 1": 12,
        "Fun": 11,
        "Medi 2": 11,
    }
    assert wesad.masks["bvp"].mean() > 0.9


def test_all_windows_of_a_condition_share_its_questionnaire(wesad):
    for trial in np.unique(wesad.trial_ids):
        rows = wesad.distributions[wesad.trial_ids == trial]
        assert (rows == rows[0]).all()


def test_real_questionnaires(wesad_root):
    with pytest.warns(UserWarning, match="used 1.5, the median"):
        ratings = {
            f"S{k}": reader.read_panas(wesad_root / f"S{k}" / f"S{k}_quest.csv")
            for k in (*range(2, 12), *range(13, 18))
        }
    assert all((row[-1] == 1) for panas in ratings.values() for row in panas.values())  # sad is 1 in all 75 rows
    assert sum(len(panas) for panas in ratings.values()) == 75
    assert list(ratings["S14"]) == ["Base", "TSST", "Medi 2", "Fun", "Medi 1"]
    stress = ratings["S5"]["TSST"]  # 5;1;4;2;2;3;...;4;1;2;(1;2;)1
    assert stress[0] == 5 and stress[20] == 4 and stress[22] == 2 and stress[23] == 1


def test_stress_raises_heart_rate_and_skin_conductance(wesad_root):
    """Physiology that everybody knows must be there in the features of real people."""
    data = helo.load("wesad", root=wesad_root, **SHORT)
    rate, level = data.signals["bvp"][..., 0], data.signals["eda"][..., 0]
    higher = {"rate": 0, "level": 0}
    for subject in np.unique(data.subjects):
        stress = (data.subjects == subject) & (data.conditions == "TSST")
        calm = (data.subjects == subject) & np.char.startswith(data.conditions, "Medi")
        higher["rate"] += rate[stress][data.masks["bvp"][stress]].mean() > rate[calm][data.masks["bvp"][calm]].mean()
        higher["level"] += level[stress].mean() > level[calm].mean()
    assert higher["rate"] >= 13 and higher["level"] >= 12


def test_people_sit_stiller_and_breathe_slower_when_they_meditate(wesad):
    names = {m: wesad.features[m].index(n) for m, n in (("acc", "movement (log g)"), ("bvp", "pulse sway (1/min)"))}
    lower = dict.fromkeys(names, 0)
    for subject in np.unique(wesad.subjects):
        own = wesad.subjects == subject
        calm, stress = own & np.char.startswith(wesad.conditions, "Medi"), own & (wesad.conditions == "TSST")
        for m, k in names.items():
            calm_mean, stress_mean = (
                wesad.signals[m][rows][wesad.masks[m][rows]][:, k].mean() for rows in (calm, stress)
            )
            lower[m] += calm_mean < stress_mean
    assert lower["acc"] == 15 and lower["bvp"] >= 12


def test_second_load_comes_from_the_cache(wesad_root, wesad, monkeypatch):
    monkeypatch.setattr(reader, "_extract", lambda *a, **k: pytest.fail("read the recordings again"))
    again = helo.load("wesad", root=wesad_root, **SHORT)
    for m in wesad.signals:
        np.testing.assert_array_equal(again.signals[m], wesad.signals[m])
    assert (again.subjects == wesad.subjects).all() and again.emotions == wesad.emotions
    assert again.features == wesad.features and again.layout == wesad.layout


def test_recording_gives_raw_signals_with_units(wesad, wesad_root):
    raw = wesad.recording("S3")
    assert raw.units == {"bvp": "a.u.", "eda": "uS", "temp": "degC", "acc": "g"}
    assert raw.signals["acc"].shape == (207776, 3)
    # gravity: the resting wrist's acceleration is about 1 g
    assert np.median(np.linalg.norm(raw.signals["acc"], axis=1)) == pytest.approx(1, abs=0.1)


def test_windows_follow_the_arguments(tmp_path):
    write_wesad(tmp_path)
    # runs of 70 s: one window of 60 s each; of 20 s every 10 s: six each
    assert len(helo.load("wesad", root=tmp_path, **SHORT)) == 5
    data = helo.load("wesad", root=tmp_path, window=20, step=10, tokens=2, context=0, normalise="none")
    assert len(data) == 30 and data.signals["eda"].shape == (30, 2, 5)
    assert data.starts[:3].tolist() == [1, 11, 21]  # the first run begins after one second of transient
    assert data.tokens["eda"] == ("0-10 s", "10-20 s")
    np.testing.assert_allclose(data.signals["bvp"][..., 0], 66, atol=2)  # the file's pulse is 1.1 Hz


def test_what_a_person_is_normalised_by(tmp_path):
    """The conditions' windows alone, the whole recording, or its past; never anything between people."""
    write_wesad(tmp_path)
    loads = {
        how: helo.load("wesad", root=tmp_path, window=20, step=10, tokens=2, context=0, normalise=how).signals["temp"]
        for how in ("none", "subject", "recording", "causal")
    }
    raw = loads.pop("none")
    np.testing.assert_allclose(loads["subject"].mean((0, 1)), 0, atol=1e-5)
    assert np.abs(loads["recording"].mean((0, 1))).max() > 1e-3  # pauses and transitions are in the mean
    for x in (loads["subject"], loads["recording"]):  # a straight line of the raw values, but for what is clipped
        inside = np.abs(x[..., 0]) < 5
        assert np.corrcoef(x[..., 0][inside], raw[..., 0][inside])[0, 1] > 0.9999
    # at the end of the recording the past is nearly all of it, at its beginning nearly nothing
    far = np.abs(loads["causal"] - loads["recording"]).mean((1, 2))
    assert far[-1] < 0.1 * far[:3].mean()


@pytest.mark.parametrize("context", [0, 20])
def test_a_causal_normalisation_knows_nothing_after_a_windows_end(tmp_path, context):
    """Temperature has no filter: what changes later may change no number of a window, with its context, before it."""
    options = {"window": 20, "step": 10, "tokens": 2, "context": context, "normalise": "causal", "cache": False}
    late = 200.0

    def hot(content):
        content["signal"]["wrist"]["TEMP"][int(late * 4) :] += 5

    plain = helo.load("wesad", root=write_wesad(tmp_path / "a"), **options)
    other = helo.load("wesad", root=write_wesad(tmp_path / "b", change=hot), **options)
    before = plain.starts + plain.window <= late
    assert 5 < before.sum() < len(plain)
    np.testing.assert_array_equal(plain.signals["temp"][before], other.signals["temp"][before])
    assert np.abs(plain.signals["temp"] - other.signals["temp"])[~before].max() > 0.1


def test_context_reaches_beyond_the_window(tmp_path):
    write_wesad(tmp_path)
    plain = helo.load("wesad", root=tmp_path, window=20, step=10, tokens=2, context=0, normalise="none")
    wide = helo.load("wesad", root=tmp_path, window=20, step=10, tokens=6, context=20, normalise="none")
    assert len(wide) == len(plain) and (wide.trials == plain.trials).all()
    assert wide.window == 60 and np.allclose(wide.starts, plain.starts - 20)
    assert wide.tokens["eda"] == tuple(f"{k} to {k + 10} s" for k in range(-20, 40, 10))
    # the window itself is seen as without context
    for m in plain.signals:
        np.testing.assert_array_equal(wide.masks[m][:, 2:4], plain.masks[m])
        both = plain.masks[m]
        np.testing.assert_allclose(wide.signals[m][:, 2:4][both], plain.signals[m][both], rtol=1e-5)
    # what lies before the recording's beginning or after its end is not there
    assert not wide.masks["temp"][0, :2].any() and not wide.masks["temp"][-1, 5:].any() and wide.masks["temp"][12].all()
    # the shared signal is found by who looks for leaks
    split = helo.splits.by_trial(wide, folds=5)[0]
    everything = np.setdiff1d(np.arange(len(wide)), split.test)
    whole = helo.splits.Split("x", everything, everything[:0], split.test)
    assert helo.splits.leaks(wide, whole)["signal"] > 0 and helo.splits.leaks(wide, split)["signal"] == 0


@pytest.mark.parametrize("site", ["chest", "both"])
def test_chest_signals(tmp_path, site):
    write_wesad(tmp_path, chest=True)
    data = helo.load("wesad", root=tmp_path, site=site, normalise="none", **SHORT)
    assert {"chest_ecg", "chest_emg", "chest_eda", "chest_resp", "chest_temp", "chest_acc"} <= set(data.signals)
    assert ("bvp" in data.signals) == (site == "both")
    assert "chest_acc" in data.roles["behavioral"] and "chest_ecg" in data.roles["physiological"]
    np.testing.assert_allclose(data.signals["chest_ecg"][..., 0], 75, atol=3)
    np.testing.assert_allclose(data.signals["chest_resp"][..., 0], 15, atol=1)


@pytest.mark.parametrize("site", ["chest", "both"])
def test_context_reaches_beyond_chest_signals_that_blocks_do_not_divide(tmp_path, site):
    """21 samples of acceleration are averaged to one: of 365 s, 2 mod 3, half a block is over at the end (S13, S15)."""
    write_wesad(tmp_path, seconds=72, chest=True)
    data = helo.load("wesad", root=tmp_path, site=site, context=120, tokens=5, normalise="none")
    last = np.argmax(data.starts)
    assert data.starts[last] + data.window > 365  # its last token reaches beyond the recording
    assert data.masks["chest_acc"][last].tolist() == [True, True, True, False, False]
    assert np.isfinite(data.signals["chest_acc"]).all()


def test_wrist_pickle_without_chest_says_so(tmp_path):
    write_wesad(tmp_path)
    with pytest.raises(
        ValueError, match=re.escape("S2.pkl: signal['chest']['ECG'] is NoneType; expected a numeric array")
    ):
        helo.load("wesad", root=tmp_path, site="chest", **SHORT)


def test_order_of_conditions_is_the_questionnaires(tmp_path):
    """S14's order: the row after the second block is meditation 2, not 1."""
    order = replace("Base;TSST;Medi 1;Fun;Medi 2", "Base;TSST;Medi 2;Fun;Medi 1")
    write_wesad(tmp_path, quest=order)
    assert list(helo.load("wesad", root=tmp_path, **SHORT).trials) == ["Base", "TSST", "Medi 2", "Fun", "Medi 1"]


def test_the_stress_rows_angry_and_irritated_are_left_out(tmp_path):
    """26 ratings: the 24th and 25th are no emotion of the other rows'; the 23rd is happy, the 26th sad."""

    def quest(lines):
        stress = [*[2] * 22, 1, 5, 4, 3]
        return [f"# PANAS;{';'.join(map(str, stress))}" if line.count(";") == 26 else line for line in lines]

    write_wesad(tmp_path, quest=quest)
    stress = reader.read_panas(tmp_path / "S2" / "S2_quest.csv")["TSST"].tolist()
    found = dict(zip(reader.EMOTIONS, stress, strict=True))
    assert (found["frustrated"], found["happy"], found["sad"]) == (2, 1, 3)


def test_a_single_missing_rating_becomes_the_persons_median(tmp_path):
    write_wesad(tmp_path, quest=lambda lines: [*lines[:5], lines[5].replace(";1;2;3", ";1;Nan;3", 1), *lines[6:]])
    with pytest.warns(UserWarning, match="rating of 'distressed' in 'Base' is missing; used 2.5, the median"):
        panas = reader.read_panas(tmp_path / "S2" / "S2_quest.csv")
    assert panas["Base"][1] == np.median([panas[c][1] for c in ("TSST", "Medi 1", "Fun", "Medi 2")])


@pytest.mark.parametrize(
    "quest, message",
    [
        (replace("# ORDER", "# SORTED"), "no line '# ORDER'"),
        (replace("Medi 1", "Medi 3"), r"'# ORDER' begins with .*'Medi 3'.*; expected"),
        (lambda lines: lines[:7] + lines[8:], "4 lines '# PANAS'; expected 5"),
        (lambda lines: [*lines[:5], lines[5] + ";1;1", *lines[6:]], "PANAS row of 'Base' has 26 ratings; expected 24"),
        (lambda lines: [*lines[:6], lines[6].rsplit(";", 2)[0], *lines[7:]], "'TSST' has 24 ratings; expected 26"),
        (replace("# PANAS;1;2", "# PANAS;1;-2"), "'distressed' in 'Base' is '-2'; expected a number from 1 to 5"),
        (replace("# PANAS;1;2", "# PANAS;1;7"), "is '7'; expected"),
        (replace("# PANAS;1;2", "# PANAS;1;two"), "is 'two'; expected"),
        (replace("# PANAS;1;2", "# PANAS;Nan;Nan"), "2 ratings of 'Base' are missing; expected one at most"),
    ],
)
def test_bad_questionnaires_name_file_and_field(tmp_path, quest, message):
    write_wesad(tmp_path, quest=quest)
    with pytest.raises(ValueError, match=message) as error:
        helo.load("wesad", root=tmp_path, **SHORT)
    assert "S2_quest.csv" in str(error.value)


def put(*path, value):
    def change(content):
        place = content
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value(place[path[-1]]) if callable(value) else value

    return change


def nan_at(x):
    x = x.copy()
    x[40] = np.nan
    return x


@pytest.mark.parametrize(
    "change, message",
    [
        (put("signal", value=None), "no dictionary 'signal'"),
        (put("subject", value="S9"), "'subject' is 'S9'; expected 'S2'"),
        (put("subject", value=np.arange(3)), r"'subject' is int64 \(3,\); expected 'S2'"),
        (put("label", value=lambda x: x.astype(float)), "'label' is float64"),
        (put("signal", "wrist", "EDA", value=None), r"signal\['wrist'\]\['EDA'\] is NoneType"),
        (put("signal", "wrist", "ACC", value=lambda x: x[:, :2]), r"\['ACC'\] is float64 \(11360, 2\); expected .*3\)"),
        (
            put("signal", "wrist", "BVP", value=lambda x: x[:1000]),
            "lasts 15.6 s at 64 Hz; expected the labels' 355.0 s",
        ),
        (put("signal", "wrist", "TEMP", value=nan_at), r"\['TEMP'\] is NaN or Inf at 10.00 s"),
        (put("label", value=lambda x: np.where(x == 3, 7, x)), r"codes \[1, 2, 4, 4\]; expected \[1, 2, 4, 3, 4\]"),
    ],
)
def test_bad_recordings_name_file_and_field(tmp_path, change, message):
    write_wesad(tmp_path, change=change)
    with pytest.raises(ValueError, match=message) as error:
        helo.load("wesad", root=tmp_path, **SHORT)
    assert "S2.pkl" in str(error.value)


def test_hostile_and_truncated_pickles_leave_nothing_behind(tmp_path, monkeypatch):
    root = write_wesad(tmp_path / "data")
    monkeypatch.setenv("HELO_CACHE", str(tmp_path / "cache"))
    file = root / "S2" / "S2.pkl"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="S2.pkl: truncated pickle"):
        helo.load("wesad", root=root, **SHORT)
    file.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(UnsafePickle, match="asks for os.system"):
        helo.load("wesad", root=root, **SHORT)
    assert not (tmp_path / "ran").exists() and not list((tmp_path / "cache").glob("*"))


def test_missing_folder_and_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder; expected WESAD's folder"):
        helo.load("wesad", root=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no folder S2, S3"):
        helo.load("wesad", root=tmp_path, **SHORT)
    write_wesad(tmp_path)
    (tmp_path / "S2" / "S2_quest.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"S2_quest.csv: missing"):
        helo.load("wesad", root=tmp_path, **SHORT)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"site": "ankle"}, "site is 'ankle'; expected one of"),
        ({"normalise": "all"}, "normalise is 'all'"),
        ({"window": 600}, "no condition holds a window of 600 s"),
        ({"window": 60, "tokens": 200}, "tokens of at least 2 s"),
        ({"step": 0}, "expected positive lengths"),
        ({"colour": 1}, r"does not take \['colour'\]; its options are"),
    ],
)
def test_bad_arguments(tmp_path, options, message):
    write_wesad(tmp_path)
    with pytest.raises(ValueError, match=message):
        helo.load("wesad", root=tmp_path, **options)


def test_load_needs_a_root_and_a_known_name():
    with pytest.raises(ValueError, match=r"'wesad' needs \['root'\]"):
        helo.load("wesad")
    with pytest.raises(ValueError, match="unknown data set 'weasd'; expected one of"):
        helo.load("weasd")


def test_a_changed_file_is_read_again(tmp_path):
    write_wesad(tmp_path)
    before = helo.load("wesad", root=tmp_path, **SHORT)
    write_wesad(tmp_path, quest=replace("# PANAS;1;2;3", "# PANAS;5;2;3"))
    after = helo.load("wesad", root=tmp_path, **SHORT)
    assert not np.array_equal(before.distributions, after.distributions)


def test_a_damaged_cache_is_rebuilt(tmp_path, monkeypatch):
    monkeypatch.setenv("HELO_CACHE", str(tmp_path / "cache"))
    write_wesad(tmp_path / "data")
    first = helo.load("wesad", root=tmp_path / "data")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="unreadable cache"):
        second = helo.load("wesad", root=tmp_path / "data")
    np.testing.assert_array_equal(first.signals["eda"], second.signals["eda"])
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HELO_CACHE", str(tmp_path / "file" / "cache"))
    write_wesad(tmp_path / "data")
    with pytest.warns(UserWarning, match="could not write the cache"):
        assert len(helo.load("wesad", root=tmp_path / "data")) == 5


def test_order_of_the_directory_listing_does_not_matter(tmp_path, monkeypatch):
    for s in ("S10", "S2", "S3"):
        write_wesad(tmp_path, s)
    shutil.copytree(tmp_path / "S3", tmp_path / "notes")
    listing = type(tmp_path).glob
    monkeypatch.setattr(
        type(tmp_path), "glob", lambda self, pattern: iter(sorted(listing(self, pattern), reverse=True))
    )
    data = helo.load("wesad", root=tmp_path, cache=False)
    assert list(dict.fromkeys(data.subjects)) == ["S2", "S3", "S10"]
