"""Which training of a model it is: a hash of its weights, for files that lie beside a model's."""

from __future__ import annotations

import hashlib

from helo.models.base import EmotionModel


def fingerprint(model: EmotionModel) -> str:
    """A model's name, and a hash of its weights and buffers: another training, another fingerprint."""
    key = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        key.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"{model.name} {key.hexdigest()[:16]}"
