"""helo's own notebooks and sweep files: those of the repository, or those that a wheel carries."""

from __future__ import annotations

from pathlib import Path

from helo.files import MissingFile, atomic_write
from helo.reading import expanded, shown

_PACKAGE = Path(__file__).parents[1]
#: kind -> its folder in an installed package, in the repository; how its files end
_PLACES = {
    "notebooks": (_PACKAGE / "notebooks", _PACKAGE.parent / "notebooks", "*.ipynb"),
    "sweeps": (_PACKAGE / "sweep_files", _PACKAGE.parent / "sweeps", "*.toml"),
}


def folder(kind: str = "notebooks") -> Path:
    """Where helo's own notebooks, or sweep files, are.

    Args:
        kind: "notebooks" or "sweeps".

    Raises:
        MissingFile: this installation has none.
    """
    *places, pattern = _PLACES[kind]
    for place in places:
        if any(place.glob(pattern)):
            return place
    raise MissingFile(f"{_PACKAGE}: no {kind}, neither in it nor beside it; expected those of helo's wheel")


def find(name: str) -> Path:
    """One of helo's own notebooks by its name, as "02_train".

    Raises:
        MissingFile: no notebook has that name.
    """
    place = folder()
    if not any(path.stem == name for path in place.glob("*.ipynb")):
        known = sorted(path.stem for path in place.glob("*.ipynb"))
        raise MissingFile(f"{shown(name)}: no such notebook; helo has {known}")
    return place / f"{name}.ipynb"


def copy(target: str | Path) -> list[Path]:
    """Copy helo's notebooks into a folder, and its sweep files into sweeps/ there; all of them or none.

    Args:
        target: a folder, which is made where there is none.

    Returns:
        The copies.

    Raises:
        FileExistsError: a file of that name is there already; nothing is overwritten.
    """
    target = expanded(target)
    copies = {target / path.name: path for path in sorted(folder().glob("*.ipynb"))}
    copies |= {target / "sweeps" / path.name: path for path in sorted(folder("sweeps").glob("*.toml"))}
    for there in (target, target / "sweeps"):
        if there.exists() and not there.is_dir():
            raise FileExistsError(f"{there}: is no folder, and nothing was copied")
    for there in copies:
        if there.exists() or there.is_symlink():
            raise FileExistsError(f"{there}: is there already, and nothing was copied; expected a folder without it")
    made: list[Path] = []
    try:
        for there, path in copies.items():
            atomic_write(there, path.read_bytes())
            made.append(there)
    except OSError:  # a full disk, a folder that may not be made: another call finds the place as it was
        for there in made:
            there.unlink(missing_ok=True)
        raise
    return list(copies)
