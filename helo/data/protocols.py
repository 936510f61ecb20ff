"""Protocols: which people and which clips the test side shares with the training side.

| protocol | the person was seen | the clip was seen | what a good answer shows |
|---|---|---|---|
| `both` | no | no | that an emotion was recognised |
| `by_subject` | no | yes | that an emotion was, or the clip that goes with it |
| `by_trial` | yes | by other people | that, of a known person |
| `random_windows` | yes | yes, in this very viewing | memory |

Windows of one trial (one person's viewing of a clip) share a label (or have like ones, where ratings went on in time)
and, where they overlap, share signal; all but `random_windows` keep them together.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from helo.data.emotion_data import EmotionData
from helo.data.split import Split, apart


def by_subject(data: EmotionData, folds: int | None = None, validation: float = 0.2, seed: int = 0) -> list[Split]:
    """Test people the model has never seen.

    Args:
        data: the data set.
        folds: number of folds; None leaves one subject out at a time.
        validation: share of the training subjects held out for early stopping (at least one; 0: none).
        seed: which subjects go where.

    Raises:
        ValueError: fewer than two subjects, or more folds than subjects.
    """
    return _grouped(data, data.subjects, "subject", folds, validation, seed)


def by_trial(data: EmotionData, folds: int | None = 5, validation: float = 0.2, seed: int = 0) -> list[Split]:
    """Test one person's viewing of a clip; a trial (subject and clip) stays together.

    The person's other trials, and all other viewings of this clip, may be in training; windows of the other trials
    that overlap tested ones in time are not. Arguments and errors as in `by_subject`, with trials in place of subjects;
    and a ValueError where that leaves nothing to train on.
    """
    return [apart(data, split) for split in _grouped(data, data.trial_ids, "trial", folds, validation, seed)]


def random_windows(data: EmotionData, folds: int = 5, validation: float = 0.2, seed: int = 0) -> list[Split]:
    """Random windows: LEAKS. Windows of one clip, with one label, stand on both sides; for comparison only."""
    warnings.warn(
        "random_windows leaks: windows of one clip stand in training and test; use by_subject or by_trial to measure",
        stacklevel=2,
    )
    return _grouped(data, np.arange(len(data)).astype(str), "window", folds, validation, seed)


def both(
    data: EmotionData, folds: int | Sequence[int] | None = None, validation: float = 0.2, seed: int = 0
) -> list[Split]:
    """Test people the model has never seen, with clips (`data.clip_ids`) that nobody in training has seen.

    Folds of people times folds of clips: a split tests one fold of people on one fold of clips, and trains on the other
    people with the other clips; what is left, known people with new clips and new people with known ones, lies idle.
    Every window is tested exactly once. A pair of folds without a window in common is left out.

    Validation is by the same kind of novelty where there are clips enough: people of the training side, and those clips
    of theirs that the other training people are not trained on. Where the share amounts to fewer than two clips,
    training would lose much for a stop that hangs on one clip: then it is people alone, with all the training clips.

    Args:
        data: the data set.
        folds: of people and of clips, one number for both or two; None: five, or as many as there are.
        validation: share of the training side's people, and of its clips, held out for early stopping; 0: none.
        seed: who and what go where.

    Raises:
        ValueError: fewer than two people or clips, more folds than there are, or a split with nothing to train on.
    """
    people, clips = (np.unique(names).tolist() for names in (data.subjects, data.clip_ids))
    given = tuple(folds) if isinstance(folds, Sequence) else (folds, folds)
    many = [n or min(5, max(2, len(names))) for n, names in zip(given, (people, clips), strict=True)]
    _check(data, people, "subject", many[0])
    _check(data, clips, "clip", many[1])
    rng = np.random.default_rng(seed)
    people, clips = shuffled(people, rng), shuffled(clips, rng)
    splits = []
    for i in range(many[0]):
        for j in range(many[1]):
            tested, shown = people[i :: many[0]], clips[j :: many[1]]
            name = f"both-people{i + 1}of{many[0]}-clips{j + 1}of{many[1]}"
            test = np.isin(data.subjects, tested) & np.isin(data.clip_ids, shown)
            if not test.any():
                continue
            rest = ~np.isin(data.subjects, tested) & ~np.isin(data.clip_ids, shown)
            if not rest.any():
                raise ValueError(f"{data.name}, {name}: no other person has another clip; expected one to train on")
            held = _held_by_both(data, rest, validation, (seed, i, j))
            splits.append(Split(name, *(np.flatnonzero(side) for side in (*held, test))))
    return splits


def _held_by_both(data, rest, validation, seed):
    """What is trained on, and what is held out, of the rest."""
    rng = np.random.default_rng(seed)
    people, clips = (np.unique(names[rest]) for names in (data.subjects, data.clip_ids))
    new_people = np.isin(data.subjects, held_out(people, validation, rng))
    if round(validation * len(clips)) >= 2:
        new_clips = np.isin(data.clip_ids, held_out(clips, validation, rng))
        train, held = rest & ~new_people & ~new_clips, rest & new_people & new_clips
        if train.any() and held.any():
            return train, held
    return rest & ~new_people, rest & new_people


def _grouped(data, groups, what, folds, validation, seed):
    names = sorted(np.unique(groups), key=_natural)
    _check(data, names, what, folds)
    mixed = shuffled(names, np.random.default_rng(seed))
    tests = [[n] for n in names] if folds is None else [sorted(mixed[k::folds], key=_natural) for k in range(folds)]
    splits = []
    for k, test in enumerate(tests):
        rest = [name for name in names if name not in set(test)]
        side = np.where(np.isin(groups, held_out(rest, validation, np.random.default_rng((seed, k)))), 0, 1)
        side[np.isin(groups, test)] = 2
        name = f"{what}-{test[0]}" if len(test) == 1 else f"{what}s-fold{k + 1}of{len(tests)}"
        splits.append(Split(name, *(np.flatnonzero(side == s) for s in (1, 0, 2))))
    return splits


def _check(data, names, what, folds):
    if len(names) < 2:
        raise ValueError(f"{data.name}: splitting by {what} found one {what} ({names[0]}); expected at least two")
    if folds is not None and not 2 <= folds <= len(names):
        raise ValueError(f"{data.name}: folds is {folds}; expected 2 to {len(names)}, the number of {what}s")


def shuffled(names: Iterable[str], rng: np.random.Generator) -> list[str]:
    """The names in an order that hangs on the generator alone, not on theirs."""
    ordered = sorted(names, key=_natural)
    return [ordered[i] for i in rng.permutation(len(ordered))]


def held_out(names: Iterable[str], share: float, rng: np.random.Generator) -> list[str]:
    """A share of the names, at least one and never all; none of a single name.

    Raises:
        ValueError: a share below 0, or 1 and above.
    """
    if not 0 <= share < 1:
        raise ValueError(f"validation is {share}; expected a share of the training side, 0 <= validation < 1")
    names = shuffled(names, rng)
    count = 0 if share == 0 or len(names) < 2 else min(max(1, round(share * len(names))), len(names) - 1)
    return names[:count]


def _natural(name):
    """S2 before S10."""
    digits = "".join(c for c in name if c.isdigit())
    return (
        name.rstrip("0123456789"),
        int(digits) if digits and name.rstrip("0123456789") + digits == name else -1,
        name,
    )
