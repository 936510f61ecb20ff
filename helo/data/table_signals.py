"""The modalities of a table: which columns belong together, which of them are tokens, what is missing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helo.data import signals as signals_of
from helo.data.card import KINDS, check_channels, matching
from helo.data.columns import numbers, some

Columns = Mapping[str, np.ndarray]
#: What to do with a feature that is empty where others of its token are not.
GAPS = ("mask", "mean", "drop")


class Modality(NamedTuple):
    """Values (windows, tokens, features), NaN where empty; names, None where the file has none."""

    x: np.ndarray
    features: tuple[str, ...] | None
    tokens: tuple[str, ...] | None


def group(path: Path, columns: Columns, card: Mapping, used: set[str], told: str) -> dict[str, list[str]]:
    """Modality -> its columns: those that the card gives it, else those that begin with its name.

    Raises:
        ValueError: a column of two modalities, a modality without a column, or no modality at all.
    """
    given = card.get("modalities") or {}
    ignored = set(matching(list(columns), card.get("ignore", []), told))
    free = [c for c in columns if c not in used and c not in ignored]
    groups: dict[str, list[str]] = {modality: [] for modality in given}
    owner: dict[str, str] = {}
    for modality, entry in given.items():
        for c in matching(free, entry["columns"], told) if "columns" in entry else ():
            if c in owner:
                raise ValueError(f"{path}: {c!r} is in {told} a column of {owner[c]!r} and of {modality!r}")
            owner[c] = modality
            groups[modality].append(c)
    for c in free:
        name = c.split(".")[0]
        if (
            c not in owner
            and "columns" not in given.get(name, {})
            and (name in given or "." in c or columns[c].ndim > 1)
        ):
            groups.setdefault(name, []).append(c)
    for modality, members in groups.items():
        if not members:
            wanted = given[modality].get("columns", [modality, f"{modality}.*"])
            raise ValueError(f"{path}: no column of {modality!r}: {some(wanted)}; found {some(free)}")
    if not groups:
        raise ValueError(f"{path}: no signals; expected columns named modality.feature, such as eda.mean")
    return groups


def read(path: Path, columns: Columns, modality: str, members: list[str], entry: Mapping) -> Modality:
    """A modality's values, of one array or of columns.

    Raises:
        ValueError: an array of another shape; a feature without one of the tokens; a value that is no number.
    """
    whole = [c for c in members if columns[c].ndim > 1]
    if len(whole) > 1 or (whole and len(members) > 1):
        raise ValueError(f"{path}: {modality!r} is {some(members)}; expected one array or columns, not both")
    if not whole:
        return _grid(path, modality, members, columns, entry)
    x = numbers(path, whole[0], columns[whole[0]])
    if x.ndim not in (2, 3) or x.size == 0:
        raise ValueError(
            f"{path}: {whole[0]!r} has shape {x.shape}; expected (windows, features) or (windows, tokens, features)"
        )
    features = None
    if "rate" in entry:
        x, features = _raw(path, whole[0], x, entry)
    return Modality(x[:, None] if x.ndim == 2 else x, features, None)


def without_gaps(path: Path, modality: str, found: Modality, subjects: np.ndarray, gaps: str) -> Modality:
    """What is done where a feature is empty and others of its token are not.

    Args:
        path, modality: for messages.
        found: the modality's values.
        subjects: who each window is of.
        gaps: "mask" leaves all as it is: the token is unusable. "mean" fills in the mean of the person's other windows,
            or everybody's where the person has none (no label enters it; other people's windows, of the test side too,
            only then), and adds a feature that is 1 where it did. "drop" leaves such features out.
    """
    x, missing = found.x, np.isnan(found.x)
    there = ~missing.all(2)  # tokens
    torn = missing & there[..., None]
    names = found.features or tuple(str(k + 1) for k in range(x.shape[2]))
    of = np.flatnonzero(torn.any((0, 1)))
    if not len(of):
        return found
    worst = of[np.argsort(-torn.any(1).sum(0)[of], kind="stable")]
    if gaps == "mask":
        windows = int(torn.any((1, 2)).sum())
        warnings.warn(
            f"{path}: {modality!r} is lost, or a token of it, in {windows} of {len(x)} windows where some features are "
            f"empty and others are not, most often {some(names[k] for k in worst[:3])}; gaps='mean' fills these in, "
            "gaps='drop' leaves such features out",
            stacklevel=4,
        )
        return found
    if gaps == "drop":
        kept = np.setdiff1d(np.arange(x.shape[2]), of)
        if not len(kept):
            raise ValueError(
                f"{path}: every feature of {modality!r} is empty somewhere; expected gaps 'mask' or 'mean'"
            )
        warnings.warn(f"{path}: {modality!r} without {some(names[k] for k in worst)}, which have gaps", stacklevel=4)
        return Modality(x[..., kept], tuple(names[k] for k in kept), found.tokens)
    if (never := missing.all(0) & there.any(0)[:, None]).any():
        name = names[int(np.argmax(never.any(0)))]
        raise ValueError(f"{path}: {modality!r} has a feature without any value, {name!r}; leave it out (ignore)")
    filled = np.where(torn, _own_means(x, subjects), x)
    flags = np.where(there[..., None], torn[..., of].astype(float), np.nan)
    told = tuple(f"{names[k]} missing" for k in of)
    return Modality(np.concatenate([filled, flags], 2), names + told, found.tokens)


def _own_means(x, subjects):
    """For each window, the mean of every token's features over the person's windows, else over everybody's."""
    from scipy.sparse import csr_array

    who, flat = np.unique(subjects, return_inverse=True)[1], x.reshape(len(x), -1)
    by_person = csr_array((np.ones(len(x)), (who, np.arange(len(x)))))
    there = ~np.isnan(flat)
    sums, counts = by_person @ np.where(there, flat, 0), by_person @ there.astype(float)
    everybody = sums.sum(0) / np.maximum(counts.sum(0), 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), everybody)
    return means[who].reshape(x.shape)


def masked(path: Path, modality: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signals in float32, 0 where a token is not there, and the mask; one missing feature makes a token unusable.

    Raises:
        ValueError: a value that is infinite, or that float32 cannot hold.
    """
    mask = ~np.isnan(x).any(2)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is named below
        x = np.where(mask[..., None], x, 0).astype(np.float32)
    if not np.isfinite(x).all():
        window = int(np.argmin(np.isfinite(x).all((1, 2))))
        raise ValueError(f"{path}: modality {modality!r}, row {window}, is infinite; expected numbers or an empty cell")
    return x, mask


def _raw(path, column, x, entry):
    """Features (windows, tokens, features) of raw samples, NaN where there are none, and their names."""
    rate, count = float(entry["rate"]), entry.get("tokens", 1)
    x = x[..., None] if x.ndim == 2 else x
    check_channels(f"{path}: {column!r}", entry["kind"], x.shape[2])
    length = x.shape[1] / rate
    if length / count < 2:
        raise ValueError(f"{path}: {column!r} has {length:.1f} s in {count} tokens; expected at least 2 s in each")
    cut = signals_of.Tokens.of(np.zeros(1), length, count)
    found: list[np.ndarray | None] = []
    names: tuple[str, ...] = ()
    for window, samples in enumerate(x):
        if np.isnan(samples).any():
            found.append(None)
            continue
        try:
            made = KINDS[entry["kind"]](samples, rate, cut)
        except Exception as error:  # NeuroKit2 and SciPy fail in many ways on signals that are none
            raise ValueError(
                f"{path}: {column!r}, row {window}: no features ({type(error).__name__}: {error})"
            ) from None
        found.append(np.where(made.mask[0][:, None], made.values[0], np.nan))
        names = made.names
    if not names:
        raise ValueError(f"{path}: {column!r} is NaN in every window; expected samples")
    missing = np.isnan(x)
    torn = missing.any((1, 2)) & ~missing.all((1, 2))
    if torn.any():
        told = (
            f"windows, whose samples are NaN in places, such as row {int(np.argmax(torn))}; fill them in to keep these"
        )
        warnings.warn(f"{path}: {column!r} is lost in {torn.sum()} of {len(x)} {told}", stacklevel=5)
    nothing = np.full((count, len(names)), np.nan)
    return np.stack([nothing if x is None else x for x in found]), names


def _grid(path, modality, members, columns, entry):
    """Columns modality.feature.token as (windows, tokens, features); columns that a card lists are features."""
    place = _places(path, modality, members, entry)
    names = list(dict.fromkeys(f for f, _ in place))
    # numbers are in time, whatever order the columns have
    rows = entry["tokens"] if "tokens" in entry else sorted({t for _, t in place}, key=lambda t: int(t or 0))
    if len(rows) * len(names) != len(place) or set(rows) != {t for _, t in place}:
        feature, token = next(((f, t) for t in rows for f in names if (f, t) not in place), ("", ""))
        raise ValueError(
            f"{path}: {modality!r} has {some(rows)} as tokens and no column {modality}.{feature}.{token}; expected "
            "each feature for each token"
        )
    x = np.stack([[numbers(path, c, columns[c]) for c in (place[f, t] for f in names)] for t in rows])
    return Modality(x.transpose(2, 0, 1), tuple(names), tuple(t or "1" for t in rows))


def _places(path, modality, members, entry):
    """(feature, token) -> column. What follows the last dot is a token where it is one of the card's tokens, or where
    all such are the numbers from 0 or 1 on; else it belongs to the feature's name."""
    if "columns" in entry and "tokens" not in entry:
        return {(c, ""): c for c in members}
    rest = {c: c if "columns" in entry else c.partition(".")[2] for c in members}
    ends = {c: c.rpartition(".")[2] for c in rest.values() if "." in c}
    numbered = set(ends.values())
    known = set(entry.get("tokens", ())) or {
        str(k) for k in range(int("0" not in numbered), len(numbered) + int("0" not in numbered))
    }
    if numbered and numbered <= known:
        _refuse_whole(path, modality, {r: c for c, r in rest.items()})
        return {(r.rpartition(".")[0], ends[r]): c for c, r in rest.items()}
    features = {r.rpartition(".")[0] for r in ends}
    if (
        "tokens" not in entry
        and len(ends) == len(rest) == len(features) * len(numbered)
        and len(features) > 1 < len(numbered)
    ):
        warnings.warn(
            f"{path}: {modality!r} is read as {len(rest)} features of one token; if {some(sorted(numbered))} are "
            f"tokens, say so in a card, modalities: {{{modality}: {{tokens: [...]}}}}",
            stacklevel=5,
        )
    return {(r, ""): c for c, r in rest.items()}


def _refuse_whole(path, modality, columns):
    """Refuse what says something of a whole window beside what does of its tokens: it would become one of them."""
    whole = dict.fromkeys(r for r in columns if "." not in r)
    if whole:
        parts = [r for r in columns if "." in r]
        part = next((r for r in parts if r.rpartition(".")[0] in whole), parts[0])
        one = part.rpartition(".")[0] if part.rpartition(".")[0] in whole else next(iter(whole))
        raise ValueError(
            f"{path}: in {modality!r} {columns[one]!r} is of the whole window, {columns[part]!r} of a token of it; "
            "expected one or the other. A card may ignore one, give it to another modality, or list both under columns"
        )
