"""One model on all folds: its candidates, its fits as they come, what each fold's training people chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split
from helo.data.splits import nested
from helo.evaluation.attempts import unfed
from helo.evaluation.choice import candidates
from helo.evaluation.fits import Fitted, Job
from helo.evaluation.people import person_scores
from helo.measures import kl
from helo.models import is_closed_form
from helo.reading import shown

#: the group of a fit that took everybody on the training side
WHOLE = -1


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
    done: dict[tuple[int, int, int, int], Fitted] = field(default_factory=dict)  # candidate, fold, group or WHOLE, seed

    def __post_init__(self):
        self.model = self.entry["model"]
        self.closed = is_closed_form(self.model)
        if self.closed:  # what answers is solved once, with everybody
            self.seeds = self.seeds[:1]
        options = {k: v for k, v in self.entry.items() if k != "model"}
        self.candidates = candidates(self.model, self.count, options, self.training)
        if self.closed and len(self.candidates) > 1 and not self._can_be_judged():
            self.candidates = self.candidates[:1]

    @property
    def total(self) -> int:
        """Fits of both rounds."""
        many, each = len(self.candidates), max(self.groups, 1)
        if self.closed:
            return len(self.splits) * (many * each + 1 if many > 1 else 1)
        return len(self.splits) * each * (many + len(self.seeds) - 1)

    def parts(self, fold: int, seed: int) -> list[Split]:
        """The fold's split, or its groups."""
        split = self.splits[fold]
        return nested(self.data, split, self.groups, seed) if self.groups else [split]

    def judged(self, fold: int) -> list[Split]:
        """The same for a model that learns from its validation side too: it is asked about those who are held out.

        And about the test windows, for what is done with people who are known there (`within_person`) to be the same.
        """
        return [
            Split(f"{part.name}-judged", part.train, part.validation[:0], np.concatenate([part.validation, part.test]))
            for part in self.parts(fold, self.seeds[0])
        ]

    def _can_be_judged(self):
        """Whether the groups, smaller than the folds, can feed a closed form; it need not choose to answer."""
        try:
            parts = [part for fold in range(len(self.splits)) for part in self.judged(fold)]
        except ValueError:  # fewer trials than groups
            return False
        return unfed(self.entry, self.data, parts) is None

    def first_round(self) -> list[tuple[Job, list]]:
        """All candidates with the first seed, to choose from; all seeds of a model that has no choice."""
        if self.closed:
            return self._solved() if len(self.candidates) == 1 else self._judged()
        seeds = self.seeds if len(self.candidates) == 1 else self.seeds[:1]
        wanted = [(k, fold) for k in range(len(self.candidates)) for fold in range(len(self.splits))]
        return self._jobs([(k, fold, seed) for k, fold in wanted for seed in seeds])

    def second_round(self) -> list[tuple[Job, list]]:
        """What was chosen, with the other seeds; in closed form, with everybody."""
        if self.closed:
            return [] if len(self.candidates) == 1 else self._solved()
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

    def _judged(self):
        """A closed form's candidates, asked about each group in turn."""
        folds = range(len(self.splits))
        parts = [(part, fold, group) for fold in folds for group, part in enumerate(self.judged(fold))]
        seed = self.seeds[0]
        return [
            (
                Job(self.model, candidate.options, candidate.training, [(part, seed) for part, _, _ in parts]),
                [(k, fold, group, seed) for _, fold, group in parts],
            )
            for k, candidate in enumerate(self.candidates)
        ]

    def _solved(self):
        """What was chosen of a closed form, solved once a fold."""
        seed, jobs = self.seeds[0], []
        for fold, split in enumerate(self.splits):
            k = self.choice(fold)
            chosen = self.candidates[k]
            jobs.append((Job(self.model, chosen.options, chosen.training, [(split, seed)]), [(k, fold, WHOLE, seed)]))
        return jobs

    def of(self, candidate: int, fold: int, seed: int) -> list[Fitted]:
        if self.closed:
            return [self.done[candidate, fold, WHOLE, seed]]
        return [self.done[candidate, fold, group, seed] for group in range(max(self.groups, 1))]

    def choice(self, fold: int) -> int:
        """The candidate with the lowest KL over all validation windows of the fold, the first seed's.

        Raises:
            FloatingPointError: every candidate diverged.
        """
        if len(self.candidates) == 1:
            return 0
        tried = self._tried(fold)
        means = [
            np.average([f.validation_kl for f in fits], weights=[f.validation_windows for f in fits]) for fits in tried
        ]
        if not np.isfinite(means).any():
            raise FloatingPointError(
                f"{self.label}: no candidate is finite in {self.splits[fold].name}: {tried[0][0].fault}"
            )
        return int(np.nanargmin(means))

    def _tried(self, fold):
        """The fits that a fold's people chose by, candidate by candidate, with their KL on those who were held out."""
        seed = self.seeds[0]
        tried = [
            [self.done[k, fold, group, seed] for group in range(max(self.groups, 1))]
            for k in range(len(self.candidates))
        ]
        if not self.closed:
            return tried
        held = [part.validation for part in self.parts(fold, seed)]
        truths = [self.data.distributions[windows].astype(np.float64) for windows in held]
        return [[_held_out(f, truth) for f, truth in zip(fits, truths, strict=True)] for fits in tried]

    def rows(self) -> list[dict[str, Any]]:
        """The table's rows.

        Raises:
            FloatingPointError: a model that was to answer diverged.
        """
        rows = []
        for fold, split in enumerate(self.splits):
            choice = self.choice(fold)
            tried = [f for (_, of, _, seed), f in self.done.items() if (of, seed) == (fold, self.seeds[0])]
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
        judged = {}
        if self.closed and len(self.candidates) > 1:
            tried = {fold: self._tried(fold) for fold in range(len(self.splits))}
            judged = {key: tried[key[1]][key[0]][key[2]] for key in self.done if key[2] != WHOLE}
        return [
            {"model": self.label, "candidate": k, "settings": shown(self.candidates[k], 500), "seed": seed}
            | {"fold": self.splits[fold].name, "group": group, "validation_kl": f.validation_kl}
            | {"validation_windows": f.validation_windows, "epochs": f.epochs, "capped": f.capped, "seconds": f.seconds}
            | ({"broke": f.broke} if f.broke else {})
            for (k, fold, group, seed), f in sorted((self.done | judged).items(), key=lambda item: item[0])
        ]


def _held_out(fitted, truth):
    """What is kept of a closed form's fit, whose first test windows were those held out to judge it."""
    score = float(kl(truth, fitted.answers[: len(truth)].astype(np.float64)).mean())
    return replace(fitted, validation_kl=score, validation_windows=len(truth))
