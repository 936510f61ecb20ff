"""Who is in WESAD: folders and questionnaires; `helo.data.wesad` has the recordings."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from helo.data.columns import short, some
from helo.files import MissingFile
from helo.reading import regular

#: most bytes of a questionnaire; the release's have a thousand
QUESTIONNAIRE = 2**20
EMOTIONS = (
    "active",
    "distressed",
    "interested",
    "inspired",
    "annoyed",
    "strong",
    "guilty",
    "scared",
    "hostile",
    "excited",
    "proud",
    "irritable",
    "enthusiastic",
    "ashamed",
    "alert",
    "nervous",
    "determined",
    "attentive",
    "jittery",
    "afraid",
    "stressed",
    "frustrated",
    "happy",
    "sad",
)
#: Condition in the questionnaire -> code in the label array, which has one code for both meditations.
CODES = {"Base": 1, "TSST": 2, "Fun": 3, "Medi 1": 4, "Medi 2": 4}


def read_panas(path: Path) -> dict[str, np.ndarray]:
    """PANAS ratings of one `Sx_quest.csv`: condition -> 24 ratings in the order of EMOTIONS.

    The stress row rates Angry and Irritated before Sad and so has 26 values; those two are left out. A single missing
    rating (S5 has one, "Nan") becomes the median of that person's other ratings of the same emotion, with a warning.

    Raises:
        MissingFile: no such file.
        ValueError: no regular file of at most `QUESTIONNAIRE` bytes, no ORDER, a condition without a row, a wrong
            number of ratings, or a rating outside 1 to 5.
    """
    file = regular(path, QUESTIONNAIRE, "a questionnaire")
    lines = [line.rstrip("\r\n").split(";") for line in file.read_text(encoding="latin1").splitlines()]
    order = next(([name.strip() for name in fields[1:6]] for fields in lines if fields[0] == "# ORDER"), None)
    if order is None:
        raise ValueError(f"{path}: no line '# ORDER'; expected the order of the conditions")
    if sorted(order) != sorted(CODES):
        raise ValueError(f"{path}: '# ORDER' begins with {some(order)}; expected {list(CODES)} in some order")
    rows = [fields[1:] for fields in lines if fields[0] == "# PANAS"]
    if len(rows) != len(order):
        raise ValueError(f"{path}: {len(rows)} lines '# PANAS'; expected {len(order)}, one per condition")
    ratings = np.stack([_panas_row(path, condition, row) for condition, row in zip(order, rows, strict=True)])
    never = np.flatnonzero(np.isnan(ratings).all(0))
    if len(never):
        raise ValueError(
            f"{path}: {EMOTIONS[never[0]]!r} is rated in no condition; expected one missing rating at most"
        )
    for row, item in np.argwhere(np.isnan(ratings)):
        if np.isnan(ratings[row]).sum() > 1:
            count = int(np.isnan(ratings[row]).sum())
            raise ValueError(f"{path}: {count} ratings of {order[row]!r} are missing; expected one at most")
        ratings[row, item] = np.nanmedian(ratings[:, item])
        warnings.warn(
            f"{path}: the rating of {EMOTIONS[item]!r} in {order[row]!r} is missing; "
            f"used {ratings[row, item]:g}, the median of this person's other ratings of it",
            stacklevel=2,
        )
    return dict(zip(order, ratings, strict=True))


def _panas_row(path, condition, fields):
    values = [x.strip() for x in fields]
    while values and values[-1] == "":
        values.pop()
    expected = 26 if condition == "TSST" else 24
    if len(values) != expected:
        raise ValueError(f"{path}: the PANAS row of {condition!r} has {len(values)} ratings; expected {expected}")
    if condition == "TSST":
        values = values[:23] + values[25:]
    ratings = np.empty(24)
    for i, text in enumerate(values):
        try:
            ratings[i] = float(text)
        except ValueError:
            ratings[i] = np.inf
        if not (np.isnan(ratings[i]) or 1 <= ratings[i] <= 5):
            raise ValueError(
                f"{path}: the rating of {EMOTIONS[i]!r} in {condition!r} is {short(text)}; "
                "expected a number from 1 to 5"
            )
    return ratings


def people_of(root: Path) -> list[str]:
    """Names of the people's folders, in the order of their numbers; each holds a recording and a questionnaire.

    Raises:
        MissingFile: the folder or one of its files is missing.
        ValueError: one of them is no regular file, or too large.
    """
    if not root.is_dir():
        raise MissingFile(f"{root}: no such folder; expected WESAD's folder, which holds S2, S3, ...")
    found = (p.name for p in root.glob("S*") if re.fullmatch("S[0-9]{1,6}", p.name) and p.is_dir())
    names = sorted(found, key=lambda s: (int(s[1:]), s))
    if not names:
        raise MissingFile(f"{root}: holds no folder S2, S3, ...; expected WESAD's folder")
    for s in names:
        for file, limit in ((root / s / f"{s}.pkl", None), (root / s / f"{s}_quest.csv", QUESTIONNAIRE)):
            if not file.exists():
                raise MissingFile(f"{file}: missing; expected {s}.pkl and {s}_quest.csv in {root / s}")
            regular(file, limit, "a file of the release")
    return names
