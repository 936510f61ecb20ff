"""DMER (Yang et al., Scientific Data 11:847, 2024): 73 people watch 32 clips; EEG, GSR, PPG and the face.

The data are given out by their authors on a signed agreement (Zenodo 10.5281/zenodo.11194571). Two forms are read:

    Features.zip, or Features/        <id>.mat: `feas` (rows, 913), one row a second, and `vids`, each row's clip;
                                      `dis_label` (32 clips, 10 emotions) in the files HeLo uses
    Aligned_data.zip, Aligned_data/   <id>/datas.mat: `eeg_datas` (18 channels, clip, time), `gsr_datas` (signal, clip)
                                      and `ppg_datas` (signal, clip), each (rows, samples), and `fs_*`, their rates

A row of Features is a window of 5 seconds, and the next begins one second later: neighbours share 80 % of their signal,
and all windows of a clip share one label. Clips differ in length, and length alone says something of the emotion;
`python -m helo check` measures both. Split by subject or by trial.
"""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helo import signals as features
from helo.data.arrays import open_zip, parse_mat, read_npz
from helo.data.cache import cached
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, ratings_to_distributions
from helo.files import MissingFile
from helo.signals import normalise_by_subject

EMOTIONS = (
    "inspired", "alert", "excited", "enthusiastic", "determined", "afraid", "upset", "nervous", "scared", "distressed",
)  # fmt: skip
CLIPS, REST, CHANNELS = 32, 40, 18
#: Bands of the EEG in Hz.
BANDS = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 14), "beta": (14, 31), "gamma": (31, 45)}
COLUMNS = {"eeg": slice(0, 90), "gsr": slice(90, 118), "ppg": slice(118, 145), "video": slice(145, 913)}
RATES = {"eeg": 300.0, "gsr": 4.0, "ppg": 100.0}
_FOLDERS = {"features": "Features", "raw": "Aligned_data"}
_ROLES = {PHYSIOLOGICAL: ("eeg", "gsr", "ppg"), BEHAVIORAL: ("video",)}


def load(
    root: str | Path,
    form: str = "features",
    labels: str = "dis_label",
    scale: int = 5,
    order: str = "presentation",
    panas: str = "Questionnaires/{subject}.csv",
    band: str = "fastest",
    complex_values: str = "real",
    faces: str = "Features",
    window: float = 5.0,
    step: float = 1.0,
    normalise: str = "none",
    cache: bool = True,
) -> EmotionData:
    """Load DMER as windows of features. Where paper, program and files disagree, an option decides.

    Args:
        root: the folder that holds Features or Features.zip (or Aligned_data or Aligned_data.zip), or that folder or zip
            itself.
        form: "features", those of the release; "raw", computed here from the recordings: differential entropy of each
            EEG channel in five bands, skin conductance and pulse by NeuroKit2.
        labels: "dis_label", as HeLo's files; "panas", the questionnaires.
        scale: the questionnaire's highest rating: 5 as in the program that asked, 9 as in the paper's text.
        order: of the questionnaire's rows: "presentation", as its authors say, found from the recording's time row or
            from the order in which clips appear in `vids`; "clips", by the clip's number.
        panas: where a person's questionnaire is, below root: 32 rows of 10 ratings, no header, in the order of EMOTIONS.
        band: of the 90 EEG columns, 18 channels x 5 bands: "fastest" (channel 1's five bands come first) or "slowest".
        complex_values: some files hold complex numbers: "real" takes their real part, "refuse" ends with an error.
        faces: of form "raw": where below root the face's features are, one row a second: the release's Features, or a
            folder of <id>.npz with `feas` (rows, features) and `vids`; "none" leaves the face out.
        window, step: of form "raw", in seconds.
        normalise: "subject" centres and scales every feature by the person's own windows, without labels; "none".
        cache: of form "raw": keep the features on disk for the next load.

    Returns:
        Subjects are the release's ids, trials and conditions the clips; start times count from 1000 x clip.

    Raises:
        MissingFile: the folder or one of its files is missing.
        ValueError: a file's content is not the release's; the message names file, field, found and expected.
    """
    choices = {
        "form": (form, tuple(_FOLDERS)), "labels": (labels, ("dis_label", "panas")), "scale": (scale, (5, 9)),
        "order": (order, ("presentation", "clips")), "band": (band, ("fastest", "slowest")),
        "complex_values": (complex_values, ("real", "refuse")), "normalise": (normalise, ("none", "subject")),
    }  # fmt: skip
    for name, (given, known) in choices.items():
        if given not in known:
            raise ValueError(f"{name} is {given!r}; expected one of {list(known)}")
    if not (step > 0 and 2 <= window <= 1000):
        raise ValueError(f"window {window} s and step {step} s; expected a window of at least 2 s and a step above 0")
    root, source = _source(Path(root).expanduser(), _FOLDERS[form])
    options = {
        "form": form, "labels": labels, "scale": scale, "order": order, "panas": panas, "band": band,
        "complex_values": complex_values, "faces": faces, "window": window, "step": step, "normalise": normalise,
    }  # fmt: skip

    def make():
        return _extract(root, source, **options)

    if form == "features" or not cache:
        return make()
    files = [f for f in (source.rglob("*.mat") if source.is_dir() else [source])]
    files += [
        f for pattern in ("Questionnaires/**/*", f"{faces}*", f"{faces}/*") for f in root.glob(pattern) if f.is_file()
    ]
    return cached("dmer", options, dict.fromkeys(files), make)


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


def _source(root, name):
    """The folder below which questionnaires lie, and the folder or zip file of this form."""
    if root.is_file() or (root.is_dir() and root.name == name):
        return root.parent, root
    for source in (root / name, root / f"{name}.zip"):
        if source.exists():
            return root, source
    raise MissingFile(f"{root}: holds neither {name} nor {name}.zip; expected DMER's")


@contextmanager
def _people(source, end):
    """Person -> a function that reads the person's .mat file; from a folder or a zip file."""
    pattern = re.compile(rf"(?:.*/)?(\d{{1,4}}){re.escape(end)}")
    if source.is_dir():
        found = {}
        for file in source.rglob("*.mat"):
            if match := pattern.fullmatch(file.relative_to(source).as_posix()):
                found.setdefault(match[1], []).append(file)
        yield _only(source, end, {who: [(str(f), f.read_bytes) for f in files] for who, files in found.items()})
        return
    with open_zip(source) as archive:
        found = {}
        for name in archive.namelist():
            if match := pattern.fullmatch(name):
                found.setdefault(match[1], []).append((f"{source}/{name}", lambda name=name: archive.read(name)))
        yield _only(source, end, found)


def _only(source, end, found):
    if not found:
        raise MissingFile(f"{source}: holds no <id>{end}; expected DMER's")
    for who, files in found.items():
        if len(files) > 1:
            raise ValueError(f"{source}: holds {len(files)} files {who}{end}; expected one")

    def reader(name, content):
        return lambda: (name, parse_mat(content(), name))

    return {who: reader(*found[who][0]) for who in sorted(found, key=int)}


def _extract(root, source, form, labels, normalise, **options):
    columns = {name: [] for name in ("subjects", "clips", "seconds", "ratings")}
    values, masks = {}, {}
    read = _read_features if form == "features" else _read_raw
    with _people(source, ".mat" if form == "features" else "/datas.mat") as people:
        for who, content in tqdm(people.items(), desc="DMER", unit="person", leave=False):
            path, arrays = content()
            signals, there, clips, seconds, shown = read(path, arrays, root=root, who=who, **options)
            if not len(clips):
                continue
            if labels == "panas":
                ratings = _panas(root / options["panas"].replace("{subject}", who), path, shown, options)
            else:
                ratings = _array(path, arrays, "dis_label", (CLIPS, len(EMOTIONS)))
            columns["subjects"] += [who] * len(clips)
            columns["clips"].append(clips)
            columns["seconds"].append(seconds)
            columns["ratings"].append(ratings_to_distributions(ratings[np.unique(clips)], path, EMOTIONS)[
                np.unique(clips, return_inverse=True)[1]])  # fmt: skip
            for m in signals:
                values.setdefault(m, []).append(signals[m].astype(np.float32, copy=False))
                masks.setdefault(m, []).append(there[m])
    if not values:
        raise ValueError(f"{source}: no clip holds a window; expected clips of at least the window's length")
    who, clips = np.array(columns["subjects"]), np.concatenate(columns["clips"])
    masks = {m: np.concatenate(x) for m, x in masks.items()}
    signals = {}
    for m in list(values):
        signals[m] = np.concatenate(values.pop(m))
        if normalise == "subject":
            signals[m] = normalise_by_subject(signals[m], masks[m], who)
    signals = {m: x for m, x in signals.items() if masks[m].any()}
    if "eeg" not in signals:
        raise ValueError(f"{source}: no window has EEG; expected numbers in some")
    names = np.char.add("clip ", clips.astype(str))
    own = form == "raw"
    return EmotionData(
        name="dmer",
        signals=signals,
        masks={m: masks[m] for m in signals},
        distributions=np.concatenate(columns["ratings"]),
        emotions=EMOTIONS,
        subjects=who,
        trials=names,
        conditions=names,
        starts=1000.0 * clips + np.concatenate(columns["seconds"]),
        window=float(options["window"]) if own else 5.0,
        roles={role: tuple(m for m in ms if m in signals) for role, ms in _ROLES.items()},
        query="eeg",
        features={"eeg": tuple(BANDS)},
        tokens={"eeg": tuple(f"channel {k + 1}" for k in range(CHANNELS))},
    )


def _read_features(path, arrays, *, band, complex_values, **_):
    """Signals and masks of one person's rows, their clips, their seconds, and the clips in the order shown (or None)."""
    feas, clips = _rows(path, arrays, 913, complex_values)
    with np.errstate(over="ignore"):
        feas = feas.astype(np.float32)  # what is too large for it becomes infinite, and is masked
    values = {m: feas[:, None, part] for m, part in COLUMNS.items()}
    eeg = feas[:, COLUMNS["eeg"]]
    values["eeg"] = eeg.reshape(-1, CHANNELS, 5) if band == "fastest" else eeg.reshape(-1, 5, CHANNELS).swapaxes(1, 2)
    masks = {m: np.isfinite(x).all(2) for m, x in values.items()}
    holes = {m: int((~mask).sum()) for m, mask in masks.items() if not mask.all()}
    if holes:
        warnings.warn(f"{path}: NaN or Inf in {holes}; these tokens are masked", stacklevel=2)
    shown = list(dict.fromkeys(clips.tolist()))
    # sorted by clip, the file does not say in which order the clips were shown
    return values, masks, clips, _count_up(clips), None if shown == sorted(shown) else shown


def _rows(path, arrays, width, complex_values):
    """`feas` (rows, width) and each row's clip."""
    feas = arrays.get("feas")
    if feas is not None and feas.dtype.kind == "c":
        if complex_values == "refuse":
            raise ValueError(
                f"{path}: 'feas' is complex; expected real numbers (complex_values='real' takes the real part)"
            )
        feas = feas.real
    feas = _array(path, {"feas": feas}, "feas", (None, width), finite=False)
    clips = _array(path, arrays, "vids", None).ravel()
    if len(clips) != len(feas) or not len(clips):
        raise ValueError(
            f"{path}: 'vids' has {len(clips)} entries; expected one for each of the {len(feas)} rows of 'feas'"
        )
    return feas, _clips(path, "vids", clips)


def _clips(path, field, values, also=()):
    good = (values == np.round(values)) & (((values >= 0) & (values < CLIPS)) | np.isin(values, also))
    if not good.all():
        at = int(np.argmin(good))
        raise ValueError(f"{path}: {field!r} is {values[at]:g} at position {at}; expected a clip from 0 to {CLIPS - 1}")
    return values.astype(int)


def _count_up(clips):
    """The position of each row within its clip."""
    seconds = np.zeros(len(clips))
    for clip in np.unique(clips):
        rows = clips == clip
        seconds[rows] = np.arange(rows.sum())
    return seconds


def _read_raw(path, arrays, *, root, who, faces, window, step, complex_values, **_):
    """As `_read_features`, from the recordings."""
    rows, ids = {}, {}
    for m, channels in {"eeg": CHANNELS, "gsr": 1, "ppg": 1}.items():
        held = arrays.get(f"{m}_datas")
        if m != "eeg" and held is not None and held.size == 0:
            continue  # some people have no skin conductance and pulse
        held = _array(path, arrays, f"{m}_datas", None)
        if held.ndim != 2 or held.shape[0] not in (channels + 1, channels + 2):
            raise ValueError(
                f"{path}: '{m}_datas' has shape {held.shape}; expected ({channels} signals, clip and maybe time; samples)"
            )
        rows[m], ids[m] = held, _clips(path, f"{m}_datas, row {channels + 1}", held[channels], (REST,))
    rates = {m: _rate(path, arrays, m) for m in rows}
    face = _faces(root, who, faces, complex_values)
    parts, clips, seconds = {m: [] for m in ("eeg", "gsr", "ppg", "video")}, [], []
    for clip in sorted({int(c) for c in ids["eeg"]} - {REST}):
        cut = {m: rows[m][:, ids[m] == clip] for m in rows}
        lengths = {m: x.shape[1] / rates[m] for m, x in cut.items() if x.shape[1]}
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
        shown = sorted(first, key=first.get)
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
        raise ValueError(f"{path}: '{modality}_datas', clip {clip}: no features ({type(error).__name__}: {error})") from None
    return values, mask


def _rate(path, arrays, modality):
    if f"fs_{modality}" not in arrays:
        return RATES[modality]
    rate = _array(path, arrays, f"fs_{modality}", (1, 1))[0, 0]
    if not 1 <= rate <= 10_000 or (modality == "eeg" and rate <= 90):
        raise ValueError(f"{path}: 'fs_{modality}' is {rate:g}; expected samples per second, about {RATES[modality]:g}")
    return float(rate)


def _faces(root, who, faces, complex_values):
    """The face's features (rows, features) and each row's clip, or None."""
    if faces == "none":
        return None
    folder = root / faces
    own = folder / f"{who}.npz"
    if own.is_file():
        return _rows(str(own), read_npz(own), None, complex_values)
    source = folder if folder.is_dir() else root / f"{faces}.zip"
    if not source.exists():
        raise MissingFile(
            f"{root}: holds neither {faces} nor {faces}.zip with the face's features; faces='none' does without"
        )
    with _people(source, ".mat") as people:
        if who not in people:
            raise MissingFile(f"{source}: holds no {who}.mat nor {who}.npz; faces='none' does without the face")
        path, arrays = people[who]()
        feas, clips = _rows(path, arrays, 913, complex_values)
        return feas[:, COLUMNS["video"]], clips


def _panas(path, source, shown, options):
    """Ratings (32 clips, 10 emotions) of one person's questionnaire."""
    if not path.is_file():
        raise MissingFile(f"{path}: no such file; expected the PANAS ratings (option panas says where)")
    if options["order"] == "clips":
        shown = range(CLIPS)
    elif shown is None:
        raise ValueError(
            f"{source}: does not say in which order the clips were shown, and {path} is in that order; "
            "expected a time row or clips in order of presentation (order='clips': the questionnaire is by clip number)"
        )
    if path.stat().st_size > 2**20:
        raise ValueError(f"{path}: {path.stat().st_size} bytes; expected {CLIPS} rows of {len(EMOTIONS)} ratings")
    lines = [line for line in path.read_text(encoding="latin1").splitlines() if line.strip(" ,;\t")]
    if len(lines) != len(shown):
        raise ValueError(f"{path}: {len(lines)} rows; expected {len(shown)}, one for each clip shown")
    ratings = np.ones((CLIPS, len(EMOTIONS)))
    for row, (clip, line) in enumerate(zip(shown, lines, strict=True)):
        cells = re.split(r"[,;\t ]+", line.strip(" ,;\t"))
        if len(cells) != len(EMOTIONS):
            raise ValueError(f"{path}: row {row + 1} has {len(cells)} ratings; expected {len(EMOTIONS)}")
        for k, cell in enumerate(cells):
            if not re.fullmatch(r"[1-9](\.0*)?", cell) or float(cell) > options["scale"]:
                raise ValueError(
                    f"{path}: row {row + 1}, {EMOTIONS[k]!r}, is {cell[:20]!r}; expected a rating from 1 to {options['scale']} "
                    "(option scale: 5 in the program, 9 in the paper)"
                )
            ratings[clip, k] = float(cell)
    return ratings


def _array(path, arrays, name, shape, finite=True):
    """A numeric array of the file; None in the shape admits any length."""
    x = arrays.get(name)
    if x is None or x.dtype.kind not in "fiu":
        found = "missing" if x is None else f"of type {x.dtype}"
        raise ValueError(f"{path}: {name!r} is {found}; expected an array of numbers")
    if shape is not None and (
        x.ndim != len(shape) or any(e not in (None, n) for e, n in zip(shape, x.shape, strict=True))
    ):
        told = ", ".join("rows" if e is None else str(e) for e in shape)
        raise ValueError(f"{path}: {name!r} has shape {x.shape}; expected ({told})")
    x = x.astype(np.float64)
    if finite and not np.isfinite(x).all():
        at = np.argwhere(~np.isfinite(x))[0].tolist()
        raise ValueError(f"{path}: {name!r} is NaN or Inf at {at}; expected numbers")
    return x
