"""A data set as a table of windows and its card: the format of `helo.data.table` by example."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.files import atomic_write


def write_table(data: EmotionData, path: str | Path) -> Path:
    """Write windows, labels and a card so that `helo.load("table", path)` gives the data set back.

    Args:
        data: any data set; raw recordings and what is known of simulated data are not written.
        path: a .csv file; the card goes beside it, as .yaml.

    Returns:
        The path of the table.
    """
    import pandas as pd
    import yaml

    path = Path(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: ends in {path.suffix!r}; expected .csv")

    def plain(name):  # a dot would end the name
        return str(name).replace(".", "_")

    columns = {"subject": data.subjects, "trial": data.trials, "condition": data.conditions, "start": data.starts}
    columns = {name: values for name, values in columns.items() if values is not None}
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
