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


class NearestNeighbours(LinearInputs):
    """AA-kNN (Geng, IEEE TKDE 2016): the mean distribution of the k nearest training windows.

    Windows are compared by their summary; k is chosen inside, by training people who are left out in turn.
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
        from sklearn.neighbors import NearestNeighbors

        rows = training_side(split)
        x, truth = self.inputs(data, rows), data.distributions[rows].astype(np.float64)

        def answers(fit, ask):
            nearest = NearestNeighbors(n_neighbors=min(_COUNTS[-1], len(fit))).fit(x[fit])
            labels = truth[fit][nearest.kneighbors(x[ask], return_distance=False)]  # (ask, k, L)
            for k in _COUNTS:
                yield k, labels[:, :k].mean(1)

        best = inner_validation(answers, truth, groups(data, rows), otherwise=_COUNTS[4])
        self.count.fill_(min(best, len(rows)))
        self.points, self.labels = (torch.as_tensor(v, dtype=torch.float32) for v in (x, truth))

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        distance = torch.cdist(self.summary(signals, masks), self.points, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.topk(int(self.count), largest=False).indices
        return Prediction.from_logits(self.labels[nearest].mean(1).clamp_min(1e-12).log())

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        stored = {name.removeprefix(prefix): x for name, x in state_dict.items()}
        self.make_room(stored, points=(None, self.count_inputs()), labels=(None, len(self.layout.emotions)))
        super()._load_from_state_dict(state_dict, prefix, *rest)
