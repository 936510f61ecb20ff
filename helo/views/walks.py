"""What a trained model says of every window, asked once, so that a picture of one of them is drawn at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.measures import EPS, kl, score
from helo.models import EmotionModel
from helo.training import predict


@dataclass(frozen=True)
class Walk:
    """n windows on their way through a model with L emotions.

    Args:
        model, data: who was asked about what.
        index: the windows, by their number in the data set, (n,).
        said: predicted distributions, (n, L).
        kl: KL(rated || predicted) of each window, (n,).
        shares: each emotion's part of it, d_j log(d_j / p_j), (n, L); the sum over the emotions is `kl`.
        plans: transport plans (n, rows, columns), or None.
        attention: attention maps by name, (n, ..., rows, columns).
        without: part or "without <modality>" -> what is said without it, (n, L).
    """

    model: EmotionModel
    data: EmotionData
    index: np.ndarray
    said: np.ndarray
    kl: np.ndarray
    shares: np.ndarray
    plans: np.ndarray | None
    attention: dict[str, np.ndarray]
    without: dict[str, np.ndarray]

    @property
    def scores(self) -> dict[str, float]:
        """The six measures over these windows."""
        return score(self.data.distributions[self.index], self.said)

    def knocked(self, row: int) -> dict[str, tuple[float, float]]:
        """Part -> (how far this window's answer moves without it, how much its KL rises).

        The first is the total variation 1/2 sum_j |p_j - p'_j|, from 0 to 1.
        """
        truth = self.data.distributions[self.index[row]][None].astype(np.float64)
        return {
            name: (float(np.abs(said[row] - self.said[row]).sum() / 2), float(kl(truth, said[[row]])[0] - self.kl[row]))
            for name, said in self.without.items()
        }


def walk(model: EmotionModel, data: EmotionData, index: Sequence[int] | None = None) -> Walk:
    """Ask a trained model about windows: whole, and without each of its parts and each modality.

    What stands in a part's place may be a mean over windows, so all are asked together, as `helo.knockout` does.

    Args:
        model: a trained model.
        data: the data set.
        index: which windows; default all.

    Raises:
        ValueError: model and data do not fit.
    """
    asked = np.arange(len(data)) if index is None else np.asarray(index)
    whole = predict(model, data, asked)
    said, truth = whole.distributions.astype(np.float64), data.distributions[asked].astype(np.float64)

    def answers(**taken):
        return predict(model, data, asked, batch_size=len(asked), explain=False, **taken).distributions

    without = {}
    for name in model.parts:
        with model.without(name):
            without[name] = answers().astype(np.float64)
    for m in data.signals if len(data.signals) > 1 else ():
        without[f"without {m}"] = answers(without=(m,)).astype(np.float64)
    shares = truth * np.log(np.maximum(truth, EPS) / np.maximum(said, EPS))
    return Walk(model, data, asked, said, shares.sum(1), shares, whole.plans, whole.attention, without)
