"""Training: `fit` a model on a split."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from helo.data.emotion_data import EmotionData
from helo.data.splits import Split
from helo.files import code_digest
from helo.measures import mean_kl
from helo.models import EmotionModel
from helo.training.centring import within_person
from helo.training.checkpoints import layout_to_json, resume, weights, write_checkpoint
from helo.training.faults import not_a_number, not_finite, suspect
from helo.training.prediction import answers, check_layout


@dataclass
class Run:
    """What `fit` did.

    Args:
        model: the model, with the weights of its best epoch, ready to predict.
        history: one row an epoch: "epoch", "train_<loss>" of every term, "validation_kl" (where there is a validation
            side), "seconds".
        best_epoch: the epoch whose weights the model has; 0 for closed-form models.
    """

    model: EmotionModel
    history: list[dict[str, float]]
    best_epoch: int


def fit(
    model: EmotionModel,
    data: EmotionData,
    split: Split,
    *,
    epochs: int = 100,
    batch_size: int = 128,
    learning_rate: float = 3e-4,
    weight_decay: float = 1e-2,
    decay: float = 0.99,
    patience: int = 20,
    seed: int = 0,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    centre_people: bool = False,
    refit: bool = False,
    on_epoch: Callable[[EmotionModel, dict[str, float]], bool | None] | None = None,
) -> Run:
    """Train a model on a split's training windows; stop early and keep the best epoch by its validation windows.

    Adam, learning rate times `decay` after every epoch. A model that was trained before goes on from its weights.
    Everything random in an epoch comes from (seed, epoch), so a run that resumes from its checkpoint ends with the
    numbers of one that was never interrupted.

    Args:
        model: from `helo.build`, built for this data's layout.
        data: the data set.
        split: from `helo.splits`. Without validation windows the last epoch is kept.
        epochs: most epochs to train.
        batch_size: windows per step.
        learning_rate, weight_decay, decay: of Adam.
        patience: epochs without a better validation KL before stopping.
        seed: of the order of windows and of dropout.
        device: where to train; default a GPU where there is one.
        checkpoint: file to write after every epoch and to resume from; None keeps nothing.
        progress: show a progress bar.
        centre_people: learn from `within_person` distributions, also to stop early: for models meant for new people.
        refit: train again from the first weights, with the validation windows among the training windows, for as many
            epochs as were best: people who only said when to stop are too few to lose.
        on_epoch: called with the model and the epoch's row of the history; True ends training with the best epoch.

    Raises:
        ValueError: model and data do not fit, no training windows, or a checkpoint of another run.
        FloatingPointError: a loss or gradient was not finite in the first epoch; the message names the step, the loss
            or weight, and the modality and window to look at. Later, training ends with the best epoch and a warning.
    """
    check_training(model, data, split, epochs=epochs, batch_size=batch_size, patience=patience)
    if centre_people:
        data = within_person(data, split)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if model.closed_form:
        model.cpu()
        model.prepare(data, split)
        model.solve(data, split)
        return Run(model.to(device).eval(), [], 0)

    first = weights(model) if refit else {}
    if not model.prepared:
        model.prepare(data, split)
        model.prepared.fill_(True)
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    settings = {
        "model": model.name,
        "options": model.options,
        "layout": layout_to_json(model.layout),
        "first seed": model.seed,
        "seed": seed,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "decay": decay,
        "patience": patience,
        "data": data_digest(data, split),
        "code": code_digest("training/*.py", "transport.py", "losses.py", "models/*.py")[:16],
    }
    history: list[dict[str, float]] = []
    best, best_epoch = weights(model), 0
    if checkpoint is not None and Path(checkpoint).exists():
        history, best, best_epoch = resume(Path(checkpoint), settings, model, optimizer)

    x = {m: torch.as_tensor(v, device=device) for m, v in data.signals.items()}
    masks = {m: torch.as_tensor(v, device=device) for m, v in data.masks.items()}
    truth = torch.as_tensor(data.distributions, device=device)
    train = torch.as_tensor(split.train, device=device)

    def batch(rows):
        return {m: v[rows] for m, v in x.items()}, {m: v[rows] for m, v in masks.items()}

    lowest = min((row["validation_kl"] for row in history if "validation_kl" in row), default=float("inf"))
    bar = tqdm(
        total=epochs,
        initial=len(history),
        desc=f"{model.name} {split.name}",
        unit="epoch",
        disable=not progress,
        leave=False,
    )
    with bar, torch.random.fork_rng():
        for epoch in range(len(history) + 1, epochs + 1):
            if len(split.validation) and history and len(history) - best_epoch >= patience:
                break
            started = time.perf_counter()
            torch.manual_seed(epoch_seed(seed, epoch))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * decay ** (epoch - 1)
            model.train()
            sums: dict[str, torch.Tensor] = {}
            order = train[torch.randperm(len(train)).to(device)]
            fault = ""
            for step, rows in enumerate(order.split(batch_size), 1):
                terms = model.losses(model(*batch(rows)), truth[rows])
                optimizer.zero_grad(set_to_none=True)
                model.total(terms).backward()
                broken = not_finite(model, terms)
                if broken:
                    fault = (
                        f"{', '.join(broken)} of step {step} ({suspect(model, data, rows.cpu().numpy())}) is not finite"
                    )
                    break
                optimizer.step()
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0) + value.detach() * len(rows)
            row = {"epoch": epoch} | {f"train_{name}": float(s) / len(train) for name, s in sums.items()}
            if len(split.validation) and not fault:
                answer = answers(model, data, split.validation, device=device, explain=False).log_distributions
                row["validation_kl"] = mean_kl(data.distributions[split.validation], answer)
            row["seconds"] = time.perf_counter() - started
            if not fault and not all(np.isfinite(list(row.values()))):
                fault = f"{', '.join(name for name, value in row.items() if not np.isfinite(value))} is not finite"
            if fault:
                message = f"{model.name}, epoch {epoch}: {fault}"
                if not history:
                    raise FloatingPointError(f"{message}; check the signals' scale or lower the learning rate")
                warnings.warn(f"{message}; training ends with the weights of epoch {best_epoch}", stacklevel=2)
                break
            history.append(row)
            if row.get("validation_kl", -epoch) < lowest:
                lowest, best, best_epoch = row.get("validation_kl", -epoch), weights(model), epoch
            if checkpoint is not None:
                write_checkpoint(Path(checkpoint), settings, history, best_epoch, model, best, optimizer)
            bar.update()
            bar.set_postfix({k: f"{v:.4f}" for k, v in row.items() if k in ("train_kl", "validation_kl")})
            if on_epoch is not None and on_epoch(model, row):
                break
    if not refit or not len(split.validation) or not best_epoch:
        model.load_state_dict(best)
        return Run(model.eval(), history, best_epoch)
    model.load_state_dict(first)
    everybody = Split(split.name, np.union1d(split.train, split.validation), split.validation[:0], split.test)
    fit(
        model,
        data,
        everybody,
        epochs=best_epoch,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        decay=decay,
        seed=seed,
        device=device,
        progress=progress,
        checkpoint=None if checkpoint is None else Path(f"{checkpoint}.refit"),
    )
    return Run(model, history, best_epoch)


def check_training(model: EmotionModel, data: EmotionData, split: Split, **counts: int) -> None:
    """Raise where model and data do not fit, a split has nothing to train on, or a number is below 1."""
    check_layout(model, data)
    if len(split.train) == 0:
        raise ValueError(f"split {split.name!r} has no training windows")
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    wrong = not_a_number(data, np.concatenate([split.train, split.validation]))
    if wrong:  # the arrays were changed after EmotionData had checked them
        raise FloatingPointError(f"{data.name}: {wrong}")


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of one epoch's order and dropout."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def data_digest(data: EmotionData, split: Split) -> str:
    """Short hash of a data set's signals and labels and of a split's training side: the same numbers, the same run."""
    key = hashlib.sha256()
    for rows in (split.train, split.validation):
        key.update(np.asarray(rows, np.int64).tobytes() + b"|")
    for m in data.signals:
        key.update(data.signals[m].tobytes() + data.masks[m].tobytes())
    key.update(data.distributions.tobytes())
    return key.hexdigest()[:16]
