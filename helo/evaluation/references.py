"""What a model's KL is compared with: the training mean, and knowing the true condition."""

from __future__ import annotations

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.measures import floored, kl


def reference_kl(data: EmotionData, split: Split) -> tuple[float, float]:
    """KL of the training mean and of the ceiling on a split's test windows, means over windows; see `references`."""
    low, ceiling = references(data, split)
    return float(low.mean()), float(ceiling.mean())


def references(data: EmotionData, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """KL of the training mean and of the ceiling on each of a split's test windows, both of shape (n,).

    The ceiling knows each test window's true condition and answers the training side's mean for it (the training mean
    where the training side has no such condition); NaN where conditions are unknown. No share of either answer is below
    about .01 / L (`helo.measures.floored`).
    """
    seen = np.concatenate([split.train, split.validation])
    truth = data.distributions[split.test].astype(np.float64)
    mean = data.distributions[seen].astype(np.float64).mean(0)
    low = kl(truth, np.broadcast_to(floored(mean), truth.shape))
    if data.conditions is None:
        return low, np.full(len(truth), np.nan)
    ceiling = np.broadcast_to(mean, truth.shape).copy()
    for condition in np.unique(data.conditions[split.test]):
        same = seen[data.conditions[seen] == condition]
        if len(same):
            ceiling[data.conditions[split.test] == condition] = data.distributions[same].astype(np.float64).mean(0)
    return low, kl(truth, floored(ceiling))
