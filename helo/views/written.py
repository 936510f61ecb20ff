"""Names in saved pictures stand as they are written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import matplotlib

P = ParamSpec("P")
R = TypeVar("R")


def as_written(draw: Callable[P, R]) -> Callable[P, R]:
    """A function that draws, without formulas in its texts: a name with two `$` is a name, and no broken formula."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> R:
        with matplotlib.rc_context({"text.parse_math": False}):
            return draw(*args, **options)

    return drawn
