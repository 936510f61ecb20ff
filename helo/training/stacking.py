"""Training several models of one kind at once: folds x seeds as one stacked model, with the numbers of one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from tqdm import tqdm

from helo.data.emotion_data import EmotionData
from helo.data.splits import Split
from helo.measures import mean_kl
from helo.models import EmotionModel
from helo.models.dropout import streams
from helo.training.centring import within_person
from helo.training.checkpoints import weights
from helo.training.loop import Run, check_training, epoch_seed, fit


def fit_together(
    models: Sequence[EmotionModel],
    data: EmotionData,
    splits: Sequence[Split],
    *,
    seeds: Sequence[int],
    epochs: int = 100,
    batch_size: int = 128,
    learning_rate: float = 3e-4,
    weight_decay: float = 1e-2,
    decay: float = 0.99,
    patience: int = 20,
    device: str | torch.device | None = None,
    progress: bool = True,
    centre_people: bool = False,
    refit: bool = False,
) -> list[Run]:
    """`helo.fit` for several models of one kind at once: one forward and backward pass for all (`torch.func.vmap`).

    Each model has its own split, batches, dropout, optimizer, early stopping and best epoch, and ends with the weights it
    would have alone, up to the order in which a sum is taken. Small models that leave a device idle gain by it
    (`benchmarks/stacked.py`).

    Args:
        models: from `helo.build`, the same name and options, `stackable`, not trained before.
        data: the data set.
        splits: one for each model.
        seeds: of the order of windows and of dropout, one for each model.
        epochs, batch_size, learning_rate, weight_decay, decay, patience, device, progress: as in `helo.fit`.
        centre_people, refit: as in `helo.fit`.

    Returns:
        One `Run` for each model. A model whose loss stops being finite is at once trained by `helo.fit`, which says why.

    Raises:
        ValueError: models that cannot be stacked, not as many splits and seeds as models, or as `helo.fit`.
        FloatingPointError: as `helo.fit`.
    """
    kinds = {(m.name, repr(m.options), repr(m.layout)) for m in models}
    if len(kinds) != 1 or not all(m.stackable and not m.prepared for m in models):
        raise ValueError(
            f"models are {sorted({m.name for m in models})}; expected untrained ones of one stackable kind with the same options"
        )
    if not len(models) == len(splits) == len(seeds):
        raise ValueError(f"{len(models)} models, {len(splits)} splits, {len(seeds)} seeds; expected as many of each")
    for model, split in zip(models, splits, strict=True):
        check_training(model, data, split, epochs=epochs, batch_size=batch_size, patience=patience)
    settings = {
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "decay": decay,
        "patience": patience,
        "device": torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")),
    }
    alone = settings | {"epochs": epochs, "centre_people": centre_people, "refit": refit, "progress": False}
    members = []
    for model, split, seed in zip(models, splits, seeds, strict=True):
        first = weights(model)
        own = within_person(data, split) if centre_people else data
        members.append(
            _Member(model, own, split, seed, settings, epochs, partial(_alone, model, first, data, split, seed, alone))
        )
    _train(members, data, settings, progress)
    again = {}
    for m in members:
        if refit and m.finite and m.best_epoch and len(m.split.validation):
            m.model.load_state_dict(m.first)
            everybody = Split(
                m.split.name, np.union1d(m.split.train, m.split.validation), m.split.validation[:0], m.split.test
            )
            again[m] = _Member(m.model, m.data, everybody, m.seed, settings, m.best_epoch, m.alone)
    _train(list(again.values()), data, settings, progress)
    for m, second in again.items():
        m.run = Run(m.model, m.history, m.best_epoch) if second.finite else second.run
    return [m.run for m in members]


def _alone(model, first, data, split, seed, settings):
    """A model that broke, trained once more by `fit`, which tells what is wrong or ends where it broke."""
    model.load_state_dict(first)
    return fit(model, data, split, seed=seed, **settings)


@dataclass(eq=False)
class _Member:
    """One model of the stack; while it trains, its parameters are views of the stack's."""

    model: EmotionModel
    data: EmotionData
    split: Split
    seed: int
    settings: dict
    epochs: int
    alone: Callable[[], Run]
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    lowest: float = float("inf")
    finite: bool = True
    run: Run | None = None

    def __post_init__(self):
        device = self.settings["device"]
        self.first = weights(self.model)
        self.model.prepare(self.data, self.split)
        self.model.prepared.fill_(True)
        self.model.to(device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=self.settings["learning_rate"],
            weight_decay=self.settings["weight_decay"],
            fused=True,
        )
        self.best = weights(self.model)
        self.truth = torch.as_tensor(self.data.distributions, device=device)
        self.order = torch.Generator()
        # on a CPU one generator gives the order and then the dropout
        self.draws = self.order if device.type == "cpu" else torch.Generator(device)

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """The epoch's batches, and generators at its start, as `helo.fit` has them."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings["learning_rate"] * self.settings["decay"] ** (epoch - 1)
        for generator in (self.order, self.draws):
            generator.manual_seed(epoch_seed(self.seed, epoch))
        order = torch.randperm(len(self.split.train), generator=self.order)
        return torch.as_tensor(self.split.train)[order].split(self.settings["batch_size"])

    @property
    def done(self) -> bool:
        waited = len(self.history) - self.best_epoch >= self.settings["patience"]
        return not self.finite or len(self.history) >= self.epochs or bool(len(self.split.validation) and waited)

    def leave(self) -> None:
        """Take the best weights, in memory of the model's own; train it alone where it broke."""
        for p in self.model.parameters():
            p.data, p.grad = p.data.clone(), None
        self.model.load_state_dict(self.best)
        self.run = Run(self.model.eval(), self.history, self.best_epoch) if self.finite else self.alone()


class _Loss(nn.Module):
    """A model's answer and losses as one call, so that `functional_call` reaches both."""

    def __init__(self, model: EmotionModel):
        super().__init__()
        self.model = model

    def forward(self, signals, masks, truth):
        answer = self.model(signals, masks)
        if truth is None:
            return answer.log_distributions
        terms = self.model.losses(answer, truth)
        return self.model.total(terms), terms


class _Stack:
    """The parameters and buffers of several models side by side."""

    def __init__(self, members: Sequence[_Member], x: dict[str, Tensor], masks: dict[str, Tensor]):
        self.members, self.x, self.masks = members, x, masks
        self.module = _Loss(members[0].model)
        named = [dict(_Loss(m.model).named_parameters()) for m in members]
        self.parameters = {
            n: torch.stack([own[n].data for own in named]).requires_grad_(p.requires_grad) for n, p in named[0].items()
        }
        for k, own in enumerate(named):
            for n, p in own.items():
                p.data = self.parameters[n].data[k]
        self.named = named
        buffers = [dict(_Loss(m.model).named_buffers()) for m in members]
        self.buffers = {n: torch.stack([own[n] for own in buffers]) for n in buffers[0]}
        self.truth = torch.stack([m.truth for m in members])

    def __call__(self, rows: Sequence[Tensor], training: bool):
        """Losses of the models, or their answers, on each one's windows; shorter batches are padded with absent windows."""
        self.module.train(training)
        sizes = [len(r) for r in rows]
        index = nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(self.truth.device)
        there = (torch.arange(index.shape[1]) < torch.tensor(sizes)[:, None]).to(index.device)
        signals = {m: v[index] for m, v in self.x.items()}
        masks = {m: v[index] & there[..., None] for m, v in self.masks.items()}
        truth = None
        if training:
            truth = torch.stack([t[i] for t, i in zip(self.truth, index, strict=True)]) * there[..., None]
        with streams([(m.draws, n) for m, n in zip(self.members, sizes, strict=True)]):
            return vmap(self._one, in_dims=(0, 0, 0, 0, None if truth is None else 0), randomness="error")(
                self.parameters, self.buffers, signals, masks, truth
            )

    def _one(self, parameters, buffers, signals, masks, truth):
        return functional_call(self.module, (parameters, buffers), (signals, masks, truth))

    def step(self, rows: Sequence[Tensor]) -> dict[str, Tensor]:
        """One optimizer step of every model that has windows left; its losses, each (models,)."""
        total, terms = self(rows, training=True)
        for p in self.parameters.values():
            p.grad = None
        total.sum().backward()
        for k, member in enumerate(self.members):
            if not len(rows[k]):
                continue
            for n, p in self.named[k].items():
                gradient = self.parameters[n].grad
                p.grad = None if gradient is None else gradient[k]
            member.optimizer.step()
        return {name: value.detach().expand(len(self.members)) for name, value in terms.items()}

    @torch.no_grad()
    def answers(self, rows: Sequence[Tensor], most: int = 512) -> list[np.ndarray]:
        """Log-distributions of each model's windows."""
        longest = max(map(len, rows))
        parts = [
            self([r[start : start + most] for r in rows], training=False).cpu() for start in range(0, longest, most)
        ]
        return [a[: len(r)].numpy() for a, r in zip(torch.cat(parts, 1), rows, strict=True)]


def _train(members: Sequence[_Member], data: EmotionData, settings: dict, progress: bool) -> None:
    """Train until every member is done."""
    if not members:
        return
    x = {m: torch.as_tensor(v, device=settings["device"]) for m, v in data.signals.items()}
    masks = {m: torch.as_tensor(v, device=settings["device"]) for m, v in data.masks.items()}
    name = f"{members[0].model.name}, {len(members)} together"
    with tqdm(total=max(m.epochs for m in members), desc=name, unit="epoch", disable=not progress, leave=False) as bar:
        for stack in _stacks(members, x, masks):
            _epoch(stack)
            bar.update()


def _stacks(members, x, masks) -> Iterator[_Stack]:
    """The stack of those that still train, epoch after epoch; it is made anew when one has left."""
    stack = None
    while True:
        active = [m for m in members if not m.done]
        for m in [] if stack is None else stack.members:
            if m.done:
                m.leave()
        if not active:
            return
        if stack is None or len(active) < len(stack.members):
            stack = _Stack(active, x, masks)
        yield stack


def _epoch(stack: _Stack) -> None:
    """One epoch of every model: its batches, validation, and its best weights."""
    members, started = stack.members, time.perf_counter()
    epoch = len(members[0].history) + 1
    batches = [m.batches(epoch) for m in members]
    none = torch.zeros(0, dtype=torch.long)
    sums: dict[str, Tensor] = {}
    for step in range(max(map(len, batches))):
        rows = [own[step] if step < len(own) else none for own in batches]
        sizes = torch.tensor([len(r) for r in rows], device=stack.truth.device)
        for name, value in stack.step(rows).items():
            sums[name] = sums.get(name, 0) + value * sizes
    finite = torch.stack([p.data.flatten(1).sum(1) for p in stack.parameters.values()]).sum(0).isfinite().tolist()
    windows = [torch.as_tensor(m.split.validation) for m in members]
    answers = stack.answers(windows) if any(map(len, windows)) else [None] * len(members)
    losses = {name: s.tolist() for name, s in sums.items()}
    seconds = (time.perf_counter() - started) / len(members)
    for k, m in enumerate(members):
        row = {"epoch": epoch} | {f"train_{name}": s[k] / len(m.split.train) for name, s in losses.items()}
        if len(m.split.validation):
            row["validation_kl"] = mean_kl(m.data.distributions[m.split.validation], answers[k])
        row["seconds"] = seconds
        m.finite = finite[k] and all(np.isfinite(list(row.values())))
        m.history.append(row)
        score = row.get("validation_kl", -epoch)
        if m.finite and score < m.lowest:
            m.lowest, m.best, m.best_epoch = score, weights(m.model), epoch
