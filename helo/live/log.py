"""What came and what was answered, on disk: enough to go through it again, to the same bits.

A folder: `session.json`, written first, and numbered Parquet files of a minute each, written whole or not at all. A
process that is killed loses its last minute. The rows stand in the order of what happened. Recordings of a person: the
folder and its files are their owner's alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helo.files import MissingFile, atomic_write
from helo.live.arrivals import Event
from helo.live.session import Answer, Confidence, Session
from helo.live.setup import Setup
from helo.models import EmotionModel
from helo.models.fingerprint import fingerprint
from helo.reading import expanded, regular, shown

ABOUT = "session.json"
#: largest file of a log, and most rows that wait to be written
_SIZE, _ROWS = 256 * 2**20, 5000
_COLUMNS = ("arrived", "modality", "stamps", "samples", "end", "distribution", "told")


class Log:
    """Writes a session down; use it as a context, or `close` it.

    Args:
        folder: a new or empty folder; it becomes its owner's alone.
        session: whose setup, patience and model are written first.
        seconds: how much a file holds.

    Raises:
        ValueError: the folder holds something already, or is another's.
        ImportError: pyarrow is not installed.
    """

    def __init__(self, folder: str | Path, session: Session, seconds: float = 60.0):
        self.folder, self._session, self._seconds = expanded(folder), session, seconds
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(self.folder.iterdir()):
            raise ValueError(f"{folder}: is not empty; a log needs a folder of its own")
        try:
            self.folder.chmod(0o700)  # it may have been there
        except PermissionError:
            raise ValueError(f"{folder}: is another's; a log needs a folder that is your own") from None
        self._rows: list[dict] = []
        self._began, self._files = None, 0
        self._import()
        about = {"setup": json.loads(json.dumps(vars(session.setup))), "patience": session.patience}
        about |= {"model": fingerprint(session.model), "start": session.start}
        atomic_write(self.folder / ABOUT, (json.dumps(about, indent=2) + "\n").encode(), mode=0o600)

    @staticmethod
    def _import():
        try:
            import pyarrow.parquet
        except ImportError:
            raise ImportError("a log needs pyarrow: pip install pyarrow") from None
        return pyarrow

    def came(self, event: Event) -> None:
        """Note what arrived; nothing of an event without samples."""
        if event.modality and len(event.stamps):
            row = {"arrived": event.arrived, "modality": event.modality, "stamps": np.array(event.stamps, float)}
            self._add(row | {"samples": np.array(event.samples, float).ravel()}, event.arrived)

    def answered(self, answer: Answer, now: float) -> None:
        """Note what was answered, asked `now` seconds after the beginning."""
        said = None if answer.distribution is None else answer.distribution
        row = {"arrived": now, "end": answer.time, "distribution": said, "told": "; ".join(answer.told)}
        self._add(row, now + (self._session.start or 0.0))

    def _add(self, row, arrived):
        self._rows.append(row)
        self._began = arrived if self._began is None else self._began
        if arrived - self._began >= self._seconds or len(self._rows) >= _ROWS:
            self.flush()
            self._began = arrived

    def flush(self) -> None:
        """Write what has not been written."""
        if not self._rows:
            return
        pa = self._import()
        numbers = pa.list_(pa.float64())
        kinds = [pa.float64(), pa.string(), numbers, numbers, pa.float64(), pa.list_(pa.float32()), pa.string()]
        columns = {
            name: pa.array([row.get(name) for row in self._rows], kind)
            for name, kind in zip(_COLUMNS, kinds, strict=True)
        }
        content = io.BytesIO()
        pa.parquet.write_table(pa.table(columns), content)
        atomic_write(self.folder / f"{self._files:06}.parquet", content.getvalue(), mode=0o600)
        self._files, self._rows = self._files + 1, []

    def close(self) -> None:
        """Write the rest."""
        self.flush()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def again(
    folder: str | Path, model: EmotionModel, confidence: Confidence | None = None
) -> Iterator[tuple[Answer, np.ndarray | None]]:
    """Go through a log anew: each answer of today, and the distribution that was answered then.

    With the model, library and kind of machine that wrote it the two are the same bits; `session.json` names the model
    by `fingerprint`.

    Args:
        folder: of a `Log`.
        model: the one that is asked.
        confidence: as for `Session`.

    Raises:
        MissingFile: no log is there, or a file between two others is missing.
        ValueError: not a log, or of another setup than the model's.
        ImportError: pyarrow is not installed.
    """
    folder = expanded(folder)
    file = regular(folder / ABOUT, 2**20, "a log's session.json")
    try:
        about = json.loads(file.read_text())
        setup, patience, start = Setup.from_json(about["setup"]), float(about["patience"]), about["start"]
        start = None if start is None else float(start)
    except Exception as error:  # JSON from outside can be anything
        raise ValueError(f"{file}: not the beginning of a log ({shown(error, 300)})") from None
    session = Session(model, setup, patience=patience, confidence=confidence, start=start)
    for row in _rows(folder):
        if row["modality"] is not None:
            samples = np.array(row["samples"], float).reshape(len(row["stamps"]), -1)
            session.take(Event(row["arrived"], row["modality"], np.array(row["stamps"], float), samples))
        else:
            said = row["distribution"]
            yield session.answer(row["end"], row["arrived"]), None if said is None else np.array(said, np.float32)


def _rows(folder) -> Iterator[dict]:
    parquet = Log._import().parquet
    names = sorted(path.name for path in folder.glob("[0-9]*.parquet"))
    for k, name in enumerate(names):
        if name != f"{k:06}.parquet":
            raise MissingFile(f"{folder}: the file {k:06}.parquet is missing; a log can be followed only whole")
        try:
            table = parquet.read_table(regular(folder / name, _SIZE, "a file of a log"))
            rows = table.select(_COLUMNS).to_pylist()
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"{folder / name}: not a file of a log ({shown(error, 300)})") from None
        yield from rows
