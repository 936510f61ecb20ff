"""Ratings and votes of a table: columns of numbers or of names, one emotion or one rater each."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helo.data.card import matching
from helo.data.columns import NAME, check_spelling, names, numbers, one_value, some

Columns = Mapping[str, np.ndarray]
#: most emotions
EMOTIONS = 1000
#: what a questionnaire's file may hold in the place of a rating that is missing, and how far above the others it is
CODES, FAR = (77, 88, 99, 777, 888, 999, 9999, 99999, 999999), 5


def ratings(
    path: Path, columns: Columns, card: Mapping, floor: float, told: str
) -> tuple[np.ndarray, list[str], set[str]]:
    """Ratings above the floor, or votes, (windows, emotions); the emotions' names; the columns that were used.

    Raises:
        ValueError: naming file, column and row.
    """
    ignored, own = set(matching(list(columns), card.get("ignore", []), told)), set(card.get("emotions", {}).values())
    columns = {c: x for c, x in columns.items() if c not in ignored}
    votes = [c for c in columns if c.startswith("vote.") and c not in own]
    rated = [c for c in columns if c in own or c == "ratings" or c.startswith("emotion.")]
    if votes and rated:
        raise ValueError(
            f"{path}: votes ({some(votes)}) and ratings ({some(rated)}); expected one of them: name the other's "
            f"columns in {told} under ignore"
        )
    if "ratings" in columns:
        given, used = _of_arrays(path, columns), {"ratings", "emotions"}
    elif votes:
        counts, emotions = _count_votes(path, {c: columns[c] for c in votes}, list(card.get("emotions", {})))
        return counts, emotions, set(votes)
    else:
        given, used = _of_columns(path, columns, card)
    if not 2 <= len(given) <= EMOTIONS:
        raise ValueError(
            f"{path}: {len(given)} emotions; expected at least two and at most {EMOTIONS}, as columns emotion.<name> "
            "or vote.<rater>, as the arrays 'ratings' and 'emotions', or in a card"
        )
    if len(longest := max(given, key=len)) > NAME:
        raise ValueError(f"{path}: an emotion's name has {len(longest)} letters; expected at most {NAME}")
    check_spelling(path, "the emotions", given)
    _check_scale(path, given, card.get("scale"), told)
    _refuse(path, given, lambda x: x < floor, f"expected at least the floor, {floor:g}; a missing one is an empty cell")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean over no rater is NaN, and named below
        found = np.stack([np.nanmean(np.stack(raters), 0) for raters in given.values()], 1) - floor
    return found, list(given), used


def _of_arrays(path, columns):
    values = columns["ratings"]
    if values.ndim != 2 or "emotions" not in columns or columns["emotions"].dtype.kind != "U":
        raise ValueError(f"{path}: expected 'ratings' (windows, emotions) and 'emotions', their names")
    emotions = [str(e).strip() for e in columns["emotions"].ravel()]
    if len(emotions) != values.shape[1] or len(set(emotions)) < len(emotions):
        raise ValueError(
            f"{path}: {len(emotions)} emotions, {len(set(emotions))} different ones; 'ratings' has {values.shape[1]} "
            "columns"
        )
    values = numbers(path, "ratings", values)
    return {e: [values[:, k]] for k, e in enumerate(emotions)}


def _of_columns(path, columns, card):
    """Emotion -> its raters' numbers."""
    wanted = card.get("emotions") or {
        c.split(".")[1]: f"emotion.{c.split('.')[1]}" for c in columns if c.startswith("emotion.") and c.count(".") < 3
    }
    if len(wanted) > EMOTIONS:
        raise ValueError(f"{path}: {len(wanted)} emotions; expected at most {EMOTIONS}")
    asked = set(wanted.values())
    lengths = sorted({len(name) for name in asked})
    raters: dict[str, list[str]] = {}
    for c in columns:  # a column is an emotion's own, or that of one of its raters
        for k in lengths:
            if c[:k] in asked and c[k : k + 1] in ("", "."):
                raters.setdefault(c[:k], []).append(c)
    given, used = {}, set()
    for emotion, column in wanted.items():
        if column not in raters:
            raise ValueError(f"{path}: no column {column!r} for the emotion {emotion!r}; found {some(columns)}")
        used |= set(raters[column])
        given[emotion] = [numbers(path, c, one_value(path, c, columns[c])) for c in raters[column]]
    return given, used


def _refuse(path, given, wrong, why):
    """Refuse the first rating, of any rater, that is wrong: a mean over raters, windows or times would hide it."""
    every = [(emotion, values) for emotion, raters in given.items() for values in raters]
    found = np.stack([wrong(values) for _, values in every], 1)
    if found.any():
        row, k = np.argwhere(found)[0]
        emotion, values = every[k]
        raise ValueError(f"{path}: the rating of {emotion!r} in row {row} is {values[row]:g}; {why}")


def _check_scale(path, given, scale, told):
    """No rating outside the card's scale; without one, none that looks like a code for a missing rating."""

    if scale:
        told = f"the card's scale is {scale[0]:g} to {scale[1]:g}"
        _refuse(path, given, lambda x: (x < scale[0]) | (x > scale[1]), told)
        return
    every = np.unique([x for raters in given.values() for values in raters for x in np.unique(values)])
    usual = every[np.isfinite(every) & ~np.isin(every, CODES)]
    most = usual.max(initial=0)
    for code in every[np.isin(every, CODES)]:
        if most > 0 and code >= FAR * most:
            why = f"the others are at most {most:g}. If it stands for a missing one, leave the cell empty; if not, "
            why += f"say so in {told}, scale: [{usual.min():g}, {code:g}]"
            _refuse(path, given, lambda x, code=code: x == code, why)


def _count_votes(path, votes, emotions):
    chosen = np.stack([names(path, c, x) for c, x in votes.items()], 1)
    found = sorted(set(chosen.ravel().tolist()) - {""})
    check_spelling(path, "the votes", found)
    emotions = emotions or found
    unknown = sorted(set(found) - set(emotions))
    if unknown:
        raise ValueError(f"{path}: votes for {some(unknown)}; the card's emotions are {some(emotions)}")
    if not 2 <= len(emotions) <= EMOTIONS:
        raise ValueError(f"{path}: votes name {len(emotions)} emotions; expected 2 to {EMOTIONS}")
    place = {e: k for k, e in enumerate(["", *emotions])}
    codes = np.vectorize(place.__getitem__, otypes=[np.int64])(chosen)
    counts = np.stack([np.bincount(row, minlength=len(place))[1:] for row in codes]).astype(float)
    if (counts.sum(1) == 0).any():
        raise ValueError(f"{path}: row {int(np.argmin(counts.sum(1)))} has no vote; expected at least one")
    return counts, emotions
