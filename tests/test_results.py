"""docs/results.md says what the kept rows say."""

import inspect
import re
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

import helo
from helo import evaluation
from helo.data import wesad

KEPT = sorted((ROOT / "benchmarks/results").glob("comparison-*.csv"))
NAMES = [path.stem.removeprefix("comparison-") for path in KEPT]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page made anew, in an empty folder."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import comparison
        import results_page
    finally:
        sys.path.pop(0)
    folder = tmp_path_factory.mktemp("page")
    results_page.write(comparison.SETS, ROOT / "benchmarks/results", comparison.everybody(), folder)
    return folder


def test_the_page_is_that_of_the_rows(page):
    made, kept = ((root / "docs/results.md").read_text() for root in (page, ROOT))
    undated = [re.sub(r"\d{4}-\d\d-\d\d", "", text) for text in (made, kept)]
    assert undated[0] == undated[1], "`python benchmarks/comparison.py page` writes it"
    assert made.count("\n## ") == len(KEPT) + ("## Not run yet" in made)


def test_the_readme_says_helo_s_places():
    """Each set's "number 15 of 23" of the page is the README's "15th of 23"."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    places = re.findall(r"HeLo is number (\d+) of (\d+) systems", (ROOT / "docs/results.md").read_text())
    assert len(places) >= 5
    for place, systems in places:
        ending = "th" if place[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(place[-1], "th")
        assert re.search(rf"\b{place}{ending} of {systems}\b", readme), f"{place}{ending} of {systems}"


def test_kept_rows_are_read_as_they_were_written(page, tmp_path):
    """A person called 01, and a ceiling that nobody knows, are the same after a second model is kept."""
    import comparison

    about = {"fold": "f", "seed": 0, "subject": ["01", "01", "02"], "condition": "", "windows": [10, 30, 10]}
    numbers = [c for c in comparison.COLUMNS if c not in ("model", "choice", *about)]
    rows = pd.DataFrame(about | dict.fromkeys(numbers, 1.0) | {"choice": "0", "code": "0123"})
    rows["kl"], rows["kl_ceiling"] = [1.0, 2.0, 3.0], float("nan")
    for model in ("a", "b"):
        kept = comparison.over_conditions(rows.assign(model=model)[[*comparison.COLUMNS, "code"]])
        comparison.keep(tmp_path / "kept.csv", kept, model)
    found = comparison.read(tmp_path / "kept.csv")
    assert found["subject"].tolist() == ["01", "02"] * 2 and found["code"].tolist() == ["0123"] * 4
    assert found["kl"].tolist() == [1.75, 3] * 2 and found["kl_ceiling"].isna().all()


def test_two_benchmarks_at_once_keep_each_others_rows(page, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import mechanisms

    monkeypatch.setattr(mechanisms, "RESULTS", tmp_path)
    jobs = [[{"model": "early", "windows": 15, "votes": 10, "seed": seed}] for seed in (0, 1)]

    def slow(**job):
        mechanisms.keep("labels", jobs[1], lambda **_: [{"person": "P2", "kl": 2.0}], 1)  # another process, meanwhile
        return [{"person": "P1", "kl": 1.0}]

    mechanisms.keep("labels", jobs[0], slow, 1)
    assert pd.read_csv(tmp_path / "labels.csv")["person"].tolist() == ["P1", "P2"]


def test_a_set_where_nobody_is_above_the_training_mean(page):
    """Nothing to be had is a result, and has its sentence."""
    import results_page

    table = pd.read_csv(KEPT[0], keep_default_na=False, na_values=["nan"])
    table.loc[table.model != "mean", "kl"] += 1.0
    said = " ".join(results_page.verdict(table, evaluation.summarise(table, "mean").sort_values("kl")))
    assert "`mean` has the lowest KL" in said and "Not surely better than the training mean" in said


def test_too_few_people_to_tell_anything_apart_say_so(page):
    """Six people, all of them better with one of two systems: p is .03 each, and .06 times two comparisons."""
    import results_page

    table = pd.read_csv(KEPT[0], keep_default_na=False, na_values=["nan"])
    six, models = table.subject.unique()[:6], ["mean", *table.model.unique()[1:3]]
    table = table[table.subject.isin(six) & table.model.isin(models)].copy()
    table["kl"] = 0.1 + 0.1 * table.model.map(models.index) + 0.001 * table.subject.map(list(six).index)
    said = results_page.verdict(table, evaluation.summarise(table, "mean").sort_values("kl"))
    assert "No other system is told apart from it." in said[0]
    assert said[1].startswith("6 people cannot tell systems apart: no p is below 0.062 after correction")
    assert said[1].endswith(f"above 0 for `{models[1]}`, `{models[2]}`.")


def made_up(models, people, kl):
    """A kept table with other people's KL, (models, people)."""
    table = pd.read_csv(ROOT / "benchmarks/results/comparison-emowalk.csv", keep_default_na=False, na_values=["nan"])
    chosen, who = table.model.unique()[:models], table.subject.unique()[:people]
    table = table[table.model.isin(chosen) & table.subject.isin(who)].copy()
    place = [list(chosen).index(m) for m in table.model], [list(who).index(s) for s in table.subject]
    return table.assign(kl=np.asarray(kl)[place]), list(chosen)


def test_the_best_was_picked_by_the_same_people(page):
    """One system of seven is worse for all but the two nearest of ten people: p .01, .06 times six comparisons.

    Holm would take that p as it is, the last of six; but then the best would have to be known beforehand.
    """
    import results_page

    kl = 1 + 0.5 * np.arange(7)[:, None] * np.ones(10) + 0.01 * np.arange(10)
    kl[6] = kl[0] + [-0.1, -0.2, *np.arange(0.3, 1.1, 0.1)]
    table, models = made_up(7, 10, kl)
    assert 0.0083 < evaluation.paired_test(table, models[0]).p[models[6]] < 0.02
    assert evaluation.paired_test(table, models[0]).p_holm[models[6]] < 0.05
    said = results_page.verdict(table, evaluation.summarise(table, models[0]).sort_values("kl"))[0]
    apart, near = said.split("Told apart from it: ")[1].split("Not told apart: ")
    assert models[6] in near and set(models[1:6]) - {"mean"} == set(re.findall(r"`([^`]+)`", apart))


def test_candidates_that_the_cap_cut_are_told_where_they_were_near(page):
    import results_page

    fits = pd.DataFrame({"model": "a", "seed": 0, "fold": "f", "candidate": [0, 1, 2, 3], "validation_windows": 10})
    fits = fits.assign(validation_kl=[0.1, 0.104, 0.12, 0.09], capped=[False, True, True, False])
    other = fits.assign(model="b", capped=[True, False, False, False], validation_kl=[0.05, 0.104, 0.12, 0.09])
    table = pd.DataFrame({"model": ["a", "b"], "fold": "f", "choice": [0, 0]})
    (said,) = results_page.cut_short(table, pd.concat([fits, other]))
    assert said.endswith(": `a` (1 of 2, 1.040 times).")
    assert not results_page.cut_short(table[1:], other), "what was chosen and cut is in the table"


@pytest.mark.parametrize("name", NAMES)
def test_every_rival_had_the_same_budget_and_was_asked_of_the_same_people(name):
    table, fits = (
        pd.read_csv(ROOT / f"benchmarks/results/{what}-{name}.csv", keep_default_na=False, na_values=["nan"])
        for what in ("comparison", "fits")
    )
    told = evaluation.chosen(table, fits)
    trained, folds = told[told.candidates > 1], table.fold.nunique()
    assert set(trained.candidates) <= {2, 8} and trained.groupby("candidates").fits.nunique().max() <= 1
    assert set(told.index[told.candidates == 1]) == {"mean"} and told.fits["mean"] == folds
    summary = evaluation.summarise(table, table.model[0])  # raises where people or windows differ
    assert summary.kl_mean.max() - summary.kl_mean.min() < 1e-4
    weighted = fits[fits.model.isin(trained.index) & (fits.seed == 0)].copy()
    weighted["sum"] = weighted.validation_kl * weighted.validation_windows
    sums = weighted.groupby(["model", "fold", "candidate"])["sum"].sum().unstack()
    choice = table[table.model.isin(trained.index)].groupby(["model", "fold"]).choice.first()
    for (model, fold), row in sums.iterrows():
        assert row[choice[model, fold]] <= row.min() * (1 + 1e-4), "the lowest KL over the training people was chosen"


def test_what_a_call_without_options_gives():
    """`python -m helo evaluate --dataset wesad --root PATH --table ...`: one person left out at a time, kept rows."""
    file = ROOT / "benchmarks/results/default-wesad.csv"
    table = pd.read_csv(file, keep_default_na=False, na_values=["nan"], dtype={"condition": str, "subject": str})
    summary = evaluation.summarise(table)
    assert table.fold.nunique() == table.subject.nunique() == 15 and summary.loc["helo", "skill"] >= 0.65
    told = (ROOT / "docs/findings.md").read_text()
    of = summary.loc["helo"]
    assert f"**HeLo {of.kl:.4f}, skill {of.skill:.2f}\n[{of.skill_low:.2f}, {of.skill_high:.2f}]**" in told
    defaults = {name: p.default for name, p in inspect.signature(helo.evaluate).parameters.items()}
    assert defaults["nested"] == 3 and defaults["choose_from"] == 1 and defaults["folds"] is None
    options = inspect.signature(wesad.load).parameters
    assert (options["context"].default, options["tokens"].default) == (120, 5), "of which the rows were made"
