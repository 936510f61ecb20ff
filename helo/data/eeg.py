"""EEG: recordings through MNE (EDF, BDF, BrainVision), and the power of its bands as features."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helo.data.columns import short, some
from helo.data.recorded import Samples, check_length, check_rate
from helo.data.signals import Features, Tokens
from helo.data.units import factor_of
from helo.reading import memory, regular, way_out

#: Name of a band -> from, to in Hz.
BANDS = {"delta": (1.0, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 14.0), "beta": (14.0, 31.0), "gamma": (31.0, 45.0)}
#: most bytes of a BrainVision header, most channels
HEADER, CHANNELS = 2**20, 512
#: most bytes of its markers: triggers, beats
MARKERS = 2**26
_PAUSES = (
    "has pauses, over which what comes later would be joined to what came before; expected one piece, or a file each"
)


def bands(signal: np.ndarray, rate: float, tokens: Tokens) -> Features:
    """Differential entropy of an electroencephalogram in five bands, channel by channel.

    For a band whose samples are normal with variance s2 it is h = 1/2 log(2 pi e s2), in nats, s2 in uV^2 (Duan, Zhu
    and Lu, "Differential entropy feature for EEG-based emotion classification", NER 2013). Butterworth filters of order
    2, forwards and backwards.

    Args:
        signal: shape (samples, channels), in microvolts.
        rate: samples per second.
        tokens: where the tokens lie.

    Returns:
        Five features a channel, named "1 delta (nat)".

    Raises:
        ValueError: fewer than 100 samples a second.
    """
    from scipy.signal import butter, sosfiltfilt

    if rate < 100:
        raise ValueError(f"EEG is sampled at {rate:g} Hz; expected at least 100 Hz to see its gamma band")
    filters = [butter(2, band, "bandpass", fs=rate, output="sos") for band in BANDS.values()]
    values = np.empty((*tokens.starts.shape, signal.shape[1], len(BANDS)))
    for channel in range(signal.shape[1]):
        for k, sos in enumerate(filters):
            power = tokens.cut(sosfiltfilt(sos, signal[:, channel]), rate).var(2)
            values[..., channel, k] = 0.5 * np.log(2 * np.pi * np.e * (power + 1e-6))
    names = tuple(f"{channel + 1} {band} (nat)" for channel in range(signal.shape[1]) for band in BANDS)
    return Features(values.reshape(*tokens.starts.shape, -1), np.ones(tokens.starts.shape, bool), names)


def read(path: Path, entry: Mapping) -> Samples:
    """The EEG channels of a file, in microvolts; 0 on the clock is its first sample.

    Raises:
        MissingFile: no such file.
        ValueError: MNE cannot read it, it has none of the card's channels, or too much of it.
        ImportError: MNE is not installed.
    """
    path = regular(path, expected="an EEG recording")
    (_check_neighbours if path.suffix == ".vhdr" else _check_header)(path)
    try:
        import mne
    except ImportError:
        raise ImportError(f"{path}: EEG is read by MNE, which is not installed: pip install mne") from None
    readers = {".edf": mne.io.read_raw_edf, ".bdf": mne.io.read_raw_bdf, ".vhdr": mne.io.read_raw_brainvision}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dates and filters in headers
            raw = readers[path.suffix](path, preload=False, verbose="error")
            names = [c for c in entry.get("columns") or raw.copy().pick("eeg", exclude=[]).ch_names]
            if absent := [name for name in names if name not in raw.ch_names]:
                raise ValueError(f"no channel {some(absent)}; found {some(raw.ch_names)}")
            rate, samples = float(raw.info["sfreq"]), int(raw.n_times)
            check_rate("the rate", rate, entry["least"])
            check_length("EEG", samples, rate)
            if len(names) > CHANNELS:
                raise ValueError(f"{len(names)} channels; expected at most {CHANNELS}")
            if 8 * samples * len(names) > memory():
                raise ValueError(f"{len(names)} channels of {samples} samples; {way_out(8 * samples * len(names))}")
            values = raw.get_data(picks=names, units=None)
    except Exception as error:  # whatever MNE stumbles over in a damaged file
        raise ValueError(f"{path}: not readable as EEG ({type(error).__name__}: {short(str(error)[:300])})") from None
    values *= 1e6 * factor_of(str(path), entry, None)[0]
    return Samples(values.T, rate, 0.0, tuple(names))


def _check_header(path):
    """An EDF or BDF file holds the header that its number of signals needs; MNE tries long with another."""
    with path.open("rb") as file:
        head = file.read(256)
    told = head[252:256].decode("latin1").strip()
    if len(head) < 256 or not told.isdecimal() or not 1 <= int(told) <= CHANNELS:
        raise ValueError(f"{path}: its header says {short(told)} signals; expected 1 to {CHANNELS}")
    if 256 * (int(told) + 1) >= path.stat().st_size:
        raise ValueError(f"{path}: {path.stat().st_size} bytes do not hold the header of {told} signals")
    if head[192:197] in (b"EDF+D", b"BDF+D"):
        raise ValueError(f"{path}: {_PAUSES}")


def _check_neighbours(path):
    """The files that a BrainVision header names lie beside it, and nowhere else."""
    text = regular(path, HEADER, "a BrainVision header").read_text(encoding="latin1")
    named = re.findall(r"^(DataFile|MarkerFile)\s*=\s*(.*?)\s*$", text, re.M)
    for key, name in named:
        name = name.replace("$b", path.stem)
        if not name or set(name) & set("/\\\0") or name.startswith("."):
            raise ValueError(f"{path}: names the file {short(name)}; expected one beside it")
        beside = regular(path.parent / name, expected="a file of the BrainVision recording")
        if key == "MarkerFile":
            markers = regular(beside, MARKERS, "BrainVision markers").read_text(encoding="latin1")
            if len(re.findall(r"^Mk\d+\s*=\s*New Segment\b", markers, re.M)) > 1:
                raise ValueError(f"{path}: {_PAUSES}")
