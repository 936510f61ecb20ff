"""What a check of a data set says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

FAULT, CAUTION = "fault", "caution"


@dataclass(frozen=True)
class Finding:
    """One thing found: a "fault" to mend before use, or a "caution" to know of; what it is, where, and how much."""

    level: str
    what: str
    where: str
    found: str


def worst(
    found: dict[str, dict[str, tuple]], level: str, what: str, told: Callable[..., str], action: str
) -> Iterator[Finding]:
    """One finding a modality: its worst feature's figure, how many others are like it, and what to do."""
    for m, features in found.items():
        (name, worst), *others = sorted(features.items(), key=lambda item: -item[1][0])
        more = f" ({len(others)} other feature{'s' * (len(others) > 1)} like it)" if others else ""
        yield Finding(level, what, m, f"'{name}' {told(*worst)}{more}: {action}")
