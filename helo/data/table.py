"""Your own data: a table of windows, one row a window, as CSV, Parquet, NPZ or MATLAB's .mat.

Columns of a CSV or Parquet file:

    subject, trial                  who, and which clip or condition (all windows of one clip share it); both are needed
    clip                            where a person's trials of one clip are several: its name
    condition, start                what was shown, comparable between people; start in the recording in seconds
    <modality>.<feature>            eda.mean; an empty cell means the window lacks the modality
    <modality>.<feature>.<token>    eda.mean.1, eda.mean.2, ...: segments of the window, numbered from 1 (or 0);
                                    tokens of another name are named in a card; face.pose.x is a feature. Beside them
                                    eda.mean, of the whole window, is refused
    emotion.<name>                  a rating, a number of votes or a share, at least 0
    emotion.<name>.<rater>          the same by several people: the mean of those who rated
    vote.<rater>                    several people's choices, each the name of one emotion; empty: no vote

Arrays of an NPZ or .mat file: any of the above, and in their place

    <modality>                      (windows, features) or (windows, tokens, features)
    ratings, emotions               (windows, emotions), and the emotions' names

A CSV file may have semicolons or tabs, and then decimal commas; a column that only counts the rows is passed over. NA,
NULL, nan and n/a are empty cells, and so is None but for votes and conditions. What
cannot be read (a structure or cell array of MATLAB's, a list or a time in Parquet) is refused unless a card ignores it.
`helo.data.table_files` has the limits of size and how they are raised.

A card, a small YAML file or a dictionary, says what the names do not. Every key may be left out:

    name: my study
    subject: participant            # the column that says who; so also trial, clip, condition, start
    window: 5                       # length of a window in seconds
    modalities:                     # modality -> its columns (patterns allowed) and its role, or its role alone
      eda: {columns: [scl, "scr_*"], role: physiological}
      eye: behavioral               # its columns are eye.<feature>; modalities that are not named here are found too
      eeg: {tokens: [Fp1, Cz]}      # eeg.theta.Fp1: the tokens, in this order
      bvp: {rate: 64, kind: pulse, tokens: 6}   # NPZ, .mat: raw samples (windows, samples), 64 a second, or (windows,
                                    # samples, 3) of movement; kinds: helo.data.card.KINDS; a token has at least 2 s
    emotions: {happy: q1, sad: q2}  # emotion -> its column
    scale: [1, 9]                   # the least and the most of a rating; another one is refused
    query: eda
    ignore: [age, "note_*"]         # columns to pass over
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helo.data import signals as signals_of
from helo.data import table_signals
from helo.data.card import ROLES, matching, read_card
from helo.data.columns import COLUMNS, finite, labels, numbers, short, some
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, ratings_to_distributions
from helo.data.table_files import READERS
from helo.data.table_ratings import ratings
from helo.data.table_signals import GAPS
from helo.reading import expanded, regular


def load(
    path: str | Path,
    card: str | Path | Mapping | None = None,
    floor: float = 0.0,
    smoothing: float = 0.0,
    normalise: str = "none",
    gaps: str = "mask",
) -> EmotionData:
    """Load your own data from one file; this module's docstring gives the columns and the card.

    Args:
        path: a .csv, .parquet, .npz or .mat file.
        card: a YAML file or a dictionary. Default: the file of the same name that ends in .yaml or .yml, or nothing.
        floor: the rating that means "not at all"; it is subtracted from every rating.
        smoothing: added to every emotion's rating or votes before dividing by their sum.
        normalise: "none", or "subject" to centre and scale every feature by the person's own windows, without labels.
        gaps: where a feature is empty and others of its token are not (`helo.data.table_signals.without_gaps`): "mask"
            leaves the token out, and says so; "mean" fills in the person's mean and adds a feature that says so;
            "drop" leaves the feature out of every window.

    Raises:
        MissingFile: no such file.
        ValueError: the message names file, column, row (0 is the first below the header), found and expected.
    """
    path = _regular(path)
    _check_options(floor, smoothing, normalise, gaps)
    said, told = read_card(path, card)
    columns = _read(path, said, told)
    names = _names(path, columns, said, told)
    about = {what: labels(path, c, columns[c]) for what, c in names.items() if what != "start" and c in columns}
    rated, emotions, used = ratings(path, columns, said, floor, told)
    groups = table_signals.group(path, columns, said, used.union(names.values()), told)
    known = used.union(names.values(), *groups.values())
    _refuse_left(path, [c for c in columns if c not in known], said, told)
    roles = _roles(path, told, said, list(groups))
    found, signals, masks = {}, {}, {}
    for m, own in groups.items():
        given = table_signals.read(path, columns, m, own, said["modalities"].get(m, {}))
        found[m] = table_signals.without_gaps(path, m, given, about["subject"], gaps)
        signals[m], masks[m] = table_signals.masked(path, m, found[m].x)
    if normalise == "subject":
        _refuse_single(path, about["subject"])
        signals = {m: signals_of.normalise_by_subject(x, masks[m], about["subject"]) for m, x in signals.items()}
    return EmotionData(
        name=said.get("name", path.stem),
        signals=signals,
        masks=masks,
        distributions=ratings_to_distributions(rated + smoothing, str(path), emotions),
        emotions=tuple(emotions),
        subjects=about["subject"],
        trials=about["trial"],
        clips=about.get("clip"),
        conditions=about.get("condition"),
        starts=_starts(path, names["start"], columns),
        window=said.get("window"),
        roles=roles,
        query=said.get("query"),
        features={m: modality.features for m, modality in found.items() if modality.features},
        tokens={m: modality.tokens for m, modality in found.items() if modality.tokens},
    )


def _regular(path: str | Path) -> Path:
    path = expanded(path)
    if path.exists() and path.suffix.lower() not in READERS:
        raise ValueError(f"{path}: ends in {path.suffix[:50]!r}; expected one of {list(READERS)}")
    return regular(path, expected="a .csv, .parquet, .npz or .mat file")


def _check_options(floor, smoothing, normalise, gaps):
    for name, value, known in (("normalise", normalise, ("none", "subject")), ("gaps", gaps, GAPS)):
        if value not in known:
            raise ValueError(f"{name} is {short(value)}; expected one of {list(known)}")
    if not (0 <= smoothing < np.inf and -np.inf < floor < np.inf):
        raise ValueError(f"floor is {floor} and smoothing {smoothing}; expected numbers, smoothing at least 0")


def _read(path, card, told):
    """The file's columns; what is no array of numbers or text is never passed over without a word."""
    names = {
        what: card.get(what, what) for what in COLUMNS if what != "start" and (what != "clip" or _clip(card, told))
    }
    condition = names.pop("condition")
    columns, others = READERS[path.suffix.lower()](path, tuple(names.values()), (condition,))
    ignored = set(matching(list(others), card.get("ignore", []), told))
    left = {name: kind for name, kind in others.items() if name not in ignored}
    if left:
        name, kind = next(iter(left.items()))
        more = f" (and {some(list(left)[1:])} likewise)" if len(left) > 1 else ""
        raise ValueError(
            f"{path}: {name!r} is {kind}, which is not read{more}; expected numbers (times in seconds) or text. Save "
            f"it so, or name it in {told} under ignore"
        )
    return columns


def _refuse_left(path, left, card, told):
    ignored = set(matching(left, card.get("ignore", []), told))
    left = [c for c in left if c not in ignored]
    if left:
        raise ValueError(
            f"{path}: {some(left)} are no modality.feature, emotion.name, vote.rater, subject, trial, clip, condition "
            f"or start; rename them, or name them in {told} under modalities or ignore"
        )


def _refuse_single(path, subjects):
    people, counts = np.unique(subjects, return_counts=True)
    if (alone := counts == 1).any():
        raise ValueError(
            f"{path}: normalise is 'subject', and {alone.sum()} of {len(people)} people, such as "
            f"{str(people[np.argmax(alone)])!r}, have a single window, which would become all zeros; leave them out, "
            "or use normalise='none'"
        )


def _starts(path, name, columns):
    return finite(path, name, numbers(path, name, columns[name])) if name in columns else None


def _names(path, columns, card, told):
    """What a row is about -> its column's name; every column has a row for each window."""
    names = {what: card.get(what, what) for what in COLUMNS if what != "clip" or _clip(card, told)}
    for what, column in names.items():
        if column not in columns and (what in card or what in ("subject", "trial")):
            raise ValueError(
                f"{path}: no column {column!r} for the {what}; found {some(columns)}. "
                f"Add it, or name the {what}'s column in {told}"
            )
    n = columns[names["subject"]].size
    for column, values in columns.items():
        if column != "emotions" and (values.ndim == 0 or len(values) != n):
            raise ValueError(f"{path}: {column!r} has shape {values.shape}; expected {n} rows, as the subjects")
    return names


def _clip(card, told):
    """Whether a column called clip names the clip: not where the card ignores it, or gives it to a modality."""
    given = card.get("modalities") or {}
    elsewhere = [*card.get("ignore", []), *(c for entry in given.values() for c in entry.get("columns", []))]
    return "clip" in card or not ("clip" in given or matching(["clip"], elsewhere, told))


def _roles(path, told, card, modalities):
    """Role -> modalities: as the card says, or as their names do."""
    roles: dict[str, list[str]] = {PHYSIOLOGICAL: [], BEHAVIORAL: []}
    unknown = []
    for m in modalities:
        parts = set(m.lower().replace("-", "_").split("_"))
        known = [role for role, words in ROLES.items() if parts & words]
        role = card["modalities"].get(m, {}).get("role") or (known[0] if len(known) == 1 else None)
        if role is None:
            unknown.append(m)
        else:
            roles[role].append(m)
    if unknown:
        example = ", ".join(f"{m[:50]}: physiological" for m in unknown[:3])
        raise ValueError(
            f"{path}: is {some(unknown)} physiological or behavioral? The name does not say; give the role in {told}, "
            f"modalities: {{{example}}}"
        )
    return {role: tuple(ms) for role, ms in roles.items()}
