"""Causal features: nothing after a window's end changes them, nor how the samples were cut on their way."""

import dataclasses

import numpy as np
import pytest
from conftest import random_data, write_wesad
from studies import write_e4

import helo
from helo import live
from helo.data import causal_windows, wesad
from helo.data.causal import Pulse, SkinConductance, numbers
from helo.data.causal_beats import Beats
from helo.data.causal_filters import Blocks, Delay, Fading, Filter, Kept, Mean
from helo.data.emotion_data import Recording

CUT = causal_windows.Cut(tokens=5, length=60.0, step=30.0)


@pytest.fixture(scope="module")
def person(wesad_root):
    """The first half hour of a real person, and the features' names."""
    recording = wesad.recording(wesad_root, "S3")
    signals = {m: x[: round(1800 * recording.rates[m])] for m, x in recording.signals.items()}
    names = {"bvp": (*Pulse.OWN, "pulse sway (1/min)"), "eda": SkinConductance.NAMES}
    names |= {m: causal_windows.KINDS[m].NAMES for m in ("temp", "acc")}
    return signals, recording.rates, names


def windows(person, ends, until=np.inf):
    """Windows of a recording that is there as a whole, cut at `until`."""
    signals, rates, names = person
    one = causal_windows.Person(causal_windows.signals_of(rates, names), CUT)
    for m, x in signals.items():
        one.push(m, x if until == np.inf else x[: int(until * rates[m] + 1e-6)])
    return [one.window(end) for end in ends if end <= until]


def assert_same(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        for m in one:
            for a, b in zip(one[m], other[m], strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def ends():
    return np.arange(45.3, 1800, 111.7)


@pytest.fixture(scope="module")
def whole(person, ends):
    return windows(person, ends)


@pytest.mark.parametrize("last, more", [(3, 0.0), (6, 0.0), (13, 0.3)])
def test_a_recording_cut_at_t_has_the_same_windows_up_to_t(person, ends, whole, last, more):
    """t is the end of a window, so that not one sample after it may be looked at; or a little later."""
    cut = windows(person, ends, ends[last] + more)
    assert len(cut) == last + 1
    assert_same(cut, whole[: len(cut)])
    assert whole[3]["bvp"][1].all() and not whole[0]["bvp"][1].all()  # the first begins before the recording


@pytest.mark.parametrize("most", [1, 9, 3000])
def test_how_the_samples_are_cut_does_not_matter(person, ends, whole, most):
    signals, rates, names = person
    few = ends if most == 3000 else ends[: 2 if most == 1 else 4]
    rng, at = np.random.default_rng(most), dict.fromkeys(signals, 0)
    one = causal_windows.Person(causal_windows.signals_of(rates, names, keep=400), CUT)
    found = []
    for end in few:
        for m, x in signals.items():
            stop = int(end * rates[m] + 1e-6) + int(rng.integers(0, 60))  # some come before the window is asked for
            while at[m] < stop:
                piece = x[at[m] : at[m] + int(rng.integers(1, min(most, 80 * rates[m]) + 1))]
                one.push(m, piece)
                at[m] += len(piece)
        found.append(one.window(end))
    assert_same(found, whole[: len(few)])


def test_a_sample_after_the_end_would_be_seen(person, ends, whole):
    """The comparison has teeth: features of the whole recording do move when it is cut."""
    signals, rates, _ = person
    tokens = helo.data.signals.Tokens.of(np.array([1000.0]), 60, 1)
    moved = [
        helo.data.signals.breathing_pulse(x, rates["bvp"], tokens).values
        for x in (signals["bvp"], signals["bvp"][: 1061 * 64])
    ]
    assert np.abs(moved[0] - moved[1]).max() > 1e-3


@pytest.mark.parametrize(
    "make, channels",
    [
        (lambda: Filter(2, (0.5, 3), "bandpass", 32), 3),
        (lambda: Blocks(64), 1),
        (lambda: Mean(7), 0),
        (lambda: Delay(5), 0),
        (lambda: Fading(10, 64), 0),
    ],
)
def test_a_filter_gives_the_same_bits_sample_by_sample(make, channels):
    x = np.random.default_rng(0).normal(size=(300, channels) if channels else 300)
    x[:3] = np.nan if channels != 0 else 0
    one = make()
    np.testing.assert_array_equal(make()(x), np.concatenate([one(x[i : i + 1]) for i in range(len(x))]))


def test_a_level_makes_no_wave():
    assert np.abs(Filter(2, 0.05, "highpass", 4)(np.full((50, 1), 7.0))).max() < 1e-12


def pulse_wave(beats, rate, seconds):
    """A wave with a systolic peak at each beat and a smaller, dicrotic one .3 s after it."""
    t = np.arange(int(seconds * rate)) / rate
    off = t[:, None] - np.asarray(beats)
    return (np.exp(-0.5 * (off / 0.07) ** 2) + 0.4 * np.exp(-0.5 * ((off - 0.3) / 0.08) ** 2)).sum(1)


def test_beats_are_found_and_their_intervals_are_right():
    rng = np.random.default_rng(0)
    true = 1 + np.cumsum(0.85 + 0.05 * np.sin(np.arange(120) / 3) + rng.normal(0, 0.01, 120))
    wave = pulse_wave(true, 64, true[-1] + 2) + rng.normal(0, 0.01, int((true[-1] + 2) * 64))
    beats = Beats(64)
    beats.push(Filter(1, (0.5, 8), "bandpass", 64)(wave[:, None])[:, 0])
    at, interval, plausible = beats.known(len(wave))
    late = at[-100:] / 64 - true[-100:]
    assert np.abs(late - np.median(late)).max() < 0.04, "each beat, once, at the same delay"
    assert plausible[-100:].all()
    np.testing.assert_allclose(interval[-100:], np.diff(true)[-100:], atol=0.04)
    known = np.array([n for _, n, _, _ in beats._found]) / 64 - at / 64
    assert 0.3 < np.median(known) < 0.7 and known.min() > 0, "known half a second later, never before"


@pytest.mark.parametrize("every", [0.8, 0.6])
def test_a_missing_beat_is_not_bridged(every):
    """At 100 a minute two intervals are 1.2 s, which by itself a heart may take."""
    true = np.arange(1, 60, every)
    wave = pulse_wave(np.delete(true, 30), 64, 61)
    beats = Beats(64)
    beats.push(Filter(1, (0.5, 8), "bandpass", 64)(wave[:, None])[:, 0])
    _, interval, plausible = beats.known(len(wave))
    long = interval > 1.75 * every
    assert long.sum() == 1 + 1  # the gap, and the first, which has none before it
    assert not plausible[long].any() and plausible[5:][~long[5:]].all()


def test_lost_samples_mask_their_tokens_and_no_others():
    x = np.random.default_rng(0).normal(2, 0.1, (400, 1))
    signals = [SkinConductance(4, SkinConductance.NAMES) for _ in range(2)]
    signals[0].push(x)
    x = x.copy()
    x[300:310] = np.nan  # 2.5 s of the token of 20 s from 70 to 90 s
    signals[1].push(x)
    (a, all_there), (b, there) = (s.window(100, 5, 20) for s in signals)
    assert all_there.all() and there.tolist() == [True, True, True, False, True]
    np.testing.assert_array_equal(a[:3], b[:3])
    assert np.isfinite(b).all() and np.abs(a[4] - b[4]).max() < 0.5
    signals[1].push(np.full((120, 1), np.nan))  # the sensor stops
    assert signals[1].window(130, 5, 20)[1].tolist() == [True, True, False, False, False]


def test_a_sensor_that_begins_late_is_not_there_before():
    signal = SkinConductance(4, SkinConductance.NAMES)
    signal.push(np.full((200, 1), np.nan))
    signal.push(np.full((200, 1), 5.0))
    values, there = signal.window(100, 4, 25)
    assert there.tolist() == [False, False, True, True]
    np.testing.assert_allclose(values[2:, 0], np.log(5.0))  # no step from 0


def test_the_slope_of_a_rising_skin_conductance_is_by_the_minute():
    signal = SkinConductance(4, SkinConductance.NAMES)
    signal.push((2 + np.arange(2400) / 4 / 60)[:, None])  # 1 uS a minute
    values, there = signal.window(600, 5, 20)
    slope = values[:, SkinConductance.NAMES.index("slope (uS/min)")]
    assert there.all() and slope == pytest.approx(np.full(5, 1 - 1 / 80), rel=1e-2)


def test_what_is_kept_is_bounded():
    kept, all_ = Kept(100), Kept(None)
    for k in range(1000):
        for store in (kept, all_):
            store.push(np.arange(7 * k, 7 * k + 7))
    assert len(kept._held) == 200 and kept.count == 7000
    np.testing.assert_array_equal(kept.cut(6900, 7000), np.arange(6900, 7000))
    np.testing.assert_array_equal(all_.cut(20, 90), np.arange(20, 90))
    kept.push(np.arange(1000))
    np.testing.assert_array_equal(kept.cut(7900, 8002)[:3], [900, 901, 902])
    assert kept.cut(7999, 8003).tolist() == [999] * 4


def test_samples_of_a_token_lie_before_its_end():
    where = numbers(10.0, 2, 2.5, 4)
    assert where.tolist() == [list(range(20, 30)), list(range(30, 40))]
    assert numbers(0.3 * 3, 1, 0.5, 10)[0, -1] == 8  # .8999... s is .9 s


def test_the_past_is_the_persons_own_and_counts_each_moment_once():
    tokens = np.random.default_rng(0).normal([3, -7], [2, 0.1], (50, 2))
    past = causal_windows.Past(2)
    for token in tokens:
        past.add(token)
    expected = (tokens - tokens.mean(0)) / tokens.std(0)
    np.testing.assert_allclose(past.normalised(tokens, np.ones(50, bool)), expected, atol=1e-9)


def test_a_sessions_end_is_in_the_past_of_the_next():
    """No window lies in the first session; what was measured there is what the second is normalised by."""

    def levels(first):
        x = np.concatenate([np.full(240, first), np.full(240, 33.0)]) + np.random.default_rng(0).normal(0, 0.1, 480)
        signals = {"temp": x[:, None], "face": np.arange(480.0)[:, None]}
        recording = Recording(signals, dict.fromkeys(signals, 4.0), dict.fromkeys(signals, ""), parts=(60.0,))
        data = random_data(
            4,
            signals={"temp": np.zeros((4, 1, 2)), "face": np.zeros((4, 1, 1))},
            features={"temp": ("mean (degC)", "slope (degC/min)"), "face": ("1",)},
            roles={"physiological": ["temp"], "behavioral": ["face"]},
            subjects=["a"] * 4,
            trials=list("stuv"),
            starts=[70.0, 80.0, 90.0, 100.0],
            window=10.0,
            recording=lambda _: recording,
        )
        return causal_windows.causal(data, 1, step=10.0).signals["temp"][..., 0]

    assert levels(30.0).min() > 0 > levels(36.0).max(), "warmer than before, colder than before"


def test_wesad_with_causal_features(tmp_path):
    """Names, windows and labels stay; context lies before the window; the rest of the recording has no say."""
    write_wesad(tmp_path / "a")
    options = {"window": 20, "step": 10, "tokens": 6, "context": 20}
    plain = helo.load("wesad", tmp_path / "a", **options)
    data = helo.load("wesad", tmp_path / "a", features="causal", **options)
    assert data.layout == plain.layout and data.features == plain.features
    assert (data.trials == plain.trials).all() and data.window == plain.window == 60
    np.testing.assert_array_equal(data.distributions, plain.distributions)
    np.testing.assert_allclose(data.starts, plain.starts - 20)  # as much is seen, all of it before the window's end
    assert data.tokens["eda"][-1] == "-10 to 0 s"

    def change(content):
        for key, rate in (("BVP", 64), ("EDA", 4), ("TEMP", 4), ("ACC", 32)):
            content["signal"]["wrist"][key][200 * rate :] *= 1.5

    write_wesad(tmp_path / "b", change=change)
    other = helo.load("wesad", tmp_path / "b", features="causal", **options)
    before = data.starts + data.window <= 200
    assert 5 < before.sum() < len(data)
    for m in data.signals:
        np.testing.assert_array_equal(data.signals[m][before], other.signals[m][before])
        assert (data.signals[m][~before] != other.signals[m][~before]).any()


def test_the_simulated_study_with_causal_features(simulated):
    data = helo.load("simulated", subjects=6, clips=5, seconds=48, seed=0, features="causal")
    assert data.layout == simulated.layout
    for m, values in simulated.signals.items():
        there = simulated.masks[m] & data.masks[m]
        x, y = (v[there] for v in (values, data.signals[m]))
        assert there.mean() > 0.9 and np.corrcoef(x.ravel(), y.ravel())[0, 1] > 0.4, "they mean the same"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "simulated", "features": "past"}, "features is 'past'; expected 'whole' or 'causal'"),
        ({"name": "pairing", "features": "causal"}, "pairing: has no windows of recordings"),
        ({"name": "wesad", "normalise": "recording", "features": "causal"}, "expects 'causal' or 'none'"),
    ],
)
def test_what_has_no_causal_form_says_so(tmp_path, options, message):
    write_wesad(tmp_path)
    options |= {"root": tmp_path} if options["name"] == "wesad" else {}
    with pytest.raises(ValueError, match=message):
        helo.load(**options)


@pytest.mark.parametrize(
    "tokens, message", [(8, "8 tokens of 1.5 s in 12 s; expected tokens of at least 2 s"), (0, "tokens 0, ")]
)
def test_tokens_have_room(simulated, tokens, message):
    with pytest.raises(ValueError, match=message):
        causal_windows.causal(dataclasses.replace(simulated, window=12.0), tokens, 0.0, 6.0)


def test_context_of_a_card_is_not_looked_ahead_for(tmp_path):
    """It lies on both sides of a window; the causal one, before it, is an option."""
    write_e4(tmp_path, card="context: 20\n")
    options = {"window": 10, "step": 5, "tokens": 2, "cache": False, "features": "causal"}
    for context in ({}, {"context": 5.0}):
        data = helo.load("recordings", tmp_path, **context, **options)
        ends = np.unique(data.starts[data.trials == "clip a"] + data.window)
        np.testing.assert_allclose(ends, np.arange(15, 46, 5))  # of windows of 10 s in 5 to 45 s
        assert data.window == 10 + 2 * context.get("context", 0)


@pytest.fixture(scope="module")
def lacking():
    """A study whose first person has no skin conductance."""
    data = helo.load("simulated", subjects=3, clips=4, seconds=48, seed=0)

    def recording(subject):
        found = data.recording(subject)
        if subject != "P1":
            return found
        signals, rates = ({m: x for m, x in of.items() if m != "eda"} for of in (found.signals, found.rates))
        return dataclasses.replace(found, signals=signals, rates=rates)

    return data, dataclasses.replace(data, recording=recording)


def test_a_small_unit_is_normalised_as_any_other():
    """Skin conductance in siemens: what varies is told beside its size."""
    tokens = np.random.default_rng(0).normal(2, 0.5, (40, 1))
    found = []
    for unit in (1.0, 1e-8):
        past = causal_windows.Past(1)
        for token in unit * tokens:
            past.add(token)
        found.append(past.normalised(unit * tokens, np.ones(40, bool)))
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_a_sensor_that_a_person_has_not_is_masked(lacking):
    everything, found = (causal_windows.causal(data, 6, step=12.0) for data in lacking)
    first = found.subjects == "P1"
    assert not found.masks["eda"][first].any() and not found.signals["eda"][first].any()
    for m in found.signals:
        rows = ~first if m == "eda" else slice(None)
        np.testing.assert_array_equal(found.signals[m][rows], everything.signals[m][rows])
    assert live.Setup.of(found, 12.0) == live.Setup.of(everything, 12.0)


def test_a_signal_that_no_feature_is_known_of_is_not_averaged(lacking):
    data = lacking[0]
    names = data.features | {"face": tuple(f"SD {k}" for k in data.features["face"])}
    with pytest.raises(ValueError, match=r"'face' has no causal features \['SD "):
        causal_windows.causal(dataclasses.replace(data, features=names), 6)


def test_other_features_than_those_known_are_refused():
    data = random_data(shapes={"eda": (2, 4), "face": (2, 3)}, starts=np.arange(40.0), window=4.0)
    with pytest.raises(ValueError, match="no raw recordings"):
        causal_windows.causal(data, 2)
    with pytest.raises(ValueError, match="modality 'eda': features are .* has .*level"):
        causal_windows.signals_of({"eda": 4.0}, {"eda": ("a", "b")})


def test_one_artefact_does_not_spoil_a_persons_past():
    rng = np.random.default_rng(0)
    past, tokens = causal_windows.Past(2), rng.normal([3, -7], [2, 0.1], (60, 2))
    for k, token in enumerate(tokens):
        past.add(token if k != 20 else np.array([1e6, -7]))
    off = past.normalised(tokens, np.ones(60, bool))
    assert 0.5 < off[:, 0].std() < 1.1 and abs(off[:, 0].mean()) < 0.3
    steady = causal_windows.Past(1)
    for x in [1.0] * 10 + [2.0, 3.0] * 20:
        steady.add(np.array([x]))
    assert abs(steady.normalised(np.array([[2.5]]), np.ones(1, bool))[0, 0]) < 1, "what began to vary is followed"
