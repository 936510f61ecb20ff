"""Who walked in EmoWalk: study, questionnaires, and which recording is whose; `helo.data.emowalk` has the walks."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from helo.data.columns import short, some
from helo.data.csv_files import csv_rows
from helo.files import MissingFile
from helo.reading import regular

#: The items of a questionnaire, in the order of its columns.
EMOTIONS = (
    *("interested", "distressed", "excited", "upset", "strong", "guilty", "scared", "hostile", "enthusiastic", "proud"),
    *("irritable", "alert", "ashamed", "inspired", "nervous", "determined", "attentive", "jittery", "active", "afraid"),
)
STUDY, WALKS, PANAS = "user_study_encoding.csv", "walking_data", "PANAS"
#: most bytes of a table; the release's have 11 kB
TABLE = 2**20
#: Letter in the order of the stimuli -> code in the recordings, name.
STIMULI = {"S": (-1, "sad"), "N": (0, "neutral"), "H": (1, "happy")}
#: Condition -> code in the recordings, file of its questionnaires.
CONDITIONS = {"Mo": (0, "PANAS_mo_mu.csv"), "Mu": (1, "PANAS_mo_mu.csv"), "Mw": (2, "PANAS_mw.csv")}
#: File of questionnaires -> how many a stimulus has in it.
QUESTIONNAIRES = {"PANAS_mo_mu.csv": 2, "PANAS_mw.csv": 1}
_SLIPS = {"SNN": "SNH"}  # ew35's order in the questionnaires; study and recording say SNH


@dataclasses.dataclass(frozen=True)
class Person:
    """One person: recording, condition ("Mo"), order of the stimuli ("SNH"), seconds of the walks, ratings (3, 20)."""

    name: str
    file: Path
    condition: str
    order: str
    seconds: tuple[int, ...]
    ratings: np.ndarray | None


def people_of(root: Path, ratings: str = "stimulus") -> list[Person]:
    """Everybody of the study, in the order of their numbers.

    Args:
        root: the folder that holds user_study_encoding.csv, walking_data and PANAS.
        ratings: the questionnaire: "stimulus", after the movie or the music, or "walk", after the walk that followed.

    Raises:
        MissingFile: the folder or one of its files is missing.
        ValueError: a table is no regular file of at most `TABLE` bytes, or its content is not the release's; the
            message names file, field, found and expected.
    """
    if not root.is_dir():
        raise MissingFile(f"{root}: no such folder; expected EmoWalk's, which holds {STUDY}, {WALKS} and {PANAS}")
    path = root / STUDY
    (_, header), *rows = _rows(path)
    expected = ["PARTICIPANT ID", "CONDITION", "AGE", "SEX", *["START W", "END W"] * 3]
    if header != expected:
        raise ValueError(f"{path}: columns are {some(header)}; expected {some(expected)}")
    files = _files(root / WALKS)
    people: dict[str, Person] = {}
    panas = {file: read_panas(root / PANAS / file) for file in QUESTIONNAIRES}
    for line, row in ((line, row) for line, row in rows if any(row)):
        name = _person(path, line, row, len(header), 0, people)
        condition, _, order = row[1].partition("-")
        if condition not in CONDITIONS or sorted(order) != sorted(STIMULI):
            raise ValueError(f"{path}: {name}'s CONDITION is {short(row[1])}; expected such as 'Mo-SNH' or 'Mw-HNS'")
        if (condition, name) not in files:
            raise MissingFile(f"{root / WALKS}: no {condition.lower()}_{name}_*.csv; expected {name}'s walks, {row[1]}")
        file = CONDITIONS[condition][1]
        told, answers = panas[file].get(name, (row[1], None))
        prefix, _, letters = told.partition("-")
        if (prefix, _SLIPS.get(letters, letters)) != (condition, order):
            raise ValueError(
                f"{root / PANAS / file}: {name}'s Condition is {short(told)}; expected {row[1]!r} as in {STUDY}"
            )
        if answers is not None:
            answers = answers[:, 0 if ratings == "stimulus" else -1]
        people[name] = Person(name, files[condition, name], condition, order, _seconds(path, name, row[4:]), answers)
    strangers = some(file.name for key, file in files.items() if key[1] not in people)
    if strangers:
        raise ValueError(f"{path}: no row for {strangers} of {WALKS}; expected one a person")
    return sorted(people.values(), key=lambda p: (int(p.name[2:]), p.name))


def read_panas(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Ratings of one file: person -> condition such as "Mo-SNH", ratings (3 stimuli, 2 or 1 questionnaires, 20 items).

    The file begins with a byte order mark, repeats its columns for each questionnaire, writes persons as Ew2 and EW10
    and ends in notes below an empty row.

    Raises:
        MissingFile: no such file.
        ValueError: columns, persons or ratings are not the release's.
    """
    (_, header), *rows = _rows(path)
    count = 3 * QUESTIONNAIRES[path.name]
    if header[:3] != ["Timestamp", "ID", "Condition"] or len(header) != 3 + count * len(EMOTIONS):
        first = [name[:50] for name in header[:3]]
        raise ValueError(
            f"{path}: {len(header)} columns that begin with {first}; expected Timestamp, ID, Condition and "
            f"{count} times the {len(EMOTIONS)} items"
        )
    for column, name in enumerate(header[3:]):
        item = f"{column % 20 + 1}. {EMOTIONS[column % 20].title()}"
        if name.replace(" ", "") != item.replace(" ", ""):  # one of them is "3.Excited"
            raise ValueError(f"{path}: column {column + 4} is {short(name)}; expected {item!r}")
    found: dict[str, tuple[str, np.ndarray]] = {}
    for line, row in rows:
        if not any(row):
            break  # notes follow
        person = _person(path, line, row, len(header), 1, found)
        for k, text in enumerate(row[3:]):
            if text not in ("1", "2", "3", "4", "5"):
                which = f"{EMOTIONS[k % 20]!r} in questionnaire {k // 20 + 1}"
                raise ValueError(
                    f"{path}: {person}'s rating of {which} is {short(text)}; expected a whole number from 1 to 5"
                )
        found[person] = row[2], np.array(row[3:], float).reshape(3, -1, len(EMOTIONS))
    return found


def _rows(path):
    """Line number and cells of every row of a CSV file, at least one."""
    if not path.exists():
        raise MissingFile(f"{path}: missing; expected the files of EmoWalk's release")
    regular(path, TABLE, "a table of EmoWalk's release")
    rows = [(line, [cell.strip() for cell in row]) for line, row in csv_rows(path)]
    if not rows:
        raise ValueError(f"{path}: is empty; expected a header and rows")
    return rows


def _person(path, line, row, width, column, others):
    """The person a row is of, in small letters."""
    if len(row) != width:
        raise ValueError(f"{path}: line {line} has {len(row)} cells; expected {width}")
    name = row[column].lower()
    if not re.fullmatch(r"ew[0-9]{1,4}", name):
        raise ValueError(f"{path}: line {line} has the person {short(row[column])}; expected EW and a number")
    if name in others:
        raise ValueError(f"{path}: line {line} is a second row of {name}; expected one a person")
    return name


def _files(folder):
    """(condition, person) -> recording."""
    found: dict[tuple[str, str], Path] = {}
    seen: dict[str, Path] = {}
    for path in sorted(folder.glob("*.csv")):
        if parts := re.match(r"(mo|mu|mw)_(ew[0-9]{1,4})_", path.name.lower()):
            other = seen.setdefault(parts[2], path)
            if other != path:
                raise ValueError(f"{path}: {other.name} is of {parts[2]} too; expected one file a person")
            found[parts[1].title(), parts[2]] = path
    return found


def _seconds(path, name, texts):
    """Lengths of the walks, from starts and ends as hour.minute.second."""
    times: list[int] = []
    for k, text in enumerate(texts):
        parts = re.fullmatch(r"([01]?[0-9]|2[0-3])\.([0-5][0-9])\.([0-5][0-9])", text)
        time = parts and sum(int(part) * unit for part, unit in zip(parts.groups(), (3600, 60, 1), strict=True))
        if time is None or (times and time <= times[-1]):
            field = f"{('START', 'END')[k % 2]} W of walk {k // 2 + 1}"
            raise ValueError(
                f"{path}: {name}'s {field} is {short(text)}; expected hour.minute.second after the one before it"
            )
        times.append(time)
    return tuple(b - a for a, b in zip(times[::2], times[1::2], strict=True))
