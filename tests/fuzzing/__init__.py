"""Broken and hostile files, by family; `tests/fuzz.py` runs them.

changes.py    any bytes, text, array, table or JSON changed a little
writers.py    how each kind of file is written
trial.py      one file tried: what a reader is, limits, guards, what counts as a fault
readers.py    every reader with valid files, and broken ones made of them by mutation
stored.py     the same for what this library writes: models, checkpoints, entries of the cache
pickles.py    pickles by grammar             special.py    pipes, devices, links, folders in a file's place
tables.py     wide, long and repeated tables cards.py      hostile YAML
metadata.py   headers, options, results      flips.py      single bits
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fuzzing import metadata, pickles, tables
from fuzzing.cards import card
from fuzzing.flips import flipped
from fuzzing.readers import MUTATED, wesad
from fuzzing.special import special
from fuzzing.stored import KINDS, mutated
from fuzzing.trial import Reader


def _cards() -> Reader:
    return MUTATED["table-card"]()._replace(broken=lambda rng: ("own.yaml", card(rng)))


_STORED = {name: partial(kind.reader, mutated, numbers=False) for name, kind in KINDS.items()}
_WIDE = {
    "wide-csv": tables.wide(MUTATED["table-csv"], "own.csv", tables.csv),
    "wide-parquet": tables.wide(MUTATED["table-parquet"], "own.parquet", tables.parquet),
    "wide-npz": tables.wide(MUTATED["table-npz"], "own.npz", tables.npz),
    "wide-mat": tables.wide(MUTATED["table-mat"], "own.mat", tables.mat),
    "wide-ldl": tables.wide(MUTATED["ldl"], "x.mat", tables.ldl, "ldl"),
    "wide-votes": tables.wide(MUTATED["crema-d"], "tabulatedVotes.csv", tables.votes, "crema-d"),
}

#: name -> what makes the reader; a family by mutation has the reader's own name, another begins with the family's
READERS: dict[str, Callable[[], Reader]] = {
    **MUTATED,
    **_STORED,
    "pickle-grammar": pickles.alone,
    "wesad-grammar": lambda: pickles.within(wesad()),
    **_WIDE,
    "metadata-card": _cards,
    "metadata-parquet": metadata.parquet,
    "metadata-results": metadata.results,
    **{f"metadata-{name}": partial(kind.reader, metadata.hostile, False) for name, kind in KINDS.items()},
    **{f"special-{name}": special(of) for name, of in (MUTATED | _STORED | {"results": metadata.results}).items()},
    **{f"flip-{name}": partial(kind.reader, flipped, True) for name, kind in KINDS.items()},
}
