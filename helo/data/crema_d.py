"""CREMA-D's votes (Cao et al., IEEE TAFFC 2014): what people hear, see, and both.

Reads `tabulatedVotes.csv` of the release: 7,442 clips of 91 actors, each rated by about ten people from the voice
alone, by others from the face alone, and by others from both. The task here: from the two single-modality vote records,
predict the vote distribution of both. The clips themselves are not needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helo.data.columns import NAME
from helo.data.csv_files import csv_header
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData
from helo.files import MissingFile

EMOTIONS = {"A": "angry", "D": "disgusted", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}
#: The first column is 100000 * type + clip.
TYPES = {1: "voice", 2: "face", 3: "both"}
FILE = "tabulatedVotes.csv"


def load(root: str | Path, smoothing: float = 0.0) -> EmotionData:
    """Load the votes as one window a clip, with the shares of the voice's and the face's votes as features.

    HeLo needs a physiological side: the voice takes that role here, which says nothing but which stream is carried
    over.

    Args:
        root: the folder that holds tabulatedVotes.csv, or the file.
        smoothing: votes added to every emotion before dividing, in labels and features alike.

    Raises:
        MissingFile: no such file.
        ValueError: columns, types, votes or names are not the release's; the message names row, found and expected.
    """
    path = Path(root).expanduser()
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise MissingFile(f"{path}: no such file; expected CREMA-D's {FILE}")
    if smoothing < 0:
        raise ValueError(f"smoothing is {smoothing}; expected at least 0")
    table = _table(path)
    codes = _integers(path, table.iloc[:, 0], "first column", 100001, 400000)
    votes = np.stack([_integers(path, table[letter], letter, 0, 1000) for letter in EMOTIONS], 1).astype(float)
    if (votes.sum(1) == 0).any():
        raise ValueError(f"{path}: row {int(np.argmin(votes.sum(1))) + 2} has no vote; expected at least one")
    kinds, clips = codes // 100000, codes % 100000
    names = np.array(table["fileName"])
    parts = [name.split("_") for name in names]
    wrong = [k for k, part in enumerate(parts) if len(part) != 4 or not part[0].isdigit() or len(names[k]) > NAME]
    if wrong:
        raise ValueError(
            f"{path}: row {wrong[0] + 2} has fileName {names[wrong[0]][:NAME]!r}; expected actor_sentence_emotion_level"
        )
    shares = votes + smoothing
    shares = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    voice, face, both = _rows_by_type(path, kinds, clips, names)
    emotions = tuple(EMOTIONS.values())
    return EmotionData(
        name="crema-d",
        signals={"voice": shares[voice][:, None], "face": shares[face][:, None]},
        distributions=shares[both],
        emotions=emotions,
        subjects=np.array([parts[k][0] for k in both]),
        trials=np.array(["_".join(parts[k][1:]) for k in both]),
        conditions=np.array([parts[k][2] for k in both]),
        roles={PHYSIOLOGICAL: ("voice",), BEHAVIORAL: ("face",)},
        features={m: tuple(f"share of {e} votes" for e in emotions) for m in ("voice", "face")},
    )


def _table(path):
    import pandas as pd

    csv_header(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' own parsing errors are ValueErrors
        raise ValueError(f"{path}: not a readable CSV file ({error})") from None
    missing = sorted({*EMOTIONS, "fileName"} - set(table.columns))
    if missing or len(table.columns) < 8:
        raise ValueError(f"{path}: columns {missing} are missing; expected A, D, F, H, N, S and fileName")
    return table


def _rows_by_type(path, kinds, clips, names):
    """Rows of the voice, the face and both, each in the order of the clips."""
    order = {kind: np.flatnonzero(kinds == kind)[np.argsort(clips[kinds == kind], kind="stable")] for kind in TYPES}
    expected = np.unique(clips)
    for kind, rows in order.items():
        if len(rows) != len(expected) or (clips[rows] != expected).any():
            raise ValueError(
                f"{path}: {len(rows)} rows of type {kind} ({TYPES[kind]}); "
                f"expected one for each of the {len(expected)} clips"
            )
        if (names[rows] != names[order[1]]).any():
            clip = expected[int(np.argmax(names[rows] != names[order[1]]))]
            raise ValueError(f"{path}: clip {clip} has two fileNames; expected the same in its three rows")
    return order.values()


def _integers(path, column, name, lowest, highest):
    numbers = np.empty(len(column), np.int64)
    for row, text in enumerate(column):
        if not (text.isascii() and text.isdigit() and len(text) < 10 and lowest <= int(text) <= highest):
            raise ValueError(
                f"{path}: row {row + 2}, {name}, is {text!r}; expected a whole number from {lowest} to {highest}"
            )
        numbers[row] = int(text)
    if not len(numbers):
        raise ValueError(f"{path}: no rows below the header; expected the votes")
    return numbers
