"""The reference: every module's public names by room, the front door, and the command line."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from pages import ROOT, tree, write

import helo

ROOMS = {path.parent.name: path.parent.name.capitalize() for path in sorted((ROOT / "helo").glob("*/__init__.py"))}


def stage(folder: Path) -> None:
    """Write a page a room, one for the ground floor, an index, and the command line."""
    below = sorted(p.stem for p in (ROOT / "helo").glob("[a-z]*.py"))
    write(folder / "reference" / "ground-floor.rst", _page("Ground floor", [f"helo.{name}" for name in below]))
    for room, title in ROOMS.items():
        files = sorted(p.stem for p in (ROOT / "helo" / room).glob("[a-z]*.py"))
        modules = [f"helo.{room}", *(f"helo.{room}.{name}" for name in files)]
        write(folder / "reference" / f"{room}.rst", _page(title, modules))
    write(folder / "reference" / "index.md", _index() + tree([*ROOMS, "ground-floor"], hidden=True, depth=1))
    write(folder / "reference" / "command-line.md", command_line())


def _page(title, modules):
    lines = [title, "=" * len(title), ""]
    for module in modules:
        lines += [module, "-" * len(module), "", f".. automodule:: {module}", ""]
    return "\n".join(lines)


def _index():
    lines = [
        "# Reference\n",
        "```{py:module} helo\n```\n",
        "What `import helo` gives:\n",
        "| name | what it does |",
        "|---|---|",
    ]
    for name in helo.__all__:
        lines.append(f"| {_reference(getattr(helo, name), f'helo.{name}')} | {_first(getattr(helo, name))} |")
    lines += ["\nWhat each room gives, besides what its files have:\n", "| name | what it does |", "|---|---|"]
    for room in ROOMS:
        module = importlib.import_module(f"helo.{room}")
        for name in getattr(module, "__all__", []):
            thing = getattr(module, name)
            lines.append(f"| {_reference(thing, f'helo.{room}.{name}')} | {_first(thing)} |")
    return "\n".join(lines) + "\n"


def _reference(thing, name):
    if inspect.ismodule(thing):
        return f"{{py:mod}}`{name} <{thing.__name__}>`"
    return f"{{py:obj}}`{name} <{thing.__module__}.{thing.__qualname__}>`"


def _first(thing):
    from systems import markdown

    return markdown((inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")).replace("|", "\\|")


def command_line() -> str:
    """`python -m helo --help`, command by command."""
    import typer

    from helo.__main__ import app

    group = typer.main.get_command(app)
    lines = ["# Command line\n", "`python -m helo COMMAND --help` says the same.\n"]
    for name, command in group.commands.items():
        told = [f"`{_argument(p)}`" for p in command.params if p.param_type_name == "argument"]
        lines += [f"## {name}\n", " ".join([f"`python -m helo {name}`", *told]) + "\n", f"{command.help}\n"]
        lines += ["| | default | |", "|---|---|---|"]
        for p in command.params:
            names = ", ".join(f"`{o}`" for o in p.opts) if p.param_type_name == "option" else f"`{_argument(p)}`"
            own = p.show_default if isinstance(getattr(p, "show_default", None), str) else p.default
            default = "" if own is None or own is False or own == "" else f"`{own}`"
            lines.append(f"| {names} | {default} | {getattr(p, 'help', None) or ''} |")
        lines.append("")
    return "\n".join(lines) + "\n"


def _argument(parameter):
    return (parameter.metavar or parameter.name).upper()
