"""Build the site: `python docs/site/build.py` runs the notebooks, puts the pages together, calls Sphinx and checks.

Nothing is fetched, neither now nor by who reads the pages. A warning of Sphinx, a reference or link that leads nowhere,
a formula that is not understood or anything that a page would fetch from elsewhere is an error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import check  # noqa: E402
import gallery  # noqa: E402
import lessons  # noqa: E402
import pages  # noqa: E402
import reference  # noqa: E402
import systems  # noqa: E402


def build(output: Path, execute: bool = True, workers: int = 2) -> list[str]:
    """Build into `output`/site from the sources in `output`/pages.

    Args:
        output: folder; what an earlier build left there is replaced.
        execute: run the notebooks first; without, those that have not run have no outputs.
        workers: notebooks at a time, and processes of Sphinx.

    Returns:
        What is wrong; nothing, where all is well.
    """
    from plotly.offline import get_plotlyjs
    from sphinx.cmd.build import build_main

    from helo.batch.offline import part

    clock = time.perf_counter()

    def tell(what):
        nonlocal clock
        now = time.perf_counter()
        print(f"{what}: {now - clock:.0f} s", flush=True)
        clock = now

    source, site = output / "pages", output / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    if execute:
        lessons.run(workers)
        tell("notebooks")
    shutil.copytree(HERE / "static", source / "static")
    for name in ("conf.py", "docstrings.py", "formulas.py"):
        shutil.copy(HERE / name, source / name)
    (source / "static" / "plotly.min.js").write_text(get_plotlyjs())
    (source / "static" / "plots.js").write_text(part("plots.js"))
    gallery.stage(source)
    pages.stage(source)
    ran = lessons.stage(source)
    systems.stage(source)
    reference.stage(source)
    tell(f"pages, {ran} of {len(lessons.NOTEBOOKS)} notebooks with outputs")
    wrong = build_main(["-q", "-n", "-W", "--keep-going", "-j", str(workers), "-b", "html", str(source), str(site)])
    shutil.rmtree(site / ".doctrees", ignore_errors=True)
    tell("Sphinx")
    found = check.faults(site) + (["Sphinx has warnings"] if wrong else [])
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    tell(f"checks, {len(list(site.rglob('*.html')))} pages of {size / 1e6:.0f} MB in {site}")
    return found


def main() -> int:
    """The command line; 1 where something is wrong."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--output", type=Path, default=pages.ROOT / "build", help="folder, receives pages/ and site/")
    options.add_argument("--without-notebooks", action="store_true", help="run none; those that have run are shown")
    options.add_argument("--workers", type=int, default=2, help="notebooks at a time")
    given = options.parse_args()
    found = build(given.output, not given.without_notebooks, given.workers)
    print("\n".join(found), file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
