"""Command line: `python -m helo demo | notebooks | evaluate | live | check | cache | sweep | status | collect`."""

from __future__ import annotations

import time
import tomllib
import unicodedata
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="folder for the executed notebooks and the report")] = Path("runs/demo"),
    figures: Annotated[Path, typer.Option(help="folder for the pictures")] = Path("figures"),
    notebooks: Annotated[Path | None, typer.Option(help="folder of the notebooks", show_default="helo's own")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="most epochs of every training")] = 100,
) -> None:
    """Run the notebooks 01 to 04 on the embedded data set; write pictures and an HTML report; print the scores."""
    from helo.batch import demo

    with _told_plainly():
        for line in demo.run(output, figures, notebooks, epochs):
            _say(line)


@app.command("notebooks")
def copy_notebooks(
    folder: Annotated[Path, typer.Argument(help="where to put them", show_default=False)],
) -> None:
    """Copy helo's notebooks into a folder, and its sweep files into sweeps/ there; overwrite nothing."""
    from helo.batch import notebooks

    with _told_plainly():
        copies = notebooks.copy(folder)
        _say(f"{len(copies)} files in {folder}; begin with: jupyter lab {folder / '00_index.ipynb'}")


@app.command()
def evaluate(
    dataset: Annotated[
        str,
        typer.Option(
            help="simulated, pairing, matching, circumplex, wesad, emowalk, crema-d, dmer, ldl, table or recordings"
        ),
    ] = "simulated",
    root: Annotated[str, typer.Option(help="folder or file of the data set")] = "",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="of helo.load for this data set; may be repeated"),
    ] = None,
    models: Annotated[
        str, typer.Option(help="names, separated by commas; or systems, ablations (of HeLo), all (both)")
    ] = "uniform,mean,ridge,mixture,helo",
    protocol: Annotated[
        str, typer.Option(help="what is new in the test: subjects, both (people and clips), trials, or windows (leaks)")
    ] = "subjects",
    folds: Annotated[int, typer.Option(help="number of folds; 0: one subject at a time, five otherwise")] = 0,
    calibrate: Annotated[int, typer.Option(help="first trials of each test person to train on; for subjects")] = 0,
    seeds: Annotated[int, typer.Option(help="number of seeds")] = 1,
    epochs: Annotated[int | None, typer.Option(help="most epochs; default 100, or 2,000 steps")] = None,
    workers: Annotated[int, typer.Option(help="processes, one thread each; 0: as many as pay")] = 0,
    folder: Annotated[str, typer.Option(help="keeps finished fits; a second call goes on from there")] = "",
    nested: Annotated[
        int, typer.Option(help="groups of training people that validate in turns, a model each; 0: one model")
    ] = 3,
    choose_from: Annotated[
        int, typer.Option(help="candidates of settings for each model, the training people choose; 1: its defaults")
    ] = 1,
    centre_people: Annotated[
        bool, typer.Option("--centre-people", help="learn from ratings without each person's own tendency")
    ] = False,
    precision: Annotated[str, typer.Option(help="of large models' products: auto, float32 or bfloat16")] = "auto",
    weight: Annotated[str, typer.Option(help="what counts once in a mean: windows or trials")] = "windows",
    table: Annotated[Path | None, typer.Option(help="CSV file for a row per person and condition")] = None,
) -> None:
    """Fit and score models on every fold and seed; print the budget, a table, best first by KL, and what was chosen."""
    import helo
    from helo.evaluation.report import Report

    with _told_plainly():
        told = Report(table, protocol, nested, weight)
        results = helo.evaluate(
            _models(models),
            helo.load(dataset, **_of_load(root, option)),
            protocol=protocol,
            seeds=range(seeds),
            folds=folds or None,
            nested=nested,
            choose_from=choose_from,
            calibrate=calibrate,
            workers=workers,
            folder=folder or None,
            epochs=epochs,
            precision=precision,
            **({"centre_people": True} if centre_people else {}),  # left alone, it may be chosen
        )
        _say(told.of(results))


def _models(asked):
    from helo.models import ablations, available, systems

    kinds = {"systems": systems, "ablations": ablations, "all": available}
    return kinds[asked]() if asked in kinds else [name.strip() for name in asked.split(",")]


@app.command()
def live(
    model: Annotated[
        Path, typer.Argument(help="NAME.safetensors; beside it NAME.live.json, and NAME.sure.safetensors if any")
    ],
    replay: Annotated[str, typer.Option(help="a log's folder, 'simulated', or WESAD's folder")] = "",
    stream: Annotated[
        list[str] | None, typer.Option(help="Lab Streaming Layer: a name, or MODALITY=NAME, which may be repeated")
    ] = None,
    subject: Annotated[str, typer.Option(help="whose recording to replay; default the first")] = "",
    speed: Annotated[float, typer.Option(help="of a replay; 1: as recorded, 0: as fast as it goes")] = 1.0,
    seconds: Annotated[float, typer.Option(help="when to end; 0: with the recording, or never")] = 0,
    log: Annotated[str, typer.Option(help="new folder that keeps what came and what was answered")] = "",
) -> None:
    """Answer every second, of sensors or a recording; of a log, say whether today's answers are the same bits."""
    from helo.evaluation.confidence import Confidence
    from helo.live.command import listen
    from helo.training.checkpoints import load_model

    never = float("inf")
    with _told_plainly():
        network, setup = load_model(model), model.with_suffix(".live.json")
        known = Confidence.beside(model, network)
        for line in listen(network, setup, replay, stream or [], subject, speed or never, seconds or never, log, known):
            _say(line)


@app.command()
def check(
    path: Annotated[str, typer.Argument(help="folder or file of a data set")],
    dataset: Annotated[
        str, typer.Option(help="which it is: wesad, emowalk, dmer, crema-d, ldl, table, recordings; default: found out")
    ] = "",
) -> None:
    """Tell what a data set holds and what is wrong with it; exit with 0: no fault, 1: faults, 2: cannot be read."""
    from helo.data.check import FAULT, findings_table, holdings, open_path
    from helo.data.check import check as examine

    with _told_plainly():
        data = open_path(path, dataset or None)
    found = examine(data)
    _say(f"{holdings(data)}\n\n{findings_table(found) if found else 'No fault found.'}")
    raise typer.Exit(int(any(f.level == FAULT for f in found)))


@app.command()
def cache(
    name: Annotated[str, typer.Argument(help="a data set, such as wesad, or an entry; all without one")] = "",
    clear: Annotated[bool, typer.Option("--clear", help="remove what would be listed")] = False,
) -> None:
    """List the features kept on disk, the longest unused first: name, size, time since the last use; or remove them."""
    from helo.data import cache_folder

    with _told_plainly():
        found = cache_folder.clear(name) if clear else cache_folder.entries(name)
        if name and not found:
            raise ValueError(f"{cache_folder.folder()}: keeps no {name!r}")
        for entry in found:
            days = max(0.0, time.time() - entry.used) / 86400
            _say(f"{entry.path.stem}  {entry.size / 1e6:.1f} MB, unused for {days:.1f} days")
        told = "removed" if clear else f"at most {cache_folder.room() / 1e9:g} GB are kept (HELO_CACHE_SIZE)"
        count = f"{len(found)} {'entry' if len(found) == 1 else 'entries'}"
        _say(f"{cache_folder.folder()}: {count}, {sum(e.size for e in found) / 1e6:.1f} MB, {told}")


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="sweep file: notebook, parameters, axes", show_default=False)],
    output: Annotated[Path | None, typer.Option(help="folder of the runs", show_default="runs/<file's name>")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="in place of the file's; may be repeated"),
    ] = None,
    workers: Annotated[int, typer.Option(help="processes on this machine; 1: one run after another")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="address of a Dask scheduler, tcp://...")] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="one GPU for each notebook, of several --workers or a --scheduler")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="run again what has failed")] = False,
    limit: Annotated[float, typer.Option(help="most seconds of a run, which then has failed; 0: no limit")] = 0,
    cold: Annotated[bool, typer.Option("--cold", help="a new interpreter for every run, its imports anew")] = False,
) -> None:
    """Run a notebook over a grid of parameters; call it again to go on after any interruption."""
    from helo.batch import sweeps

    output = output or Path("runs") / file.stem
    with _told_plainly():
        notebook, many = sweeps.read_sweep(file, dict(map(_name_and_value, parameter or [])))
        try:
            states = sweeps.sweep(
                notebook,
                many,
                output,
                workers=workers,
                scheduler=scheduler,
                gpu=gpu,
                retry_failed=retry_failed,
                limit=limit or None,
                cold=cold,
            )
        except KeyboardInterrupt:
            _say("helo: stopped; the same command goes on from here", err=True)
            raise typer.Exit(130) from None
        now = sweeps.status(output)  # a run may have ended since, by another driver
        _tell_status(output, {run: now.get(run, state) for run, state in states.items()})


@app.command()
def status(folder: Annotated[Path, typer.Argument(help="folder of a sweep", show_default=False)]) -> None:
    """Count a sweep's runs by state; show the errors of failed ones."""
    from helo.batch import sweeps

    with _told_plainly():
        _tell_status(folder, sweeps.status(folder))


@app.command()
def collect(
    folder: Annotated[Path, typer.Argument(help="folder of a sweep", show_default=False)],
    table: Annotated[Path | None, typer.Option(help="file", show_default="<folder>/table.parquet")] = None,
) -> None:
    """Write a sweep's results as a Parquet table and an HTML overview; print scores by model where it has them."""
    import io

    from helo.batch import sweeps
    from helo.batch.overview import overview
    from helo.batch.scores import scores
    from helo.files import atomic_write
    from helo.reading import expanded

    with _told_plainly():
        folder = expanded(folder)
        results, content = sweeps.collect(folder), io.BytesIO()
        results.to_parquet(content)
        atomic_write(expanded(table or folder / "table.parquet"), content.getvalue())
        page = overview(folder, results)
        for told in scores(folder, results):
            _say(told)
    _say(f"\n{len(results)} results: {table or folder / 'table.parquet'}\noverview: {page}")


@contextmanager
def _told_plainly():
    """A wrong input, a full disk, a folder in use or a training that diverges is one line; so is a warning."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _say(f"helo: {message}", err=True)
            yield
    except (ValueError, OSError, ImportError, FloatingPointError, RuntimeError) as error:
        if isinstance(error, RuntimeError):
            from helo.batch.runs import DiskFull, FolderInUse, KernelDied

            if not isinstance(error, DiskFull | FolderInUse | KernelDied):
                raise
        _say(f"helo: {error}", err=True)
        raise typer.Exit(2) from None


def _of_load(root, options):
    """Options of `helo.load`, from --root and --option."""
    given = ({"root": root} if root else {}) | dict(map(_name_and_value, options or []))
    if "name" in given:
        raise ValueError(f"--option name={given['name']}: --dataset names the data set")
    return given


def _name_and_value(text):
    """root=/data and epochs=3: a value is TOML where it can be, text otherwise."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r}; expected NAME=VALUE")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def _tell_status(folder, states):
    """Exits with 1 unless every run is done."""
    from helo.batch import runs
    from helo.reading import expanded

    folder = expanded(folder)
    _say(f"{folder}: " + ", ".join(f"{n} {state}" for state, n in Counter(states.values()).most_common()))
    for run, state in states.items():
        if state == "damaged":
            _say(runs.fault(folder / run) or f"{folder / run}: mended meanwhile")
        elif state == "failed":
            try:
                _say(f"{folder / run}: {runs.read_json(folder / run / runs.ERROR).get('error')!s:.2000}")
            except (OSError, ValueError) as error:
                _say(f"{folder / run}: {error}")
    if set(states.values()) - {"done"}:
        raise typer.Exit(1)


def _say(text, err=False):
    """Print text with what would command the terminal, or hide in it, written out: an escape code as \\x1b[31m."""
    shown = (repr(c)[1:-1] if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in str(text))
    typer.echo("".join(shown), err=err)


if __name__ == "__main__":
    app()
