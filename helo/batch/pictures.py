"""The pictures of many runs, small enough to stand in one page."""

from __future__ import annotations

import base64
import io
import stat
import warnings
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

WIDTH = 640  # pixels of an embedded picture, at most
ROOM = 24_000_000  # bytes of all pictures of a page
FILE, PIXELS = 50_000_000, 50_000_000  # of a picture that is opened at all


def embedded(folder: Path, names: Sequence[str]) -> tuple[dict[str, list[tuple[Path, dict]]], str]:
    """Pictures of runs as data addresses, every run's first before anybody's second, until there is no more room.

    Args:
        folder: of the sweep.
        names: of the runs.

    Returns:
        run -> (file, {"name", "data", "width", "height"}) in the files' order, "data" "" where it is not embedded; and
        a note where some are not.
    """
    each = {run: _pictures(folder / run) for run in names}
    found: dict[str, list[tuple[Path, dict]]] = {run: [] for run in names}
    room, left_out = ROOM, 0
    for rank in zip_longest(*each.values()):
        for run, path in zip(names, rank, strict=True):
            if path is not None:
                picture = _small(path) if room > 0 else {}
                room -= len(picture.get("data", ""))
                left_out += not picture
                found[run].append((path, {"name": path.name, "data": "", **picture}))
    return found, f"{left_out} pictures are not embedded (no room, or not readable); their names link to the files" * (
        left_out > 0
    )


def _pictures(path):
    if path.is_symlink() or not path.is_dir():
        return []
    return sorted(file for file in path.glob("*.png") if stat.S_ISREG(file.lstat().st_mode))


def _small(path):
    """Nothing of a file that is no picture, or one too large to open."""
    from PIL import Image

    try:
        if path.stat().st_size > FILE:
            return {}
        with warnings.catch_warnings(), Image.open(path, formats=["PNG"]) as image:
            warnings.simplefilter("ignore")  # the size is looked at here
            if image.width * image.height > PIXELS:
                return {}
            small = image.convert("RGBA" if image.mode in ("RGBA", "LA", "P", "PA") else "RGB")
        small.thumbnail((WIDTH, 2 * WIDTH), reducing_gap=2.0)
        content = io.BytesIO()
        small.save(content, "WEBP", quality=60, method=2)
    except Exception:  # Pillow tells of broken files in many ways
        return {}
    data = base64.b64encode(content.getvalue()).decode()
    return {"data": f"data:image/webp;base64,{data}", "width": small.width, "height": small.height}
