"""Training several models of one kind at once: folds x seeds as one stack, with the numbers of one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.models import EmotionModel
from helo.models.dropout import streams
from helo.precision import precision_for
from helo.training.loop import check_training, fit, on_device, train
from helo.training.member import Member, OnEpoch, Run, Settings, device_for, most_epochs


def fit_together(
    models: Sequence[EmotionModel],
    data: EmotionData,
    splits: Sequence[Split],
    *,
    seeds: Sequence[int],
    epochs: int | None = None,
    batch_size: int = 128,
    learning_rate: float = 3e-4,
    weight_decay: float = 1e-4,
    decay: float = 0.99,
    patience: int = 20,
    device: str | torch.device | None = None,
    checkpoint: Sequence[str | Path | None] | None = None,
    progress: bool = True,
    centre_people: bool = False,
    refit: bool = False,
    precision: str = "auto",
    on_epoch: OnEpoch | None = None,
) -> list[Run]:
    """`helo.fit` for several models of one kind at once: one forward and backward pass for all (`torch.func.vmap`).

    Each model has its own split, batches, dropout, optimizer, early stopping and best epoch, and ends with the weights
    it would have alone, up to the order in which a sum is taken. Small models that leave a device idle gain by it
    (`benchmarks/stacked.py`).

    Args:
        models: from `helo.build`, the same name and options, `stackable`, not trained before.
        data: the data set.
        splits: one for each model.
        seeds: of the order of windows and of dropout, one for each model.
        checkpoint: files to write after every epoch and to resume from, one for each model; None keeps nothing.
        on_epoch: called with a model, as it then is, and its epoch's row; True ends the training of that model.
        epochs, batch_size, learning_rate: these and all others as in `helo.fit`.

    Returns:
        One `Run` for each model. A model whose loss stops being finite is at once trained by `helo.fit`, which says
        why: from its checkpoint, or else from its first epoch, of which on_epoch hears again.

    Raises:
        ValueError: models that cannot be stacked, not as many splits, seeds and files as models, or as `helo.fit`.
        FloatingPointError: as `helo.fit`.
    """
    device = device_for(device)
    files = [None] * len(models) if checkpoint is None else checkpoint
    _check_stack(models, data, splits, seeds, files)
    precision = precision_for(precision, models[0], device, batch_size)  # one model's size decides, as if it were alone
    rates = learning_rate, weight_decay, decay
    most = [most_epochs(split, batch_size) if epochs is None else epochs for split in splits]
    rest = batch_size, *rates, patience, device, centre_people, refit, precision, on_epoch
    jobs = zip(models, splits, seeds, files, (Settings(each, *rest) for each in most), strict=True)
    members = [Member(model, data, split, seed, file, settings) for model, split, seed, file, settings in jobs]
    return train(members, Stack, _alone, progress)


def _check_stack(models, data, splits, seeds, files):
    kinds = {(m.name, repr(m.options), repr(m.layout)) for m in models}
    if len(kinds) != 1 or not all(m.stackable and not m.prepared for m in models):
        raise ValueError(
            f"models are {sorted({m.name for m in models})}; "
            "expected untrained ones of one stackable kind with the same options"
        )
    found = {"models": len(models), "splits": len(splits), "seeds": len(seeds)}
    found["checkpoints"] = 1 if isinstance(files, Path) else len(files)
    if len(set(found.values())) != 1 or isinstance(files, str | Path):
        raise ValueError(f"{', '.join(f'{n} {name}' for name, n in found.items())}; expected as many of each")
    for model, split in zip(models, splits, strict=True):
        check_training(model, data, split)


def _alone(member):
    """Trained once more by `fit`, a model that broke tells what is wrong or ends where it broke."""
    m = member.origin or member
    m.model.load_state_dict(m.first)
    settings = vars(m.settings) | {"centre_people": False}  # its data are centred already
    return fit(m.model, m.data, m.split, seed=m.seed, checkpoint=m.checkpoint, progress=False, **settings)


class _Loss(nn.Module):
    """A model's answer and losses as one call, so that `functional_call` reaches both."""

    def __init__(self, model: EmotionModel, precision: str = "float32"):
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, signals, masks, truth):
        answer = self.model.respond(signals, masks, self.precision)
        if truth is None:
            return answer.log_distributions
        terms = self.model.losses(answer, truth)
        return self.model.total(terms), terms


class Stack:
    """The parameters and buffers of several models side by side."""

    def __init__(self, members: Sequence[Member]):
        self.members, device = members, members[0].settings.device
        self.x, self.masks, _ = on_device(members[0])  # members differ in their distributions alone
        self.truth = torch.stack([torch.as_tensor(m.data.distributions, device=device) for m in members])
        self.module = _Loss(members[0].model, members[0].settings.precision)
        self.named = named = [dict(_Loss(m.model).named_parameters()) for m in members]
        self.parameters = {
            n: torch.stack([own[n].data for own in named]).requires_grad_(p.requires_grad) for n, p in named[0].items()
        }
        for k, own in enumerate(named):
            for n, p in own.items():
                p.data = self.parameters[n].data[k]
        buffers = [dict(_Loss(m.model).named_buffers()) for m in members]
        self.buffers = {n: torch.stack([own[n] for own in buffers]) for n in buffers[0]}
        for m in members:
            order = torch.Generator()  # on a CPU one generator gives the order and then the dropout
            m.generators = (order, order if device.type == "cpu" else torch.Generator(device))

    def __call__(self, rows: Sequence[Tensor], training: bool):
        """Losses of the models, or their answers, on each one's windows; absent windows fill up shorter batches."""
        self.module.train(training)
        sizes = [len(r) for r in rows]
        index = nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(self.truth.device)
        there = (torch.arange(index.shape[1]) < torch.tensor(sizes)[:, None]).to(index.device)
        signals = {m: v[index] for m, v in self.x.items()}
        masks = {m: v[index] & there[..., None] for m, v in self.masks.items()}
        truth = None
        if training:
            truth = torch.stack([t[i] for t, i in zip(self.truth, index, strict=True)]) * there[..., None]
        dims = (0, 0, 0, 0, 0 if training else None)
        one = vmap(lambda p, b, *batch: functional_call(self.module, (p, b), batch), dims, randomness="error")
        with streams([(m.generators[1], n) for m, n in zip(self.members, sizes, strict=True)]):
            return one(self.parameters, self.buffers, signals, masks, truth)

    def step(self, rows: Sequence[Tensor], number: int) -> dict[str, Tensor]:
        """One optimizer step of every model that has windows left; its losses, each (models,)."""
        total, terms = self(rows, training=True)
        for p in self.parameters.values():
            p.grad = None
        total.sum().backward()
        for k, member in enumerate(self.members):
            for n, p in self.named[k].items():
                gradient = self.parameters[n].grad
                p.grad = None if gradient is None else gradient[k]
            if len(rows[k]):
                member.optimizer.step()
        return {name: value.detach().expand(len(self.members)) for name, value in terms.items()}

    @torch.no_grad()
    def answers(self, rows: Sequence[Tensor], most: int = 512) -> list[np.ndarray]:
        """Log-distributions of each model's windows."""
        starts = range(0, max(map(len, rows)), most)
        parts = [self([r[k : k + most] for r in rows], training=False).cpu() for k in starts]
        return [a[: len(r)].numpy() for a, r in zip(torch.cat(parts, 1), rows, strict=True)]
