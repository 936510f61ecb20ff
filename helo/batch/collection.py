"""The results of a sweep's runs as one table, which no single value can spoil."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helo.batch import runs
from helo.batch.plan import columns, read_plan
from helo.measures import MEASURES
from helo.reading import expanded

if TYPE_CHECKING:
    import pandas as pd


def collect(folder: str | Path) -> pd.DataFrame:
    """The results of a sweep's finished runs as one table, in the order of the sweep.

    Runs of all sweeps into this folder are there. A result that cannot be read, and results of different versions of
    the code, are warned of. Every column can be stored as Parquet: one with values of several kinds (`1` and "auto", a
    number and "n/a"), or with whole numbers beyond 64 bits, holds text.

    Args:
        folder: of the sweep.

    Returns:
        One row per run: "run", its parameters, the content of its result ("a.b" for {"a": {"b": ...}}, lists as JSON),
        parameters that it left at the notebook's defaults (`attrs["defaults"]` names them),
        and "seconds", what it took ("run.seconds" beside a parameter of that name). Where result and parameters have a
        name in common and differ, the result's is "result.<name>"; a parameter called "run" is "parameter.run".
    """
    import pandas as pd

    folder = expanded(folder)
    rows, codes, plan, left = [], set(), read_plan(folder)["runs"], dict[str, None]()
    took = "run.seconds" if any("seconds" in parameters for parameters in plan.values()) else "seconds"
    for run, parameters in plan.items():
        path = Path(folder) / run
        if told := runs.fault(path):
            warnings.warn(f"left out: {told}", stacklevel=2)
        elif (path / runs.RESULT).exists():
            result = dict(_flat(runs.read_json(path / runs.RESULT)))
            own = {"run": run} | columns(parameters)
            result = {
                f"result.{k}" if k == "seconds" or (k in own and own[k] != v) else k: v for k, v in result.items()
            }
            about = _versions(path)
            codes.add(str(about.get("code")))
            unstated = _unstated(about, {*own, *result})
            left |= dict.fromkeys(unstated)
            rows.append({**own, **result, **unstated, took: about.get("seconds")})
    if len(codes) > 1:
        warnings.warn(f"{folder}: results of {len(codes)} versions of the code", stacklevel=2)
    names = dict.fromkeys(name for row in rows for name in row)
    table = pd.DataFrame({_plain(name): _column([row.get(name) for row in rows]) for name in names})
    table.attrs["defaults"] = list(left)
    return table


def by_person(results: pd.DataFrame) -> pd.DataFrame:
    """Runs that each fitted one model on one fold, as `helo.evaluate` gives them: a row per person and condition.

    Args:
        results: from `collect`; "people" holds each run's rows as JSON, `helo.evaluation.person_scores`. A run of
            another notebook, which has none, is passed over.

    Raises:
        ValueError: no run has rows of people, one does not say its model, seed or fold, or two say the same of one
            person.
    """
    import pandas as pd

    shared = ("model", "seed", "fold", "capped")
    each = results[fitted(results)].to_dict("records")
    if not each:
        raise ValueError(f"none of {len(results)} results has people's scores; expected runs of 02_train or the like")
    for name in ("model", "seed", "fold"):
        if lacking := sum(bool(pd.isna(run.get(name))) for run in each):
            raise ValueError(f"{lacking} of {len(each)} results do not say their {name}; expected every one to")
    table = pd.DataFrame([{k: run.get(k) for k in shared} | row for run in each for row in _people(run["people"])])
    key = ["model", "seed", "fold", "subject", "condition"]
    if (twice := table.duplicated([name for name in key if name in table])).any():
        told = ", ".join(f"{name} {table.loc[twice.idxmax(), name]}" for name in key if name in table)
        raise ValueError(
            f"{int(twice.sum())} rows are there twice, as {told}; expected runs that differ in one of these"
        )
    return table


def fitted(results: pd.DataFrame) -> pd.Series:
    """Which runs hold rows of people, as `by_person` needs them; others may mean something else by "people"."""
    people = results["people"] if "people" in results else results.index.to_series().map(lambda run: None)
    return people.map(_people).map(bool)


def _people(held):
    try:
        rows = json.loads(held)
    except (TypeError, ValueError):
        return []
    needed = {"subject", "condition", "windows", "trials", *MEASURES, "kl_mean", "kl_ceiling"}
    return rows if isinstance(rows, list) and all(isinstance(row, dict) and needed <= set(row) for row in rows) else []


def _unstated(about, stated):
    """Parameters that a run left at its notebook's defaults; its folder and its sliders are no part of the question."""
    held = about.get("defaults")
    held = held if isinstance(held, dict) else {}
    return {k: v for k, v in columns(held).items() if k not in stated and k not in ("output", "interactive")}


def _flat(result, before=""):
    """("a.b", value) of a result; numbers, truth and text stay what they are."""
    for name, value in result.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _versions(path):
    try:
        return runs.read_json(path / runs.VERSIONS)
    except (OSError, ValueError) as error:
        warnings.warn(f"{error}; its seconds are unknown", stacklevel=3)
        return {}


def _column(values: list[Any]) -> list[Any] | pd.Series:
    """One kind of value, or text; None is missing beside any of them, and beside numbers nan is."""
    import pandas as pd

    values = [json.dumps(v) if isinstance(v, dict | list) else _plain(v) for v in values]
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {int, float} and all(abs(v) < 2**63 for v in values if isinstance(v, int)):
        if kinds == {int} and None not in values:
            return pd.Series(values, dtype="int64")
        return pd.Series([float("nan") if v is None else v for v in values], dtype="float64")
    if len(kinds) == 1 and kinds <= {bool, str}:
        return values
    return [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]


def _plain(value):
    """Text that is text: a lone surrogate of JSON's cannot be stored."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
