"""Your own raw recordings: signals, when what was shown, and ratings, as a study's folder holds them.

Three layouts: BIDS (`helo.data.bids`: `sub-*`, physiology as text, EEG by MNE), folders of an Empatica E4, and folders
of CSV files with time stamps (`helo.data.e4`). A small card, `recordings.yaml` in the folder, says what the files do
not: docs/recordings.md has one of each layout. K-EmoCon's comes with the library.

A person, a trial or a signal that cannot be used is left out, with a warning, and listed in the data set's `left_out`;
`strict=True` stops instead. People are read one after another. Memory: the signals of one person's session or run in
float64, and what filters need for blocks of 8 MB of them: 8 blocks, or more where windows overlap.

Limits: a file `helo.reading.memory()` bytes, packed or not (2 GB; `HELO_MEMORY=8` in the environment: 8), a table of
ratings 128 MiB, a JSON file 1 MiB, a recording 48 hours.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helo.data.cache import cached
from helo.data.columns import check_spelling, short, some
from helo.data.emotion_data import BEHAVIORAL, PHYSIOLOGICAL, EmotionData, ratings_to_distributions
from helo.data.findings import CAUTION, Finding
from helo.data.recorded import Report
from helo.data.recorded_signals import people_of, recording
from helo.data.recorded_windows import Cut, Cutter
from helo.data.recordings_card import read_card
from helo.data.recordings_ratings import Table
from helo.files import MissingFile
from helo.progress import each
from helo.reading import expanded, memory

#: most warnings; the rest is in `findings`
WARNINGS = 10
#: most files that the cache looks at
FILES = 20_000
NORMALISE = ("recording", "causal", "subject", "none")
_DEFAULTS = {"window": 60.0, "step": 30.0, "tokens": 5, "context": 0.0}


@dataclass(frozen=True, eq=False, repr=False)
class RecordedData(EmotionData):
    """An `EmotionData` that says what was found in its recordings.

    Args:
        findings: gaps, flat lines, clipping, clocks that disagree, and what is left out with its reason.
    """

    findings: tuple[Finding, ...] = ()

    @property
    def left_out(self) -> dict[str, str]:
        """Person, signal or trial -> why it is not here."""
        return {f.where: f.found for f in self.findings if f.what == "left out"}


def load(
    root: str | Path,
    card: str | Path | Mapping | None = None,
    window: float | None = None,
    step: float | None = None,
    tokens: int | None = None,
    context: float | None = None,
    normalise: str = "recording",
    raters: str | None = None,
    floor: float | None = None,
    smoothing: float | None = None,
    strict: bool = False,
    cache: bool = True,
) -> RecordedData:
    """Load a study of raw recordings as windows of features.

    Args:
        root: the study's folder.
        card: the card, as a YAML file, a dictionary or the name of one that comes with the library ("k-emocon").
            Default: recordings.yaml in the folder, or what the folder says by itself.
        window: length of a window in seconds; it lies within one rated time. Default of this and the next three: the
            card's, or 60, 30, 5 and 0.
        step: seconds between the starts of two windows.
        tokens: consecutive segments a window, with its context, is cut into.
        context: seconds before and after the window that are looked at too; `starts` and `window` then include them.
        normalise: every feature is centred and scaled without labels: "recording" by all that was recorded of the
            person, pauses included; "causal" by its part up to the window's end; "subject" by the person's windows
            alone; "none". Only the normalisation of "causal" is causal (`helo.data.signals`).
        raters: whose ratings, where the card has several; K-EmoCon: "self", "partner" or "external".
        floor: the rating that means "not at all"; it is subtracted. Default: the card's, or 0.
        smoothing: added to every rating before dividing by their sum. Default: the card's, or 0.
        strict: stop at what would be left out.
        cache: keep the features on disk for the next load; any change to a file in the folder makes them anew.

    Raises:
        MissingFile: the folder is missing, or holds no person.
        ValueError: the card, or all of the study, cannot be used; with strict, the first thing that would be left out.
            The message names file, field, found and expected.
    """
    root = expanded(root)
    if not root.is_dir():
        raise MissingFile(f"{root}: no such folder; expected a study's folder")
    if normalise not in NORMALISE:
        raise ValueError(f"normalise is {normalise!r}; expected one of {list(NORMALISE)}")
    said, told = read_card(root, card)
    cut = _cut(root, said, normalise, {"window": window, "step": step, "tokens": tokens, "context": context})
    _put_ratings(said["ratings"], {"floor": floor, "smoothing": smoothing})
    options = {"card": said, "cut": cut._asdict(), "raters": raters, "strict": strict, "memory": memory()}

    def make():
        return _extract(root, said, told, cut, raters, strict)

    files = _files(root) if cache else []
    data = cached("recordings", json.loads(json.dumps(options)), files, make) if files else make()
    found = tuple(Finding(*line) for line in json.loads(bytes(data.truth["findings"])))
    _warn(root, found)
    fields = {f.name: getattr(data, f.name) for f in dataclasses.fields(data)} | {"truth": {}}
    return RecordedData(**fields | {"recording": lambda subject: recording(root, subject, card)}, findings=found)


def _cut(root, card, normalise, given):
    """How to cut: what is given, else the card's, else the defaults."""
    lengths: dict = {k: card.get(k, _DEFAULTS[k]) if v is None else v for k, v in given.items()}
    for name, value in lengths.items():
        kind, what = (int, "whole number") if name == "tokens" else ((int, float), "number of seconds")
        if not isinstance(value, kind) or isinstance(value, bool) or not 0 <= value <= 1e6:
            raise ValueError(f"{root}: {name} is {short(value)}; expected a {what} of at most 1,000,000")
    cut = Cut(**lengths, normalise=normalise)
    if not (
        cut.window > 0 and cut.step >= 0.1 and cut.context >= 0 and cut.tokens >= 1 and cut.whole / cut.tokens >= 2
    ):
        raise ValueError(
            f"{root}: window {cut.window} s, step {cut.step} s, context {cut.context} s, tokens {cut.tokens}: expected "
            "a step of at least 0.1 s and tokens of at least 2 s"
        )
    return cut


def _put_ratings(card, given):
    """What is given, in the place of the card's."""
    for key, value in given.items():
        if value is not None:
            if not (0 if key == "smoothing" else -np.inf) <= value < np.inf:
                raise ValueError(f"{key} is {short(value)}; expected a number" + ", at least 0" * (key == "smoothing"))
            card[key] = float(value)


def _files(root):
    """All that the result may depend on: every file in the folder, and in those that links in it lead to.

    Empty where there are too many to look at each time.
    """
    found: list[Path] = []
    seen = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = [] if real in seen else [name for name in below if name != ".git"]
        found += [Path(folder, name) for name in files if real not in seen]
        seen.add(real)
        if len(found) > FILES:
            warnings.warn(
                f"{root}: over {FILES} files with those that links lead to; features are not kept", stacklevel=3
            )
            return []
    return sorted(p for p in found if p.is_file() and os.access(p, os.R_OK))


def _warn(root, found):
    """What is left out, and what is at fault, as warnings."""
    told = [f"{f.where}: {f.found}" for f in found if f.what == "left out"]
    for line in told[:WARNINGS]:
        warnings.warn(f"{root}: left out {line}", stacklevel=3)
    if len(told) > WARNINGS:
        warnings.warn(
            f"{root}: left out {len(told) - WARNINGS} more; .left_out of the data set lists all", stacklevel=3
        )


def _extract(root, card, told, cut, raters, strict):
    report = Report(strict)
    people, table = people_of(root, card), Table(root, card["ratings"], raters, told)
    cutter = Cutter(card, table, cut, report)
    _check_people(root, people, card, told, report)
    everybody, why_not = [], []
    for person in each(people, card.get("name", root.name), "person"):
        if isinstance(why := card["exclude"].get(person.name), str):
            report.note(CAUTION, "excluded by the card", "people", f"{person.name}: {why}")
            continue
        try:
            found = cutter.windows(person)
        except (ValueError, OSError) as error:
            report.leave_out(person.name, error)
            more = [f"{f.where}: {f.found}" for f in report.findings if f.where.startswith(f"{person.name}, ")]
            why_not.append(f"{person.name}: {error}" + f" ({'; '.join(more[:4])})" * bool(more))
            continue
        everybody.append((person.name, found))
    cutter.tell_rates()
    if not everybody:
        raise ValueError(f"{root}: nobody is left; {why_not[0] if why_not else 'every person is excluded'}")
    return _gathered(root, card, cut, table.emotions, everybody, _same_features(everybody, report), report)


def _check_people(root, people, card, told, report):
    """The card's `exclude` and `only` name people who are there."""
    there = [person.name for person in people]
    for key in ("exclude", "only"):
        if unknown := [who for who in card[key] if who not in there]:
            if key == "exclude":
                raise ValueError(
                    f"{told}, exclude: no person {unknown[0]!r}; found {some(there)} (a name of digits is written in "
                    "quotes: '05')"
                )
            for who in unknown:
                check_spelling(root, f"{told}, only,", [*there, who])
            report.note(CAUTION, "only of the card", "people", f"nobody is called {some(unknown)}")


def _same_features(everybody, report):
    """Signal -> the names of its features that most people have; of the others it is left out."""
    names: dict[str, tuple[str, ...]] = {}
    for m in dict.fromkeys(m for _, found in everybody for m in found.values):
        counts = Counter(found.names[m] for _, found in everybody if m in found.values)
        names[m] = min(counts, key=lambda own: (-counts[own], own))
        for who, found in everybody:
            if m in found.values and found.names[m] != names[m]:
                told = f"has the features {some(found.names[m])}; expected those of most people, {some(names[m])}"
                report.leave_out(f"{who}, {m}", told)
                del found.values[m], found.masks[m]
    return names


def _gathered(root, card, cut, emotions, everybody, names, report):
    values, masks = {}, {}
    counts = [len(found.starts) for _, found in everybody]
    for m in [m for m in card["signals"] if m in names]:
        shape = cut.tokens, len(names[m])
        x = [f.values.get(m, np.zeros((n, *shape))) for n, (_, f) in zip(counts, everybody, strict=True)]
        there = [f.masks.get(m, np.zeros((n, shape[0]), bool)) for n, (_, f) in zip(counts, everybody, strict=True)]
        if (mask := np.concatenate(there)).any():
            values[m], masks[m] = np.concatenate(x), mask
        else:
            report.leave_out(m, "no token of it is there in any window")
    if not values:
        raise ValueError(f"{root}: no signal has a token in any window")
    labels = [part for _, found in everybody for part in found.labels]
    shown = [name for part in labels for name in part.conditions or [""] * len(part.starts)]
    without = [who for who, found in everybody if any(part.conditions is None for part in found.labels)]
    if without and any(shown):
        told = f"{', '.join(without)}: no column names any, so that no window of the study has one"
        report.note(CAUTION, "no condition", "ratings", told)
    trials, clips = (np.array([name for part in labels for name in getattr(part, k)]) for k in ("trials", "clips"))
    ratings = np.concatenate([part.ratings for part in labels]) + card["ratings"]["smoothing"]
    roles = {r: tuple(m for m in values if card["signals"][m]["role"] == r) for r in (PHYSIOLOGICAL, BEHAVIORAL)}
    skin = [m for m in roles[PHYSIOLOGICAL] if card["signals"][m]["kind"] == "electrodermal"]  # never without a token
    length, to = cut.whole / cut.tokens, " to " if cut.context else "-"
    segments = tuple(f"{k * length - cut.context:g}{to}{(k + 1) * length - cut.context:g} s" for k in range(cut.tokens))
    found = json.dumps([dataclasses.astuple(f) for f in report.found()]).encode()
    return EmotionData(
        name=card.get("name", root.name),
        signals=values,
        masks=masks,
        distributions=ratings_to_distributions(ratings, str(root), emotions),
        emotions=emotions,
        subjects=np.repeat([name for name, _ in everybody], counts),
        trials=trials,
        clips=clips if (clips != trials).any() else None,  # where each clip is one trial, the trials say it
        conditions=np.array(shown) if all(shown) else None,
        starts=np.concatenate([found.starts for _, found in everybody]),
        window=cut.whole,
        roles=roles,
        query=card.get("query", skin[0] if skin else None),
        features={m: names[m] for m in values},
        tokens=dict.fromkeys(values, segments),
        truth={"findings": np.frombuffer(found, np.uint8)},  # the cache keeps arrays; `load` takes it out again
    )
