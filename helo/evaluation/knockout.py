"""What an answer hangs on: a trained model without one of its parts, or without some of its modalities.

Nothing is trained again: the question is what the mechanism does in THIS model. A model that is trained without the
part may well find another way (`helo.models.ablations`).
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.evaluation.intervals import interval_over_people
from helo.measures import kl, score
from helo.models import EmotionModel
from helo.training.prediction import predict

if TYPE_CHECKING:
    import pandas as pd


def knockout(model: EmotionModel, data: EmotionData, split: Split) -> pd.DataFrame:
    """Take out one part of a trained model after the other, and each modality: what becomes of its answers?

    With p_i the answer to window i, p'_i the answer without the part, and m the mean of the p_i,

        change = mean_i TV(p_i, p'_i) / mean_i TV(p_i, m),    TV(p, q) = 1/2 sum_j |p_j - q_j|

    A part whose change is near 0 does nothing in this model, whatever it is called; at 1 the answers move as far as
    they lie from their own mean. NaN where they do not differ (one window) and move.

    Args:
        model: a trained model; its `parts` say what it is made of and what stands in a part's place.
        data: the data set.
        split: its test windows are asked.

    Returns:
        One row per part, index its name ("without eda" for a modality): "instead" (what stands in its place), "change",
        "kl" (intact), "kl_without", "worse" (their difference, positive where the part helps), and "worse_low" and
        "worse_high", its 95 % bootstrap interval over the test people: of two to four the range of all draws, which
        holds the mean of new people 2, 3 or 3.5 times in 4 (of symmetric values). `attrs["people"]` counts them.

    Raises:
        ValueError: model and data do not fit, or no test windows.
    """
    import pandas as pd

    truth = data.distributions[split.test].astype(np.float64)

    def answers(parts=(), without=()):
        # all windows at once: what stands in a part's place may be a mean over windows
        with model.without(*parts) if parts else nullcontext():
            said = predict(model, data, split.test, batch_size=len(split.test), explain=False, without=without)
        return said.distributions.astype(np.float64)

    intact = answers()
    spread = _total_variation(intact, intact.mean(0))
    taken = [(name, instead, {"parts": (name,)}) for name, instead in model.parts.items()]
    if len(data.signals) > 1:
        taken += [(f"without {m}", "as if not recorded", {"without": (m,)}) for m in data.signals]
    rows = {}
    for name, instead, what in taken:
        changed = answers(**what)
        worse, moved = kl(truth, changed) - kl(truth, intact), _total_variation(intact, changed)
        low, high = interval_over_people(worse, data.subjects[split.test])
        rows[name] = {
            "instead": instead,
            "change": moved / spread if spread > 1e-7 else 0.0 if moved <= 1e-7 else float("nan"),
            "kl": float(kl(truth, intact).mean()),
            "kl_without": float(kl(truth, changed).mean()),
            "worse": float(worse.mean()),
            "worse_low": low,
            "worse_high": high,
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.attrs["people"] = len(np.unique(data.subjects[split.test]))
    return table


def _total_variation(p, q):
    return float(0.5 * np.abs(p - q).sum(1).mean())


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
