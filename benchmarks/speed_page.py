"""The rows of docs/speed.md: `python benchmarks/speed_page.py [PART ...]` measures these parts, or the usual ones, and
writes the page; `page` alone writes it from what is kept in benchmarks/results/speed.csv.

A benchmark prints its rows (`machine.rows`); what a part printed last takes the place of its older rows, with the
command, the machine, the day and the commit (and a + where the code was not committed yet). A part that fails, or takes
longer than its limit, keeps the rows it had.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import os
import string
import subprocess
import sys
import time
from pathlib import Path

from machine import HEAD

from helo.files import atomic_write

ROOT = Path(__file__).parent.parent
COLUMNS = ("part", "what", "found", "goal", "command", "machine", "date", "commit")
#: part -> its command; how many threads it computes with, 0: as many as torch takes
PARTS = {
    "transport": ("transport.py --repeats 5", 1),
    "neighbour": ("neighbour.py", 0),
    "training": ("training.py --steps 4", 1),
    "stacked": ("stacked.py --repeats 2", 1),
    "seeds": ("stacked.py --seeds 3 --repeats 2 --ways evaluate", 1),
    "denormals": ("denormals.py", 1),
    "growth": ("growth.py", 1),
    "data": ("data.py", 1),
    "imports": ("imports.py", 1),
    "dmer": ("stacked.py --study dmer --repeats 2", 1),
    "wesad": ("data.py --root PATH", 1),
}
USUAL = tuple(part for part in PARTS if part not in ("dmer", "wesad"))
LIMIT = 400  # seconds of a part
MARKS = "<!-- rows: written by benchmarks/speed_page.py -->\n", "<!-- end of rows -->\n"


def table(output: str) -> list[list[str]]:
    """The rows that a benchmark printed."""
    below = output.split(HEAD)[1].splitlines()[2:] if HEAD in output else []
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in below if line.startswith("|")]


def measure(part: str, wesad: str, limit: float = LIMIT) -> list[dict[str, str]]:
    """Run a part, its output as it comes; its rows.

    Raises:
        RuntimeError: it failed, took longer than its limit, or printed no rows.
    """
    command, threads = PARTS[part]
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    words = [wesad if word == "PATH" else word for word in command.split()]
    program = [sys.executable, str(ROOT / "benchmarks" / words[0]), *words[1:]]
    done = subprocess.Popen(["timeout", str(limit), *program], stdout=subprocess.PIPE, text=True, env=environment)
    lines = []
    for line in done.stdout or ():
        print(line, end="", flush=True)
        lines.append(line)
    if done.wait() or not table("".join(lines)):
        why = f"took longer than {limit:.0f} s" if done.returncode == 124 else f"ended with code {done.returncode}"
        raise RuntimeError(f"{part}: {why}, {len(table(''.join(lines)))} rows")
    about = {"part": part, "command": f"benchmarks/{command}", "commit": commit()}
    about |= {"machine": next((x.strip() for x in lines if " cores, " in x), ""), "date": str(datetime.date.today())}
    return [about | dict(zip(("what", "found", "goal"), [*row, ""][:3], strict=True)) for row in table("".join(lines))]


def commit() -> str:
    """The commit that is measured; with a + where code has changed since."""
    asked = (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", "helo", "benchmarks/*.py"])
    known, changed = (subprocess.run(["git", *ask], cwd=ROOT, capture_output=True, text=True).stdout for ask in asked)
    return known.strip() + ("+" if changed.strip() else "")


def read(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text()))) if file.exists() else []


def keep(file: Path, rows: list[dict[str, str]]) -> None:
    """Put rows in the place of their part's older ones; parts in their order."""
    old = [row for row in read(file) if row["part"] not in {row["part"] for row in rows}]
    order = list(PARTS)
    content = io.StringIO()
    writer = csv.DictWriter(content, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted([*old, *rows], key=lambda row: order.index(row["part"])))
    atomic_write(file, content.getvalue().encode())


def written(rows: list[dict[str, str]]) -> str:
    """The table, and below it what the letters of its last column stand for."""
    runs = list(dict.fromkeys((row["machine"], row["date"], row["commit"]) for row in rows))
    letters = dict(zip(runs, string.ascii_uppercase, strict=False))
    lines = ["| what | found | goal | command | run |", "|---|---|---|---|---|"]
    for row in rows:
        letter = letters[row["machine"], row["date"], row["commit"]]
        lines.append(f"| {row['what']} | {row['found']} | {row['goal']} | `{row['command']}` | {letter} |")
    told = [
        f"- **{letter}**: {machine}; {date}, commit {commit}" for (machine, date, commit), letter in letters.items()
    ]
    return "\n".join([*lines, "", *told, ""])


def page(text: str, rows: list[dict[str, str]]) -> str:
    """A page whose rows are these."""
    head, rest = text.split(MARKS[0])
    return head + MARKS[0] + written(rows) + MARKS[1] + rest.split(MARKS[1])[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; or page")
    parser.add_argument("--wesad", default="", help="folder of WESAD, for the part wesad")
    options = parser.parse_args()
    parts = list(options.parts or (*USUAL, *(["wesad"] if options.wesad else [])))
    if unknown := set(parts) - {*PARTS, "page"}:
        parser.error(f"unknown parts {sorted(unknown)}; expected some of {list(PARTS)}")
    if "wesad" in parts and not options.wesad:
        parser.error("the part wesad needs --wesad FOLDER")
    file, failed, started = ROOT / "benchmarks/results/speed.csv", [], time.perf_counter()
    for part in (part for part in parts if part != "page"):
        began = time.perf_counter()
        print(f"\n# {part}\n", flush=True)
        try:
            keep(file, measure(part, options.wesad))
        except RuntimeError as error:
            failed.append(str(error))
        print(f"\n{part}: {time.perf_counter() - began:.0f} s", flush=True)
    where = ROOT / "docs/speed.md"
    atomic_write(where, page(where.read_text(), read(file)).encode())
    print(f"\n{where.relative_to(ROOT)} is written; {(time.perf_counter() - started) / 60:.1f} minutes")
    sys.exit("\n".join(["", *failed]) if failed else 0)


if __name__ == "__main__":
    main()
