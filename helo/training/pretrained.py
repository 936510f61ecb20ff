"""Trained models that are shipped: open one instead of training it, where data and settings are the same.

`helo/pretrained/` holds them, one safetensors file each, below 1 MB. `make pretrained` makes them: notebooks 03 and 04
with train=True keep what they train. `tests/test_pretrained.py` says when today's code would train to something else.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from helo import checksums
from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.models import EmotionModel, defaults
from helo.training.checkpoints import layout_to_json, weights
from helo.training.loop import fit
from helo.training.member import Run, device_for

FOLDER = Path(__file__).parents[1] / "pretrained"
#: arguments of `fit` that are not compared: they leave the result as it is, or (a forced precision, an `on_epoch` that
#: ends training) are not looked at
_NO_MATTER = ("device", "checkpoint", "progress", "precision", "on_epoch")


@dataclass
class Fitted:
    """A model that was trained here or before.

    Args:
        run: what `helo.fit` gives.
        watched: what `watch` gave after every epoch, (epochs, ...); None where nothing was watched.
        told: where the model is from, in a line: file, date and epochs, or why it was trained here.
    """

    run: Run
    watched: np.ndarray | None
    told: str


def fit_or_open(
    model: EmotionModel,
    data: EmotionData,
    split: Split,
    *,
    train: bool = False,
    keep: str | Path | None = None,
    watch: Callable[[EmotionModel], torch.Tensor] | None = None,
    folder: Path = FOLDER,
    **training: Any,
) -> Fitted:
    """`helo.fit`, or the weights that it came to before.

    A file is opened where it says the same model, options, seeds and training settings, and where the training side's
    signals and ratings have the same mean and spread; otherwise the model is trained, and `Fitted.told` says why.

    Args:
        model: from `helo.build`, not trained yet; its weights become the trained ones.
        data, split: as for `helo.fit`.
        train: train in any case.
        keep: folder where to write what `train` asked for.
        watch: a tensor to keep after every epoch, such as R(E).
        folder: where the files are.
        **training: arguments of `helo.fit`.
    """
    file = folder / f"{data.name}-{model.name}.safetensors"
    asked = _asked(model, data, split, training)
    reason = "asked for" if train else _open(file, model, asked, data, split, watch)
    if isinstance(reason, Fitted):
        return reason
    snapshots: list[torch.Tensor] = []
    own = training.pop("on_epoch", None)

    def on_epoch(network, row):
        if watch is not None:
            snapshots.append(watch(network).detach().cpu().clone())
        return own(network, row) if own is not None else None

    started = time.perf_counter()
    run = fit(model, data, split, on_epoch=on_epoch, **training)
    told = f"trained here ({reason}): {_epochs(run)}, {time.perf_counter() - started:.0f} s"
    watched = torch.stack(snapshots) if snapshots else None
    if train and keep is not None:
        kept = _write(Path(keep) / file.name, asked, run, data, split, watched)
        told += f"; kept as {kept}"
    return Fitted(run, None if watched is None else watched.numpy(), told)


def _asked(model, data, split, training) -> dict:
    """What two trainings share if they come to the same weights, as JSON would give it back; the numbers apart."""
    settings = {k: p.default for k, p in list(inspect.signature(fit).parameters.items())[3:]} | training
    asked = {"model": model.name, "options": defaults(model.name) | model.options, "first seed": model.seed}
    asked |= {k: v for k, v in settings.items() if k not in _NO_MATTER}
    asked |= {"layout": layout_to_json(data.layout), "split": split.name}
    asked |= {"windows": [len(rows) for rows in (split.train, split.validation, split.test)]}
    return json.loads(json.dumps(asked))


def _summary(data, split):
    """Means and spreads of the training side: the same study up to the last digits, which differ between machines."""
    rows = split.train
    numbers = [f(data.signals[m][rows].astype(float), (0, 1)) for m in data.signals for f in (np.mean, np.std)]
    numbers += [data.masks[m][rows].mean((0, 1), keepdims=True).ravel() for m in data.masks]
    shares = data.distributions[rows].astype(float)
    numbers += [shares.mean(0), (shares.T @ shares / len(shares)).ravel()]
    return torch.as_tensor(np.concatenate(numbers))


def _open(file, model, asked, data, split, watch) -> Fitted | str:
    """What a file holds, or why it does not do."""
    if not file.exists():
        return f"there is no {file.name}"
    try:
        about, tensors = checksums.read(file, "helo-pretrained", from_bytes)
    except ValueError as error:
        return str(error)
    differ = [name for name in asked if about["asked"].get(name) != asked[name]]
    if differ:
        name = differ[0]
        was, now = (_short(x.get(name)) for x in (about["asked"], asked))
        return f"{file.name} has {name} {was}, here {now}"
    summary, watched = tensors.pop("data"), tensors.pop("watched", None)
    if not torch.allclose(summary, _summary(data, split), rtol=1e-3, atol=1e-4):
        return f"{file.name} was trained on other data"
    if watch is not None and watched is None:
        return f"{file.name} watched nothing"
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        return f"{file.name} is of another version"
    model.to(device_for(None)).eval()
    run = Run(model, about["history"], about["best_epoch"], about["capped"])
    told = f"opened {file.parent.name}/{file.name}: trained {about['date']}, {_epochs(run)}"
    return Fitted(run, None if watched is None else watched.numpy(), told)


def _write(file, asked, run, data, split, watched):
    about = {"asked": asked, "history": run.history, "best_epoch": run.best_epoch, "capped": run.capped}
    about["date"] = date.today().isoformat()
    tensors = weights(run.model) | {"data": _summary(data, split)}
    if watched is not None:
        tensors["watched"] = watched.contiguous()
    checksums.write(file, "helo-pretrained", about, tensors, to_bytes)
    return file


def _epochs(run):
    return f"{len(run.history)} epochs, the best {run.best_epoch}"


def _short(x):
    text = str(x)
    return text if len(text) <= 60 else f"{text[:57]}..."
