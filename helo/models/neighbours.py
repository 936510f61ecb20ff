"""AA-kNN: a window's neighbours in the training set answer for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from helo.data.emotion_data import EmotionData, Layout
from helo.data.split import Split
from helo.models.base import Prediction
from helo.models.baselines import LinearInputs, groups, inner_validation, training_side

_COUNTS = (1, 3, 5, 9, 15, 25, 45, 80)
_MORE = (140, 250, 450, 800, 1400, 2500)  # for many rows


class NearestNeighbours(LinearInputs):
    """AA-kNN (Geng, IEEE TKDE 2016): the mean distribution of the k nearest training windows.

    Windows are compared by their summary; k is chosen inside, by training people (trials, where the people asked are
    known) who are left out in turn: one of 1, 3, 5, 9, 15, 25, 45 and 80, and of 140, 250, 450, 800, 1400 and 2500
    where there are as many training windows.
    """

    points: Tensor
    labels: Tensor
    count: Tensor

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("points", torch.zeros(0, self.count_inputs()))
        self.register_buffer("labels", torch.zeros(0, len(layout.emotions)))

    def solve(self, data: EmotionData, split: Split) -> None:
        rows = training_side(split)
        x, truth = self.inputs(data, rows), data.distributions[rows].astype(np.float64)

        varies = x[:, x.any(0)]  # of a single token the deviations are all 0
        counts = [*_COUNTS, *(k for k in _MORE if k <= len(rows))]

        def answers(fit, ask):
            yield from zip(counts, _means(varies[fit], truth[fit], varies[ask], counts), strict=True)

        best = inner_validation(answers, truth, groups(data, split), otherwise=_COUNTS[4])
        self.count.fill_(min(best, len(rows)))
        self.points, self.labels = (torch.as_tensor(v, dtype=torch.float32) for v in (x, truth))

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        varies = self.points.any(0)  # of a single token the deviations are all 0
        x, points = self.summary(signals, masks)[:, varies].double(), self.points[:, varies].double()
        distance = (points**2).sum(1) - 2 * x @ points.T  # squared, without |x|^2, which is the same for all points
        nearest = distance.topk(int(self.count), largest=False).indices
        return Prediction.from_logits(self.labels[nearest].mean(1).clamp_min(1e-12).log())

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        stored = {name.removeprefix(prefix): x for name, x in state_dict.items()}
        self.make_room(stored, points=(None, self.count_inputs()), labels=(None, len(self.layout.emotions)))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _means(points, labels, x, counts):
    """The mean label of the k nearest points, for each k: (k, x, L)."""
    most = min(counts[-1], len(points))
    means = np.empty((len(counts), len(x), labels.shape[1]))
    step = 2_000_000 // len(points) + 1  # rows at once: all distances together may be gigabytes
    for first in range(0, len(x), step):
        rows = slice(first, first + step)
        # squared, without |x|^2, which is the same for all points
        distance = (points**2).sum(1) - 2 * x[rows] @ points.T
        near = labels[np.argsort(distance, axis=1, kind="stable")[:, :most]]  # (rows, k, L)
        for own, k in zip(means, counts, strict=True):
            own[rows] = near[:, :k].mean(1)
    return means
