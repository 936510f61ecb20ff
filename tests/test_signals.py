import tracemalloc

import neurokit2 as nk
import numpy as np
import pytest

from helo.data import causal, rates, signals

TOKENS = signals.Tokens.of(np.arange(0, 90, 10.0), 20, 2)


def test_windows_lie_whole_within_the_span():
    np.testing.assert_allclose(signals.window_starts(5, 126, 60, 30), [5, 35, 65])
    assert len(signals.window_starts(0, 59, 60, 30)) == 0
    assert len(signals.window_starts(0, 60, 60, 30)) == 1


def test_tokens_cut_consecutive_samples():
    t = np.arange(0, 100, 0.25)
    cut = TOKENS.cut(t, 4)
    assert cut.shape == (9, 2, 40)
    np.testing.assert_allclose(cut[3, 1], 40 + np.arange(40) / 4)


def test_a_token_that_rounding_puts_a_sample_beyond_the_end_is_the_last_one():
    """500 samples at 50 Hz are 41 blocks of 12: 10 s round to 42 of them, the token's start to the first."""
    x = np.arange(41.0)
    assert signals.Tokens.of(np.zeros(1), 10, 1).cut(x, 50 / 12)[0, 0].tolist() == x.tolist()
    halves = signals.Tokens.of(np.zeros(1), 63 / 4, 2).cut(np.arange(63.0), 4)[0]  # 31.5 samples each
    assert halves[0].tolist() == list(range(32)) and halves[1].tolist() == list(range(31, 63))


@pytest.mark.parametrize("start, length", [(92, 10), (0, 101)])
def test_a_token_that_the_signal_does_not_hold_is_refused(start, length):
    with pytest.raises(ValueError, match=f"{start} to {start + length} s; the signal has 100 s"):
        signals.Tokens(np.array([[0.0, start]]), length).cut(np.zeros(400), 4)


@pytest.mark.parametrize("rate", [55, 80, 110])
def test_heart_rate_of_a_known_pulse(rate):
    ppg = nk.ppg_simulate(
        110,
        64,
        heart_rate=rate,
        motion_amplitude=0,
        powerline_amplitude=0,
        ibi_randomness=0,
        frequency_modulation=0,
        random_state=0,
    )
    ecg = nk.ecg_simulate(110, sampling_rate=256, heart_rate=rate, heart_rate_std=0, random_state=0)
    for kind, signal, hz in ((signals.pulse, ppg, 64), (signals.heart, ecg, 256)):
        found = kind(signal[:, None], hz, TOKENS)
        assert found.mask.all()
        assert found.values[..., 0].mean() == pytest.approx(rate, rel=0.03), kind


def test_no_beats_no_token():
    # a flat line has no pulse: nothing may be made up for it
    flat = np.zeros((110 * 64, 1)) + 1e-9 * np.random.default_rng(0).normal(size=(110 * 64, 1))
    flat[: 50 * 64, 0] = nk.ppg_simulate(50, 64, heart_rate=70, random_state=0)
    assert signals.pulse(flat, 64, TOKENS).mask[:3].all()
    assert signals.pulse(flat, 64, TOKENS).mask[6:].mean() < 0.5


def _rmssd(beats, tokens=None):
    values, mask, names = rates.beat_intervals(np.asarray(beats), tokens or signals.Tokens.of(np.array([0.0]), 60, 1))
    return np.exp(values[..., names.index("RMSSD (log s)")]) - 1e-3, mask


def test_rmssd_does_not_bridge_beats_that_were_removed():
    """By hand: a beat that was missed leaves an interval of 1.75 s, which is removed with both of its differences."""
    before, after = [0.80, 0.84, 0.80, 0.86, 0.82], [0.90, 0.94, 0.91, 0.95]
    beats = np.cumsum([0.1, *before, 1.75, *after])
    squares = np.concatenate([np.diff(before), np.diff(after)]) ** 2  # 0.90 - 0.82 is not among them
    found, mask = _rmssd(beats)
    assert mask.all() and found[0, 0] == pytest.approx(np.sqrt(squares.mean()), abs=1e-9)
    # every second interval is removed: none of the others follow each other, and nothing is made up
    found, mask = _rmssd(np.cumsum([0.1, *[0.8, 1.75] * 10]))
    assert not mask.any()


def test_rmssd_of_a_clean_train_is_neurokit2s():
    beats = np.cumsum(0.8 + 0.03 * np.random.default_rng(0).normal(size=70))
    reference = nk.hrv_time({"RRI": 1000 * np.diff(beats), "RRI_Time": beats[1:]}, sampling_rate=1000)
    found, mask = _rmssd(beats)
    assert mask.all()
    assert 1000 * found[0, 0] == pytest.approx(float(reference["HRV_RMSSD"].iloc[0]), rel=1e-6)


def test_skin_conductance_level_and_slope():
    t = np.arange(0, 110, 0.25)
    found = signals.electrodermal((2 + 0.01 * t)[:, None], 4, TOKENS)
    middle = found.values[2:6]  # away from the filter's edges
    np.testing.assert_allclose(middle[..., 1], 0.6, atol=0.1)  # 0.01 uS/s
    np.testing.assert_allclose(np.exp(middle[:, 0, 0]), 2 + 0.01 * (TOKENS.starts[2:6, 0] + 5), atol=0.05)


def test_a_response_shows_as_phasic_activity():
    eda = np.full(110 * 8, 2.0)
    eda[480:608] += nk.eda_simulate(16, sampling_rate=8, scr_number=1, noise=0, random_state=1) - 1
    peak = signals.electrodermal(eda[:, None], 8, TOKENS).values[:, 0, 3]
    assert np.argmax(peak) in (6, 7)


def test_sampling_rate_does_not_change_slow_features():
    t = np.arange(0, 110, 1 / 700)
    temp = 33 + 0.002 * t + 0.1 * np.sin(t / 15)
    fast = signals.temperature(temp[:, None], 700, TOKENS)
    slow = signals.temperature(temp[::175][:, None], 4, TOKENS)
    np.testing.assert_allclose(fast.values, slow.values, atol=0.01)
    np.testing.assert_allclose(
        signals.temperature((33 + 0.002 * t)[:, None], 700, TOKENS).values[..., 1], 0.12, atol=0.01
    )


@pytest.mark.parametrize("rate, length", [(0.5, 10), (0.5, 6), (0.5, 3), (1, 3), (1, 5), (4, 10), (4, 0.25)])
def test_slope_of_a_straight_line_whatever_the_samples_of_a_token(rate, length):
    """0.6 degC a minute; tokens of 5, 3, 2, 3, 5, 40 and 1 samples, the last without a slope."""
    x = 30 + 0.01 * np.arange(int(120 * rate)) / rate
    expected = 0.6 if length * rate > 1 else 0
    found = signals.temperature(x[:, None], rate, signals.Tokens.of(np.array([12.0, 40.0]), 3 * length, 3))
    np.testing.assert_allclose(found.values[..., 1], expected, atol=1e-9)
    live = causal.Temperature(rate, causal.Temperature.NAMES)
    live.push(x[:, None])
    expected = 0.6 if int(length * rate) > 1 else 0  # no sample after a token's end counts for it
    np.testing.assert_allclose(live.window(80.0, 3, length)[0][:, 1], expected, atol=1e-9)


def test_a_sensor_that_was_off_has_no_beats():
    for of in (signals.heart, signals.pulse):
        assert not of(np.zeros((110 * 250, 1)), 250, TOKENS).mask.any()
    assert not signals.respiration(np.zeros((110 * 250, 1)), 250, TOKENS).mask.any()


def _named(found, name):
    return found.values[..., found.names.index(name)]


def _wave(frequency, size, seconds=110, rate=32, axis=(0.6, 0.0, 0.8)):
    t = np.arange(0, seconds, 1 / rate)
    return np.array([0.0, 1.0, 0.0]) + size * np.sin(2 * np.pi * frequency * t)[:, None] * np.array(axis)


BANDS = {0.25: "0.1-0.5 Hz", 1.5: "0.5-3 Hz", 6.0: "3-10 Hz"}


@pytest.mark.parametrize("frequency", BANDS)
def test_movement_shows_in_its_band(frequency):
    found = signals.movement(_wave(frequency, 0.1), 32, TOKENS)
    middle = slice(2, -2)  # away from the filter's edges
    np.testing.assert_allclose(np.exp(_named(found, "movement (log g)"))[middle], 0.1 / np.sqrt(2), rtol=0.15)
    for other, band in BANDS.items():
        size = np.exp(_named(found, f"{band} usual (log g)"))[middle]
        if other == frequency:
            np.testing.assert_allclose(size, 0.1 / np.sqrt(2), rtol=0.35)  # seconds of a slow wave differ
        else:
            assert (size < 0.02).all(), band


def test_sway_is_the_frequency_of_a_slow_movement():
    for breaths in (9, 15, 24):
        found = signals.movement(_wave(breaths / 60, 0.02), 32, TOKENS)
        np.testing.assert_allclose(_named(found, "sway (1/min)")[2:-2], breaths, rtol=0.12)


def test_sway_of_the_pulse_is_the_breathing_that_changes_its_size():
    t = np.arange(0, 200, 1 / 64)
    tokens = signals.Tokens.of(np.array([30.0, 90.0]), 60, 1)
    for breaths in (8, 14, 20):
        pulse = (1 + 0.3 * np.sin(2 * np.pi * breaths / 60 * t)) * np.sin(2 * np.pi * 1.2 * t)
        found = signals.breathing_pulse(pulse[:, None], 64, tokens)
        np.testing.assert_allclose(_named(found, "pulse sway (1/min)"), breaths, rtol=0.12)


def test_a_turned_page_is_in_the_moving_seconds_only():
    turning = _wave(1.5, 0.3) - [0, 1, 0]
    turning[np.arange(len(turning)) // 32 % 5 != 0] = 0  # one second in five
    found = signals.movement(turning + np.array([0, 1, 0]), 32, TOKENS)
    quiet, moving = (_named(found, f"0.5-3 Hz {which} (log g)") for which in ("quiet", "moving"))
    assert (moving > quiet + 1.5).all()


def test_movement_is_the_same_however_the_sensor_is_worn():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(0, 0.01, (110 * 32, 3)), 0) + rng.normal(0, 0.02, (110 * 32, 3))
    turned = x @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for y in (turned, turned + np.array([0.3, -0.5, 0.7])):
        found, expected = (signals.movement(a, 32, TOKENS).values for a in (y, x))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_rate_hardly_changes_movement():
    fast = _wave(1.5, 0.2, rate=700) + _wave(0.2, 0.05, rate=700)
    found = [
        signals.movement(x, rate, TOKENS).values[2:-2]
        for x, rate in ((fast, 700), (_wave(1.5, 0.2) + _wave(0.2, 0.05), 32))
    ]
    np.testing.assert_allclose(*found, rtol=0.05, atol=0.1)
    with pytest.raises(ValueError, match="sampled at 4 Hz; expected at least 10 Hz"):
        signals.movement(fast, 4, TOKENS)
    with pytest.raises(ValueError, match="tokens last 0.5 s; expected at least 1 s"):
        signals.movement(fast, 700, signals.Tokens.of(np.array([0.0]), 1, 2))


def test_breathing_rate():
    t = np.arange(0, 110, 1 / 100)
    found = signals.respiration(np.sin(2 * np.pi * 0.25 * t)[:, None], 100, TOKENS)
    np.testing.assert_allclose(found.values[1:-1, :, 0], 15, atol=0.7)


def test_breaths_of_a_token_are_counted_over_their_time():
    """12 a minute; one fast breath in the middle of a token; a belt that is off has no rate."""
    tokens = signals.Tokens.of(np.array([0.0, 60.0, 120.0, 180.0]), 60, 1)
    peaks = np.arange(2.5, 240, 5)
    np.testing.assert_allclose(rates.breathing_rate(peaks, tokens)[0], 12)
    fast = np.sort(np.r_[peaks, 90.0])  # 87.5, 90, 92.5
    found, mask = rates.breathing_rate(fast, tokens)
    assert found[1, 0] == pytest.approx(13) and mask.all()
    off = peaks[(peaks < 60) | (peaks > 200)]
    found, mask = rates.breathing_rate(off, tokens)
    assert mask[:, 0].tolist() == [True, False, False, True] and found[3, 0] == pytest.approx(12)
    assert not rates.breathing_rate(peaks[:1], tokens)[1].any()


def test_breaths_that_fill_less_than_half_of_a_token_are_masked():
    peaks = np.array([4.0, 8.0, 40.0, 44.0, 48.0, 52.0])  # nothing plausible from 8 to 40 s
    rate, there = rates.breathing_rate(peaks, signals.Tokens(np.array([[4.0, 30.0, 36.0]]), 12.0))
    assert there.tolist() == [[False, False, True]] and rate[0, 2] == pytest.approx(15)


def test_muscle_amplitude():
    x = np.random.default_rng(0).normal(5, 0.02, (110 * 100, 1))
    np.testing.assert_allclose(np.exp(signals.muscle(x, 100, TOKENS).values[..., 0]), 0.02, rtol=0.1)


@pytest.mark.parametrize("later", [30.0, 36.0])
def test_what_nothing_is_known_of_is_neither_much_nor_little(later):
    """Before the person's first token of a signal there is no mean: not 0, and not that of the future."""
    values, mask = np.full((2, 1, 1), 33.0), np.ones((2, 1), bool)
    whole = np.full((4, 1, 1), later) + np.arange(4)[:, None, None]
    there = np.ones((4, 1), bool)
    found = signals.normalise_by_recording(values, mask, whole, there, seen=np.array([0, 4]))
    assert found[0, 0, 0] == 0 and found[1, 0, 0] != 0
    assert not signals.normalise_by_recording(values, mask, whole, ~there).any()


def test_normalising_by_subject_removes_level_and_scale_of_each_person():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3, 2))
    who = np.repeat(["a", "b"], 20)
    mask = rng.random((40, 3)) < 0.9
    changed = np.where((who == "b")[:, None, None], 7 * x + 100, x)
    np.testing.assert_allclose(
        signals.normalise_by_subject(x, mask, who), signals.normalise_by_subject(changed, mask, who), atol=1e-9
    )
    result = signals.normalise_by_subject(x, mask, who)
    assert (result[~mask] == 0).all()
    np.testing.assert_allclose(result[:20][mask[:20]].mean(0), 0, atol=1e-9)
    assert (signals.normalise_by_subject(np.ones((40, 3, 2)), mask, who) == 0).all()


@pytest.mark.parametrize("unit", [1, 1e-6, 1e-9])
def test_normalising_by_subject_in_any_unit(unit):
    """In siemens one person was scaled and the other, whose level varies less, was not."""
    rng = np.random.default_rng(0)
    who = np.repeat(["A", "B"], 50)
    values = (5 + rng.normal(size=(100, 2, 1)) * np.where(who == "A", 0.05, 5)[:, None, None]) * unit
    values = np.concatenate([values, np.full((100, 2, 1), 7e3 * unit)], 2).astype(np.float32)
    scaled = signals.normalise_by_subject(values, np.ones((100, 2), bool), who)
    for person in ("A", "B"):
        np.testing.assert_allclose(scaled[who == person, :, 0].std(), 1, rtol=0.01)
        np.testing.assert_allclose(scaled[who == person, :, 1], 0, atol=1e-3)  # never varies


def test_rounding_is_no_variation():
    """The slope of a flat signal is 0 but for the last digit."""
    slope = np.random.default_rng(0).normal(0, 2e-14, (50, 2, 1))
    assert np.abs(signals.normalise_by_subject(slope, np.ones((50, 2), bool), np.repeat("A", 50))).max() < 1e-12


def test_normalising_by_a_recording_knows_no_more_than_it_may():
    rng = np.random.default_rng(1)
    whole, there = rng.normal(30, 2, (50, 3, 2)), rng.random((50, 3)) < 0.9
    values, mask = whole[[4, 20, 49]], there[[4, 20, 49]]
    all_known = signals.normalise_by_recording(values, mask, whole, there)
    mean, sd = whole[there].mean(0), whole[there].std(0)
    np.testing.assert_allclose(all_known, np.where(mask[..., None], np.clip((values - mean) / sd, -5, 5), 0), atol=1e-9)
    causal = signals.normalise_by_recording(values, mask, whole, there, seen=np.array([5, 21, 50]))
    np.testing.assert_allclose(causal[2], all_known[2])
    for k, until in enumerate((5, 21)):
        alone = signals.normalise_by_recording(values[k : k + 1], mask[k : k + 1], whole[:until], there[:until])
        np.testing.assert_allclose(causal[k], alone[0], atol=1e-9)
    changed = whole.copy()
    changed[21:] += 1000  # the future
    later = signals.normalise_by_recording(values, mask, changed, there, seen=np.array([5, 21, 50]))
    np.testing.assert_allclose(later[:2], causal[:2], atol=1e-6)
    # another person's level and scale
    moved = signals.normalise_by_recording(7 * values + 100, mask, 7 * whole + 100, there)
    np.testing.assert_allclose(moved, all_known, atol=1e-9)
    nothing = signals.normalise_by_recording(values, mask, whole, there, seen=np.zeros(3, int))
    assert np.isfinite(nothing).all()


def test_muscle_of_overlapping_windows_needs_no_more_than_twice_the_signal():
    """Windows of five minutes, one every 30 s: all tokens together are nine times the recording."""
    emg = np.random.default_rng(0).normal(size=(700 * 3000, 1))
    tokens = signals.Tokens.of(np.arange(0, 2700, 30.0), 300, 5)
    tracemalloc.start()
    found = signals.muscle(emg, 700, tokens)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2 * emg.nbytes
    cut = tokens.cut(emg[:, 0], 700)
    np.testing.assert_array_equal(found.values[..., 0], np.log((cut - cut.mean(2, keepdims=True)).std(2) + 1e-6))
    assert signals.muscle(emg, 700, signals.Tokens.of(np.zeros(0), 300, 5)).values.shape == (0, 5, 2)
