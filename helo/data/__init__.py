"""Data sets: `load(name, ...)` gives an `EmotionData`, whatever the source."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path

from helo.data import splits
from helo.data.emotion_data import EmotionData, Layout, Recording, ratings_to_distributions
from helo.reading import expanded, shown

__all__ = ["EmotionData", "Layout", "Recording", "available", "load", "ratings_to_distributions", "splits"]

_SOURCES = {
    "simulated": "helo.data.simulated",
    "wesad": "helo.data.wesad",
    "crema-d": "helo.data.crema_d",
    "pairing": "helo.data.pairing",
    "matching": "helo.data.matching",
    "circumplex": "helo.data.circumplex",
    "dmer": "helo.data.dmer",
    "emowalk": "helo.data.emowalk",
    "ldl": "helo.data.ldl",
    "table": "helo.data.table",
    "recordings": "helo.data.recordings",
}


def available() -> tuple[str, ...]:
    """Names `load` knows."""
    return tuple(_SOURCES)


def load(name: str = "simulated", path: str | Path | None = None, features: str = "whole", **options) -> EmotionData:
    """Load a data set by name.

    Args:
        name: "simulated", "pairing", "matching" or "circumplex" (embedded, nothing to download); "wesad", "emowalk",
            "dmer", "crema-d", "ldl" (label distributions in a .mat), "table" or "recordings" (your own: features, or
            raw signals), which need a path.
        path: the data set's folder or file; root=... is the same.
        features: "whole": filters and beats see the whole recording; "causal": every feature of a window, its context
            and normalisation too, is made of what came before the window's end, as live use must
            (`helo.data.causal_windows`). For "simulated", the wrist of "wesad", and "recordings" of the same signals.
        **options: arguments of that source's `load`, for example root, window, step, seed.

    Raises:
        ValueError: unknown name, features that the data set does not have, or an option the source does not have; or
            the source's, which names the file.
    """
    if name not in _SOURCES:
        raise ValueError(f"unknown data set {name!r}; expected one of {list(_SOURCES)}")
    if features not in ("whole", "causal"):
        raise ValueError(f"features is {features!r}; expected 'whole' or 'causal'")
    source = importlib.import_module(_SOURCES[name]).load
    parameters = inspect.signature(source).parameters
    place = "root" if "root" in parameters else "path"
    if path is None and place == "path" and "root" in options:
        path = options.pop("root")
    if path is not None:
        options = {place: path} | options
    if isinstance(options.get(place), str | Path):
        expanded(options[place])
    unknown = sorted(set(options) - set(parameters))
    missing = sorted(p.name for p in parameters.values() if p.default is p.empty and p.name not in options)
    if unknown or missing:
        problem = f"does not take {unknown}" if unknown else f"needs {missing}"
        raise ValueError(f"data set {name!r} {problem}; its options are {list(parameters)}")
    try:
        if features == "causal":
            from helo.data.causal_windows import load as causally

            return causally(source, options)
        return source(**options)
    except ValueError as error:
        where, told = options.get(place), str(error)
        known = where is None or any(name in told for name in (str(where), os.path.expanduser(where)))
        # EmotionData knows no file; and what a file holds may be anything, a page of it or a terminal's codes
        told = shown(told if known else f"{where}: {told}")
        if isinstance(error, UnicodeError):  # has fields of its own
            raise ValueError(told) from None
        error.args = (told,)
        raise
    except TypeError as error:  # an option of another kind, such as a name for a number
        raise ValueError(shown(f"data set {name!r} with {options}: {error}")) from error
    except OSError as error:  # may not be opened, or a broken disk
        told = f"{error.filename or options.get(place)}: cannot be read ({error.strerror or error})"
        raise ValueError(shown(told)) from None
