"""DMER (Yang et al., Scientific Data 11:847, 2024): 73 people watch 32 clips; EEG, GSR, PPG and the face.

The data are given out by their authors on a signed agreement (Zenodo 10.5281/zenodo.11194571). Two forms are read:

    Features.zip, or Features/        <id>.mat: `feas` (rows, 913), one row a second, and `vids`, each row's clip;
                                      `dis_label` (32 clips, 10 emotions) in the files HeLo uses
    Aligned_data.zip, Aligned_data/   <id>/datas.mat: `eeg_datas` (18 channels, clip, time), `gsr_datas` (signal, clip)
                                      and `ppg_datas` (signal, clip), each (rows, samples), `fs_*`, their rates, and
                                      `dis_label` as above, unless labels="panas"

A row of Features is a window of 5 seconds, and the next begins one second later: neighbours share 80 % of their signal,
and all windows of a clip share one label. Clips differ in length, and length alone says something of the emotion;
`python -m helo check` measures both. Split by subject or by trial.

Limits: a person's .mat, or the zip, 2 GB, and what it unpacks to 64 MiB or 100 times its size, at most 2 GB
(`HELO_MEMORY=8` in the environment, gigabytes, raises both); 100,000 files in a zip,
10,000 in a folder; a questionnaire 1 MiB; a clip of
form "raw" an hour. A file is held whole: memory is twice the largest person's and the windows of all.
"""

from __future__ import annotations

import os
import re
import warnings
from glob import escape, glob
from pathlib import Path

import numpy as np

from helo.data.cache import cached
from helo.data.dmer_files import CHANNELS, CLIPS, COLUMNS, array_of, find, people, rows_of
from helo.data.dmer_raw import BANDS, read_raw
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, ratings_to_distributions
from helo.data.signals import normalise_by_subject
from helo.progress import each
from helo.reading import expanded, regular

EMOTIONS = (
    "inspired",
    "alert",
    "excited",
    "enthusiastic",
    "determined",
    "afraid",
    "upset",
    "nervous",
    "scared",
    "distressed",
)
#: most bytes of a person's questionnaire, 32 rows of 10 digits
QUESTIONNAIRE = 2**20
_FOLDERS = {"features": "Features", "raw": "Aligned_data"}
_CHOICES = {
    "form": tuple(_FOLDERS),
    "labels": ("dis_label", "panas"),
    "scale": (5, 9),
    "order": ("presentation", "clips"),
    "band": ("fastest", "slowest"),
    "complex_values": ("real", "refuse"),
    "normalise": ("none", "subject"),
}
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
        root: the folder that holds Features or Features.zip (or Aligned_data or Aligned_data.zip), or that folder or
            zip itself.
        form: "features", those of the release; "raw", computed here from the recordings: differential entropy of each
            EEG channel in five bands, skin conductance and pulse by NeuroKit2.
        labels: "dis_label", as HeLo's files: a variable of the file that is read, of `datas.mat` where form is "raw";
            "panas", the questionnaires, which need none.
        scale: the questionnaire's highest rating: 5 as in the program that asked, 9 as in the paper's text.
        order: of the questionnaire's rows: "presentation", as its authors say, found from the recording's time row or
            from the order in which clips appear in `vids`; "clips", by the clip's number.
        panas: where a person's questionnaire is, below root: 32 rows of 10 ratings, no header, in the order of
            EMOTIONS.
        band: of the 90 EEG columns, 18 channels x 5 bands: "fastest" (channel 1's five bands come first) or "slowest".
        complex_values: some files hold complex numbers: "real" takes their real part, "refuse" ends with an error.
        faces: of form "raw": where below root the face's features are, one row a second: the release's Features, or a
            folder of <id>.npz with `feas` (rows, features) and `vids`; "none" leaves the face out.
        window, step: of form "raw", in seconds.
        normalise: "subject" centres and scales every feature by the person's own windows, without labels; "none".
        cache: of form "raw": keep the features on disk for the next load.

    Returns:
        Subjects are ids, trials and conditions clips; starts 1000 x the clip's place as shown (or number) + seconds.

    Raises:
        MissingFile: the folder or one of its files is missing.
        ValueError: a file is too large, or its content is not the release's; the message names file, field, found and
            expected.
    """
    options = {"form": form, "labels": labels, "scale": scale, "order": order, "panas": panas, "band": band}
    options |= {
        "complex_values": complex_values,
        "faces": faces,
        "window": window,
        "step": step,
        "normalise": normalise,
    }
    _check(options)
    root, source = find(expanded(root), _FOLDERS[form])

    def make():
        return _extract(root, source, **options)

    return cached("dmer", options, _files(root, source, faces, panas), make) if form == "raw" and cache else make()


def _check(options):
    for name, known in _CHOICES.items():
        if options[name] not in known:
            raise ValueError(f"{name} is {options[name]!r}; expected one of {list(known)}")
    window, step = options["window"], options["step"]
    if not (step > 0 and 2 <= window <= 1000):
        raise ValueError(f"window {window} s and step {step} s; expected a window of at least 2 s and a step above 0")


def _files(root, source, faces, panas):
    """All that form "raw" is made from."""
    files = list(source.rglob("*.mat")) if source.is_dir() else [source]
    for pattern in ("Questionnaires/**/*", f"{faces}*", f"{faces}/**/*", panas.replace("{subject}", "*")):
        files += map(Path, glob(os.path.join(escape(str(root)), pattern), recursive=True))
    return dict.fromkeys(f for f in files if f.is_file())


def _extract(root, source, form, labels, normalise, **options):
    columns: dict[str, list] = {name: [] for name in ("subjects", "clips", "starts", "ratings")}
    values: dict[str, list] = {}
    there_of: dict[str, list] = {}
    read = _read_features if form == "features" else read_raw
    with people(source, ".mat" if form == "features" else "/datas.mat") as held:
        for who, content in each(held.items(), "DMER", "person"):
            path, arrays = content()
            signals, there, clips, seconds, shown = read(path, arrays, root=root, who=who, **options)
            if not len(clips):
                continue
            if labels == "panas":
                ratings = _panas(root / options["panas"].replace("{subject}", who), path, shown, options)
            else:
                ratings = array_of(path, arrays, "dis_label", (CLIPS, len(EMOTIONS)))
            columns["subjects"] += [who] * len(clips)
            columns["clips"].append(clips)
            columns["starts"].append(_starts(clips, seconds, shown))
            columns["ratings"].append(
                ratings_to_distributions(ratings[np.unique(clips)], path, EMOTIONS)[
                    np.unique(clips, return_inverse=True)[1]
                ]
            )
            for m in signals:
                values.setdefault(m, []).append(signals[m].astype(np.float32, copy=False))
                there_of.setdefault(m, []).append(there[m])
    if not values:
        raise ValueError(f"{source}: no clip holds a window; expected clips of at least the window's length")
    who, clips = np.array(columns["subjects"]), np.concatenate(columns["clips"])
    masks = {m: np.concatenate(x) for m, x in there_of.items()}
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
        starts=np.concatenate(columns["starts"]),
        window=float(options["window"]) if own else 5.0,
        roles={role: tuple(m for m in ms if m in signals) for role, ms in _ROLES.items()},
        query="eeg",
        features={"eeg": tuple(BANDS)},
        tokens={"eeg": tuple(f"channel {k + 1}" for k in range(CHANNELS))},
    )


def _read_features(path, arrays, *, band, complex_values, **_):
    """Signals and masks of one person's rows, their clips and seconds, and the clips in the order shown (or None)."""
    feas, clips = rows_of(path, arrays, 913, complex_values)
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


def _starts(clips, seconds, shown):
    """A place in time: clips, 1000 s apart, in the order shown, or where the file does not say, of their numbers."""
    place = np.arange(CLIPS) if shown is None else np.argsort(np.array([*shown, *sorted({*range(CLIPS)} - {*shown})]))
    return 1000.0 * place[clips] + seconds


def _count_up(clips):
    """The position of each row within its clip."""
    seconds = np.zeros(len(clips))
    for clip in np.unique(clips):
        rows = clips == clip
        seconds[rows] = np.arange(rows.sum())
    return seconds


def _panas(path, source, shown, options):
    """Ratings (32 clips, 10 emotions) of one person's questionnaire."""
    path = regular(path, QUESTIONNAIRE, "the PANAS ratings (option panas says where)")
    if options["order"] == "clips":
        shown = range(CLIPS)
    elif shown is None:
        raise ValueError(
            f"{source}: does not say in which order the clips were shown, and {path} is in that order; "
            "expected a time row or clips in order of presentation (order='clips': the questionnaire is by clip number)"
        )
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
                    f"{path}: row {row + 1}, {EMOTIONS[k]!r}, is {cell[:20]!r}; "
                    f"expected a rating from 1 to {options['scale']} (option scale: 5 in the program, 9 in the paper)"
                )
            ratings[clip, k] = float(cell)
    return ratings
