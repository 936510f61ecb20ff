"""Where the blocks of a computation stand: rows from top to bottom, arrows down, none through a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from helo.views.tracing import Block

#: most blocks in a row; widths in per cent of the picture's
_MOST, _WIDEST, _GAP, _PASS = 4, 36.0, 1.6, 2.0


@dataclass
class Places:
    """A row for each block, and its middle and width in per cent; and the points that each arrow passes.

    Args:
        rows: of each block, from 0.
        centers, widths: of each block, per cent.
        arrows: (source, target) -> the middle of the arrow in every row from its source's to its target's.
        bands: rows of one step: (step, first row, last row).
    """

    rows: list[int]
    centers: list[float]
    widths: list[float]
    arrows: dict[tuple[int, int], list[float]]
    bands: list[tuple[str, int, int]]


def place(blocks: Sequence[Block]) -> Places:
    """Rows by what a block is computed from, steps in the order of the computation.

    What is needed further down passes the rows between in a lane of its own. In a row, blocks and lanes stand as near
    below their sources as the others let them (least squares: an isotonic regression).
    """
    rows, bands = _rows(blocks)
    last = {k: max((rows[t] for t, b in enumerate(blocks) if k in b.sources), default=0) for k in range(len(blocks))}
    lanes: dict[tuple[int, int], float] = {}  # (block, row) -> the middle of the block, or of its lane there
    widths = [0.0] * len(blocks)
    for row in range(max(rows) + 1):
        here = [k for k in range(len(blocks)) if rows[k] == row]
        passing = [k for k in range(len(blocks)) if rows[k] < row < last[k]]
        width = min(_WIDEST, (100 - _PASS * len(passing)) / max(len(here), 1) - _GAP)
        spread = {k: (i + 0.5) * 100 / len(here) for i, k in enumerate(here)}
        wanted = {k: _mean([lanes[s, row - 1] for s in blocks[k].sources], spread[k]) for k in here}
        wanted |= {k: lanes[k, row - 1] for k in passing}
        order = sorted(wanted, key=lambda k: wanted[k])
        sizes = np.array([width + _GAP if k in spread else _PASS for k in order])
        for k, x in zip(order, _apart(np.array([wanted[k] for k in order]), sizes), strict=True):
            lanes[k, row] = float(x)
        for k in here:
            widths[k] = width
    arrows = {
        (s, t): [lanes[s, row] for row in range(rows[s], rows[t])] + [lanes[t, rows[t]]]
        for t, block in enumerate(blocks)
        for s in sorted(block.sources)
    }
    return Places(rows, [lanes[k, rows[k]] for k in range(len(blocks))], widths, arrows, bands)


def _rows(blocks):
    rows, bands, start = [0] * len(blocks), [], 0
    for step, group in groupby(range(len(blocks)), key=lambda k: blocks[k].step):
        own, level = list(group), dict[int, int]()
        for k in own:
            level[k] = max((level[s] + 1 for s in blocks[k].sources if s in level), default=0)
        for k in own:  # weights stand right above what reads them
            readers = [level[t] for t in own if k in blocks[t].sources]
            if blocks[k].kind == "weights" and readers:
                level[k] = min(readers) - 1
        first = start
        for depth in range(max(level.values()) + 1):
            same = [k for k in own if level[k] == depth]
            for at in range(0, len(same), _MOST):
                for k in same[at : at + _MOST]:
                    rows[k] = start
                start += 1
        bands.append((step, first, start - 1))
    return rows, bands


def _mean(values, otherwise):
    return sum(values) / len(values) if values else otherwise


def _apart(wanted, sizes):
    """The places nearest to those wanted, in the same order, that overlap nowhere between 0 and 100."""
    from sklearn.isotonic import isotonic_regression

    before = np.cumsum(sizes) - sizes / 2
    spare = max(0.0, 100 - sizes.sum())
    return isotonic_regression(wanted - before, y_min=0, y_max=spare) + before
