"""One model in training: what it learns from, and what becomes of it epoch by epoch."""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.files import code_digest
from helo.models import EmotionModel
from helo.reading import expanded
from helo.training.centring import within_person
from helo.training.checkpoints import layout_to_json, resume, weights, write_checkpoint

OnEpoch = Callable[[EmotionModel, dict[str, float]], bool | None]
#: most epochs, and the steps that they make at least, where none are named
EPOCHS, STEPS = 100, 2000
COUNTS = ("epochs", "batch_size", "patience")


@dataclass
class Run:
    """What `fit` did.

    Args:
        model: the model, with the weights of its best epoch, ready to predict.
        history: one row an epoch: "epoch", "train_<loss>" of every term, "validation_kl" (where there is a validation
            side), "seconds".
        best_epoch: the epoch whose weights the model has; 0 for closed-form models.
        capped: training ended at its cap of epochs, not because the validation KL had stopped falling.
        precision: what the model's products were computed in, "float32" or "bfloat16".
        fault: what was no longer finite, where training ended for that, after an epoch that was; else "".
    """

    model: EmotionModel
    history: list[dict[str, float]]
    best_epoch: int
    capped: bool = False
    precision: str = "float32"
    fault: str = ""


@dataclass
class Settings:
    """The arguments of `helo.fit` but seed and files; of models trained together only `epochs` may differ."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    decay: float
    patience: int
    device: torch.device
    centre_people: bool
    refit: bool
    precision: str
    on_epoch: OnEpoch | None

    def __post_init__(self):
        for name in COUNTS:
            setattr(self, name, counted(name, getattr(self, name)))


def counted(name: str, given: Any) -> int:
    """A setting of COUNTS as a whole number.

    Raises:
        ValueError: it is none, or below 1.
    """
    if name == "patience" and given == float("inf"):  # never stop early
        return given
    if not isinstance(given, numbers.Real) or float(given) < 1 or not float(given).is_integer():
        raise ValueError(f"{name} is {given!r}; expected at least 1, and whole")
    return int(float(given))


def most_epochs(split: Split, batch_size: int) -> int:
    """Most epochs where none are named: 100, or where windows are few as many as make 2,000 steps.

    An epoch of two steps teaches little, and a ranking of trainings that were all cut is one of their caps. Without
    validation windows, which say when to stop, it is 100.
    """
    steps = max(1, -(-len(split.train) // max(1, counted("batch_size", batch_size))))
    return max(EPOCHS, -(-STEPS // steps)) if len(split.validation) else EPOCHS


def device_for(asked: str | torch.device | None) -> torch.device:
    """The device that was asked for, or else a GPU where there is one."""
    return torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))


@dataclass(eq=False)
class Member:
    """A model, what it learns from, and its optimizer; it goes on from its checkpoint where there is one."""

    model: EmotionModel
    data: EmotionData
    split: Split
    seed: int
    checkpoint: str | Path | None
    settings: Settings
    origin: Member | None = None  # who asked for it, where this is a second training

    def __post_init__(self):
        self.file = None if self.checkpoint is None else expanded(self.checkpoint)
        if self.settings.centre_people:
            self.data = within_person(self.data, self.split)
        self.first = weights(self.model)
        if not self.model.prepared:
            self.model.prepare(self.data, self.split)
            self.model.prepared.fill_(True)
        self.model.to(self.settings.device)
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rate, weight_decay=decay, fused=True)
        self.history: list[dict[str, float]] = []
        self.best, self.best_epoch = weights(self.model), 0
        self.fault, self.stopped = "", False
        self.run: Run | None = None
        self.generators: Sequence[torch.Generator] = ()  # in a stack; a model alone has torch's own to itself
        if self.file is not None and self.file.exists():
            self.history, self.best, self.best_epoch = resume(self.file, self.about, self.model, self.optimizer)
            if len(self.history) > self.settings.epochs:
                raise ValueError(
                    f"{self.file}: holds {len(self.history)} epochs; expected at most the {self.settings.epochs} asked "
                    "for. Ask for as many, or name another checkpoint"
                )
        self.lowest = min((row["validation_kl"] for row in self.history if "validation_kl" in row), default=np.inf)

    @cached_property
    def about(self) -> dict:
        """What two trainings share if one may go on from the other's checkpoint; the later may take more epochs."""
        model = self.model
        settings = "batch_size", "learning_rate", "weight_decay", "decay", "patience", "precision"
        about = {"model": model.name, "options": model.options, "layout": layout_to_json(model.layout)}
        about |= {"first seed": model.seed, "seed": self.seed} | {k: getattr(self.settings, k) for k in settings}
        used = ["helo.training.loop", "helo.transport", "helo.losses"]  # and what these import
        code = code_digest("training/*.py", "models/*.py", modules=used)[:16]
        return about | {"data": data_digest(self.data, self.split), "code": code}

    @property
    def epoch(self) -> int:
        """The epoch that comes next, or is under way."""
        return len(self.history) + 1

    @property
    def done(self) -> bool:
        return bool(self.fault) or self.stopped or self.epoch > self.settings.epochs or self.waited

    @property
    def waited(self) -> bool:
        """Whether the validation KL has not fallen for as long as training waits."""
        return bool(len(self.split.validation)) and len(self.history) - self.best_epoch >= self.settings.patience

    @property
    def capped(self) -> bool:
        """Whether training ended at its cap of epochs, with a validation side that might have wanted more."""
        at_cap = self.epoch > self.settings.epochs and not (self.fault or self.stopped or self.waited)
        return at_cap and bool(len(self.split.validation))

    def batches(self) -> Sequence[Tensor]:
        """The next epoch's batches of windows; sets what is random in it, and its learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self.settings.decay ** (self.epoch - 1)
        seed = int(np.random.SeedSequence((self.seed, self.epoch)).generate_state(1)[0])
        torch.manual_seed(seed)
        for generator in self.generators:
            generator.manual_seed(seed)
        order = torch.randperm(len(self.split.train), generator=next(iter(self.generators), None))
        return torch.as_tensor(self.split.train)[order].split(self.settings.batch_size)

    def record(self, row: dict[str, float]) -> None:
        """An epoch has ended: look whether all is finite, keep the best, write the checkpoint, call back."""
        wrong = [name for name, value in row.items() if not np.isfinite(value)]
        if not wrong and not torch.nn.utils.get_total_norm([p.data for p in self.model.parameters()]).isfinite():
            wrong = ["a weight"]
        if wrong:
            self.fault = f"{', '.join(wrong)} is not finite"
            return
        self.history.append(row)
        score = row.get("validation_kl", -row["epoch"])
        if score < self.lowest:
            self.lowest, self.best, self.best_epoch = score, weights(self.model), len(self.history)
        if self.file is not None:
            state = self.history, self.best_epoch, self.model, self.best, self.optimizer
            write_checkpoint(self.file, self.about, *state)
        self.stopped = bool(self.settings.on_epoch and self.settings.on_epoch(self.model, row))

    def leave(self) -> None:
        """Training has ended: the best epoch's weights, in memory of the model's own."""
        if self.generators:  # until now they were a slice of the stack's
            for p in self.model.parameters():
                p.data, p.grad = p.data.clone(), None
        self.model.load_state_dict(self.best)
        self.model.eval()

    def with_everybody(self) -> Member:
        """The model at its first weights, to be trained with all windows for as many epochs as were best."""
        self.model.load_state_dict(self.first)
        split, file = self.split, self.file and f"{self.file}.refit"
        everybody = replace(split, train=np.union1d(split.train, split.validation), validation=split.validation[:0])
        once = replace(self.settings, epochs=self.best_epoch, centre_people=False, refit=False, on_epoch=None)
        return Member(self.model, self.data, everybody, self.seed, file, once, origin=self)


def data_digest(data: EmotionData, split: Split) -> str:
    """Short hash of a data set's signals and labels and of a split's training side: the same numbers, the same run."""
    key = hashlib.sha256()
    for rows in (split.train, split.validation):
        key.update(np.asarray(rows, np.int64).tobytes() + b"|")
    for m in data.signals:
        key.update(data.signals[m].tobytes() + data.masks[m].tobytes())
    key.update(data.distributions.tobytes())
    return key.hexdigest()[:16]
