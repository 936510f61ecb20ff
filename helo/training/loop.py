"""Training: `fit` a model on a split; the one loop over epochs, for a model alone and for a stack of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from helo.data.emotion_data import EmotionData
from helo.data.split import Split, within
from helo.measures import mean_kl
from helo.models import EmotionModel
from helo.precision import precision_for
from helo.progress import Progress
from helo.training.centring import within_person
from helo.training.faults import not_a_number, not_finite, suspect
from helo.training.member import Member, OnEpoch, Run, Settings, device_for, most_epochs
from helo.training.prediction import answers, check_layout
from helo.training.threads import threads_for, without_denormals


def fit(
    model: EmotionModel,
    data: EmotionData,
    split: Split,
    *,
    epochs: int | None = None,
    batch_size: int = 128,
    learning_rate: float = 3e-4,
    weight_decay: float = 1e-4,
    decay: float = 0.99,
    patience: int = 20,
    seed: int = 0,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    centre_people: bool = False,
    refit: bool = False,
    precision: str = "auto",
    on_epoch: OnEpoch | None = None,
) -> Run:
    """Train a model on a split's training windows; stop early and keep the best epoch by its validation windows.

    Adam, learning rate times `decay` after every epoch. A model that was trained before goes on from its weights.
    Everything random in an epoch comes from (seed, epoch), so a run that resumes from its checkpoint ends with the
    numbers of one that was never interrupted. A model of closed form is solved at once, from training and validation
    windows; of the settings only `centre_people` and `device` count.

    Args:
        model: from `helo.build`, built for this data's layout.
        data: the data set.
        split: from `helo.splits`. Without validation windows the last epoch is kept.
        epochs: most epochs to train; default 100, or where windows are few as many as make 2,000 steps (`most_epochs`).
        batch_size: windows per step.
        learning_rate, weight_decay, decay: of Adam.
        patience: epochs without a better validation KL before stopping.
        seed: of the order of windows and of dropout.
        device: where to train; default a GPU where there is one.
        checkpoint: file to write after every epoch and to resume from (with `refit` FILE.refit, too); None: nothing.
        progress: show how far training is (`helo.progress`).
        centre_people: learn from `within_person` distributions (of people not tested), also to stop early.
        refit: train again from the first weights, with the validation windows among the training windows, for as many
            epochs as were best: people who only said when to stop are too few to lose.
        precision: of a network's products: "float32", "bfloat16", or "auto": bfloat16 for a model of a million weights
            and more with large batches, on a device that computes with it (`helo.precision`); others have float32.
        on_epoch: called with the model and the epoch's row of the history; True ends training with the best epoch.

    Raises:
        ValueError: model and data do not fit, no training windows, an argument out of range, another run's file.
        FloatingPointError: signals hold NaN, or a loss or gradient was not finite in the first epoch; the message names
            step, loss or weight, modality and window. Later, training ends with the best epoch and a warning.
    """
    device = device_for(device)
    precision = precision_for(precision, model, device, batch_size)
    rates = learning_rate, weight_decay, decay
    most = most_epochs(split, batch_size) if epochs is None else epochs
    settings = Settings(most, batch_size, *rates, patience, device, centre_people, refit, precision, on_epoch)
    check_training(model, data, split)
    if model.closed_form:
        return _solve(model, within_person(data, split) if centre_people else data, split, device)
    return train([Member(model, data, split, seed, checkpoint, settings)], Alone, _tell, progress)[0]


def _solve(model, data, split, device):
    model.cpu()
    with threads_for([model], torch.device("cpu")):
        model.prepare(data, split)
        model.solve(data, split)
    return Run(model.to(device).eval(), [], 0)


def check_training(model: EmotionModel, data: EmotionData, split: Split) -> None:
    """Raise where model and data do not fit, a split has nothing to train on, or a number is none."""
    check_layout(model, data)
    within(data, split)
    if len(split.train) == 0:
        raise ValueError(f"split {split.name!r} has no training windows")
    wrong = not_a_number(data, np.concatenate([split.train, split.validation]))
    if wrong:  # the arrays were changed after EmotionData had checked them
        raise FloatingPointError(f"{data.name}: {wrong}")


def _tell(member):
    """What broke in a model alone: an error in the first epoch, later a warning, to whoever called `fit`."""
    message = f"{member.model.name}, epoch {member.epoch}: {member.fault}"
    if not member.history:
        raise FloatingPointError(f"{message}; check the signals' scale or lower the learning rate")
    warnings.warn(f"{message}; training ends with the weights of epoch {member.best_epoch}", stacklevel=5)


class Engine(Protocol):
    """What computes the steps and answers of members that train together."""

    members: Sequence[Member]

    def step(self, rows: Sequence[Tensor], number: int) -> dict[str, Tensor]:
        """The epoch's step of that number on each member's windows; its losses, each (members,)."""

    def answers(self, rows: Sequence[Tensor]) -> Sequence[np.ndarray]:
        """Log-distributions of each member's windows."""


class Alone:
    """A model by itself: every loss and gradient is looked at, and where one is not finite it is said at once."""

    def __init__(self, members: Sequence[Member]):
        (self.member,) = self.members = members
        self.x, self.masks, self.truth = on_device(self.member)

    def step(self, rows: Sequence[Tensor], number: int) -> dict[str, Tensor]:
        model, optimizer, index = self.member.model, self.member.optimizer, rows[0].to(self.truth.device)
        model.train()
        x, masks = ({m: v[index] for m, v in group.items()} for group in (self.x, self.masks))
        terms = model.losses(model.respond(x, masks, self.member.settings.precision), self.truth[index])
        optimizer.zero_grad(set_to_none=True)
        model.total(terms).backward()
        broken = not_finite(model, terms)
        if broken:
            where = suspect(model, self.member.data, rows[0].numpy())
            self.member.fault = f"{', '.join(broken)} of step {number} ({where}) is not finite"
        else:
            optimizer.step()
        return {name: value.detach()[None] for name, value in terms.items()}

    def answers(self, rows: Sequence[Tensor]) -> Sequence[np.ndarray]:
        member, windows = self.member, rows[0].numpy()
        precision = member.settings.precision
        return [answers(member.model, member.data, windows, explain=False, precision=precision).log_distributions]


def on_device(member: Member) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """A member's signals, masks and distributions where it trains."""
    data, device = member.data, member.settings.device
    x, masks = ({m: torch.as_tensor(v, device=device) for m, v in g.items()} for g in (data.signals, data.masks))
    return x, masks, torch.as_tensor(data.distributions, device=device)


def train(
    members: Sequence[Member],
    engine: Callable[[Sequence[Member]], Engine],
    broken: Callable[[Member], Run | None],
    progress: bool,
) -> list[Run]:
    """Train every member until it is done, and once more with everybody where that is asked for.

    An engine, `Alone` or a `Stack`, is made anew when a member has left. What is done with a member whose numbers are
    no longer finite, `broken` says; a run that it gives is the member's.
    """
    with threads_for([m.model for m in members], members[0].settings.device), without_denormals():
        _until_done(members, engine, broken, progress)
        again = [m for m in members if m.settings.refit and not m.run and m.best_epoch and len(m.split.validation)]
        everybody = [m.with_everybody() for m in again]
        _until_done(everybody, engine, broken, progress)
    for first, second in zip(again, everybody, strict=True):
        first.run = second.run
        if second.fault and not second.run:  # the weights are the second training's, of its last whole epoch
            first.best_epoch, first.fault = second.best_epoch, second.fault
    _tell_capped(members)
    return [m.run or Run(m.model, m.history, m.best_epoch, m.capped, m.settings.precision, m.fault) for m in members]


def _tell_capped(members):
    """An honest word: who was still learning when the epochs ended."""
    cut = [m for m in members if m.capped and m.run is None]
    if cut:
        names = f"{cut[0].model.name}, {len(cut)} of {len(members)} fits" if len(members) > 1 else cut[0].model.name
        warnings.warn(
            f"{names}: training ended at its cap of {cut[0].settings.epochs} epochs, before its validation KL had "
            "stopped falling; more epochs may change its scores",
            stacklevel=4,
        )


def _until_done(members, engine, broken, progress):
    if not members:
        return
    one, many, running = members[0], len(members) > 1, None
    name = f"{one.model.name}, {len(members)} together" if many else f"{one.model.name} {one.split.name}"
    most, already = max(m.settings.epochs for m in members), min(len(m.history) for m in members)
    bar = Progress(name, "epoch", most, already, progress, worth=len(members))
    with bar, torch.random.fork_rng():
        while members:
            for m in members:
                if m.done:
                    m.leave()
                    m.run = broken(m) if m.fault else None
            members = [m for m in members if not m.done]
            if members:
                running = running if running and len(running.members) == len(members) else engine(members)
                _epoch(running)
                last = {} if many else one.history[-1] if one.history else {}
                told = [f"{k} {v:.4f}" for k, v in last.items() if k in ("train_kl", "validation_kl")]
                bar.to(max(len(m.history) for m in members), ", ".join(told))


def _epoch(engine):
    """One epoch of every member: its batches, its validation windows, its row of the history."""
    members, started = engine.members, time.perf_counter()
    none = torch.zeros(0, dtype=torch.long)
    sums: dict[str, Tensor] = {}
    for number, rows in enumerate(zip_longest(*(m.batches() for m in members), fillvalue=none), 1):
        losses = engine.step(rows, number)
        if any(m.fault for m in members):
            return
        for name, value in losses.items():
            sums[name] = sums.get(name, 0) + value * torch.tensor([len(r) for r in rows], device=value.device)
    windows = [torch.as_tensor(m.split.validation) for m in members]
    told = engine.answers(windows) if any(map(len, windows)) else ()
    totals = {f"train_{name}": s.tolist() for name, s in sums.items()}
    seconds = (time.perf_counter() - started) / len(members)
    for k, m in enumerate(members):
        row = {"epoch": m.epoch} | {name: s[k] / len(m.split.train) for name, s in totals.items()}
        if len(windows[k]):
            row["validation_kl"] = mean_kl(m.data.distributions[m.split.validation], told[k])
        m.record(row | {"seconds": seconds})
