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
    emotions: {happy: q1, sad: q2}  # emotion -> its column
    query: eda
    ignore: [age, "note_*"]         # columns to pass over
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from helo.data.arrays import read_mat, read_npz, room
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, ratings_to_distributions
from helo.files import MissingFile
from helo.signals import normalise_by_subject

#: What a modality's name, or a part of it between underscores, says about its role.
ROLES = {
    PHYSIOLOGICAL: {
        "bvp", "ecg", "eda", "eeg", "emg", "fnirs", "gsr", "heart", "hr", "hrv", "physiology", "ppg", "pulse", "resp",
        "rsp", "scr", "skin", "temp", "temperature",
    },
    BEHAVIORAL: {
        "acc", "audio", "behavior", "body", "face", "gaze", "gesture", "motion", "mouse", "movement", "posture", "speech",
        "text", "video", "voice",
    },
}  # fmt: skip
_COLUMNS = ("subject", "trial", "condition", "start")
_KEYS = {"name", "window", "modalities", "emotions", "query", "ignore", *_COLUMNS}


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
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFile(f"{path}: no such file; expected a .csv, .parquet, .npz or .mat file")
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"{path}: ends in {path.suffix!r}; expected one of {list(_READERS)}")
    if normalise not in ("none", "subject"):
        raise ValueError(f"normalise is {normalise!r}; expected 'none' or 'subject'")
    if not (0 <= smoothing < np.inf and -np.inf < floor < np.inf):
        raise ValueError(f"floor is {floor} and smoothing {smoothing}; expected numbers, smoothing at least 0")
    card, told = _card(path, card)
    columns = _READERS[path.suffix.lower()](path)
    names = {what: card.get(what, what) for what in _COLUMNS}
    for what, column in names.items():
        if column not in columns and (what in card or what in ("subject", "trial")):
            raise ValueError(
                f"{path}: no column {column!r} for the {what}; found {_some(columns)}. "
                f"Add it, or name the {what}'s column in a card"
            )
    n = columns[names["subject"]].size
    for column, values in columns.items():
        if column != "emotions" and (values.ndim == 0 or len(values) != n):
            raise ValueError(f"{path}: {column!r} has shape {values.shape}; expected {n} rows, as the subjects")
    about = {what: _labels(path, c, columns[c]) for what, c in names.items() if what != "start" and c in columns}
    used = set(names.values())
    ratings, emotions = _ratings(path, columns, card, floor, used)
    signals, masks, features, tokens = _signals(path, columns, card, used)
    ignore = card.get("ignore", [])
    left = [c for c in columns if c not in used and not any(fnmatchcase(c, pattern) for pattern in ignore)]
    if left:
        raise ValueError(
            f"{path}: {_some(left)} are no modality.feature, emotion.name, vote.rater, subject, trial, condition or start; "
            "rename them, or name them in a card under modalities or ignore"
        )
    if normalise == "subject":
        signals = {m: normalise_by_subject(x, masks[m], about["subject"]) for m, x in signals.items()}
    start = columns.get(names["start"])
    parts = {
        "name": card.get("name", path.stem),
        "signals": signals,
        "masks": masks,
        "distributions": ratings_to_distributions(ratings + smoothing, str(path), emotions),
        "emotions": emotions,
        "subjects": about["subject"],
        "trials": about["trial"],
        "conditions": about.get("condition"),
        "starts": None if start is None else _finite(path, names["start"], _number(path, names["start"], start)),
        "window": card.get("window"),
        "roles": _roles(path, told, card, list(signals)),
        "query": card.get("query"),
        "features": features,
        "tokens": tokens,
    }
    try:
        return EmotionData(**parts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _ratings(path, columns, card, floor, used):
    """Ratings or votes (windows, emotions) above the floor, and the emotions' names."""
    if "ratings" in columns:
        used |= {"ratings", "emotions"}
        if columns["ratings"].ndim != 2 or "emotions" not in columns or columns["emotions"].dtype.kind != "U":
            raise ValueError(f"{path}: expected 'ratings' (windows, emotions) and 'emotions', their names")
        emotions = [str(e).strip() for e in columns["emotions"].ravel()]
        if len(emotions) != columns["ratings"].shape[1]:
            raise ValueError(f"{path}: {len(emotions)} emotions; 'ratings' has {columns['ratings'].shape[1]} columns")
        given = {e: [_number(path, "ratings", columns["ratings"])[:, k]] for k, e in enumerate(emotions)}
    elif votes := [c for c in columns if c.startswith("vote.") and c not in card.get("emotions", {}).values()]:
        used |= set(votes)
        return _count_votes(path, {c: columns[c] for c in votes}, list(card.get("emotions", {})))
    else:
        wanted = card.get("emotions") or {
            c.split(".")[1]: f"emotion.{c.split('.')[1]}" for c in columns if c.startswith("emotion.") and c.count(".") < 3
        }  # fmt: skip
        given = {}
        for emotion, column in wanted.items():
            raters = [c for c in columns if c == column or c.startswith(f"{column}.")]
            if not raters:
                raise ValueError(f"{path}: no column {column!r} for the emotion {emotion!r}; found {_some(columns)}")
            used |= set(raters)
            given[emotion] = [_number(path, c, _one_value(path, c, columns[c])) for c in raters]
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
    chosen = np.stack([np.char.strip(_text(_one_value(path, c, x))) for c, x in votes.items()], 1)
    found = sorted(set(chosen.ravel()) - {""})
    emotions = emotions or found
    unknown = sorted(set(found) - set(emotions))
    if unknown:
        raise ValueError(f"{path}: votes for {_some(unknown)}; the card's emotions are {_some(emotions)}")
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
            raise ValueError(f"{path}: no column of {modality!r}: {_some(patterns)}; found {_some(free)}")
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
            raise ValueError(f"{path}: {modality!r} is {_some(members)}; expected one array or columns, not both")
        if whole:
            x = _number(path, whole[0], columns[whole[0]])
            if x.ndim not in (2, 3) or x.size == 0:
                raise ValueError(
                    f"{path}: {whole[0]!r} has shape {x.shape}; expected (windows, features) or (windows, tokens, features)"
                )
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
            f"{path}: {modality!r} has {_some(rows)} as tokens and no column {modality}.{feature}.{token}; expected "
            "each feature for each token"
        )
    x = np.stack([[_number(path, c, columns[c]) for c in (place[f, t] for f in names)] for t in rows])
    return x.transpose(2, 0, 1), tuple(names), tuple(t or "1" for t in rows)


def _roles(path, told, card, modalities):
    roles = {PHYSIOLOGICAL: [], BEHAVIORAL: []}
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


def _card(path, card):
    """The checked card, with emotions as name -> column, and what to call it in errors."""
    if card is None:
        beside = path.with_suffix(".yaml")
        card = beside if beside.is_file() else {}
    told = "the card" if isinstance(card, Mapping) else str(card)
    card = dict(card) if isinstance(card, Mapping) else _read_yaml(Path(card).expanduser())

    def expect(good, key, what):
        if not good:
            raise ValueError(f"{told}: {key!r} is {_short(card.get(key))}; expected {what}")

    unknown = [str(key)[:50] for key in card if key not in _KEYS]
    if unknown:
        raise ValueError(f"{told}: unknown {_some(unknown)}; expected {sorted(_KEYS)}")
    for key in ("name", "query", *_COLUMNS):
        expect(key not in card or (isinstance(card[key], str) and card[key]), key, "text")
    if "window" in card:
        number = isinstance(card["window"], (int, float)) and not isinstance(card["window"], bool)
        expect(number and 0 < card["window"] < 1e9, "window", "seconds above 0")
    expect(_texts(card.get("ignore", [])), "ignore", "a list of columns")
    emotions = card.get("emotions", {})
    if isinstance(emotions, list) and _texts(emotions):
        card["emotions"] = emotions = {e: f"emotion.{e}" for e in emotions}
    expect(isinstance(emotions, dict) and _texts([*emotions, *emotions.values()]), "emotions",
           "a list of names, or name: column")  # fmt: skip
    modalities = card.get("modalities", {})
    expect(
        isinstance(modalities, dict) and _texts(list(modalities)), "modalities", "modality: {columns: [...], role: ...}"
    )
    for m, entry in modalities.items():
        good = isinstance(entry, dict) and set(entry) <= {"columns", "role"} and _texts(entry.get("columns", ["x"]))
        if not good or entry.get("role", BEHAVIORAL) not in (PHYSIOLOGICAL, BEHAVIORAL):
            raise ValueError(
                f"{told}: modality {m!r} is {_short(entry)}; expected {{columns: [...], role: physiological or behavioral}}"
            )
    return card, told


def _read_yaml(path):
    import yaml

    class Loader(yaml.SafeLoader):
        """No aliases: a few lines of them can stand for billions of values."""

        def compose_node(self, parent, index):
            if self.check_event(yaml.AliasEvent):
                raise ValueError("aliases are not read")
            return super().compose_node(parent, index)

    if not path.is_file():
        raise MissingFile(f"{path}: no such file; expected a card in YAML")
    if path.stat().st_size > 2**20:
        raise ValueError(f"{path}: {path.stat().st_size} bytes; expected a card of at most a megabyte")
    try:
        card = yaml.load(path.read_bytes(), Loader)  # a SafeLoader: builds text, numbers, lists and dictionaries only
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"{path}: not a readable card ({type(error).__name__}: {str(error)[:300]})") from None
    if not isinstance(card, dict):
        raise ValueError(f"{path}: holds {_short(card)}; expected keys and values, such as subject: participant")
    return card


def csv_header(path: Path) -> list[str]:
    """The names of a CSV file's columns, if every row has as many cells.

    A short row would be filled up: a torn file read as missing values, or a small file as billions of cells.

    Raises:
        ValueError: a row of another length, or no CSV file in UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            wrong = next((rows.line_num for row in rows if row and len(row) != len(header)), None)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable CSV file in UTF-8 ({error})") from None
    if wrong is not None:
        raise ValueError(f"{path}: line {wrong} has more or fewer than the header's {len(header)} cells")
    return header


def _read_csv(path):
    import pandas as pd

    header = csv_header(path)
    _no_repeats(path, header)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            text = {c: str for c in header if "." not in c or c.startswith("vote.")}
            table = pd.read_csv(path, dtype=text, index_col=False, low_memory=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserWarning, OverflowError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable CSV file ({error})") from None
    return _columns(path, table, header)


def _read_parquet(path):
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError(f"{path}: Parquet needs the package pyarrow; run pip install pyarrow") from None
    try:
        with pq.ParquetFile(path) as file:
            header = [str(name) for name in file.schema_arrow.names]
            cells = file.metadata.num_rows * max(1, len(header))
            if cells * 8 > room(path.stat().st_size):
                raise ValueError(f"{path.stat().st_size} bytes declare {cells} cells")
            flat = all(_is_flat(pa, field.type) for field in file.schema_arrow)
            if not flat:
                raise ValueError("holds lists, structures or other types; expected columns of numbers and text")
            table = file.read(use_threads=False).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, ValueError, OSError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable Parquet table ({str(error)[:300]})") from None
    _no_repeats(path, header)
    return _columns(path, table, header)


def _is_flat(pa, kind):
    check = pa.types
    text = check.is_string(kind) or check.is_large_string(kind)
    return text or check.is_integer(kind) or check.is_floating(kind) or check.is_boolean(kind)


def _columns(path, table, header):
    if list(map(str, table.columns)) != header or not len(table):
        raise ValueError(f"{path}: {len(table)} rows below {len(header)} column names; expected at least one row")
    return {c: table.iloc[:, k].to_numpy() for k, c in enumerate(header)}


def _no_repeats(path, header):
    repeated = sorted({c for c in header if header.count(c) > 1}) if len(set(header)) < len(header) else []
    if repeated or not all(header):
        raise ValueError(f"{path}: columns {_some(repeated) or 'without a name'}; expected every name once")


_READERS = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": read_npz,
    ".mat": lambda path: _squeezed(read_mat(path)),
}


def _squeezed(arrays):
    """MATLAB knows no vectors: (n, 1) and (1, n) of what must be a column become (n,)."""

    def column(name, x):
        return (
            x.ravel()
            if x.ndim == 2 and (1 in x.shape) and (name in _COLUMNS or "." in name or x.dtype.kind == "U")
            else x
        )

    return {name: column(name, x) for name, x in arrays.items()}


def _number(path, column, values):
    """float64, NaN where empty; names the first cell that is no number."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    if values.dtype.kind in "OU" and values.ndim == 1:
        import pandas as pd

        numbers = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        bad = np.isnan(numbers) & ~pd.isna(values) & (values.astype(str) != "")
        if not bad.any():
            return numbers
        row = int(np.argmax(bad))
        raise ValueError(f"{path}: row {row}, {column}, is {_short(values[row])}; expected a number or an empty cell")
    raise ValueError(f"{path}: {column!r} is of type {values.dtype}; expected numbers")


def _finite(path, column, values):
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{path}: row {row}, {column}, is {values[row]}; expected a number")
    return values


def _one_value(path, column, values):
    if values.ndim != 1:
        raise ValueError(f"{path}: {column!r} has shape {values.shape}; expected one value per window")
    return values


def _text(values):
    """Strings, "" where empty; 3.0, a whole number beside empty cells, is "3"."""
    import pandas as pd

    if values.dtype.kind == "f":
        return np.array(["" if np.isnan(v) else f"{v:.17g}" for v in values])
    if values.dtype.kind == "O":
        return np.array(["" if pd.isna(v) else str(v) for v in values])
    return values.astype(str)


def _labels(path, column, values):
    text = np.char.strip(_text(_one_value(path, column, values)))
    if (text == "").any():
        raise ValueError(f"{path}: row {int(np.argmax(text == ''))}, {column}, is empty; expected a name")
    return text


def _texts(values):
    return isinstance(values, list) and all(isinstance(v, str) and v for v in values)


def _some(names):
    """At most eight names, as an error shows them."""
    names = [str(name)[:50] for name in names]
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _short(value):
    return repr(value)[:100] if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"
