"""One model on all folds: its candidates, its fits as they come, what each fold's training people chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.data.splits import nested
from helo.evaluation.choice import candidates
from helo.evaluation.fits import Fitted, Job
from helo.evaluation.people import person_scores
from helo.models import is_closed_form
from helo.reading import shown


@dataclass
class Contest:
    """A model in a comparison.

    Args:
        label: what the table calls it.
        entry: {"model": name, **options}.
        data, splits: the data set and its folds.
        seeds: the first one's fits choose.
        groups: of training people who validate in turns; 0: the splits' own validation sides.
        count: of candidates.
        training: arguments of `helo.fit`, the same for all.
    """

    label: str
    entry: Mapping[str, Any]
    data: EmotionData
    splits: Sequence[Split]
    seeds: Sequence[int]
    groups: int
    count: int
    training: Mapping[str, Any]
    done: dict[tuple[int, int, int, int], Fitted] = field(default_factory=dict)  # candidate, fold, group, seed

    def __post_init__(self):
        self.model = self.entry["model"]
        self.closed = is_closed_form(self.model)
        if self.closed:  # solved once, with everybody
            self.seeds, self.groups = self.seeds[:1], 0
        options = {k: v for k, v in self.entry.items() if k != "model"}
        self.candidates = candidates(self.model, self.count, options, self.training)

    @property
    def total(self) -> int:
        """Fits of both rounds."""
        return len(self.splits) * max(self.groups, 1) * (len(self.candidates) + len(self.seeds) - 1)

    def parts(self, fold: int, seed: int) -> list[Split]:
        """The fold's split, or its groups."""
        split = self.splits[fold]
        return nested(self.data, split, self.groups, seed) if self.groups else [split]

    def first_round(self) -> list[tuple[Job, list]]:
        """All candidates with the first seed, to choose from; all seeds of a model that has no choice."""
        seeds = self.seeds if len(self.candidates) == 1 else self.seeds[:1]
        wanted = [(k, fold) for k in range(len(self.candidates)) for fold in range(len(self.splits))]
        return self._jobs([(k, fold, seed) for k, fold in wanted for seed in seeds])

    def second_round(self) -> list[tuple[Job, list]]:
        """What was chosen, with the other seeds."""
        seeds = [] if len(self.candidates) == 1 else self.seeds[1:]
        return self._jobs([(self.choice(fold), fold, seed) for fold in range(len(self.splits)) for seed in seeds])

    def _jobs(self, wanted):
        """A job a candidate, and which fits these are."""
        jobs = []
        for k, candidate in enumerate(self.candidates):
            fits, keys = [], []
            for fold, seed in [(fold, seed) for own, fold, seed in wanted if own == k]:
                for group, part in enumerate(self.parts(fold, seed)):
                    fits.append((part, seed * max(self.groups, 1) + group))
                    keys.append((k, fold, group, seed))
            if fits:
                jobs.append((Job(self.model, candidate.options, candidate.training, fits), keys))
        return jobs

    def of(self, candidate: int, fold: int, seed: int) -> list[Fitted]:
        return [self.done[candidate, fold, group, seed] for group in range(max(self.groups, 1))]

    def choice(self, fold: int) -> int:
        """The candidate with the lowest KL over all validation windows of the fold, the first seed's.

        Raises:
            FloatingPointError: every candidate diverged.
        """
        if len(self.candidates) == 1:
            return 0
        tried = [self.of(k, fold, self.seeds[0]) for k in range(len(self.candidates))]
        means = [
            np.average([f.validation_kl for f in fits], weights=[f.validation_windows for f in fits]) for fits in tried
        ]
        if not np.isfinite(means).any():
            raise FloatingPointError(
                f"{self.label}: no candidate is finite in {self.splits[fold].name}: {tried[0][0].fault}"
            )
        return int(np.nanargmin(means))

    def rows(self) -> list[dict[str, Any]]:
        """The table's rows.

        Raises:
            FloatingPointError: a model that was to answer diverged.
        """
        rows = []
        for fold, split in enumerate(self.splits):
            choice = self.choice(fold)
            tried = [f for k in range(len(self.candidates)) for f in self.of(k, fold, self.seeds[0])]
            for seed in self.seeds:
                fits = self.of(choice, fold, seed)
                for fault in [f.fault for f in fits if f.fault]:
                    raise FloatingPointError(f"{self.label}, {split.name}, seed {seed}: {fault}")
                seconds = sum(f.seconds for f in (tried if seed == self.seeds[0] else fits))
                about = {"model": self.label, "seed": seed, "fold": split.name}
                shared = {
                    "epochs": float(np.mean([f.epochs for f in fits])),
                    "capped": float(np.mean([f.capped for f in fits])),
                    "choice": choice,
                }
                answer = np.mean([f.answers for f in fits], 0)
                for row in person_scores(self.data, split, answer):
                    share = row["windows"] / len(split.test)
                    rows.append(about | row | shared | {"seconds": seconds * share})
        return rows

    def fits(self) -> list[dict[str, Any]]:
        """What was trained, fit by fit."""
        return [
            {"model": self.label, "candidate": k, "settings": shown(self.candidates[k], 500), "seed": seed}
            | {"fold": self.splits[fold].name, "group": group, "validation_kl": f.validation_kl}
            | {"validation_windows": f.validation_windows, "epochs": f.epochs, "capped": f.capped, "seconds": f.seconds}
            for (k, fold, group, seed), f in sorted(self.done.items())
        ]
