"""CREMA-D's votes (Cao et al., IEEE TAFFC 2014): what people hear, see, and both.

Reads `tabulatedVotes.csv` of the release: 7,442 clips of 91 actors, each rated by about ten people from the voice
alone, by others from the face alone, and by others from both. The task here: from the two single-modality vote records,
predict the vote distribution of both. The clips themselves are not needed.

Limits, enough for every clip of five digits and so not raised: 64 MiB, 300,000 rows, 200 letters a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helo.data.columns import NAME, short
from helo.data.csv_files import csv_rows
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData
from helo.reading import expanded, regular

EMOTIONS = {"A": "angry", "D": "disgusted", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}
#: The first column is 100000 * type + clip.
TYPES = {1: "voice", 2: "face", 3: "both"}
FILE = "tabulatedVotes.csv"
#: most bytes and rows; the release has 4 MB and 22,326
LARGEST, ROWS = 2**26, 300_000


def load(root: str | Path, smoothing: float = 0.0, sentences: Sequence[str] = ()) -> EmotionData:
    """Load the votes as one window a clip, with the shares of the voice's and the face's votes as features.

    HeLo needs a physiological side: the voice takes that role here, which says nothing but which stream is carried
    over.

    Args:
        root: the folder that holds tabulatedVotes.csv, or the file.
        smoothing: votes added to every emotion before dividing, in labels and features alike.
        sentences: only clips of these, by their short names in fileName ("DFA", "IEO", ...); all twelve by default.

    Raises:
        MissingFile: no such file.
        ValueError: no regular file, or a too large one; or columns, types, votes or names are not the release's, or a
            sentence is not in it; the message names row, found and expected.
    """
    path = expanded(root)
    path = path / FILE if path.is_dir() else path
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing is {smoothing}; expected a number, at least 0")
    first, *cells, names = _columns(path)
    codes = _integers(path, first, "first column", 100001, 400000)
    counts = [_integers(path, own, letter, 0, 1000) for letter, own in zip(EMOTIONS, cells, strict=True)]
    votes = np.stack(counts, 1).astype(float)
    if (votes.sum(1) == 0).any():
        raise ValueError(f"{path}: row {int(np.argmin(votes.sum(1))) + 2} has no vote; expected at least one")
    kinds, clips = codes // 100000, codes % 100000
    names = np.array(names)
    parts = [name.split("_") for name in names]
    wrong = [k for k, part in enumerate(parts) if len(part) != 4 or not part[0].isdigit()]
    if wrong:
        raise ValueError(
            f"{path}: row {wrong[0] + 2} has fileName {str(names[wrong[0]])!r}; expected actor_sentence_emotion_level"
        )
    shares = votes + smoothing
    shares = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    voice, face, both = _of_sentences(path, sentences, parts, _rows_by_type(path, kinds, clips, names))
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


def _columns(path):
    """The first column, one for each emotion, and fileName: each a list of its cells below the header."""
    rows = csv_rows(regular(path, LARGEST, f"CREMA-D's {FILE}"))
    _, header = next(rows, (0, []))
    missing = sorted(name for name in (*EMOTIONS, "fileName") if header.count(name) != 1)
    if missing:
        raise ValueError(f"{path}: columns {missing} are missing or there twice; expected A, D, F, H, N, S, fileName")
    wanted = [0, *(header.index(name) for name in (*EMOTIONS, "fileName"))]
    found: list[list[str]] = [[] for _ in wanted]
    for line, row in rows:
        if row and len(row) != len(header):
            raise ValueError(f"{path}: line {line} has more or fewer than the header's {len(header)} cells")
        for column, k in zip(found, wanted, strict=True) if row else ():
            if len(row[k]) > NAME:
                told = f"a cell of {len(row[k])} letters"
                raise ValueError(f"{path}: line {line}, {header[k][:NAME]!r}, has {told}; expected at most {NAME}")
            column.append(row[k])
        if len(found[0]) > ROWS:
            raise ValueError(f"{path}: over {ROWS} rows; expected a type and a clip of five digits in each")
    return found


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


def _of_sentences(path, sentences, parts, rows):
    """Rows of the voice, the face and both, of clips of these sentences alone."""
    if isinstance(sentences, str):
        raise ValueError(f"sentences is {short(sentences)}; expected a list of names, as ['DFA', 'IOM']")
    known = {part[1] for part in parts}
    for name in sentences:
        if name not in known:
            raise ValueError(f"{path}: no clip of sentence {short(name)}; found {', '.join(sorted(known)[:20])[:200]}")
    if not len(sentences):
        return rows
    return [np.array([k for k in own if parts[k][1] in sentences]) for own in rows]


def _integers(path, column, name, lowest, highest):
    numbers = np.empty(len(column), np.int64)
    for row, text in enumerate(column):
        if not (text.isascii() and text.isdigit() and len(text) < 10 and lowest <= int(text) <= highest):
            raise ValueError(
                f"{path}: row {row + 2}, {name}, is {short(text)}; expected a whole number from {lowest} to {highest}"
            )
        numbers[row] = int(text)
    if not len(numbers):
        raise ValueError(f"{path}: no rows below the header; expected the votes")
    return numbers
