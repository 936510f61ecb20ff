"""Your own data: a table of windows, one row a window, as CSV, Parquet, NPZ or MATLAB's .mat.

Columns of a CSV or Parquet file:

    subject, trial                  who, and which clip or condition (all windows of one clip share it); both are needed
    condition, start                what was shown, comparable between people; start in the recording in seconds
    <modality>.<feature>            eda.mean; an empty cell means the window lacks the modality
    <modality>.<feature>.<token>    eda.mean.1, eda.mean.2, ...: segments of the window, in the file's order
    emotion.<name>                  a rating, a number of votes or a share, at least 0
    emotion.<name>.<rater>          the same by several people: the mean of those who rated
    vote.<rater>                    several people's choices, each the name of one emotion; empty: no vote

Arrays of an NPZ or .mat file: any of the above, and in their place

    <modality>                      (windows, features) or (windows, tokens, features)
    ratings, emotions               (windows, emotions), and the emotions' names

A card, a small YAML file or a dictionary, says what the names do not. Every key may be left out:

    name: my study
    subject: participant            # the column that says who; so also trial, condition, start
    window: 5                       # length of a window in seconds
    modalities:                     # modality -> its columns (patterns allowed) and its role
      eda: {columns: [scl, "scr_*"], role: physiological}
      face: {columns: ["AU*"], role: behavioral}
      bvp: {rate: 64, kind: pulse, tokens: 6}   # NPZ, .mat: raw samples (windows, samples), 64 a second; see KINDS
    emotions: {happy: q1, sad: q2}  # emotion -> its column
    query: eda
    ignore: [age, "note_*"]         # columns to pass over
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from helo.data import signals as signals_of
from helo.data.card import KINDS, ROLES, read_card
from helo.data.columns import COLUMNS, READERS, finite, labels, numbers, one_value, some, text
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, ratings_to_distributions
from helo.files import MissingFile


def load(
    path: str | Path,
    card: str | Path | Mapping | None = None,
    floor: float = 0.0,
    smoothing: float = 0.0,
    normalise: str = "none",
) -> EmotionData:
    """Load your own data from one file; this module's docstring gives the columns and the card.

    Args:
        path: a .csv, .parquet, .npz or .mat file.
        card: a YAML file or a dictionary. Default: the file of the same name that ends in .yaml, if there is one; else
            the columns speak for themselves.
        floor: the rating that means "not at all"; it is subtracted from every rating.
        smoothing: added to every emotion's rating or votes before dividing by their sum.
        normalise: "none", or "subject" to centre and scale every feature by the person's own windows, without labels.

    Raises:
        MissingFile: no such file.
        ValueError: the message names file, column, row (0 is the first below the header), found and expected.
    """
    path = _readable(Path(path).expanduser())
    if normalise not in ("none", "subject"):
        raise ValueError(f"normalise is {normalise!r}; expected 'none' or 'subject'")
    if not (0 <= smoothing < np.inf and -np.inf < floor < np.inf):
        raise ValueError(f"floor is {floor} and smoothing {smoothing}; expected numbers, smoothing at least 0")
    said, told = read_card(path, card)
    columns = READERS[path.suffix.lower()](path)
    names = _names(path, columns, said)
    about = {what: labels(path, c, columns[c]) for what, c in names.items() if what != "start" and c in columns}
    used = set(names.values())
    ratings, emotions = _ratings(path, columns, said, floor, used)
    signals, masks, features, tokens = _signals(path, columns, said, used)
    ignore = said.get("ignore", [])
    left = [c for c in columns if c not in used and not any(fnmatchcase(c, pattern) for pattern in ignore)]
    if left:
        raise ValueError(
            f"{path}: {some(left)} are no modality.feature, emotion.name, vote.rater, subject, trial, condition or "
            "start; rename them, or name them in a card under modalities or ignore"
        )
    if normalise == "subject":
        signals = {m: signals_of.normalise_by_subject(x, masks[m], about["subject"]) for m, x in signals.items()}
    start = columns.get(names["start"])
    return EmotionData(
        name=said.get("name", path.stem),
        signals=signals,
        masks=masks,
        distributions=ratings_to_distributions(ratings + smoothing, str(path), emotions),
        emotions=emotions,
        subjects=about["subject"],
        trials=about["trial"],
        conditions=about.get("condition"),
        starts=None if start is None else finite(path, names["start"], numbers(path, names["start"], start)),
        window=said.get("window"),
        roles=_roles(path, told, said, list(signals)),
        query=said.get("query"),
        features=features,
        tokens=tokens,
    )


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise MissingFile(f"{path}: no such file; expected a .csv, .parquet, .npz or .mat file")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"{path}: ends in {path.suffix!r}; expected one of {list(READERS)}")
    return path


def _names(path, columns, card):
    """What a row is about -> its column's name; every column has a row for each window."""
    names = {what: card.get(what, what) for what in COLUMNS}
    for what, column in names.items():
        if column not in columns and (what in card or what in ("subject", "trial")):
            raise ValueError(
                f"{path}: no column {column!r} for the {what}; found {some(columns)}. "
                f"Add it, or name the {what}'s column in a card"
            )
    n = columns[names["subject"]].size
    for column, values in columns.items():
        if column != "emotions" and (values.ndim == 0 or len(values) != n):
            raise ValueError(f"{path}: {column!r} has shape {values.shape}; expected {n} rows, as the subjects")
    return names


def _ratings(path, columns, card, floor, used):
    """Ratings or votes (windows, emotions) above the floor, and the emotions' names."""
    if "ratings" in columns:
        used |= {"ratings", "emotions"}
        if columns["ratings"].ndim != 2 or "emotions" not in columns or columns["emotions"].dtype.kind != "U":
            raise ValueError(f"{path}: expected 'ratings' (windows, emotions) and 'emotions', their names")
        emotions = [str(e).strip() for e in columns["emotions"].ravel()]
        if len(emotions) != columns["ratings"].shape[1]:
            raise ValueError(f"{path}: {len(emotions)} emotions; 'ratings' has {columns['ratings'].shape[1]} columns")
        given = {e: [numbers(path, "ratings", columns["ratings"])[:, k]] for k, e in enumerate(emotions)}
    elif votes := [c for c in columns if c.startswith("vote.") and c not in card.get("emotions", {}).values()]:
        used |= set(votes)
        return _count_votes(path, {c: columns[c] for c in votes}, list(card.get("emotions", {})))
    else:
        wanted = card.get("emotions") or {
            c.split(".")[1]: f"emotion.{c.split('.')[1]}"
            for c in columns
            if c.startswith("emotion.") and c.count(".") < 3
        }
        given = {}
        for emotion, column in wanted.items():
            raters = [c for c in columns if c == column or c.startswith(f"{column}.")]
            if not raters:
                raise ValueError(f"{path}: no column {column!r} for the emotion {emotion!r}; found {some(columns)}")
            used |= set(raters)
            given[emotion] = [numbers(path, c, one_value(path, c, columns[c])) for c in raters]
    if len(given) < 2:
        raise ValueError(
            f"{path}: {len(given)} emotions; expected at least two, as columns emotion.<name> or vote.<rater>, "
            "as the arrays 'ratings' and 'emotions', or in a card"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean over no rater is NaN, and named below
        ratings = np.stack([np.nanmean(np.stack(raters), 0) for raters in given.values()], 1) - floor
    if (ratings < 0).any() and floor:
        row, column = np.argwhere(ratings < 0)[0]
        raise ValueError(
            f"{path}: the rating of {list(given)[column]!r} in row {row} is {ratings[row, column] + floor:g}; "
            f"expected at least the floor, {floor:g}"
        )
    return ratings, list(given)


def _count_votes(path, votes, emotions):
    chosen = np.stack([np.char.strip(text(one_value(path, c, x))) for c, x in votes.items()], 1)
    found = sorted(set(chosen.ravel()) - {""})
    emotions = emotions or found
    unknown = sorted(set(found) - set(emotions))
    if unknown:
        raise ValueError(f"{path}: votes for {some(unknown)}; the card's emotions are {some(emotions)}")
    if not 2 <= len(emotions) <= 1000:
        raise ValueError(f"{path}: votes name {len(emotions)} emotions; expected 2 to 1000")
    counts = np.stack([(chosen == e).sum(1) for e in emotions], 1).astype(float)
    if (counts.sum(1) == 0).any():
        raise ValueError(f"{path}: row {int(np.argmin(counts.sum(1)))} has no vote; expected at least one")
    return counts, emotions


def _signals(path, columns, card, used):
    """modality -> signals, masks, names of features and of tokens."""
    given = card.get("modalities") or {}
    free = [c for c in columns if c not in used]
    groups = {}
    for modality, entry in given.items():
        patterns = entry.get("columns", [modality, f"{modality}.*"])
        groups[modality] = [c for c in free if any(fnmatchcase(c, pattern) for pattern in patterns)]
        if not groups[modality]:
            raise ValueError(f"{path}: no column of {modality!r}: {some(patterns)}; found {some(free)}")
    if not given:
        ignored = card.get("ignore", [])
        for c in free:
            if ("." in c or columns[c].ndim > 1) and not any(fnmatchcase(c, pattern) for pattern in ignored):
                groups.setdefault(c.split(".")[0], []).append(c)
    if not groups:
        raise ValueError(f"{path}: no signals; expected columns named modality.feature, such as eda.mean")
    signals, masks, features, tokens = {}, {}, {}, {}
    for modality, members in groups.items():
        used |= set(members)
        whole = [c for c in members if columns[c].ndim > 1]
        if len(whole) > 1 or (whole and len(members) > 1):
            raise ValueError(f"{path}: {modality!r} is {some(members)}; expected one array or columns, not both")
        if whole:
            x = numbers(path, whole[0], columns[whole[0]])
            if x.ndim not in (2, 3) or x.size == 0:
                raise ValueError(
                    f"{path}: {whole[0]!r} has shape {x.shape}; "
                    "expected (windows, features) or (windows, tokens, features)"
                )
            if "rate" in given.get(modality, {}):
                x, features[modality] = _raw(path, whole[0], x, given[modality])
            x = x[:, None] if x.ndim == 2 else x
        else:
            x, features[modality], tokens[modality] = _grid(
                path, modality, members, columns, "columns" in given.get(modality, {})
            )
        # one missing feature makes a token unusable
        masks[modality] = ~np.isnan(x).any(2)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is named below
            x = np.where(masks[modality][..., None], x, 0).astype(np.float32)
        if not np.isfinite(x).all():
            window = int(np.argmin(np.isfinite(x).all((1, 2))))
            raise ValueError(
                f"{path}: modality {modality!r}, row {window}, is infinite; expected numbers or an empty cell"
            )
        signals[modality] = x
    return signals, masks, features, tokens


def _raw(path, column, x, entry):
    """Features (windows, tokens, features) of raw samples, NaN where there are none, and their names."""
    rate, count = float(entry["rate"]), entry.get("tokens", 1)
    x = x[..., None] if x.ndim == 2 else x
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
    nothing = np.full((count, len(names)), np.nan)
    return np.stack([nothing if x is None else x for x in found]), names


def _grid(path, modality, members, columns, listed):
    """Columns modality.feature.token as (windows, tokens, features); columns a card lists are features of one token."""
    place = {}
    for c in members:
        feature, _, token = (c, "", "") if listed else c.partition(".")[2].partition(".")
        place[feature, token] = c
    rows, names = list(dict.fromkeys(t for _, t in place)), list(dict.fromkeys(f for f, _ in place))
    if len(rows) * len(names) != len(place):
        feature, token = next((f, t) for t in rows for f in names if (f, t) not in place)
        raise ValueError(
            f"{path}: {modality!r} has {some(rows)} as tokens and no column {modality}.{feature}.{token}; expected "
            "each feature for each token"
        )
    x = np.stack([[numbers(path, c, columns[c]) for c in (place[f, t] for f in names)] for t in rows])
    return x.transpose(2, 0, 1), tuple(names), tuple(t or "1" for t in rows)


def _roles(path, told, card, modalities):
    roles: dict[str, list[str]] = {PHYSIOLOGICAL: [], BEHAVIORAL: []}
    for m in modalities:
        parts = set(m.lower().replace("-", "_").split("_"))
        known = [role for role, words in ROLES.items() if parts & words]
        role = card.get("modalities", {}).get(m, {}).get("role") or (known[0] if len(known) == 1 else None)
        if role is None:
            raise ValueError(
                f"{path}: is {m!r} physiological or behavioral? Its name does not say; give its role in {told}, "
                f"modalities: {{{m}: {{role: physiological}}}}"
            )
        roles[role].append(m)
    return {role: tuple(ms) for role, ms in roles.items()}
