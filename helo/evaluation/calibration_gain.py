"""What a new person's first labelled trials are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from helo.data.emotion_data import EmotionData
from helo.data.splits import by_protocol
from helo.evaluation.scoring import evaluate
from helo.evaluation.statistics import paired_test
from helo.evaluation.summary import summarise

if TYPE_CHECKING:
    import pandas as pd


def calibration_gain(
    models: str | Sequence[str] | Mapping[str, dict],
    data: EmotionData,
    trials: int,
    *,
    folds: int | None = None,
    weight: str = "windows",
    **asked: Any,
) -> pd.DataFrame:
    """Gain of each model when the first k trials of each test person join the training side, k = 0 .. trials.

    gain(k) = KL(none given) - KL(k given), over the same test windows for every k: those after the first `trials`
    trials. A gain above 0 says that people differ and that the model has noticed; its interval is over people.

    Args:
        models: as for `evaluate`.
        data: the data set; every person has more trials than are given.
        trials: most that are given, K.
        folds: of people; None: one at a time.
        weight: "windows" or "trials".
        **asked: other arguments of `evaluate`, the same for every k, but `protocol` and `calibrate`.

    Returns:
        A row for each model and k: "model", "trials", "kl", "people", "gain", "gain_low", "gain_high", and "better",
        for how many people it is above 0. A model that fails for one k has no rows; `attrs["left_out"]` says why.

    Raises:
        ValueError: as `evaluate` and `helo.splits.calibrated`; or trials below 1.
    """
    import pandas as pd

    if trials < 1:
        raise ValueError(f"trials is {trials}; expected at least 1 that is given")
    if own := {"protocol", "calibrate"} & set(asked):
        raise ValueError(f"{sorted(own)}: new people and their first trials are what this asks about")
    tables = []
    for k in range(trials + 1):
        splits = by_protocol(data, "subjects", folds, calibrate=k, reserve=trials)
        tables.append(evaluate(models, data, protocol=splits, **asked).assign(given=k))
    lost = {model: why for table in tables for model, why in table.attrs["left_out"].items()}
    every, rows = pd.concat([t.assign() for t in tables], ignore_index=True), []
    for model, own in every[~every["model"].isin(lost)].groupby("model", sort=False):
        own = own.assign(model=own["given"].astype(str))
        means = summarise(own, "0", weight)
        tested = paired_test(own, "0", weight=weight)
        for k in range(trials + 1):
            row = {"model": model, "trials": k, "kl": means.loc[str(k), "kl"], "people": means.loc[str(k), "people"]}
            gain = dict.fromkeys(("gain", "gain_low", "gain_high"), 0.0) | {"better": 0}
            if k:
                beside = tested.loc[str(k)]
                gain = {"gain": -beside["difference"], "gain_low": -beside["high"], "gain_high": -beside["low"]}
                gain["better"] = int(beside["better"])
            rows.append(row | gain)
    result = pd.DataFrame(rows)
    result.attrs["left_out"] = lost
    return result
