"""Does 90 % hold? `python benchmarks/coverage.py SET ... [--wesad PATH] [--crema-d PATH]`, then `... page`.

Five outer folds by subject. In each the training people are three groups; three models are each trained without one and
stopped by it (300 epochs at most, patience 15, default settings), and asked of it: those answers calibrate a region of
90 % (`helo.evaluation.confidence`). The three answer together for the fold's test people, who have no say in any of it.
The training mean gets its region in the same way. Every test person is a row of benchmarks/results/coverage.csv: the
share of windows whose rating lay in the region and in the band, their radii, and what else is told. What other code
made is made again. `page` writes the tables of docs/uncertainty.md and figures/coverage.png from what is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
import warnings
from pathlib import Path

import pandas as pd
from comparison import SETS
from coverage_page import MODELS, write
from machine import describe

import helo
from helo.evaluation import confidence
from helo.evaluation.conformal import chebyshev, total_variation
from helo.evaluation.ensemble import members_of_folds
from helo.evaluation.fits import code_of
from helo.files import atomic_write, code_digest

RESULTS = Path(__file__).parent / "results" / "coverage.csv"
LEVEL, FOLDS, GROUPS = 0.9, 5, 3
TRAINING = {"epochs": 300, "patience": 15}


def digest(model: str, data: helo.EmotionData) -> str:
    """What a model's rows were made by: its code, the calibration's, the data and the settings."""
    key = hashlib.sha256(repr((LEVEL, FOLDS, GROUPS, TRAINING)).encode())
    for m in data.signals:
        key.update(data.signals[m].tobytes() + data.masks[m].tobytes())
    key.update(data.distributions.tobytes() + repr(list(map(str, data.subjects))).encode())
    key.update(code_digest(modules=["helo.evaluation.confidence", "helo.evaluation.ensemble"]).encode())
    return hashlib.sha256(key.hexdigest().encode() + code_of(model).encode()).hexdigest()[:12]


def asked(models: list, data: helo.EmotionData, parts: list, split: helo.splits.Split) -> list[dict]:
    """A row for each test person of a fold."""
    sure = confidence(models, data, parts, LEVEL)
    answer, truth = helo.predict(models, data, split.test), data.distributions[split.test]
    signals, masks = ({m: x[split.test] for m, x in group.items()} for group in (data.signals, data.masks))
    assert answer.spread is not None
    windows = pd.DataFrame(
        {
            "covered": sure.inside(answer.distributions, truth),
            "in_band": chebyshev(answer.distributions, truth) <= sure.band + 1e-9,
            "distance": total_variation(answer.distributions, truth),
            "spread": answer.spread.sum(1) / 2,
            "strange": sure.strange(signals, masks) > 1,
        }
    )
    about = {"fold": split.name, "people": sure.people, "radius": sure.radius, "band": sure.band}
    names = data.subjects[split.test].astype(str)
    counts = windows.groupby(names).size()
    return [
        about | {"subject": who, "windows": counts[who], **row.to_dict()}
        for who, row in windows.astype(float).groupby(names).mean().iterrows()
    ]


def run(name: str, data: helo.EmotionData, names: list[str], seeds: list[int]) -> None:
    """Each model with each seed, one after another; those that are kept are left alone."""
    for seed in seeds:
        for model in names:
            if seed and helo.models.is_closed_form(model):
                continue
            code, kept = digest(model, data), read()
            if (
                len(kept)
                and ((kept.set == name) & (kept.model == model) & (kept.seed == seed) & (kept.code == code)).any()
            ):
                print(f"{model}, seed {seed}: kept", flush=True)
                continue
            started = time.perf_counter()
            splits = helo.splits.by_subject(data, FOLDS)
            fitted = members_of_folds(model, data, splits, GROUPS, seed=seed, progress=False, **TRAINING)
            pairs = zip(fitted, splits, strict=True)
            rows = pd.DataFrame([row for (one, parts), split in pairs for row in asked(one, data, parts, split)])
            rows = rows.assign(set=name, model=model, seed=seed, code=code)
            kept = read()  # as it is by now: another process may have kept rows
            if len(kept):
                rows = pd.concat([kept[(kept.set != name) | (kept.model != model) | (kept.seed != seed)], rows])
            content = io.StringIO()
            rows.to_csv(content, index=False, float_format="%.5g")
            atomic_write(RESULTS, content.getvalue().encode())
            share = rows[(rows.set == name) & (rows.model == model) & (rows.seed == seed)].covered.mean()
            print(f"{model}, seed {seed}: {share:.3f} covered, {time.perf_counter() - started:.0f} s", flush=True)


def read() -> pd.DataFrame:
    return pd.read_csv(RESULTS, dtype={"subject": str, "code": str}) if RESULTS.exists() else pd.DataFrame()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET", help=f"{', '.join(SETS)}; or page")
    for name in ("wesad", "emowalk", "crema-d"):
        parser.add_argument(f"--{name}", default="", help=f"folder of {name}")
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--seeds", type=int, default=1, help="how many; the folds stay the same")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*is missing; used|.*cap of .* epochs")
    if options.sets == ["page"]:
        write(read())
        return
    print(describe(), flush=True)
    for name in options.sets:
        root = getattr(options, name.replace("-", "_"), "")
        data = helo.load(name, **SETS[name], **({"root": root} if root else {}))
        print(data, flush=True)
        run(name, data, options.models.split(","), list(range(options.seeds)))


if __name__ == "__main__":
    main()
