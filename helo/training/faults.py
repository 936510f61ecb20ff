"""Where a number that is none came from: the loss or weight, the modality and the window."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from helo.data.emotion_data import EmotionData
from helo.models import EmotionModel


def not_finite(model: EmotionModel, terms: Mapping[str, Tensor]) -> list[str]:
    """Names of the losses, else of the weights' gradients, that are NaN or infinite."""
    broken = [f"train_{name}" for name, value in terms.items() if not torch.isfinite(value)]
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if broken or not gradients or torch.isfinite(torch.nn.utils.get_total_norm(list(gradients.values()))):
        return broken
    return [f"gradient of {name}" for name, g in gradients.items() if not torch.isfinite(g).all()][:3] or ["gradient"]


def not_a_number(data: EmotionData, rows: np.ndarray) -> str:
    """The first modality and window that hold NaN or Inf where the mask says a token is there; "" if none."""
    for m, x in data.signals.items():
        wrong = (~np.isfinite(x[rows]).all(2) & data.masks[m][rows]).any(1)
        if wrong.any():
            return f"modality {m!r} of window {rows[int(np.argmax(wrong))]} holds NaN or Inf"
    return ""


def suspect(model: EmotionModel, data: EmotionData, rows: np.ndarray) -> str:
    """The input that is not finite, or else the one farthest from what the model was prepared for."""
    wrong = not_a_number(data, rows)
    if wrong:
        return wrong
    farthest = (-1.0, "", 0)
    for i, (m, x) in enumerate(data.signals.items()):
        mean, scale = (getattr(model, f"{name}_{i}").cpu().numpy() for name in ("mean", "scale"))
        with np.errstate(all="ignore"):
            far = np.where(data.masks[m][rows][..., None], np.abs((x[rows] - mean) / scale), 0).max((1, 2))
        far = np.nan_to_num(far, nan=np.inf)
        farthest = max(farthest, (float(far.max()), m, int(rows[int(np.argmax(far))])))
    deviations, m, window = farthest
    return f"all inputs are finite, the largest in modality {m!r}, window {window}: {deviations:.3g} deviations"
