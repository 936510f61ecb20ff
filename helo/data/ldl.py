"""The label-distribution sets of Geng (IEEE TKDE 2016) and others: one view, one row an example.

Reads a .mat file with `features` (rows, features) and `labels` (rows, emotions) that sum to 1, such as SJAFFE (213
faces) and SBU_3DFE (2,500). They have neither people nor clips nor a body: every row counts as its own person and
trial, and the features are behavioral. They serve to compare measures and baselines with the field's; `helo.evaluate`
tests them in five folds of rows. The limits are those of `helo.data.arrays`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helo.data.arrays import read_mat_and_others
from helo.data.emotion_data import BEHAVIORAL, EmotionData
from helo.reading import regular

#: most labels
MOST = 1000
#: The files do not name their emotions; SJAFFE's columns are in the order of JAFFE's own table of ratings.
EMOTIONS = {"SJAFFE": ("happiness", "sadness", "surprise", "anger", "disgust", "fear")}


def load(path: str | Path) -> EmotionData:
    """Load one such file.

    Raises:
        MissingFile: no such file.
        ValueError: no `features` and `labels`, or labels that are no distributions.
    """
    path = regular(path, expected="a .mat file")
    arrays, others = read_mat_and_others(path)
    for name in ("features", "labels"):
        x = arrays.get(name)
        if x is None or x.dtype.kind not in "fiu" or x.ndim != 2:
            found = others.get(name, "missing") if x is None else f"{x.dtype} {x.shape}"
            raise ValueError(f"{path}: {name!r} is {found}; expected numbers (rows, columns)")
    x, labels = arrays["features"], arrays["labels"].astype(np.float64)
    if labels.shape[1] > MOST:
        raise ValueError(f"{path}: 'labels' has {labels.shape[1]} columns; expected at most {MOST}")
    if len(x) != len(labels):
        raise ValueError(f"{path}: {len(x)} rows of 'features' and {len(labels)} of 'labels'; expected as many")
    sums = labels.sum(1)
    # rounded to a few digits in some files
    wrong = ~np.isfinite(labels).all(1) | (labels < 0).any(1) | ~(np.abs(sums - 1) < 0.01)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{path}: 'labels' row {row} sums to {sums[row]:g}; expected numbers of at least 0 that sum to 1"
        )
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        row = int(np.argmin(np.isfinite(x).all(1)))
        raise ValueError(f"{path}: 'features' row {row} holds NaN or Inf (or more than 3e38); expected numbers")
    count = labels.shape[1]
    emotions = EMOTIONS.get(path.stem, ())
    rows = np.arange(len(x)).astype(str)
    return EmotionData(
        name=path.stem,
        signals={"face": x[:, None]},
        distributions=labels / sums[:, None],
        emotions=emotions if len(emotions) == count else tuple(f"label {k + 1}" for k in range(count)),
        subjects=rows,
        trials=rows,
        roles={BEHAVIORAL: ("face",)},
    )
