"""Files written whole or not at all, and the fingerprint of this library's own."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

UNFINISHED = ".unfinished"  # how a temporary neighbour's name ends, for whoever clears away what a killed process left


class MissingFile(FileNotFoundError, ValueError):
    """A file or folder that was named is not there: bad input, as any other."""


def atomic_write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a whole file or nothing: into a temporary neighbour, then renamed; on the disk when it returns.

    Args:
        path: the file.
        content: all of it.
        mode: who may read it, as far as the user's umask lets them: 0o600, its owner alone, where it holds what was
            measured of people.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a power cut after the renaming would leave an empty file otherwise
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def code_digest(*patterns: str, modules: Iterable[str] = ()) -> str:
    """Hash of this library's code, so that results of older code are never taken for today's.

    Comments, docstrings and layout are no code: to change them leaves results valid.

    Args:
        patterns: files, within the package.
        modules: names of modules ("helo.models.jmt"); each counts with all modules of the library that it imports,
            directly or not. What a package's own file (`__init__`) gathers does not count.
    """
    paths = {path for pattern in patterns for path in _PACKAGE.glob(pattern)}
    waiting = [_path(module) for module in modules]
    while waiting:
        path = waiting.pop()
        if path not in paths:
            paths.add(path)
            waiting += _imported(path.read_bytes())
    key = hashlib.sha256()
    for path in sorted(paths):
        key.update(path.name.encode() + _code(path.read_bytes()))
    return key.hexdigest()


_PACKAGE = Path(__file__).parent


def _path(module: str) -> Path:
    return _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")


@functools.cache
def _imported(source: bytes) -> list[Path]:
    """The library's files that a file imports."""
    found = []
    for node in _statements(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [_path(name) for name in names if name.startswith("helo.") and _path(name).is_file()]
    return found


@functools.cache
def _code(source: bytes) -> bytes:
    """What Python makes of a file, without its docstrings."""
    tree = ast.parse(source)
    for node in _statements(tree):
        body = getattr(node, "body", None)
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body[0] = ast.Pass()
    whole: dict = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(tree, **whole).replace(", type_params=[]", "").encode()  # the same of every Python from 3.11 on


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """A tree's statements, and what holds some: `ast.walk` goes through every expression, too, which takes long."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            held = getattr(node, part, None)
            waiting += held if isinstance(held, list) else []


def write_json(path: Path, content: dict) -> None:
    """Write a dictionary as JSON, whole or not at all; numpy numbers become plain ones."""
    atomic_write(path, (json.dumps(content, indent=2, default=plain) + "\n").encode())


def plain(x: object) -> object:
    """A numpy number or array as JSON knows it, anything else as text."""
    return x.tolist() if hasattr(x, "tolist") else str(x)
