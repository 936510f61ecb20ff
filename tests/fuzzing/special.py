"""Something else in the place of a file that a reader opens: a pipe, a socket, a device, a folder, a link, a hole."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from fuzzing.trial import Reader

_LINKS = (
    "/dev/zero",
    "/dev/null",
    "/dev/full",
    "/dev/random",
    "/dev/stdin",
    "/proc/self/mem",
    "/proc/self/pagemap",
    "/proc/self/environ",
    "/proc/self/fd/0",
    "/etc/passwd",
    "/nowhere/at/all",
    "/",
    ".",
    "..",
)


def fifo(rng, path: Path) -> None:
    os.mkfifo(path)


def bound(rng, path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has at most 107 letters
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def folder(rng, path: Path) -> None:
    path.mkdir()
    for k in range(rng.integers(3)):
        (path / f"{k}{path.suffix}").write_bytes(rng.bytes(20))


def link(rng, path: Path) -> None:
    path.symlink_to(_LINKS[rng.integers(len(_LINKS))])


def itself(rng, path: Path) -> None:
    other = path.with_name(".other")
    other.unlink(missing_ok=True)
    if rng.random() < 0.5:
        path.symlink_to(path.name)
    else:
        other.symlink_to(path.name)
        path.symlink_to(other.name)


def chain(rng, path: Path) -> None:
    """A link to the valid file or folder, which `attempt` has put aside."""
    up = "../" * len(path.relative_to(_top(path)).parts[1:])
    path.symlink_to(f"{up}.aside")


def _top(path):
    return next(parent for parent in path.parents if (parent / ".aside").exists())


def hole(rng, path: Path) -> None:
    """Zeros without end, or nearly; most of them few."""
    path.touch()
    most = 32 if rng.random() < 0.02 else 20
    os.truncate(path, int(2 ** rng.uniform(0, most)))


def unreadable(rng, path: Path) -> None:
    if path.with_name(".aside").is_file():
        path.write_bytes(path.with_name(".aside").read_bytes())
    else:
        folder(rng, path) if rng.random() < 0.5 else path.write_bytes(rng.bytes(20))
    path.chmod(0)


def nothing(rng, path: Path) -> None:
    """The file is not there."""


KINDS: tuple[Callable, ...] = (fifo, bound, folder, link, link, itself, chain, hole, unreadable, nothing)


def paths(rng) -> str:
    """Where to send a reader: a name that no file has, or that leads to the valid folder in a way that few write."""
    names = (
        "x" * int(rng.integers(200, 300)),
        "/".join(["x" * 200] * int(rng.integers(1, 40))),
        "./" * int(rng.integers(1, 3000)),
        "a\0b",
        os.fsdecode(bytes([*rng.integers(128, 256, 4)])),
        "\ud800",
        "\x1b[31m",
        "\u202e.csv",
        "*",
        "~nouser",
        "$HOME",
        "\n",
    )
    return names[rng.integers(len(names))]


def special(of: Callable[[], Reader]) -> Callable[[], Reader]:
    """The family for one reader."""

    def make() -> Reader:
        reader = of()

        def broken(rng):
            name = reader.files[rng.integers(len(reader.files))]
            if not reader.writes and rng.random() < 0.1:
                return name, lambda path: path.symlink_to(path.parent / ".aside"), paths(rng)
            kind = KINDS[rng.integers(len(KINDS))]
            return name, lambda path: kind(rng, path)

        return reader._replace(broken=broken, numbers=None)

    return make
