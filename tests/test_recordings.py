"""Raw recordings: what they load to, what is left out and why, and that it takes little memory."""

import gzip
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from conftest import ROOT
from studies import (
    E4,
    EMOTIONS,
    T0,
    TRIALS,
    e4_file,
    signals,
    write_bids,
    write_e4,
    write_kemocon,
    write_physio,
    write_rows,
)
from typer.testing import CliRunner

import helo
from helo import splits
from helo.__main__ import app
from helo.data import recorded_windows, recordings, sample_files, wesad_people
from helo.data import signals as features
from helo.data import wesad as wesad_reader
from helo.data.check import check, open_path
from helo.data.e4 import _check_pace
from helo.data.example import write_recordings
from helo.data.rated_windows import Rated, labels, window_means
from helo.data.recorded import Report, Samples, span
from helo.data.recorded_windows import Windows
from helo.data.recordings_card import read_card
from helo.data.recordings_check import bridged, gaps_of

FAST = {"window": 10, "step": 5, "tokens": 2, "cache": False}
FORMS = {"e4": write_e4, "bids": write_bids}


def load(root, **options):
    return helo.load("recordings", root, **FAST | options)


def quiet(root, **options):
    """Loaded, whatever is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(root, **options)


def what(data):
    return {f.what for f in data.findings}


def found(data, what):
    return next(f for f in data.findings if f.what == what)


# --- the same as WESAD ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(wesad_root, tmp_path_factory):
    """One person's real wrist signals: WESAD's folder, an E4's study of them, the same in BIDS."""
    root = tmp_path_factory.mktemp("real")
    people, trials = {}, {}
    for subject in ("S3",):
        (root / "wesad").mkdir(exist_ok=True)
        (root / "wesad" / subject).symlink_to(wesad_root / subject)
        raw, label = wesad_reader._read_signals(wesad_root / subject / f"{subject}.pkl", "wrist")
        panas = wesad_people.read_panas(wesad_root / subject / f"{subject}_quest.csv")
        people[subject] = raw
        runs = wesad_reader._condition_runs(root, label, list(panas))
        trials[subject] = [(name, float(a), float(b - a), panas[name].tolist()) for name, a, b in runs]
    emotions = wesad_people.EMOTIONS
    write_e4(root / "e4", people, trials, clock="unix", emotions=emotions)
    write_bids(root / "bids", people, trials, emotions=emotions)
    return root


@pytest.mark.parametrize("form, normalise, context", [("e4", "recording", 120.0), ("bids", "causal", 0.0)])
def test_wesads_signals_give_wesads_features(real, form, normalise, context):
    options = {"tokens": 5, "context": context, "normalise": normalise}
    theirs = helo.load("wesad", real / "wesad", **options)
    ours = helo.load("recordings", real / form, strict=True, **options)
    np.testing.assert_allclose(ours.starts, theirs.starts, atol=1e-5)
    np.testing.assert_allclose(ours.distributions, theirs.distributions, atol=1e-6)
    for name in ("subjects", "trials", "conditions"):
        assert getattr(ours, name).tolist() == getattr(theirs, name).tolist(), name
    for name in ("emotions", "roles", "query", "window", "features", "tokens"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for m, x in theirs.signals.items():
        np.testing.assert_allclose(ours.signals[m], x, atol=1e-5)
        assert (ours.masks[m] == theirs.masks[m]).all()
    assert not ours.left_out


def test_raw_signals_to_look_at(real):
    theirs = wesad_reader.recording(real / "wesad", "S3")
    ours = helo.load("recordings", real / "e4", tokens=5, context=120.0).recording("S3")
    assert not helo.load("recordings", real / "e4", tokens=5, context=120.0).findings
    for m, x in theirs.signals.items():
        np.testing.assert_allclose(ours.signals[m], x, atol=1e-9)
    assert ours.rates == theirs.rates and ours.units == dict(theirs.units)
    with pytest.raises(ValueError, match="no person 'S9'; expected one of 'S3'"):
        helo.data.recordings.recording(real / "e4", "S9")


def test_the_simulated_study_as_recordings(tmp_path, simulated):
    """Written as a study in BIDS it gives the features of the simulated study; the face by its levels."""
    data = helo.load("recordings", write_recordings(simulated, tmp_path), normalise="subject", cache=False)
    assert data.name == "simulated" and data.trials.tolist() == simulated.trials.tolist() and not data.left_out
    np.testing.assert_allclose(data.distributions, simulated.distributions, atol=1e-4)
    np.testing.assert_allclose(data.starts, simulated.starts)
    for m in ("bvp", "eda", "temp"):
        near = np.abs(data.signals[m] - simulated.signals[m]) < 0.02  # six digits are written
        assert near.mean() > 0.99, m
    assert data.features["face"][:2] == ("face_cheeks_up mean", "face_cheeks_up SD")
    np.testing.assert_allclose(data.signals["face"][..., ::2], simulated.signals["face"], atol=0.02)


# --- ratings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_window_has_its_trials_ratings(form, tmp_path):
    data = load(FORMS[form](tmp_path))
    for trial, onset, duration, ratings in TRIALS:
        own = data.trials == trial
        assert own.sum() == 2 * ((duration - 10) // 5 + 1)
        np.testing.assert_allclose(data.distributions[own], np.tile(np.array(ratings) / sum(ratings), (own.sum(), 1)))
        assert (data.starts[own] >= onset).all() and (data.starts[own] + 10 <= onset + duration).all()
    assert data.emotions == EMOTIONS and data.query == "eda"


def test_the_floor_and_smoothing_are_the_tables(tmp_path):
    data = load(write_e4(tmp_path), floor=1, smoothing=0.5)
    np.testing.assert_allclose(
        data.distributions[data.trials == "clip a"][0], np.array([4.5, 0.5, 1.5]) / 6.5, rtol=1e-6
    )


def test_ratings_over_time_are_means_by_covered_time():
    starts = np.array([0.0, 5.0, 10.0, 20.0])
    stops = np.array([5.0, 10.0, 15.0, 25.0])  # 15 to 20 s are not rated
    values = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 4.0]])
    means, share = window_means(np.array([0.0, 2.5, 12.0, 15.0, 30.0]), 10.0, starts, stops, values)
    np.testing.assert_allclose(means, [[0.5, 0.5], [(2.5 + 2 * 2.5) / 10, 0.5], [6 / 5, 8 / 5], [0, 4], [0, 0]])
    np.testing.assert_allclose(share, [1, 1, 0.5, 0.5, 0])


def test_a_rating_holds_until_the_next_whatever_its_duration_says():
    starts, values = np.array([0.0, 10.0, 20.0]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    rated = Rated(starts, starts + 15, ["film"] * 3, None, values, [0, 1, 2], True)
    found = labels("P1", rated, {"over": "time", "smoothing": 0.0}, 10.0, 5.0, 40.0, {}, Report())
    assert found.starts.tolist() == [0, 5, 10, 15, 20, 25]
    np.testing.assert_allclose(found.ratings, [[1, 0], [0.5, 0.5], [0, 1], [0.5, 1], [1, 1], [1, 1]])


def test_a_row_every_five_seconds(tmp_path):
    write_e4(tmp_path, card="")
    rows = [[p, s, *r] for p in ("P1", "P2") for s, r in zip(range(0, 40, 5), [(1, 3), (3, 1)] * 4, strict=True)]
    write_rows(tmp_path / "ratings.csv", ["person", "onset", "emotion.happy", "emotion.sad"], rows)
    (tmp_path / "recordings.yaml").write_text("ratings: {over: time, duration: 5, scale: [1, 4]}")
    data = load(tmp_path)
    own = data.subjects == "P1"
    assert data.starts[own].tolist() == [0, 5, 10, 15, 20, 25, 30] and set(data.trials) == {"recording"}
    np.testing.assert_allclose(data.distributions, 0.5)
    np.testing.assert_allclose(
        load(tmp_path, window=4, step=5, tokens=1).distributions[:2], [[0.25, 0.75], [0.75, 0.25]]
    )


@pytest.mark.parametrize("over", ["trial", "time"])
def test_one_time_is_rated_once(tmp_path, over):
    """A row for each rater: the last one's ratings stood for both, or one trial became two with other labels."""
    write_e4(tmp_path, trials={p: [TRIALS[0], (*TRIALS[0][:3], (1, 5, 2)), TRIALS[1]] for p in ("P1", "P2")})
    (tmp_path / "recordings.yaml").write_text(f"ratings: {{over: {over}}}")
    with pytest.raises(ValueError, match="rows 0 and 1 both rate 'clip a' from 5 s of the recording on"):
        load(tmp_path, strict=True)


@pytest.mark.parametrize("smoothing", [0, 1])
def test_a_code_for_a_missing_rating_is_named(tmp_path, smoothing):
    write_e4(tmp_path, trials={p: [("clip a", 5.0, 40.0, (5, -1, 2)), TRIALS[1]] for p in ("P1", "P2")})
    with pytest.raises(ValueError, match=r"ratings.csv: the rating of 'sad' in row 0 is -1; expected at least"):
        load(tmp_path, smoothing=smoothing)


@pytest.mark.parametrize(
    "rate, devices, message",
    [(6, 1, "6 samples a second; expected 4"), (2.1, 1, "2.1 samples a second"), (4, 2, "If the file holds two sens")],
)
def test_time_stamps_of_another_rate_are_refused(tmp_path, rate, devices, message):
    """By a factor of less than two, which was taken for the card's rate with samples dropped or made up."""
    for person in ("P1", "P2"):
        t = np.arange(120 * rate) / rate
        rows = sorted((round(s + 0.05 * k, 6), 3 + 9 * k) for k in range(devices) for s in t.tolist())
        write_rows(tmp_path / person / "EDA.csv", ["timestamp", "value"], rows)
    write_rows(
        tmp_path / "ratings.csv",
        ["person", "trial", "onset", "duration", *(f"emotion.{e}" for e in EMOTIONS)],
        [[p, name, *times, *ratings] for p in ("P1", "P2") for name, *times, ratings in TRIALS],
    )
    signal = "{eda: {file: EDA.csv, columns: [value], rate: 4}}"
    (tmp_path / "recordings.yaml").write_text(
        f"format: csv\ntime: {{column: timestamp, factor: 1}}\nsignals: {signal}\nratings: {{clock: recording}}"
    )
    with pytest.raises(ValueError, match=message):
        load(tmp_path, strict=True)


def test_steps_of_a_file_with_pauses_and_losses_are_the_cards():
    rng = np.random.default_rng(0)
    kept = np.flatnonzero(rng.random(40_000) > 0.3)  # a third lost at random, and a pause of half the time
    time = np.where(kept < 20_000, kept, kept + 40_000) / 64
    stamped = np.floor(time * 1000) / 1000  # in whole milliseconds
    for t in (time, stamped):
        _check_pace("x.csv", t, np.round(t * 64), 64)
    bundles = np.floor(np.arange(960) / 96) * 1.5  # a second and a half in one stamp
    with pytest.raises(ValueError, match="x.csv: 950 of 960 samples have the time of another"):
        _check_pace("x.csv", bundles, np.round(bundles * 64), 64)
    packets = np.floor(np.arange(6400) / 3) * 3 / 64
    with pytest.raises(ValueError, match="x.csv: 4266 of 6400 samples have the time of another at 64 a second"):
        _check_pace("x.csv", packets, np.round(packets * 64), 64)


def test_a_factor_of_one_is_a_factor(tmp_path):
    write_bids(tmp_path)
    for person, seed in (("01", 1), ("02", 2)):
        path = tmp_path / f"sub-{person}" / "beh" / f"sub-{person}_task-film_recording-eda_physio.tsv.gz"
        write_physio(path, {"eda": signals(seed=seed)["eda"][:, 0]}, 4.0, units={"eda": "microSiemens"})
    with pytest.raises(ValueError, match="expected one of .* or a factor in a card"):
        load(tmp_path, strict=True)
    (tmp_path / "recordings.yaml").write_text("signals: {bvp: {}, eda: {factor: 1}, temp: {}, acc: {}}")
    assert "eda" in load(tmp_path, strict=True).signals


def test_a_joystick(tmp_path):
    write_bids(tmp_path)
    track = {"joy": np.r_[np.full(200, 1.0), np.full(200, 3.0)], "grief": np.full(400, 1.0)}
    for x in track.values():
        x[4 * 20 : 4 * 26] = np.nan  # the hand was off
    for person in ("01", "02"):
        folder = tmp_path / f"sub-{person}" / "beh"
        write_physio(folder / f"sub-{person}_task-film_recording-joystick_stim.tsv.gz", track, 4.0)
    (tmp_path / "recordings.yaml").write_text("ratings: {over: time, track: true, emotions: {happy: joy, sad: grief}}")
    with pytest.warns(UserWarning, match="01, recording: 1 of 19 windows are rated for less than 50%"):
        data = load(tmp_path)
    own = data.subjects == "01"
    first, mixed = data.distributions[own][0], data.distributions[own & (data.starts == 45)][0]
    np.testing.assert_allclose(first, [0.5, 0.5])
    np.testing.assert_allclose(mixed, [2 / 3, 1 / 3], rtol=1e-6)
    assert {15, 25} <= set(data.starts[own]) and 20 not in data.starts[own] and data.starts[own][-1] == 90


def test_a_joystick_below_the_floor_is_not_missing(tmp_path):
    """It goes from -1 to 1 around its middle: half of it would be left out, the unpleasant half."""
    write_bids(tmp_path)
    track = {"joy": np.sin(np.arange(480) / 60), "grief": np.full(480, 0.5)}
    for person in ("01", "02"):
        folder = tmp_path / f"sub-{person}" / "beh"
        write_physio(folder / f"sub-{person}_task-film_recording-joystick_stim.tsv.gz", track, 4.0)
    card = tmp_path / "recordings.yaml"
    card.write_text("ratings: {over: time, track: true, emotions: {happy: joy, sad: grief}}")
    told = r"sub-01_task-film_recording-joystick_stim\.tsv\.gz: the rating of 'happy' in 'joy' at 47\.25 s is -0\.008"
    with pytest.raises(
        ValueError, match=told + r".*; expected at least the floor, 0; 'floor: -1' in .*recordings\.yaml would fit"
    ):
        load(tmp_path, strict=True)
    card.write_text("ratings: {over: time, track: true, floor: -1, emotions: {happy: joy, sad: grief}}")
    own = (data := load(tmp_path, strict=True)).subjects == "01"
    assert len(data.starts[own]) == 23 and not data.left_out
    happy = np.sin((data.starts[own][:, None] * 4 + np.arange(40)) / 60).mean(1) + 1
    np.testing.assert_allclose(data.distributions[own][:, 0], happy / (happy + 1.5), atol=1e-5)


def test_a_track_of_somebody_the_card_does_not_name(tmp_path):
    write_bids(tmp_path)
    for person in ("01", "02"):
        x = 1 + np.arange(1200.0) % 5
        path = tmp_path / f"sub-{person}" / "beh" / f"sub-{person}_task-film_recording-joystick_physio.tsv.gz"
        write_physio(path, {"joystick_x": x, "joystick_y": x[::-1]}, 10)
    ratings = {"over": "time", "track": True, "trial": {"01": "film"}}
    ratings["emotions"] = {"happy": "joystick_x", "sad": "joystick_y"}
    with pytest.warns(UserWarning, match="left out 02: .*trial has no name for '02'; found '01'"):
        data = load(tmp_path, card={"format": "bids", "ratings": ratings})
    assert set(data.subjects) == {"01"}


def test_ratings_beside_events(tmp_path):
    """beh.tsv says what was felt, events.tsv when; the second viewing of a clip is the second row."""
    write_bids(tmp_path)
    for person in ("01", "02"):
        stem = tmp_path / f"sub-{person}" / "beh" / f"sub-{person}_task-film"
        events = [("film", 5.0, 40.0), ("pause", 45, 5), ("film", 50.0, 40.0)]
        write_rows(stem.with_name(stem.name + "_events.tsv"), ["trial_type", "onset", "duration"], events, "\t")
        rows = [("film", 4, 1), ("film", 1, 4)]
        write_rows(stem.with_name(stem.name + "_beh.tsv"), ["trial_type", "rating_happy", "rating_sad"], rows, "\t")
    data = load(tmp_path)
    assert set(data.trials) == {"film", "film 2"} and set(data.conditions) == {"film"}
    assert data.clips is None, "a kind of event, under which other films may have been shown"
    np.testing.assert_allclose(data.distributions[data.trials == "film 2"][0], [0.2, 0.8])
    assert (data.starts[data.trials == "film 2"] >= 50).all() and (data.starts[data.trials == "film"] < 50).all()


def test_a_clip_that_is_shown_twice_is_one_clip(tmp_path, monkeypatch):
    """Its second viewing is a trial of its own, but nothing new to whoever trained on the first."""
    monkeypatch.setenv("HELO_CACHE", str(tmp_path / "cache"))
    rows = [("clip a", 0, 25, (4, 1, 1)), ("clip b", 30, 25, (1, 4, 1)), ("clip a", 60, 25, (5, 1, 1))]
    rows += [("clip b", 90, 25, (1, 5, 1))]
    write_e4(tmp_path / "own", trials={"P1": rows, "P2": rows})
    for _ in ("read", "kept"):
        data = load(tmp_path / "own", cache=True)
        assert set(data.trials) == {"clip a", "clip a 2", "clip b", "clip b 2"} and set(data.clips) == {
            "clip a",
            "clip b",
        }
        found = splits.both(data)
        assert len(found) == 4 and sorted(np.concatenate([s.test for s in found])) == list(range(len(data)))
        for split in found:
            assert not set(data.conditions[split.test]) & set(data.conditions[split.seen])
            assert splits.leaks(data, split)["clip"] == 0
    for split in splits.by_subject(data):
        assert splits.leaks(data, split)["clip"] == len(split.test)
    write_e4(tmp_path / "once")
    assert load(tmp_path / "once").clips is None, "each clip is one trial"


def test_presses_of_the_button(tmp_path):
    write_e4(tmp_path, clock="tags")
    for person, later in (("P1", 0.0), ("P2", 3.0)):
        (tmp_path / person / "tags.csv").write_text(f"{T0 + 5 + later:.2f}\n{T0 + 60 + later:.2f}\n")
    header = ["person", "trial", "onset", "duration", "emotion.happy", "emotion.sad"]
    rows = [[p, f"clip {k}", k, 30, 1, k] for p in ("P1", "P2") for k in (1, 2)]
    write_rows(tmp_path / "ratings.csv", header, rows)
    data = load(tmp_path)
    assert [data.starts[(data.subjects == p) & (data.trials == "clip 2")][0] for p in ("P1", "P2")] == [60, 63]
    rows += [["P1", "pause", "", "", "", ""], ["P2", "clip 3", "", 30, 4, 1]]
    write_rows(tmp_path / "ratings.csv", header, rows)
    with pytest.warns(UserWarning, match=r"left out P2, clip 3 \(row 5\): its onset is empty") as told:
        more = load(tmp_path)
    assert len(told) == 1 and more.starts.tolist() == data.starts.tolist(), "nobody rated the pause: it costs nothing"
    write_rows(tmp_path / "ratings.csv", header, [*rows, ["P2", "clip 4", 2.5, 30, 4, 1]])
    with pytest.warns(UserWarning, match=r"left out P2: .*ratings.csv: an onset in row 6 is press 2\.5"):
        load(tmp_path)
    write_rows(tmp_path / "ratings.csv", header, rows)
    (tmp_path / "P2" / "tags.csv").write_text("")
    with pytest.warns(UserWarning, match=r"left out P2: .*an onset in row 2 is press 1; tags.csv holds 0 presses"):
        assert set(load(tmp_path).subjects) == {"P1"}


# --- layouts ----------------------------------------------------------------------------------------------------------


def test_causal_features_stay_within_a_session(tmp_path):
    """The second session is another day: no filter, token or look reaches back into the first; the past goes on."""
    cold, warm = signals(seed=1), signals(seed=2)
    warm["temp"] = warm["temp"] + 5
    write_bids(tmp_path, {"01": cold}, session="1")
    write_bids(tmp_path, {"01": warm}, session="2")
    options = {"features": "causal", "context": 20.0, "normalise": "none"}
    data = load(tmp_path, **options)
    second = data.starts + data.window > 125
    begins = data.starts[second][:, None] + np.arange(2) * data.window / 2
    slope = data.features["temp"].index("slope (degC/min)")
    for m in data.signals:
        assert not data.masks[m][second][begins < 120 - 1e-6].any()
        assert data.masks[m][second][begins > 120 + 1].any()
    assert np.abs(data.signals["temp"][..., slope]).max() < 3
    (alone := tmp_path / "alone").mkdir()
    write_bids(alone, {"01": warm})
    other = load(alone, **options)
    assert other.subjects.tolist() == data.subjects[second].tolist()
    for m in data.signals:
        np.testing.assert_array_equal(data.signals[m][second], other.signals[m])
    past = load(tmp_path, **options | {"normalise": "causal"})
    level = past.features["temp"].index("mean (degC)")
    new = past.masks["temp"] & second[:, None] & (past.starts + past.window < 150)[:, None]
    assert past.signals["temp"][new][:, level].min() > 3, "warm beside the first session"


@pytest.mark.parametrize("sessions, context", [(1, 0), (1, 5), (2, 0)])
def test_a_causal_normalisation_knows_nothing_after_a_windows_end(tmp_path, sessions, context):
    """Temperature has no filter: what changes late in the last session may change no window before that."""
    sets, late = [], 120 * (sessions - 1) + 70
    for name, warmer in (("a", 0), ("b", 5)):
        for k in range(1, sessions + 1):
            own = signals(seed=k)
            own["temp"][70 * 4 :] += warmer * (k == sessions)
            write_bids(tmp_path / name, {"01": own}, session=str(k))
        sets.append(load(tmp_path / name, normalise="causal", context=context))
    plain, other = sets
    before = plain.starts + plain.window <= late
    assert (plain.starts[before] > late - 70).sum() > 3 and before.sum() < len(plain)
    np.testing.assert_array_equal(plain.signals["temp"][before], other.signals["temp"][before])
    assert np.abs(plain.signals["temp"] - other.signals["temp"])[~before].max() > 0.1


def test_rates_that_differ_are_told(tmp_path):
    """Rises add up noise: of 12 Hz they are more than of 4. The raw signals have one rate: the first part's."""
    write_bids(tmp_path, session="1")
    write_bids(tmp_path, session="2")
    assert not {"rates that differ"} & what(load(tmp_path))
    path = tmp_path / "sub-01" / "ses-2" / "beh" / "sub-01_ses-2_task-film_recording-eda_physio.tsv.gz"
    write_physio(path, {"eda": np.repeat(signals(seed=1)["eda"][:, 0], 3)}, 12, units={"eda": "uS"})
    data = load(tmp_path)
    told = found(data, "rates that differ")
    assert (told.level, told.where) == ("caution", "eda")
    assert told.found == (
        "4 Hz of '01, ses-1 task-film', '02, ses-1 task-film', '02, ses-2 task-film'; 12 Hz of '01, ses-2 task-film'"
    )
    assert "rates that differ" in {f.what for f in check(data)}
    with pytest.warns(UserWarning, match=r"01, ses-2 task-film: 'eda' is left out of .*, for it is sampled at 12 Hz"):
        raw = data.recording("01")
    assert raw.rates["eda"] == 4 and np.isnan(raw.signals["eda"][120 * 4 :]).all()
    with pytest.warns(UserWarning, match="01, ses-2 task-film: 'eda' is left out of the raw signals"):
        load(tmp_path, features="causal", normalise="none")


def test_a_part_that_raw_signals_lack_is_told(tmp_path):
    write_bids(tmp_path, session="1")
    write_bids(tmp_path, session="2")
    for path in (tmp_path / "sub-01" / "ses-2").rglob("*_physio.json"):
        path.unlink()
    with pytest.warns(UserWarning, match="01, ses-2 task-film: is left out of the raw signals: no signal can be used"):
        assert len(quiet(tmp_path).recording("01").signals["eda"]) == 120 * 4


def test_an_empty_condition_is_told_with_its_row(tmp_path):
    write_e4(tmp_path)
    path = tmp_path / "ratings.csv"
    change_rows(path, lambda rows: [[*row, "kind" if not k else "film"] for k, row in enumerate(rows)])
    data = load(tmp_path, card={"ratings": {"condition": "kind"}})
    assert set(data.conditions) == {"film"} and "no condition" not in what(data)
    change_rows(path, set_cell(5, 7, ""))
    data = load(tmp_path, card={"ratings": {"condition": "kind"}})
    assert data.conditions is None
    assert found(data, "no condition").found == "P2: row 4 names none, so that no window of the study has one"


def test_a_marker_with_a_trials_onset_does_not_end_it(tmp_path):
    """Without a duration a trial goes on until something begins later."""
    write_bids(tmp_path)
    longer = quiet(tmp_path)
    for path in tmp_path.rglob("*_events.tsv"):

        def marked(rows):
            head, pause, *rated = rows
            rated = [[*row[:2], "n/a", *row[3:]] for row in rated]
            return [head, pause, *(r for row in rated for r in (row, ["trigger", row[1], *["n/a"] * (len(row) - 2)]))]

        change_rows(path, marked, "\t")
    data = quiet(tmp_path)
    assert set(data.trials) == {"clip a", "clip b", "clip c"} and len(data) >= len(longer)


def test_a_table_without_a_column_of_conditions_is_told(tmp_path):
    write_bids(tmp_path)
    over_time = {"card": {"ratings": {"over": "time"}}}
    both = quiet(tmp_path, **over_time)
    assert set(both.conditions) == {"clip a", "clip b", "clip c"} and "no condition" not in what(both)
    (path,) = tmp_path.rglob("sub-02*_events.tsv")
    change_rows(path, lambda rows: [row[1:] for row in rows], "\t")
    data = quiet(tmp_path, **over_time)
    assert data.conditions is None
    assert found(data, "no condition").found == "02: no column names any, so that no window of the study has one"


def test_sessions_and_json_further_up(tmp_path):
    """Two sessions follow each other; what JSON at the root says holds for all files that it names."""
    write_bids(tmp_path, session="1")
    write_bids(tmp_path, session="2")
    for path in tmp_path.rglob("*recording-eda_physio.json"):
        about = json.loads(path.read_text())
        path.write_text(json.dumps({"StartTime": about.pop("StartTime")}))
        (tmp_path / "task-film_recording-eda_physio.json").write_text(json.dumps(about))
    data = load(tmp_path)
    own = (data.subjects == "01") & np.isin(data.trials, ["clip a", "clip a 2"])
    assert len(data) == 68 and np.ptp(data.starts[own]) == 120 + 30
    one, two = (data.signals["eda"][own & (data.starts < 60)], data.signals["eda"][own & (data.starts > 60)])
    np.testing.assert_allclose(one, two, atol=1e-6)  # the same recording twice, normalised by both
    assert len(data.recording("01").signals["eda"]) == 2 * 480


@pytest.mark.parametrize("unit, factor", [("S", 1e-6), ("mS", 1e-3), ("uS", 1)])
def test_units_are_those_of_the_features(tmp_path, unit, factor):
    plain = load(write_bids(tmp_path / "plain"), normalise="none")
    write_bids(tmp_path / "other")
    for person, seed in (("01", 1), ("02", 2)):
        path = tmp_path / "other" / f"sub-{person}" / "beh" / f"sub-{person}_task-film_recording-eda_physio.tsv.gz"
        write_physio(path, {"GSR": factor * signals(seed=seed)["eda"][:, 0]}, 4, units={"GSR": unit})
    np.testing.assert_allclose(
        load(tmp_path / "other", normalise="none").signals["eda"], plain.signals["eda"], rtol=1e-3, atol=1e-4
    )


def test_signals_that_begin_later_or_end_sooner_are_masked_there(tmp_path):
    write_e4(tmp_path)
    x = signals(seed=1)["eda"]
    e4_file(tmp_path / "P1" / "EDA.csv", x[4 * 20 : -4 * 30], 4, T0 + 20)
    data = load(tmp_path, normalise="none")
    whole = load(write_e4(tmp_path / "whole"), normalise="none")
    own = data.subjects == "P1"
    ends = data.starts[own, None] + [[5, 10]]
    np.testing.assert_array_equal(data.masks["eda"][own], (ends - 5 >= 20) & (ends <= 90))
    inside = own[:, None] & data.masks["eda"]
    inside[own] &= (ends > 60) & (ends < 70)  # far from the cuts, which bend what filters give; the mean level
    np.testing.assert_allclose(data.signals["eda"][inside][:, 4], whole.signals["eda"][inside][:, 4], atol=1e-6)
    assert len(data) == len(whole) and data.masks["bvp"][own].mean() == whole.masks["bvp"][own].mean()
    assert "eda starts 20.0 s after" in found(data, "clocks that disagree").found
    assert "P1: 58% of 120 s" in found(data, "coverage").found


@pytest.mark.parametrize("raters", ["self", "partner", "external"])
def test_k_emocon(tmp_path, raters):
    """Written from its documentation; the data are given on request, and were not seen."""
    write_kemocon(tmp_path, people=(1, 2, 31))
    data = load(tmp_path, raters=raters, normalise="none")
    assert data.name == "k-emocon" and data.emotions == ("cheerful", "happy", "angry", "nervous", "sad")
    assert set(data.trials[data.subjects != "31"]) == {"debate 1"}  # of a pair, as one trial
    first = np.random.default_rng(1 + 100 * len(raters)).integers(1, 5, (22, 7))[:2, 2:].mean(0)
    np.testing.assert_allclose(data.distributions[0], first / first.sum(), rtol=1e-5)
    assert data.starts[0] == 10  # the debate starts ten seconds after the sensor
    assert not data.left_out
    assert abs(data.signals["temp"][data.subjects == "31", :, 0] - 33).max() < 3  # the other sensor says 7
    np.testing.assert_allclose(data.recording("2").signals["bvp"], signals(120.0, 2)["bvp"])
    with pytest.raises(ValueError, match=r"raters is 'them'; expected one of \['self', 'partner', 'external'\]"):
        load(tmp_path, raters="them")


def test_text_among_the_samples_of_a_device_is_named(tmp_path):
    """Where `only` picks a device's rows: 'ERR' was a missing sample there; an empty cell still is."""
    write_kemocon(tmp_path, (31, 2))
    path = tmp_path / "e4_data" / "31" / "E4_EDA.csv"
    change_rows(path, set_cell(3, 1, "ERR"))
    assert "A013E1" in path.read_text().splitlines()[3]
    with pytest.warns(
        UserWarning, match=r"left out 31, eda: .*not readable as 4 columns of numbers \(line 4 has 'ERR'"
    ):
        data = load(tmp_path, card="k-emocon")
    assert not data.masks["eda"][data.subjects == "31"].any() and data.masks["eda"].any()
    change_rows(path, set_cell(3, 1, ""))
    data = load(tmp_path, card="k-emocon", strict=True)
    assert found(data, "missing samples").found.startswith("31: 1, the first at ")


def write_eeg(path, form, x, rate, names):
    """EEG of microvolts (samples, channels) as EDF, BDF or BrainVision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if form in ("edf", "bdf"):
        edfio = pytest.importorskip("edfio")
        kind = {"edf": (edfio.Edf, edfio.EdfSignal), "bdf": (edfio.Bdf, edfio.BdfSignal)}[form]
        kind[0]([
            kind[1](x[:, k], rate, label=name, physical_dimension="uV", physical_range=(-500, 500))
            for k, name in enumerate(names)
        ]).write(path)  # fmt: skip
        return
    stem = path.with_suffix("")
    stem.with_suffix(".eeg").write_bytes((x / 0.1).astype("<i2").tobytes())
    head = "Brain Vision Data Exchange {} File Version 1.0\n"
    channels = "\n".join(f"Ch{k + 1}={name},,0.1,µV" for k, name in enumerate(names))
    about = f"DataFile={stem.name}.eeg\nMarkerFile={stem.name}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED"
    path.write_text(
        head.format("Header")
        + f"[Common Infos]\nCodepage=UTF-8\n{about}\nNumberOfChannels={len(names)}\nSamplingInterval={1e6 / rate:g}\n"
        + f"[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n{channels}\n"
    )
    stem.with_suffix(".vmrk").write_text(head.format("Marker") + "[Common Infos]\nCodepage=UTF-8\n[Marker Infos]\n")


@pytest.mark.parametrize("form", ["edf", "bdf", "vhdr"])
def test_eeg(tmp_path, form):
    """A sine of 40 uV at 10 Hz has the variance 800 in alpha alone: h = 1/2 log(2 pi e 800)."""
    pytest.importorskip("mne")
    write_bids(tmp_path)
    t = np.arange(120 * 128) / 128
    x = np.random.default_rng(0).normal(0, 1, (len(t), 2))
    x[:, 0] += 40 * np.sin(2 * np.pi * 10 * t)
    for person in ("01", "02"):
        write_eeg(tmp_path / f"sub-{person}" / "eeg" / f"sub-{person}_task-film_eeg.{form}", form, x, 128, ["Fz", "Pz"])
    data = load(tmp_path, normalise="none")
    assert data.features["eeg"][:3] == ("Fz delta (nat)", "Fz theta (nat)", "Fz alpha (nat)")
    values = dict(zip(data.features["eeg"], data.signals["eeg"].mean((0, 1)), strict=True))
    assert values["Fz alpha (nat)"] == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 800), abs=0.05)
    assert values["Pz alpha (nat)"] == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 6 / 64), abs=0.2)  # white noise
    assert data.roles["physiological"] == ("bvp", "eda", "temp", "eeg")


@pytest.mark.parametrize("signals, message", [("9999", "9999' signals; expected 1 to 512"), ("400 ", "do not hold")])
def test_an_eeg_header_of_more_signals_than_the_file_holds(tmp_path, signals, message):
    write_bids(tmp_path)
    path = tmp_path / "sub-01" / "eeg" / "sub-01_task-film_eeg.edf"
    write_eeg(path, "edf", np.zeros((1280, 1)), 128, ["Fz"])
    content = path.read_bytes()
    path.write_bytes(content[:252] + signals.encode() + content[256:])
    with pytest.warns(UserWarning, match=f"left out 01, eeg: .*edf: .*{message}"):
        load(tmp_path)


def test_an_eeg_of_many_markers(tmp_path):
    """A trigger a second for hours; the pieces' file may have any name."""
    pytest.importorskip("mne")
    write_bids(tmp_path)
    path = tmp_path / "sub-01" / "eeg" / "sub-01_task-film_eeg.vhdr"
    write_eeg(path, "vhdr", np.random.default_rng(0).normal(0, 9, (120 * 128, 1)), 128, ["Fz"])
    with path.with_suffix(".vmrk").open("a") as file:
        file.writelines(f"Mk{k}=Stimulus,S  1,{1 + k % 15000},1,0\n" for k in range(1, 40001))
    assert "eeg" in load(tmp_path).signals


@pytest.mark.parametrize("form", ["edf", "bdf", "vhdr"])
def test_an_eeg_with_pauses_is_not_joined(tmp_path, form):
    """MNE reads a discontinuous file as if its pieces followed one another."""
    write_bids(tmp_path)
    path = tmp_path / "sub-01" / "eeg" / f"sub-01_task-film_eeg.{form}"
    write_eeg(path, form, np.zeros((1280, 1)), 128, ["Fz"])
    if form == "vhdr":
        with path.with_suffix(".vmrk").open("a") as file:
            file.write("Mk1=New Segment,,1,1,0,20260101090000000000\nMk2=New Segment,,640,1,0,20260101091000000000\n")
    else:
        content = path.read_bytes()
        path.write_bytes(content[:192] + form.upper().encode() + b"+D" + content[197:])
    with pytest.warns(UserWarning, match=rf"left out 01, eeg: .*{form}: has pauses, over which"):
        load(tmp_path)


def test_an_eeg_header_names_no_file_elsewhere(tmp_path):
    write_bids(tmp_path)
    path = tmp_path / "sub-01" / "eeg" / "sub-01_task-film_eeg.vhdr"
    write_eeg(path, "vhdr", np.zeros((1280, 1)), 128, ["Fz"])
    path.write_text(path.read_text().replace("DataFile=", "DataFile=../../../"))
    with pytest.warns(
        UserWarning, match=r"left out 01, eeg: .*vhdr: names the file '\.\./\.\./.*expected one beside it"
    ):
        assert "eeg" not in load(tmp_path).signals


# --- bad input: each with its own message -----------------------------------------------------------------------------


def physio(root, m="eda"):
    return root / "sub-01" / "beh" / f"sub-01_task-film_recording-{m}_physio.tsv.gz"


def change_json(path, **fields):
    path = path.with_name(path.name.split(".")[0] + ".json")
    about = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in about.items() if value is not None}))


def change_rows(path, change, delimiter=","):
    rows = [line.split(delimiter) for line in path.read_text().splitlines()]
    path.write_text("\n".join(delimiter.join(map(str, row)) for row in change(rows)) + "\n")


def events(root):
    return root / "sub-01" / "beh" / "sub-01_task-film_events.tsv"


def nan_at(path, rate, start, seconds):
    x = signals(seed=1)["eda"].copy()
    x[int(start * rate) : int((start + seconds) * rate)] = np.nan
    write_physio(path, {"eda": x[:, 0]}, rate, units={"eda": "uS"})


def set_cell(row, column, value):
    def change(rows):
        rows[row][column] = value
        return rows

    return change


#: what is broken in a study in BIDS -> how, who is left out, the message
BIDS = {
    "no events": (lambda r: events(r).unlink(), "01", r"no events: expected a file \*_events.tsv or \*_beh.tsv"),
    "no ratings": (
        lambda r: change_rows(events(r), lambda rows: [row[:3] for row in rows], "\t"),
        "01",
        r"events.tsv: no emotions; expected columns emotion.<name> or emotion_<name>",
    ),
    "no rate": (
        lambda r: change_json(physio(r), SamplingFrequency=None),
        "01, sub-01_task-film_recording-eda_physio.tsv.gz",
        r"eda_physio.json: no field 'SamplingFrequency'; expected SamplingFrequency, StartTime and Columns",
    ),
    "a rate of 0": (
        lambda r: change_json(physio(r), SamplingFrequency=0),
        "01, sub-01_task-film_recording-eda_physio.tsv.gz",
        r"SamplingFrequency is '0'; expected samples per second, above 0",
    ),
    "a huge rate": (
        lambda r: change_json(physio(r), SamplingFrequency=10**400),
        "01, sub-01_task-film_recording-eda_physio.tsv.gz",
        r"SamplingFrequency is '10000.*; expected samples per second, above 0 and at most 100,000",
    ),
    "too low a rate": (
        lambda r: change_json(physio(r, "bvp"), SamplingFrequency=8),
        "01, bvp",
        r"'bvp': SamplingFrequency is 8; its features need at least 20 samples per second",
    ),
    "no JSON": (
        lambda r: physio(r).with_name(physio(r).name.replace(".tsv.gz", ".json")).unlink(),
        "01, sub-01_task-film_recording-eda_physio.tsv.gz",
        r"no sub-01_task-film_recording-eda_physio.json beside it",
    ),
    "broken JSON": (
        lambda r: physio(r).with_name(physio(r).name.replace(".tsv.gz", ".json")).write_text("{"),
        "01, sub-01_task-film_recording-eda_physio.tsv.gz",
        r"eda_physio.json: not readable as JSON",
    ),
    "other columns": (
        lambda r: change_json(physio(r), Columns=["time", "eda"]),
        "01, eda",
        r"eda_physio.tsv.gz: the first sample has 1 columns; expected 2",
    ),
    "an unknown unit": (
        lambda r: change_json(physio(r), eda={"Units": "kOhm"}),
        "01, eda",
        r"'eda' is in 'kOhm'; expected one of 'uS'.*or a factor in a card",
    ),
    "damaged gz": (
        lambda r: physio(r).write_bytes(physio(r).read_bytes()[:300]),
        "01, eda",
        r"eda_physio.tsv.gz: cannot be unpacked",
    ),
    "no gz": (lambda r: physio(r).write_bytes(b"1\n2\n"), "01, eda", r"cannot be unpacked .*[Nn]ot a gzip"),
    "text among samples": (
        lambda r: physio(r).write_bytes(gzip.compress(b"1.0\nhello\n" * 240)),
        "01, eda",
        r"eda_physio.tsv.gz: not readable as 1 columns of numbers \(line 2 has 'hello'\)",
    ),
    "mostly NaN": (
        lambda r: nan_at(physio(r), 4, 10, 100),
        "01, eda",
        r"83% of its samples are missing \(NaN, n/a or empty\), the first at 10.00 s",
    ),
    "flat": (
        lambda r: write_physio(physio(r), {"eda": np.full(480, 2.5)}, 4),
        "01, eda",
        r"is 2.5 from beginning to end",
    ),
    "negative duration": (
        lambda r: change_rows(events(r), set_cell(2, 2, -4), "\t"),
        "01, clip a (row 1)",
        r"its duration is -4 s; expected seconds above 0",
    ),
    "no onset": (
        lambda r: change_rows(events(r), set_cell(2, 1, "n/a"), "\t"),
        "01, clip a (row 1)",
        r"its onset is empty; expected seconds",
    ),
    "outside": (
        lambda r: change_rows(events(r), set_cell(2, 1, 500), "\t"),
        "01, clip a (row 1)",
        r"is outside the recording, 500.0 to 540.0 s of 120.0 s",
    ),
    "half rated": (
        lambda r: change_rows(events(r), set_cell(2, 3, "n/a"), "\t"),
        "01, clip a (row 1)",
        r"1 of its 3 ratings are missing",
    ),
    "too short": (
        lambda r: change_rows(events(r), set_cell(2, 2, 3), "\t"),
        "01, clip a",
        r"lasts 3.0 s within the recording; a window has 10 s",
    ),
    "a word for a rating": (
        lambda r: change_rows(events(r), set_cell(2, 3, "much"), "\t"),
        "01",
        r"events.tsv: row 1, emotion_happy, is 'much'; expected a number",
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return load(write_bids(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("fault", BIDS)
def test_what_cannot_be_used_is_named_and_the_rest_loads(tmp_path, whole, fault):
    change, who, message = BIDS[fault]
    change(write_bids(tmp_path) and tmp_path)
    with pytest.warns(UserWarning, match=message):
        data = load(tmp_path)
    assert list(data.left_out) == [who] and "02" in data.subjects
    rest = who.partition(", ")[2]
    same = data.subjects == "02"
    np.testing.assert_array_equal(data.signals["bvp"][same], whole.signals["bvp"][whole.subjects == "02"])
    assert ("01" in data.subjects) == bool(rest)
    if rest.split(" (")[0] in ("eda", "bvp"):
        assert not data.masks[rest][data.subjects == "01"].any()
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path, strict=True)
    assert f"{who}: " in str(error.value) and "01: 01" not in str(error.value)


#: what is broken in a study of an E4 -> how, who is left out, the message
E4_FAULTS = {
    "wrong rate": (
        lambda r: e4_file(r / "P1" / "BVP.csv", signals(seed=1)["bvp"], 640),
        "P1, bvp",
        r"BVP.csv: the rate in line 2 is 640 Hz; expected 64, the sensor's",
    ),
    "no start": (
        lambda r: (r / "P1" / "BVP.csv").write_text("now\n64\n1\n2\n"),
        "P1, bvp",
        r"line 1 is 'now'; expected the start in Unix seconds",
    ),
    "a clock of its own": (
        lambda r: e4_file(r / "P1" / "BVP.csv", signals(seed=1)["bvp"], 64, 0.0),
        "P1, bvp",
        r"begins 1495437325 s before 'eda', 'temp', 'acc', and is never there with them",
    ),
    "one axis": (
        lambda r: e4_file(r / "P1" / "ACC.csv", signals(seed=1)["acc"][:, :1], 32),
        "P1, acc",
        r"ACC.csv: 1 columns; expected 3",
    ),
    "no samples": (
        lambda r: (r / "P1" / "BVP.csv").write_text("1\n64\n"),
        "P1, bvp",
        r"BVP.csv: holds no sample below its first 2 lines",
    ),
    "no such file": (lambda r: (r / "P1" / "TEMP.csv").unlink(), "P1, temp", r"TEMP.csv: no such file"),
    "no rows": (
        lambda r: change_rows(r / "ratings.csv", lambda rows: [row for row in rows if row[0] != "P1"]),
        "P1",
        r"ratings.csv: no row of 'P1' in 'person'; found 'P2'",
    ),
    "another clock": (
        lambda r: [
            e4_file(r / "P1" / f"{f}.csv", signals(seed=1)[m] * s, k, T0 + 9e5) for m, (f, k, _, s) in E4.items()
        ],
        "P1, clip a (row 0)",
        r"is outside the recording, -899995.0 to -899955.0 s of 120.0 s",
    ),
}


@pytest.mark.parametrize("fault", E4_FAULTS)
def test_what_cannot_be_used_of_an_e4(tmp_path, fault):
    change, who, message = E4_FAULTS[fault]
    change(write_e4(tmp_path, clock="unix"))
    with pytest.warns(UserWarning, match=message):
        data = load(tmp_path)
    assert next(iter(data.left_out)) == who and "P2" in data.subjects


@pytest.mark.parametrize("form, one, two", [(write_e4, "P1", "p01"), (write_bids, "1", "01")])
def test_two_people_with_one_name(tmp_path, form, one, two):
    with pytest.raises(ValueError, match=r"would count as two; write one of them everywhere"):
        load(form(tmp_path, {one: signals(seed=1), two: signals(seed=2)}))


def test_a_file_of_two_gigabytes(tmp_path):
    write_e4(tmp_path)
    with (tmp_path / "P1" / "BVP.csv").open("r+b") as file:
        file.truncate(2_100_000_000)
    with pytest.warns(UserWarning, match=r"BVP.csv: 2100000000 bytes; expected .* at most 2000000000; .*HELO_MEMORY=3"):
        assert "P2" in load(tmp_path).subjects


def test_a_small_file_that_unpacks_to_gigabytes(tmp_path, monkeypatch):
    write_bids(tmp_path)
    physio(tmp_path).write_bytes(gzip.compress(b"2.5\n" * 3_000_000, 1))
    monkeypatch.setenv("HELO_MEMORY", "0.01")
    with pytest.warns(UserWarning, match=r"eda_physio.tsv.gz: unpacks to over 10000000 bytes"):
        load(tmp_path)


def test_nobody_is_left(tmp_path):
    write_e4(tmp_path)
    (tmp_path / "ratings.csv").unlink()
    with pytest.raises(ValueError, match=r"ratings.csv: no such file; expected a table of ratings"):
        load(tmp_path)
    write_bids(tmp_path / "bids")
    for path in (tmp_path / "bids").rglob("*events.tsv"):
        path.unlink()
    with pytest.raises(ValueError, match=r"nobody is left; 01: no events: expected a file"), warnings.catch_warnings():
        load(tmp_path / "bids")
    with pytest.raises(ValueError, match="no such folder; expected a study's folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no folder there holds one of 'ACC.csv', 'BVP.csv'"):
        (tmp_path / "empty").mkdir()
        load(tmp_path / "empty")


@pytest.mark.parametrize(
    "card, message",
    [
        ("windw: 5", r"recordings.yaml: unknown 'windw'"),
        ("signals: {bvp: {kind: pulses}}", r"kind of 'bvp' is 'pulses'; expected one of"),
        ("signals: {gaze: {file: G.csv, kind: temperature}}", r"role of 'gaze' is None; expected physiological"),
        ("signals: {bvp: {file: ../../x.csv}}", r"file of 'bvp' is '../../x.csv'; expected a path below"),
        ("ratings: {table: /etc/passwd}", r"table is '/etc/passwd'; expected a path below"),
        ("ratings: {clock: noon}", r"'clock' is 'noon'; expected 'recording', 'unix' or 'tags'"),
        ("ratings: {emotions: [happy, happy]}", r"'emotions' is a list; expected names, or name: column"),
        ("ratings: {scale: [1, 3]}", r"rating of 'happy' in row 0 is 5; the card's scale is 1 to 3"),
        ("[" * 3000, r"recordings.yaml: not a readable card \(over 50 brackets within each other\)"),
        ("tokens: 0", r"'tokens' is 0; expected 1 to 1000"),
        ("window: 2\ntokens: 5", r"expected a step of at least 0.1 s and tokens of at least 2 s"),
        ("exclude: [P1]", r"'exclude' is a list; expected person: reason"),
        ("signals: {eda: {columns: [left, right]}}", r"'eda' has 2 channels; expected 1 for kind 'electrodermal'"),
        ("signals: {acc: {columns: [x]}}", r"'acc' has 1 channels; expected 3 for kind 'movement'"),
    ],
)
def test_a_card_that_says_nonsense(tmp_path, card, message):
    write_e4(tmp_path)
    (tmp_path / "recordings.yaml").write_text(card)
    with pytest.raises(ValueError, match=message):
        helo.load("recordings", tmp_path, cache=False)


# --- what a check says ------------------------------------------------------------------------------------------------


def test_a_gap_is_masked_and_told(tmp_path):
    write_bids(tmp_path)
    nan_at(physio(tmp_path), 4, 20, 6)
    data = load(tmp_path)
    own = data.subjects == "01"
    tokens = data.starts[own, None] + [[0, 5]]
    np.testing.assert_array_equal(data.masks["eda"][own], (tokens + 5 <= 20) | (tokens >= 26))
    assert "01: 1, the longest 6.0 s from 20.0 s" in found(data, "gap").found and not data.left_out
    nan_at(physio(tmp_path), 4, 20, 0.5)  # two samples: a straight line
    data = load(tmp_path)
    assert data.masks["eda"].all() and "01: 2, the first at 20.00 s" in found(data, "missing samples").found


def test_flat_lines_clipping_clocks_and_events_are_told(tmp_path):
    held = signals(seed=1)
    held["bvp"][64 * 30 : 64 * 50] = held["bvp"][64 * 30]
    held["acc"][:, 0] = np.clip(held["acc"][:, 0], -0.1, 0.1)
    held["temp"] = held["temp"][:-40]
    write_e4(tmp_path, {"P1": held, "P2": signals(seed=2)})
    change_rows(tmp_path / "ratings.csv", set_cell(3, 3, 60))
    data = load(tmp_path)
    assert "P1: 16.7%, the longest 20.0 s from 30.0 s" in found(data, "flat line").found
    assert "P1: " in found(data, "clipping").found and found(data, "clipping").where == "acc"
    assert "ends 10.0 s after temp" in found(data, "clocks that disagree").found
    assert "P1: 1 of 3, such as 95.0 to 155.0 s of 120.0 s" in found(data, "events outside the recording").found
    assert {"flat line", "clipping", "clocks that disagree"} <= {f.what for f in check(data)}


def test_a_clean_study_has_nothing_to_tell(tmp_path, whole):
    assert not load(write_e4(tmp_path / "a")).findings and not whole.findings


@pytest.mark.parametrize("form", FORMS)
def test_the_command_line_takes_it(tmp_path, form):
    FORMS[form](tmp_path)
    (tmp_path / "P1" / "TEMP.csv").unlink(missing_ok=True)
    card = (tmp_path / "recordings.yaml").read_text() if form == "e4" else ""
    (tmp_path / "recordings.yaml").write_text(card + "window: 10\nstep: 5\ntokens: 2\n")
    told = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert told.exit_code in (0, 1) and "| eda (physiological) |" in told.output
    assert ("P1, temp" in told.output) == (form == "e4")
    arguments = ["--dataset", "recordings", "--root", str(tmp_path), "--models", "mean,ridge", "--protocol", "trials"]
    told = CliRunner().invoke(app, ["evaluate", *arguments, "--folds", "2", "--nested", "0", "--workers", "1"])
    assert told.exit_code == 0, told.output
    assert "ridge" in told.output
    with pytest.raises(ValueError, match="not a known data set"):
        open_path(tmp_path / "sub-01" if form == "bids" else tmp_path / "P1")


def test_exclusions_are_the_cards(tmp_path):
    write_e4(tmp_path, {f"P{k}": signals(seed=k) for k in (1, 2, 3)})
    with (tmp_path / "recordings.yaml").open("a") as file:
        file.write("exclude: {P1: fell asleep, P2: {eda: loose electrode, clip a: a noise outside}}\n")
    data = load(tmp_path, strict=True)
    assert set(data.subjects) == {"P2", "P3"} and not data.left_out
    own = data.subjects == "P2"
    assert "clip a" not in data.trials[own] and not data.masks["eda"][own].any()
    assert {f.found for f in data.findings} == {
        "P1: fell asleep",
        "P2: loose electrode",
        "P2, clip a: a noise outside",
    }


def test_the_cache_keeps_what_was_told(tmp_path):
    write_e4(tmp_path)
    (tmp_path / "P1" / "TEMP.csv").unlink()
    with pytest.warns(UserWarning, match="left out P1, temp"):
        first = load(tmp_path, cache=True)
    with pytest.warns(UserWarning, match="left out P1, temp"):
        second = load(tmp_path, cache=True)
    assert first.findings == second.findings and not second.truth
    np.testing.assert_array_equal(first.signals["bvp"], second.signals["bvp"])
    change_rows(tmp_path / "ratings.csv", set_cell(1, 4, 1))
    assert (quiet(tmp_path, cache=True).distributions != first.distributions).any()


def test_the_cache_forgets_what_was_left_out_for_want_of_memory(tmp_path, monkeypatch):
    write_e4(tmp_path)
    size = (tmp_path / "P1" / "BVP.csv").stat().st_size
    file = e4_file(tmp_path / "P2" / "BVP.csv", np.tile(signals(seed=2)["bvp"], (20, 1)), 64)
    monkeypatch.setenv("HELO_MEMORY", str((size + file.stat().st_size) / 2e9))
    with pytest.warns(UserWarning, match="left out P2, bvp.*set HELO_MEMORY"):
        load(tmp_path, cache=True)
    monkeypatch.setenv("HELO_MEMORY", "1")
    assert load(tmp_path, cache=True).masks["bvp"].any(1).all()


def test_two_folders_of_one_name_are_not_one_person(tmp_path):
    for group, seed in (("a", 1), ("b", 2)):
        write_e4(tmp_path / group, {"P1": signals(seed=seed), f"Q{seed}": signals(seed=9 + seed)})
    (tmp_path / "a" / "ratings.csv").rename(tmp_path / "ratings.csv")
    with pytest.raises(ValueError, match=r"a/P1 and .*b/P1 would count as one person"):
        load(tmp_path, card={"people": "*/*"})


def test_a_session_keeps_its_last_samples(tmp_path):
    """A signal that begins before all are there hangs over what was before: its samples are not that session's."""
    for session, seed in (("1", 1), ("2", 2)):
        write_bids(tmp_path, {"01": signals(seed=seed)}, session=session)
        for path in (tmp_path / "sub-01" / f"ses-{session}").rglob("*recording-temp_physio.json"):
            change_json(path, StartTime=1.5)
    raw = load(tmp_path).recording("01").signals["eda"]
    seam = np.flatnonzero(raw[:, 0] == signals(seed=2)["eda"][6, 0])[0]  # 1.5 s of four samples were before
    np.testing.assert_array_equal(raw[seam - 40 : seam], signals(seed=1)["eda"][seam + 6 - 40 : seam + 6])


def test_people_in_another_order_of_the_folder_are_the_same(tmp_path):
    one = load(write_e4(tmp_path / "a", {"P10": signals(seed=1), "P9": signals(seed=2)}))
    two = load(write_e4(tmp_path / "b", {"P9": signals(seed=2), "P10": signals(seed=1)}))
    assert one.subjects[0] == "P9"
    for m in one.signals:
        np.testing.assert_array_equal(one.signals[m], two.signals[m])


# --- pieces -----------------------------------------------------------------------------------------------------------


def test_the_span_is_where_all_that_belongs_together_is_there():
    def at(start, seconds):
        return Samples(np.zeros((int(seconds * 10), 1)), 10.0, start)

    assert span({"a": at(100, 50), "b": at(100.5, 48)}) == (100.5, 48.0)
    assert span({"a": at(100, 50), "b": at(120, 10)}) == (100, 50)


def test_gaps_are_bridged_by_straight_lines():
    x = np.arange(40.0)[:, None]
    holes = x.copy()
    holes[[3, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]] = np.nan
    samples = Samples(holes, 10.0, 0.0)
    np.testing.assert_allclose(bridged(samples).values, x)
    np.testing.assert_allclose(gaps_of(samples), [[2.0, 3.1]])


@pytest.mark.parametrize("kind", ["movement", "breathing_pulse", "electrodermal", "temperature"])
def test_blocks_change_next_to_nothing(kind, monkeypatch):
    m = {"movement": "acc", "breathing_pulse": "bvp", "electrodermal": "eda", "temperature": "temp"}[kind]
    samples = Samples(signals(1800.0)[m], float(E4[m][1]), 0.0)
    cut = features.Tokens.of(features.window_starts(0, 1800, 60, 60), 60, 5)
    whole = recorded_windows._in_blocks(getattr(features, kind), samples, cut)
    monkeypatch.setattr(recorded_windows, "BLOCK", int(600 * E4[m][1] * E4[m][2]))
    blocks = recorded_windows._in_blocks(getattr(features, kind), samples, cut)
    np.testing.assert_allclose(blocks.values[blocks.mask], whole.values[blocks.mask], atol=0.02)
    assert (blocks.mask == whole.mask).mean() > 0.99


def test_a_token_at_the_end_of_a_long_signal_that_begins_later(monkeypatch):
    """Averaging by blocks must cut a piece as it cuts the whole signal: else its last token may have no samples."""
    x = 33 + np.random.default_rng(0).normal(0, 0.1, (700 * 240, 1))
    monkeypatch.setattr(recorded_windows, "BLOCK", 2**16)
    monkeypatch.setattr(recorded_windows, "MARGIN", 20.0)
    for lead in np.round(np.arange(0, 0.3, 0.041), 3):
        samples = Samples(x, 700.0, float(lead))
        cut = features.Tokens.of(np.array([0.0, 100.0, 240.0 - 60 + lead]), 60, 5)
        starts = (cut.starts - lead).clip(0, recorded_windows._latest(samples, cut.length))
        found = recorded_windows._in_blocks(features.temperature, samples, features.Tokens(starts, cut.length))
        assert np.isfinite(found.values).all()


def test_a_strict_report_stops():
    with pytest.raises(ValueError, match="P1, eda: is flat"):
        Report(strict=True).leave_out("P1, eda", "is flat")


MEMORY = """
import sys, tracemalloc, numpy as np, neurokit2, pandas, scipy.signal
import helo
from helo.data import recorded_windows, recordings, sample_files
recorded_windows.BLOCK, recorded_windows.MARGIN, sample_files.ROWS = 2**15, 20.0, 2**13
helo.load, helo.evaluate  # what is imported when it is asked for
tracemalloc.start()
helo.load("recordings", sys.argv[1], window=30, step=30, tokens=3, cache=False)
print(tracemalloc.get_traced_memory()[1])
"""


def test_memory_is_less_than_twice_one_persons(tmp_path):
    """Blocks are made as much smaller as these recordings are smaller than those that fill a memory."""
    people = {f"{k}": signals(1800.0, seed=k) for k in (1, 2)}
    one = sum(x.nbytes for x in people["1"].values())
    trials = {name: [(f"clip {k}", 100.0 + 300 * k, 200.0, (k + 1, 1, 2)) for k in range(5)] for name in people}
    write_bids(tmp_path, people, trials)
    run = [sys.executable, "-c", MEMORY, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    peak = int(subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout)
    assert peak < 2 * one, f"{peak / one:.2f} times one person's {one / 1e6:.1f} MB"


# --- nothing is guessed, mixed up or passed over in silence -----------------------------------------------------------


def test_a_table_says_which_session_a_row_belongs_to(tmp_path):
    for session in ("1", "2"):
        write_bids(tmp_path, session=session)
    for path in tmp_path.rglob("*_events.tsv"):
        path.unlink()
    header = ["person", "session", "trial", "onset", "duration", "emotion.happy", "emotion.sad"]
    rows = [[p, s, "clip", 5, 40, *r] for p in ("01", "02") for s, r in (("1", (4, 1)), ("ses-2", (1, 4)))]
    write_rows(tmp_path / "ratings.csv", header, rows)
    (tmp_path / "recordings.yaml").write_text("ratings: {table: ratings.csv}")
    data = load(tmp_path, strict=True)
    np.testing.assert_allclose(data.distributions[data.starts < 100], [[0.8, 0.2]] * 14, rtol=1e-6)
    np.testing.assert_allclose(data.distributions[data.starts > 100], [[0.2, 0.8]] * 14, rtol=1e-6)
    change_rows(tmp_path / "ratings.csv", lambda rows: [row[:1] + row[2:] for row in rows])
    with pytest.raises(ValueError, match="2 recordings and one table; which row belongs to which.*a column for 'ses'"):
        load(tmp_path, strict=True)


@pytest.mark.parametrize("place", ["ratings.txt", "P1/EDA.csv.gz", "linked/P1/EDA.csv"])
def test_the_cache_knows_every_file_that_the_card_names(tmp_path, place):
    study, other = tmp_path / "study", tmp_path / "other"
    write_e4(study)
    card = {"ratings.txt": "ratings: {table: ratings.txt}", "P1/EDA.csv.gz": "signals: {eda: {file: EDA.csv.gz}}"}
    if place == "linked/P1/EDA.csv":
        write_e4(other)
        (study / "linked").symlink_to(other)
        (study / "round").symlink_to(study)
    (study / "recordings.yaml").write_text(card.get(place, "people: linked/*"))

    def write(seed):
        if place == "ratings.txt":
            write_rows(study / place, ["person", "trial", "onset", "duration", "emotion.a", "emotion.b"], [
                ["P1", "clip", 5, 40, seed, 3]
            ])  # fmt: skip
        else:
            path = e4_file(study / place.removesuffix(".gz"), signals(seed=seed)["eda"], 4)
            if place.endswith(".gz"):
                (study / place).write_bytes(gzip.compress(path.read_bytes()))
                path.unlink()

    write(5)
    before = quiet(study, cache=True, normalise="none")
    write(6)
    after = quiet(study, cache=True, normalise="none")
    field = (lambda d: d.distributions) if place == "ratings.txt" else (lambda d: d.signals["eda"])
    assert (field(before) != field(after)).any()


def change_lines(path, first, last, change):
    lines = path.read_text().splitlines()
    lines[first:last] = [change(line) for line in lines[first:last]]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "file, change, message",
    [
        ("EDA", lambda line: line.replace(".", ","), r"not readable as 1 columns of numbers \(line 61 has 2 columns\)"),
        ("ACC", lambda line: "1,2,3,4,5", r"not readable as 3 columns of numbers \(line 61 has 5 columns\)"),
        ("ACC", lambda line: "1,2", r"not readable as 3 columns of numbers \(line 61 has 2 columns\)"),
        ("EDA", lambda line: "1500000100.0", r"EDA.csv: line 61 holds 1500000100; expected a sample"),
    ],
)
def test_rows_of_another_width_are_no_samples(tmp_path, file, change, message):
    write_e4(tmp_path)
    change_lines(tmp_path / "P1" / f"{file}.csv", 60, 80, change)
    with pytest.warns(UserWarning, match=message):
        assert list(load(tmp_path).left_out) == [f"P1, {file.lower()}"]


def test_lines_are_counted_over_blocks(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("head\n" + "1.25,2\r\n" * 30_000 + "\n3,4")
    x, y = sample_files.read(path, 2, [0, 1], skip=1)
    assert len(x) == 30_002 and y[-1] == 4 and np.isnan(x[-2]) and (x[:-2] == 1.25).all()
    path.write_text("head\n" + "1.25,2\n" * 30_000 + "3,4,5\n" + "1.25,2\n" * 9)
    with pytest.raises(ValueError, match="line 30002 has 3 columns"):
        sample_files.read(path, 2, [0], skip=1)


@pytest.mark.parametrize("unit, factor", [("mS", 1e3), ("uS", 1.0)])
def test_a_unit_of_the_card_holds_for_an_e4_and_for_time_stamps(tmp_path, unit, factor):
    write_e4(tmp_path)
    x = signals(seed=1)["eda"][:, 0] / factor
    write_rows(tmp_path / "P1" / "own.csv", ["t", "v"], [[T0 + k / 4, v] for k, v in enumerate(x.tolist())])
    e4_file(tmp_path / "P1" / "E.csv", x[:, None], 4)
    csv = {"time": {"column": "t"}, "signals": {"eda": {"file": "own.csv", "columns": ["v"], "rate": 4, "unit": unit}}}
    e4 = {"signals": {"eda": {"file": "E.csv", "unit": unit}}}
    for card in (csv, e4):
        raw = quiet(tmp_path, card=card).recording("P1")
        np.testing.assert_allclose(raw.signals["eda"][:, 0], factor * x)
    with pytest.raises(ValueError, match="'eda' has a factor and the unit 'mS'; expected one of them"):
        load(tmp_path, card={"signals": {"eda": {"unit": "mS", "factor": 2}}})


def test_an_e4s_acceleration_is_known_by_its_file(tmp_path):
    write_e4(tmp_path)
    entry = {"kind": "movement", "role": "behavioral"}
    for given in ({"file": "ACC.csv"}, {"file": "ACC.csv", "unit": "mg"}, {"file": "ACC.csv", "factor": 1}):
        raw = load(tmp_path, card={"signals": {"wrist": entry | given}}).recording("P1").signals["wrist"]
        factor = {"unit": 64e-3, "factor": 64}.get(list(given)[-1], 1)
        np.testing.assert_allclose(raw, factor * signals(seed=1)["acc"])
    with pytest.raises(ValueError, match="'acc' is read from 'other.csv'; expected factor: 0.015625.* or its unit"):
        load(tmp_path, card={"signals": {"acc": {"file": "other.csv"}}})


def test_starts_and_raw_signals_have_one_clock(tmp_path):
    """A session without ratings, and a signal that the card excludes, move both or none."""
    write_bids(tmp_path, session="1")
    write_bids(tmp_path, session="2")
    (tmp_path / "sub-01" / "ses-1" / "beh" / "sub-01_ses-1_task-film_events.tsv").unlink()
    data = quiet(tmp_path)
    own = data.subjects == "01"
    assert data.starts[own].min() == 120 + 5 and len(data.recording("01").signals["eda"]) == 240 * 4
    e4_file(write_e4(tmp_path / "e4") / "P1" / "TEMP.csv", signals(seed=1)["temp"], 4, T0 + 1.5)
    for exclude, first in (({}, 6), ({"P1": {"temp": "loose"}}, 0)):
        data = load(tmp_path / "e4", card={"exclude": exclude})
        raw = data.recording("P1").signals
        assert set(data.signals) - set(raw) == set(exclude and {"temp"})
        np.testing.assert_allclose(raw["eda"][:40], signals(seed=1)["eda"][first : first + 40])


def test_each_viewing_has_a_name_of_its_own(tmp_path):
    rows = [("film", 0.0, 20.0, (4, 1, 1)), ("film", 30.0, 20.0, (1, 4, 1)), ("film 2", 60.0, 20.0, (1, 1, 4))]
    data = load(write_e4(tmp_path / "e4", trials={"P1": rows}))
    own = data.subjects == "P1"
    shown = dict(zip(data.trials[own].tolist(), data.distributions[own].argmax(1).tolist(), strict=True))
    assert shown == {"film": 0, "film 3": 1, "film 2": 2}
    for session in ("1", "2"):
        write_bids(tmp_path / "bids", trials={"01": rows}, session=session)
    data = load(tmp_path / "bids", strict=True)
    assert len(set(data.trials[data.subjects == "01"])) == 6 and len(set(data.trials[data.subjects == "02"])) == 6
    assert set(data.conditions) == {"film", "film 2", "clip a", "clip b", "clip c"}


def test_a_run_that_nobody_rated_counts_when_features_are_normalised(tmp_path):
    write_bids(tmp_path)
    plain = load(tmp_path)
    path = tmp_path / "sub-01" / "beh" / "sub-01_task-rest_physio.tsv.gz"
    write_physio(path, {"eda": 5 + signals(seed=9)["eda"][:, 0]}, 4)
    rows = [["rest", 0, 120, "n/a", "n/a", "n/a"]]
    header = ["trial_type", "onset", "duration", *(f"emotion_{e}" for e in EMOTIONS)]
    write_rows(path.with_name("sub-01_task-rest_events.tsv"), header, rows, "\t")
    data = load(tmp_path, strict=True)
    assert len(data) == len(plain)
    level = [d.signals["eda"][d.subjects == "01", :, 0].mean() for d in (plain, data)]
    assert abs(level[0]) < 0.5 and level[1] < -0.5  # below what was recorded at rest


@pytest.mark.parametrize("form, who", [("bids", "01"), ("bids", "sub-01"), ("e4", "P1")])
def test_the_card_excludes_people_who_are_there(tmp_path, form, who):
    FORMS[form](tmp_path)
    assert len(set(load(tmp_path, card={"exclude": {who: "fell asleep"}}).subjects)) == 1
    card = {"exclude": {who: {"Eda": "loose", "clip z": "noise"}}}
    told = [f for f in load(tmp_path, card=card).findings if f.what == "excluded by the card, but not there"]
    assert [f.where for f in told] == ["Eda", "clip z"] and "the trials are 'clip a'" in told[0].found
    with pytest.raises(ValueError, match=r"exclude: no person 'nobody'; found .*quotes: '05'"):
        load(tmp_path, card={"exclude": {"nobody": "fell asleep"}})
    if form == "bids":
        with pytest.raises(
            ValueError, match=r"exclude: no person '1'; found '01', '02' \(a name of digits is written in quotes"
        ):
            load(tmp_path, card={"exclude": {1: "fell asleep"}})
        with pytest.raises(ValueError, match=r"'only' is a dict; expected no such key: it is for format: csv"):
            load(tmp_path, card={"only": {"01": {"device": "A"}}})


def test_emotions_are_the_columns_of_one_beginning(tmp_path):
    write_e4(tmp_path)
    header = ["person", "trial", "onset", "duration", "emotion_happy", "emotion_sad", "rating_rt"]
    rows = [[p, "clip", 5, 40, 4, 1, 9] for p in ("P1", "P2")]
    write_rows(tmp_path / "ratings.csv", header, rows)
    assert load(tmp_path).emotions == ("happy", "sad")
    header[-1] = "rating_happy"
    write_rows(tmp_path / "ratings.csv", header, rows)
    with pytest.raises(ValueError, match="'emotion_happy' and 'rating_happy' both rate 'happy'; name the emotions'"):
        load(tmp_path)


def test_a_row_without_an_onset_ends_no_other(tmp_path):
    write_e4(tmp_path, {"P1": signals(seed=1)})
    header = ["person", "trial", "onset", "duration", "emotion.happy", "emotion.sad"]
    rows = [["P1", "b", 60, "", 1, 4], ["P1", "a", 10, "", 4, 1], ["P1", "c", "", "", 1, 4]]
    write_rows(tmp_path / "ratings.csv", header, rows)
    data = quiet(tmp_path)
    assert set(data.trials) == {"a", "b"} and data.starts[data.trials == "b"][-1] == 110


def test_smoothing_rates_what_is_at_the_floor(tmp_path):
    write_e4(tmp_path)
    rows = [[p, s, *((1, 1) if s < 60 else (4, 1))] for p in ("P1", "P2") for s in range(0, 120, 5)]
    write_rows(tmp_path / "ratings.csv", ["person", "onset", "emotion.happy", "emotion.sad"], rows)
    card = {"ratings": {"over": "time", "duration": 5, "floor": 1}}
    assert quiet(tmp_path, card=card).starts.min() > 50
    data = load(tmp_path, card=card, smoothing=0.1, strict=True)
    np.testing.assert_allclose(data.distributions[data.starts == 0], 0.5)


def test_files_that_differ_by_more_than_recording_are_recordings_of_their_own(tmp_path):
    write_bids(tmp_path)
    stem = tmp_path / "sub-01" / "beh" / "sub-01_task-film"
    write_physio(stem.with_name(stem.name + "_acq-b_physio.tsv.gz"), {"eda": signals(seed=9)["eda"][:, 0]}, 4)
    with pytest.warns(UserWarning, match="left out 01, task-film acq-b: no events"):
        data = load(tmp_path)
    np.testing.assert_array_equal(data.recording("01").signals["eda"][:480, 0], signals(seed=1)["eda"][:, 0])
    write_physio(
        stem.with_name(stem.name + "_recording-second_physio.tsv.gz"), {"eda": signals(seed=9)["eda"][:, 0]}, 4
    )
    with pytest.warns(UserWarning, match="recording-second_physio.tsv.gz: another file of this recording has 'eda'"):
        load(tmp_path)


def test_events_without_a_run_are_those_of_the_only_run(tmp_path):
    write_bids(tmp_path)
    for path in [p for p in tmp_path.rglob("*_physio.*") if "sub-01" in p.name]:
        path.rename(path.with_name(path.name.replace("task-film", "task-film_run-1")))
    assert set(load(tmp_path, strict=True).subjects) == {"01", "02"}


def test_nobody_is_left_says_why(tmp_path):
    write_e4(tmp_path, clock="unix")
    change_rows(
        tmp_path / "ratings.csv",
        lambda rows: [[*row[:2], "5" if k else row[2], *row[3:]] for k, row in enumerate(rows)],
    )
    (tmp_path / "P1" / "TEMP.csv").unlink()
    with (
        pytest.raises(ValueError, match="is left; P1: no rated time holds .*P1, clip a .*: is outside the recording"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        load(tmp_path)


def test_an_e4s_folders_may_begin_as_those_of_bids(tmp_path):
    people = {f"sub-{k}": signals(seed=k) for k in (1, 2)}
    assert set(load(write_e4(tmp_path, people, card="format: e4"), strict=True).subjects) == set(people)


def test_the_order_of_sessions_is_known_or_not(tmp_path):
    for session, seed in (("pre", 1), ("post", 2)):
        write_bids(tmp_path, {"01": signals(seed=seed)}, session=session)
    with pytest.raises(
        ValueError, match="the order of 'ses-post task-film', 'ses-pre task-film' is not known, and norm"
    ):
        load(tmp_path, normalise="causal", strict=True)
    first = load(tmp_path).recording("01").signals["eda"][:480]
    np.testing.assert_array_equal(first, signals(seed=2)["eda"])  # by the alphabet
    times = [("ses-pre", "2026-01-05T09:00:00"), ("ses-post", "2026-01-06T09:00:00")]
    write_rows(tmp_path / "sub-01" / "sub-01_sessions.tsv", ["session_id", "acq_time"], times, "\t")
    data = load(tmp_path, normalise="causal", strict=True)
    np.testing.assert_array_equal(data.recording("01").signals["eda"][:480], signals(seed=1)["eda"])
    zones = [("ses-pre", "2026-10-25T02:30:00+02:00"), ("ses-post", "2026-10-25T02:10:00+01:00")]  # summer ends
    write_rows(tmp_path / "sub-01" / "sub-01_sessions.tsv", ["session_id", "acq_time"], zones, "\t")
    data = load(tmp_path, normalise="causal", strict=True)
    np.testing.assert_array_equal(data.recording("01").signals["eda"][:480], signals(seed=1)["eda"])
    zones[0] = ("ses-pre", "0001-01-01T00:00:00+02:00")  # before the first year: no time
    write_rows(tmp_path / "sub-01" / "sub-01_sessions.tsv", ["session_id", "acq_time"], zones, "\t")
    with pytest.raises(ValueError, match="the order of 'ses-post task-film', 'ses-pre task-film' is not known"):
        load(tmp_path, normalise="causal", strict=True)
    zones[:] = [("ses-pre", "2026-10-25T02:30:00+02:00"), ("ses-post", "2026-10-25T02:10:00")]  # where is not said
    write_rows(tmp_path / "sub-01" / "sub-01_sessions.tsv", ["session_id", "acq_time"], zones, "\t")
    with pytest.raises(ValueError, match="the order of 'ses-post task-film', 'ses-pre task-film' is not known"):
        load(tmp_path, normalise="causal", strict=True)
    for session, when in zip(("pre", "post"), ("2026-01-05T09:00:00Z", "2026-01-06T09:00:00"), strict=True):
        name = f"beh/sub-01_ses-{session}_task-film_recording-eda_physio.tsv.gz"
        scans = tmp_path / "sub-01" / f"ses-{session}" / f"sub-01_ses-{session}_scans.tsv"
        write_rows(scans, ["filename", "acq_time"], [(name, when)], "\t")
    for options in ({"normalise": "causal"}, {"features": "causal", "context": 0.0}):  # the zone of one file alone
        with pytest.raises(ValueError, match="the order of .* is not known"):
            load(tmp_path, **options, strict=True)
    for scans in tmp_path.rglob("*_scans.tsv"):
        scans.unlink()
    write_rows(tmp_path / "sub-01" / "sub-01_sessions.tsv", ["session_id", "acq_time"], times, "\t")
    rest = tmp_path / "sub-01" / "ses-pre" / "beh" / "sub-01_ses-pre_task-rest_physio.tsv.gz"
    write_physio(rest, {"eda": signals(seed=3)["eda"][:, 0]}, 4)  # before the film or after it
    with pytest.raises(ValueError, match="the order of 'ses-pre task-film', 'ses-pre task-rest', 'ses-post task-film'"):
        load(tmp_path, normalise="causal", strict=True)
    rest.unlink()
    for (session, when), path in zip(times[::-1], sorted((tmp_path / "sub-01").glob("ses-*")), strict=True):
        name = f"beh/sub-01_{path.name}_task-film_recording-eda_physio.tsv.gz"
        other = {"ses-pre": "2026-01-07T09:00:00"}.get(session, when)
        write_rows(path / f"sub-01_{path.name}_scans.tsv", ["filename", "acq_time"], [(name, other)], "\t")
    data = load(tmp_path, normalise="causal", strict=True)
    np.testing.assert_array_equal(data.recording("01").signals["eda"][:480], signals(seed=2)["eda"])


def test_the_channels_are_those_of_most_people(tmp_path):
    write_bids(tmp_path, {k: signals(seed=int(k)) for k in ("01", "02", "03")})
    for person in ("01", "02", "03"):
        names = ["au1"] if person == "01" else ["au1", "au2"]
        x = {name: np.random.default_rng(0).normal(size=480) for name in names}
        write_physio(tmp_path / f"sub-{person}" / "beh" / f"sub-{person}_task-film_recording-face_physio.tsv.gz", x, 4)
    face = {"kind": "level", "role": "behavioral", "columns": ["au1", "au2"]}
    with pytest.warns(UserWarning, match="left out 01, face: no file has it; the card names it"):
        load(tmp_path, card={"signals": {"eda": {}, "face": face}})
    people = [(k, names) for k, names in (("01", ("a",)), ("02", ("a", "b")), ("03", ("a", "b")))]
    found = [(k, Windows([], np.zeros(0), {"face": 1}, {"face": 1}, {"face": names})) for k, names in people]
    report = Report()
    assert recordings._same_features(found, report) == {"face": ("a", "b")}
    assert [f.where for f in report.findings] == ["01, face"] and not found[0][1].values


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tokens": 2.5}, "tokens is 2.5; expected a whole number"),
        ({"tokens": True}, "tokens is True; expected a whole number"),
        ({"window": "60"}, "window is '60'; expected a number of seconds"),
        ({"window": float("inf")}, "window is inf; expected a number of seconds of at most 1,000,000"),
        ({"card": {"people": "."}}, r"the card: 'people' is '\.'; expected folders below"),
        ({"card": {"people": "a**"}}, r"the card: 'people' is 'a\*\*'; expected folders below"),
    ],
)
def test_arguments_that_are_none(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        load(write_e4(tmp_path), **options)


def test_the_pages_cards_are_cards(tmp_path):
    page = (ROOT / "docs" / "recordings.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    assert len(blocks) >= 4
    for block in blocks:
        (tmp_path / "recordings.yaml").write_text(block)
        read_card(tmp_path, None)


def test_too_many_files_are_not_looked_at_each_time(tmp_path, monkeypatch):
    (write_e4(tmp_path / "study") / "link").symlink_to(tmp_path)  # a link may lead anywhere
    monkeypatch.setattr(recordings, "FILES", 5)
    monkeypatch.setattr(recordings, "cached", None)
    with pytest.warns(UserWarning, match="over 5 files with those that links lead to; features are not kept"):
        assert len(load(tmp_path / "study", cache=True))
