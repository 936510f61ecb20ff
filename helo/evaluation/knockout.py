"""What an answer hangs on: modalities that drop out."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.splits import Split
from helo.measures import score
from helo.models import EmotionModel
from helo.training import predict

if TYPE_CHECKING:
    import pandas as pd


def drop_curve(model: EmotionModel, data: EmotionData, split: Split, most: int = 20, seed: int = 0) -> pd.DataFrame:
    """The measures on a split's test windows as modalities drop out.

    Args:
        model: a trained model.
        data: the data set.
        split: its test side is scored.
        most: subsets tried of each size; all of them where there are no more.
        seed: which subsets, where there are more.

    Returns:
        One row per subset that is left out: "missing", how many; "without", their names; the six measures. The curve is
        `table.groupby("missing").mean(numeric_only=True)`.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    rows = []
    for missing in range(len(data.signals)):
        subsets = list(combinations(data.signals, missing))
        chosen = sorted(rng.permutation(len(subsets))[:most])
        for without in (subsets[k] for k in chosen):
            answer = predict(model, data, split.test, explain=False, without=without)
            measures = score(data.distributions[split.test], answer.distributions)
            rows.append({"missing": missing, "without": " ".join(without)} | measures)
    return pd.DataFrame(rows)
