"""What a check of a data set says."""

from __future__ import annotations

from dataclasses import dataclass

FAULT, CAUTION = "fault", "caution"


@dataclass(frozen=True)
class Finding:
    """One thing found: a "fault" to mend before use, or a "caution" to know of; what it is, where, and how much."""

    level: str
    what: str
    where: str
    found: str
