"""Recordings -> windows -> tokens -> features.

A window is cut into tokens, consecutive segments of equal length; each feature function turns one raw signal into a
vector per token. Peaks and filters run once over the whole recording (NeuroKit2), then windows are cut: filtering each
window by itself would be slower and would bend the signal at its edges.

So a window's features know what comes after it. With the recording cut a second after the window, the features of its
last token (10 s) moved by these means of absolute differences, in standard deviations (25 windows each of S2 and S3 of
WESAD's wrist): sway of pulse and arm .4 to .6, SDNN and RMSSD .02 to .45, heart rate .03 to .23, movement below .5 Hz
.1 to .2, slope and phasic SD of skin conductance .06 to .12; the others by less than .05. `helo.data.causal` has
filters that do not (`helo.load(..., features="causal")`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helo.data.rates import beat_intervals, breathing_rate


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one modality: values (windows, tokens, features), mask (windows, tokens), names of the features."""

    values: np.ndarray
    mask: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Tokens:
    """Where tokens lie in a recording: `starts` (windows, tokens) in seconds and their common `length` in seconds."""

    starts: np.ndarray
    length: float

    @classmethod
    def of(cls, window_starts: np.ndarray, window: float, tokens: int) -> Tokens:
        """Cut windows of `window` seconds into `tokens` equal segments."""
        length = window / tokens
        return cls(np.asarray(window_starts, float)[:, None] + length * np.arange(tokens), length)

    def cut(self, signal: np.ndarray, rate: float) -> np.ndarray:
        """Samples of each token: signal (samples, ...) at `rate` Hz -> (windows, tokens, samples, ...).

        A token's start and length are rounded to samples, and what blocks of samples leave over is lost at the end
        (`_slow`): together up to one sample. So the last token may begin one sample sooner, or lack one.

        Raises:
            ValueError: a token that reaches farther beyond the signal.
        """
        first, count = np.round(self.starts * rate).astype(int), max(1, round(self.length * rate))
        if (beyond := first + count > len(signal) + 1).any():
            start = self.starts[beyond][0]
            raise ValueError(
                f"a token from {start:g} to {start + self.length:g} s; the signal has {len(signal) / rate:g} s"
            )
        count = min(count, len(signal))
        return signal[np.minimum(first, len(signal) - count)[:, :, None] + np.arange(count)]

    def of_each(self, function: Callable[[np.ndarray], np.ndarray], signal: np.ndarray, rate: float) -> np.ndarray:
        """`function` of what `cut` gives, a few windows at a time: together they may be many times the signal."""
        some = (Tokens(self.starts[k : k + 8], self.length) for k in range(0, max(1, len(self.starts)), 8))
        return np.concatenate([function(few.cut(signal, rate)) for few in some])


def window_starts(start: float, stop: float, window: float, step: float) -> np.ndarray:
    """Starts of the windows of `window` seconds, every `step` seconds, that lie whole within [start, stop]."""
    count = int(np.floor((stop - start - window) / step + 1e-9)) + 1
    return start + step * np.arange(max(count, 0))


def pulse(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Heart rate, its variability and the pulse's size from a photoplethysmogram (BVP).

    A token without two plausible beat-to-beat intervals in succession is masked.
    """
    return _pulse(signal, rate, tokens)[0]


def breathing_pulse(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """`pulse`, and how fast the pulse's size sways with breathing. For tokens that hold a few breaths."""
    own, clean = _pulse(signal, rate, tokens)
    size, slow_rate = _slow(np.abs(_band(clean, rate, 0.6, 3.0)), rate)
    sway = _sway(np.log(size + 1e-3 * size.mean() + 1e-9), slow_rate, 0.06, 0.45, tokens)
    return Features(np.concatenate([own.values, sway[..., None]], 2), own.mask, (*own.names, "pulse sway (1/min)"))


def _pulse(signal, rate, tokens):
    """`pulse`, and the cleaned signal."""
    import neurokit2 as nk

    clean = nk.ppg_clean(signal[:, 0], sampling_rate=rate)
    try:
        beats = nk.ppg_findpeaks(clean, sampling_rate=rate)["PPG_Peaks"] / rate
    except IndexError:  # NeuroKit2 on a signal without a single wave, such as that of a sensor that was off
        beats = np.zeros(0)
    heart, mask, names = beat_intervals(beats, tokens)
    size = np.log(tokens.cut(clean, rate).std(2) + 1e-6)
    return Features(np.concatenate([heart, size[..., None]], 2), mask, (*names, "pulse size (log SD)")), clean


def heart(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Heart rate and its variability from an electrocardiogram; tokens masked as in `pulse`."""
    import neurokit2 as nk

    clean = nk.ecg_clean(signal[:, 0], sampling_rate=rate)
    beats = nk.ecg_peaks(clean, sampling_rate=rate)[1]["ECG_R_Peaks"] / rate
    return Features(*beat_intervals(beats, tokens))


def electrodermal(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Level, slope and phasic activity of skin conductance in microsiemens.

    The slope is the last sample less the first over the token's length: of n samples it is low by one part in n, alike
    in all tokens of a study.
    Above 16 Hz the signal is first averaged down to about 4 Hz: it carries nothing faster.
    """
    import neurokit2 as nk

    eda, rate = _slow(signal[:, 0], rate)
    parts = nk.eda_phasic(eda, sampling_rate=rate)
    tonic, phasic = parts["EDA_Tonic"].to_numpy(), parts["EDA_Phasic"].to_numpy()
    t, p = tokens.cut(tonic, rate), tokens.cut(phasic, rate)
    slope = 60 * (t[:, :, -1] - t[:, :, 0]) / tokens.length
    rise = np.maximum(np.diff(tokens.cut(eda, rate), axis=2), 0).sum(2)
    values = [np.log(np.maximum(t.mean(2), 1e-3)), slope, np.log(p.std(2) + 1e-3), p.max(2), np.log(rise + 1e-3)]
    names = ("level (log uS)", "slope (uS/min)", "phasic SD (log uS)", "phasic peak (uS)", "total rise (log uS)")
    return _all_there(values, names)


def temperature(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Mean and slope of skin temperature in degrees Celsius."""
    temp, rate = _slow(signal[:, 0], rate)
    t = tokens.cut(temp, rate)
    return _all_there([t.mean(2), rise_per_minute(t, rate)], ("mean (degC)", "slope (degC/min)"))


def rise_per_minute(x: np.ndarray, rate: float) -> np.ndarray:
    """Rise per minute from a token's first half's mean to its last half's, (..., samples) -> (...); 0 of one sample."""
    count = x.shape[-1]
    half = max(1, count // 2)  # of an odd number the middle one lies in neither, and the halves' centres farther apart
    return 60 * (x[..., -half:].mean(-1) - x[..., :half].mean(-1)) / (max(1, count - half) / rate)


def movement(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Movement energy, its size in three bands, and the frequency of slow sway from three-axis acceleration in g.

    Seconds of rest and seconds of movement say different things (turning a page, a tremor, breathing), so the root mean
    square of each second in a band counts by three quantiles of a token (0.2, 0.5, 0.9): its quiet, usual and moving
    seconds. The mean of an axis is no feature: how the sensor is worn says nothing of the emotion.

    Raises:
        ValueError: fewer than 10 samples a second, or tokens shorter than a second.
    """
    if rate < 10:
        raise ValueError(f"acceleration is sampled at {rate:g} Hz; expected at least 10 Hz to see movement")
    if tokens.length < 1:
        raise ValueError(
            f"tokens last {tokens.length:g} s; expected at least 1 s to tell quiet seconds from moving ones"
        )
    a, rate = _slow(signal, rate, target=32)
    cut = tokens.cut(a, rate)
    values, names = [np.log(np.linalg.norm(cut.std(2), axis=-1) + 1e-3)], ["movement (log g)"]
    second = round(rate)
    whole = cut.shape[2] // second * second
    for low, high in ((0.1, 0.5), (0.5, 3.0), (3.0, 10.0)):
        power = tokens.cut((_band(a, rate, low, min(high, 0.45 * rate)) ** 2).sum(1), rate)[:, :, :whole]
        seconds = np.log(np.sqrt(power.reshape(*power.shape[:2], -1, second).mean(3)) + 1e-4)
        for quantile, which in ((0.2, "quiet"), (0.5, "usual"), (0.9, "moving")):
            values.append(np.quantile(seconds, quantile, axis=2))
            names.append(f"{low:g}-{high:g} Hz {which} (log g)")
    values.append(_sway(a, rate, 0.1, 0.5, tokens))
    return _all_there(values, (*names, "sway (1/min)"))


def walking(signal: np.ndarray, rate: float, tokens: Tokens, unit: str = "g") -> Features:
    """`movement`, and the gait's frequency, of somebody who walks: how fast steps and swinging arms follow each other.

    The signal is three-axis acceleration in g or, with unit="rad/s", rotation. Errors as in `movement`.
    """
    own = movement(signal, rate, tokens)
    a, slow_rate = _slow(signal, rate, target=32)
    names = tuple(name.replace("log g", f"log {unit}") for name in own.names)
    gait = _sway(a, slow_rate, 0.5, 3.0, tokens)
    return Features(np.concatenate([own.values, gait[..., None]], 2), own.mask, (*names, "gait (1/min)"))


def heart_rate(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Mean, slope and variation of a heart rate in beats per minute, as a strap gives it, one value a sample.

    Samples outside 30 to 220 (a strap that lost the heart gives 0) do not count; a token with fewer than half of its
    samples left is masked.
    """
    x = tokens.cut(signal[:, 0], rate)
    there = (x >= 30) & (x <= 220)
    count = np.maximum(there.sum(2), 1)
    time = np.broadcast_to(np.arange(x.shape[2]) / (60 * rate), x.shape)  # minutes
    mean, middle = ((there * y).sum(2) / count for y in (x, time))
    x, time = ((y - m[..., None]) * there for y, m in ((x, mean), (time, middle)))
    slope = (time * x).sum(2) / np.maximum((time**2).sum(2), 1e-12)
    variation = np.log(np.sqrt((x**2).sum(2) / count) + 0.5)  # half of what a strap resolves
    values = np.stack([mean, slope, variation], 2)
    mask = there.mean(2) >= 0.5
    return Features(np.where(mask[..., None], values, 0), mask, ("heart rate (bpm)", "slope (bpm/min)", "SD (log bpm)"))


def muscle(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Amplitude of an electromyogram in millivolts."""

    def amplitude(emg):
        emg = emg - emg.mean(2, keepdims=True)
        return np.stack([np.log(emg.std(2) + 1e-6), np.log(np.abs(emg).max(2) + 1e-6)], 2)

    values = tokens.of_each(amplitude, signal[:, 0], rate)
    return Features(values, np.ones(values.shape[:2], bool), ("SD (log mV)", "peak (log mV)"))


def respiration(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Breathing rate and depth."""
    import neurokit2 as nk

    slow, rate = _slow(signal[:, 0], rate, target=20)
    clean = nk.rsp_clean(slow, sampling_rate=rate)
    try:
        peaks = np.asarray(nk.rsp_findpeaks(clean, sampling_rate=rate)["RSP_Peaks"]) / rate
    except IndexError:  # as in `_pulse`
        peaks = np.zeros(0)
    breaths, mask = breathing_rate(peaks, tokens)
    depth = np.log(tokens.cut(clean, rate).std(2) + 1e-6)
    return Features(np.stack([breaths, depth], 2), mask, ("breaths (1/min)", "depth (log SD)"))


def normalise_by_subject(values: np.ndarray, mask: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Centre and scale each feature by the person's own mean and standard deviation, over all windows; no labels.

    A person's resting level says more about the person than about the emotion. All windows are needed, so this is for
    studies that are finished.

    Args:
        values: shape (n, tokens, features).
        mask: shape (n, tokens).
        subjects: shape (n,).

    Returns:
        Shape (n, tokens, features); 0 where masked; a feature that never varies becomes 0; artefacts end at 5 SD.
    """
    result = np.zeros_like(values)
    for subject in np.unique(subjects):
        rows = subjects == subject
        result[rows] = normalise_by_recording(values[rows], mask[rows], values[rows], mask[rows])
    return result


def normalise_by_recording(
    values: np.ndarray, mask: np.ndarray, whole: np.ndarray, whole_mask: np.ndarray, seen: np.ndarray | None = None
) -> np.ndarray:
    """Centre and scale one person's windows by that person's whole recording, rests and pauses included; no labels.

    Args:
        values: shape (n, tokens, features).
        mask: shape (n, tokens).
        whole: the same features of windows over the whole recording, in time order, shape (k, tokens, features).
        whole_mask: shape (k, tokens).
        seen: how many of them each window may know, shape (n,): those that have ended by its end, so that the
            normalisation is causal (the features themselves are not). None: all.

    Returns:
        As `normalise_by_subject`.
    """
    origin = (
        np.nan_to_num(whole[whole_mask].mean(0)) if whole_mask.any() else 0.0
    )  # squares of large numbers lose digits
    there = whole_mask[..., None]
    sums = [(there * (whole - origin) ** power).sum(1) for power in (0, 1, 2)]
    seen = np.full(len(values), len(whole)) if seen is None else seen
    count, first, second = (np.concatenate([0 * x[:1], x.cumsum(0)])[seen] for x in sums)
    mean = first / np.maximum(count, 1)
    sd = np.sqrt(np.maximum(second / np.maximum(count, 1) - mean**2, 0))
    varies = sd > np.maximum(1e-6 * np.abs(mean + origin), 1e-12)  # beside its size: a unit may be small
    scaled = (values - (mean + origin)[:, None]) / np.where(varies, sd, 1)[:, None]
    scaled = np.where(count[:, None] > 0, scaled, 0)  # nothing is known yet of what is much or little
    # single artefacts of 20 SD would otherwise rule a network's inputs
    return np.where(mask[..., None], np.clip(scaled, -5, 5), 0).astype(values.dtype)


def _slow(signal, rate, target=4.0):
    """Average blocks of samples so that the rate falls to about `target` Hz; unchanged below four times that."""
    block = int(rate // target)
    if block < 4:
        return signal, rate
    whole = len(signal) // block * block
    return signal[:whole].reshape(-1, block, *signal.shape[1:]).mean(1), rate / block


def _band(signal, rate, low, high):
    """What lies between `low` and `high` Hz, without delay."""
    from scipy.signal import butter, sosfiltfilt

    return sosfiltfilt(butter(2, (low, high), "bandpass", fs=rate, output="sos"), signal, axis=0)


def _sway(signal, rate, low, high, tokens):
    """Frequency per minute of what lies between `low` and `high` Hz, all axes together: nearly that of a sine.

    A central difference makes it low by sin(x) / x, x = 2 pi frequency / rate: by 4 % for two steps a second at 25
    samples, by 24 % at 10, alike in all people of a study.
    From the medians of squared slope and squared signal, so that a short burst of movement does not rule it.
    """
    x = _band(signal, rate, low, high).reshape(len(signal), -1)
    speed, size = (tokens.cut((y**2).sum(1), rate) for y in (np.gradient(x, 1 / rate, axis=0), x))
    return 60 * np.sqrt(np.median(speed, 2) / (np.median(size, 2) + 1e-12)) / (2 * np.pi)


def _all_there(values, names):
    stacked = np.stack(values, 2)
    return Features(stacked, np.ones(stacked.shape[:2], bool), names)
