"""The house: every room knows only the rooms below it, and no file's imports go in a circle."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

# from the ground up; a room may import from those before it and from itself
FLOORS = (
    "precision",
    "files",
    "reading",
    "checksums",
    "progress",
    "measures",
    "losses",
    "sinkhorn",
    "transport",
    "data",
    "models",
    "training",
    "live",
    "evaluation",
    "batch",
    "views",
)
FILES = sorted((ROOT / "helo").rglob("*.py"))
HEAVY = {
    "data": {"torch"},
    "measures": {"torch", "pandas"},
    "models": {"pandas", "matplotlib", "plotly", "papermill"},
    "training": {"pandas", "matplotlib", "plotly", "papermill"},
    "live": {"pandas", "matplotlib", "plotly", "papermill", "mne_lsl", "pyarrow"},
    "evaluation": {"matplotlib", "plotly", "papermill"},
    "batch": {"torch", "matplotlib", "plotly"},
}


def module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module(path) for path in FILES}


def imported(path, anywhere=True):
    """Modules a file imports; with anywhere=False only those that importing it imports."""
    tree = ast.parse(path.read_text())
    body = list(ast.walk(tree)) if anywhere else list(at_import(tree.body))
    found = set()
    for node in body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & NAMES or {node.module}
    return found


def at_import(statements):
    """Statements that run when a file is imported: no bodies of functions, no types for the checker alone."""
    for node in statements:
        if isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.dump(node.test):
                yield from at_import([*node.body, *node.orelse])
        elif isinstance(node, ast.Try | ast.With | ast.ClassDef):
            yield from at_import(node.body)
        else:
            yield node


def untyped(path):
    """Public functions of a file, and methods of public classes, with an argument or an answer of no said type."""
    tree = ast.parse(path.read_text())
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_")]
    for node in (node for body in bodies for node in body if isinstance(node, ast.FunctionDef)):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        said = all(a.annotation for a in arguments if a.arg not in ("self", "cls"))
        if node.name[0] != "_" and not (said and node.returns):
            yield node.name


def room(name):
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(Path(p).relative_to(ROOT)))
def test_arrows_point_down(path):
    own = room(module(path))
    if own in ("", "__main__"):  # the public face sees everything
        return
    wrong = [
        name for name in imported(path) if name.split(".")[0] == "helo" and FLOORS.index(room(name)) > FLOORS.index(own)
    ]
    assert not wrong, f"{module(path)} is in {own!r}, below {wrong}"


def test_no_circle_among_files():
    arrows = {module(p): {n for n in imported(p, anywhere=False) if n in NAMES} for p in FILES}
    while leaves := [name for name, to in arrows.items() if not to & set(arrows) - {name}]:
        for name in leaves:
            del arrows[name]
    assert not arrows, f"imports go in a circle among {sorted(arrows)}"


@pytest.mark.parametrize("own", HEAVY)
def test_what_a_room_does_not_need(own):
    """A room may ask for a large library inside a function; importing the room asks for none of these."""
    for path in FILES:
        if room(module(path)) == own:
            heavy = {name.split(".")[0] for name in imported(path, anywhere=False)} & HEAVY[own]
            assert not heavy, f"{module(path)} imports {heavy}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(Path(p).relative_to(ROOT)))
def test_a_function_fits_on_a_screen_and_a_file_in_a_head(path):
    file, text = path.relative_to(ROOT / "helo").as_posix(), path.read_text()
    assert text.count("\n") <= 325, f"{file} has {text.count(chr(10))} lines"
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [node.name for node in functions if node.end_lineno - node.lineno >= 60]
    assert not long, f"{file}: {long} have more than 60 lines"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(Path(p).relative_to(ROOT)))
def test_public_functions_say_their_types(path):
    assert not list(untyped(path))
