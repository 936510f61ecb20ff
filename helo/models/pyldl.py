"""python-ldl's algorithms as models: an optional adapter (`pip install python-ldl`).

python-ldl (https://github.com/SpriteMisaka/PyLDL) is the field's library of label-distribution learning. Its
algorithms see the summary of a window that `sa-bfgs` and `aa-knn` see: every feature's mean and deviation over tokens
(our ridge may take the tokens side by side instead). Where they draw weights they draw from the libraries' global
generators: `seed` does not reach them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from helo.data.emotion_data import EmotionData, Layout
from helo.data.split import Split
from helo.models.base import Prediction
from helo.models.baselines import LinearInputs, training_side


class PyLDL(LinearInputs):
    """One of python-ldl's algorithms.

    Args:
        layout: as `EmotionModel`.
        algorithm: its class name in `pyldl.algorithms`, such as "SA_BFGS", "AA_KNN" or "LDLF".

    Raises:
        ValueError: python-ldl is not installed or has no such algorithm; or, from `helo.save`, that such a model cannot
            be written: python-ldl's objects have no format but pickle.
    """

    closed_form = True
    can_be_saved = False

    def __init__(self, layout: Layout, algorithm: str = "SA_BFGS"):
        super().__init__(layout)
        os.environ.setdefault("KERAS_BACKEND", "torch")
        try:
            from pyldl import algorithms
        except ImportError:
            raise ValueError("pyldl: python-ldl is not installed; run pip install python-ldl") from None
        kind = getattr(algorithms, algorithm, None)
        if not isinstance(kind, type):
            raise ValueError(
                f"pyldl: no algorithm {algorithm!r}; expected a class of pyldl.algorithms, such as 'SA_BFGS'"
            )
        # in a list: the deep ones are torch modules in Keras' dress, whose `train` is another method than torch's
        self.algorithm = [kind()]

    def solve(self, data: EmotionData, split: Split) -> None:
        rows = training_side(split)
        self.algorithm[0].fit(self.inputs(data, rows), data.distributions[rows].astype(np.float64))

    def forward(self, signals: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Prediction[Tensor]:
        said = self.algorithm[0].predict(self.summary(signals, masks).double().cpu().numpy())
        said = said.detach().cpu().numpy() if isinstance(said, Tensor) else np.asarray(said)
        answer = torch.as_tensor(said, dtype=torch.float32, device=next(iter(signals.values())).device)
        return Prediction.from_logits(answer.clamp_min(1e-12).log())
