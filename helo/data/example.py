"""A data set as a table of windows, or as raw recordings in BIDS, with its card: what `helo.load` reads, by example."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

from helo.data.columns import COLUMNS
from helo.data.emotion_data import EmotionData
from helo.files import atomic_write


def write_table(data: EmotionData, path: str | Path) -> Path:
    """Write windows, labels and a card so that `helo.load("table", path)` gives the data set back.

    Args:
        data: any data set; raw recordings and what is known of simulated data are not written.
        path: a .csv file; the card goes beside it, as .yaml. Dots in names become underscores.

    Returns:
        The path of the table.

    Raises:
        ValueError: the path does not end in .csv, or two names differ by a dot alone.
    """
    import pandas as pd
    import yaml

    path = Path(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: ends in {path.suffix!r}; expected .csv")

    def plain(name):  # a dot would end the name
        return str(name).replace(".", "_")

    about = (data.subjects, data.trials, data.clips, data.conditions, data.starts)
    columns = {name: values for name, values in zip(COLUMNS, about, strict=True) if values is not None}
    for m, x in data.signals.items():
        x = np.where(data.masks[m][..., None], x, np.nan)
        for t, token in enumerate(data.tokens[m]):
            for f, feature in enumerate(data.features[m]):
                columns[f"{plain(m)}.{plain(feature)}.{plain(token)}"] = x[:, t, f]
    columns |= {f"emotion.{plain(e)}": data.distributions[:, k] for k, e in enumerate(data.emotions)}
    named = sum(x.shape[1] * x.shape[2] for x in data.signals.values()) + len(data.emotions)
    if sum("." in name for name in columns) < named:
        raise ValueError(f"{data.name}: names of features, tokens or emotions that differ only by a dot fall together")
    modalities: dict[str, dict] = {
        plain(m): {"role": role, "tokens": [plain(t) for t in data.tokens[m]]}
        for role, names in data.roles.items()
        for m in names
    }
    card = {
        "name": data.name,
        "modalities": modalities,
        "query": data.query and plain(data.query),
        "window": data.window,
    }
    card = {key: value for key, value in card.items() if value is not None}
    atomic_write(path.with_suffix(".yaml"), yaml.safe_dump(card, sort_keys=False).encode())
    atomic_write(path, pd.DataFrame(columns).to_csv(index=False).encode())
    return path


#: Signal -> what its features are; another one is a track whose level counts.
_KINDS = {"bvp": "pulse", "eda": "electrodermal", "temp": "temperature", "acc": "movement"}


def write_recordings(data: EmotionData, folder: str | Path) -> Path:
    """Write raw signals and ratings as a study in BIDS with a card, so that `helo.load("recordings", folder)` reads it.

    A trial's ratings are the distribution of its first window, and a window is as long as the data set's.

    Args:
        data: a data set that has recordings, starts and a window, such as the simulated one.
        folder: a folder; what the study's files are called there is overwritten.

    Returns:
        The folder.

    Raises:
        ValueError: the data set has no recordings.
    """
    import pandas as pd
    import yaml

    folder = Path(folder)
    if data.recording is None or data.starts is None or data.window is None:
        raise ValueError(f"{data.name}: has no raw recordings, or no times of its windows")
    signals: dict[str, dict] = {}
    for subject in np.unique(data.subjects):
        name = "".join(c for c in str(subject) if c.isalnum())
        recording, stem = data.recording(str(subject)), folder / f"sub-{name}" / "beh" / f"sub-{name}_task-example"
        for m, x in recording.signals.items():
            names = [m] if x.shape[1] == 1 else [f"{m}_{c}".replace(" ", "_") for c in recording.channels_of(m)]
            role = next(role for role, members in data.roles.items() if m in members)
            signals[m] = {"columns": names, "kind": _KINDS.get(m, "level"), "role": role}
            about = {"SamplingFrequency": recording.rates[m], "StartTime": 0.0, "Columns": names}
            about |= {c: {"Units": recording.units[m]} for c in names}
            rows = pd.DataFrame(x).to_csv(sep="\t", header=False, index=False, float_format="%.6g", na_rep="n/a")
            beside = f"{stem.name}_recording-{m}_physio"
            atomic_write(stem.with_name(f"{beside}.tsv.gz"), gzip.compress(rows.encode(), 1, mtime=0))
            atomic_write(stem.with_name(f"{beside}.json"), json.dumps(about).encode())
        own = data.subjects == subject
        first = pd.DataFrame({"trial_type": data.trials[own], "onset": data.starts[own]})
        first = first.assign(
            **{f"emotion_{e}": d for e, d in zip(data.emotions, data.distributions[own].T, strict=True)}
        )
        last = first.groupby("trial_type", sort=False)["onset"].max() + data.window
        first = first.groupby("trial_type", sort=False).first()
        first.insert(1, "duration", last - first["onset"])
        rows = first.to_csv(sep="\t", na_rep="n/a")
        atomic_write(stem.with_name(f"{stem.name}_events.tsv"), rows.encode())
    step = float(np.median(np.diff(data.starts)[np.diff(data.starts) > 0]))
    tokens = next(iter(data.layout.shapes.values()))[0]
    card = {"name": data.name, "signals": signals, "window": data.window, "step": step, "tokens": tokens}
    atomic_write(folder / "recordings.yaml", yaml.safe_dump(card, sort_keys=False).encode())
    return folder
