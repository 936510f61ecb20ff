"""DMER's recordings (Aligned_data): differential entropy of the EEG, skin conductance, pulse, and the face's features.

The differential entropy of a band is that of a Gaussian of the band's variance: SciPy's filter and one line. MNE, which
could filter as well, is not needed for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helo.data import signals as features
from helo.data.arrays import read_npz
from helo.data.dmer_files import CHANNELS, COLUMNS, REST, Arrays, array_of, clips_of, people, rows_of
from helo.files import MissingFile

#: Bands of the EEG in Hz.
BANDS = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 14), "beta": (14, 31), "gamma": (31, 45)}
#: longest clip in seconds; the release's last minutes
CLIP = 3600
RATES = {"eeg": 300.0, "gsr": 4.0, "ppg": 100.0}


def differential_entropy(signal: np.ndarray, rate: float, tokens: features.Tokens) -> np.ndarray:
    """Differential entropy of a Gaussian in each band: 0.5 log(2 pi e variance).

    Args:
        signal: one clip's EEG, shape (samples, channels).
        rate: samples per second.
        tokens: where the windows lie, one token each.

    Returns:
        Shape (windows, channels, bands), in nats.
    """
    from scipy.signal import butter, sosfiltfilt

    entropies = []
    for low, high in BANDS.values():
        sos = butter(4, (low, high), "bandpass", fs=rate, output="sos")
        parts = tokens.cut(sosfiltfilt(sos, signal, axis=0), rate)[:, 0]  # (windows, samples, channels)
        entropies.append(0.5 * np.log(2 * np.pi * np.e * np.maximum(parts.var(1), 1e-12)))
    return np.stack(entropies, 2)


def read_raw(
    path: str, arrays: Arrays, *, root: Path, who: str, faces: str, window: float, step: float, complex_values: str, **_
) -> tuple[Arrays, Arrays, np.ndarray, np.ndarray, list[int] | None]:
    """As `_read_features`, from the recordings."""
    rows, ids = {}, {}
    for m, channels in {"eeg": CHANNELS, "gsr": 1, "ppg": 1}.items():
        held = arrays.get(f"{m}_datas")
        if m != "eeg" and held is not None and held.size == 0:
            continue  # some people have no skin conductance and pulse
        held = array_of(path, arrays, f"{m}_datas", None)
        if held.ndim != 2 or held.shape[0] not in (channels + 1, channels + 2):
            raise ValueError(
                f"{path}: '{m}_datas' has shape {held.shape}; "
                f"expected ({channels} signals, clip and maybe time; samples)"
            )
        rows[m], ids[m] = held, clips_of(path, f"{m}_datas, row {channels + 1}", held[channels], (REST,))
    rates = {m: _rate(path, arrays, m) for m in rows}
    face = _faces(root, who, faces, complex_values)
    parts: dict[str, list] = {m: [] for m in ("eeg", "gsr", "ppg", "video")}
    clips, seconds = [], []
    for clip in sorted({int(c) for c in ids["eeg"]} - {REST}):
        cut = {m: rows[m][:, ids[m] == clip] for m in rows}
        lengths = {m: x.shape[1] / rates[m] for m, x in cut.items() if x.shape[1]}
        if max(lengths.values()) > CLIP:
            raise ValueError(f"{path}: clip {clip} lasts {max(lengths.values()):.0f} s; expected at most {CLIP}")
        if max(lengths.values()) - min(lengths.values()) > 2:
            told = ", ".join(f"{m} {s:.1f} s" for m, s in lengths.items())
            raise ValueError(f"{path}: clip {clip} lasts {told}; expected the same length in all")
        starts = features.window_starts(0, min(lengths.values()), window, step)
        if not len(starts):
            continue
        tokens = features.Tokens.of(starts, window, 1)
        for m, x in cut.items():
            parts[m].append(_of_one_clip(path, m, clip, x, rates[m], tokens))
        for m in {"gsr", "ppg"} - set(cut):
            width = {"gsr": 5, "ppg": 4}[m]
            parts[m].append((np.zeros((len(starts), 1, width)), np.zeros((len(starts), 1), bool)))
        if face is not None:
            held = face[0][face[1] == clip]
            at = np.round(starts).astype(int)
            known = at < len(held)
            x = np.zeros((len(starts), 1, face[0].shape[1]))
            x[known, 0] = held[at[known]]
            parts["video"].append((np.nan_to_num(x), (known & np.isfinite(x).all((1, 2)))[:, None]))
        clips += [clip] * len(starts)
        seconds += starts.tolist()
    parts = {m: x for m, x in parts.items() if x}
    values = {m: np.concatenate([v for v, _ in x]) for m, x in parts.items()}
    masks = {m: np.concatenate([mask for _, mask in x]) for m, x in parts.items()}
    shown = None
    if rows["eeg"].shape[0] == CHANNELS + 2:
        first = {c: rows["eeg"][CHANNELS + 1, ids["eeg"] == c].min() for c in set(clips)}
        shown = sorted(first, key=lambda c: first[c])
    return values, masks, np.array(clips, int), np.array(seconds), shown


def _of_one_clip(path, modality, clip, x, rate, tokens):
    if x.shape[1] == 0:
        raise ValueError(f"{path}: '{modality}_datas' has no sample of clip {clip}; expected it, as the EEG does")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if modality == "eeg":
                values = differential_entropy(x[:CHANNELS].T, rate, tokens)
                mask = np.ones(values.shape[:2], bool)
            else:
                extract = {"gsr": features.electrodermal, "ppg": features.pulse}[modality]
                found = extract(x[:1].T, rate, tokens)
                values, mask = found.values, found.mask
            values = values.astype(np.float32)
        if not np.isfinite(values[mask]).all():
            raise ValueError("NaN or Inf")
    except Exception as error:  # NeuroKit2 fails in many ways on a signal without a pulse
        raise ValueError(
            f"{path}: '{modality}_datas', clip {clip}: no features ({type(error).__name__}: {error})"
        ) from None
    return values, mask


def _rate(path, arrays, modality):
    if f"fs_{modality}" not in arrays:
        return RATES[modality]
    rate = array_of(path, arrays, f"fs_{modality}", (1, 1))[0, 0]
    if not 1 <= rate <= 10_000 or (modality == "eeg" and rate <= 90):
        raise ValueError(f"{path}: 'fs_{modality}' is {rate:g}; expected samples per second, about {RATES[modality]:g}")
    return float(rate)


def _faces(root, who, faces, complex_values):
    """The face's features (rows, features) and each row's clip, or None."""
    if faces == "none":
        return None
    folder = root / faces
    own = folder / f"{who}.npz"
    if own.exists():
        return rows_of(str(own), read_npz(own), None, complex_values)
    source = folder if folder.is_dir() else root / f"{faces}.zip"
    if not source.exists():
        raise MissingFile(
            f"{root}: holds neither {faces} nor {faces}.zip with the face's features; faces='none' does without"
        )
    with people(source, ".mat") as held:
        if who not in held:
            raise MissingFile(f"{source}: holds no {who}.mat nor {who}.npz; faces='none' does without the face")
        path, arrays = held[who]()
        feas, clips = rows_of(path, arrays, 913, complex_values)
        return feas[:, COLUMNS["video"]], clips
