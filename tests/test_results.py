"""docs/results.md says what the kept rows say."""

import re
import sys

import pandas as pd
import pytest
from conftest import ROOT

from helo import evaluation

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


def test_a_set_where_nobody_is_above_the_training_mean(page):
    """Nothing to be had is a result, and has its sentence."""
    import results_page

    table = pd.read_csv(KEPT[0], keep_default_na=False, na_values=["nan"])
    table.loc[table.model != "mean", "kl"] += 1.0
    said = " ".join(results_page.verdict(table, evaluation.summarise(table, "mean").sort_values("kl")))
    assert "`mean` has the lowest KL" in said and "Not surely better than the training mean" in said


@pytest.mark.parametrize("name", NAMES)
def test_every_rival_had_the_same_budget_and_was_asked_of_the_same_people(name):
    table, fits = (
        pd.read_csv(ROOT / f"benchmarks/results/{what}-{name}.csv", keep_default_na=False, na_values=["nan"])
        for what in ("comparison", "fits")
    )
    told = evaluation.chosen(table, fits)
    trained = told[told.candidates > 1]
    assert set(trained.candidates) <= {8} and trained.fits.nunique() <= 1
    assert set(told.fits[told.candidates == 1]) <= {table.fold.nunique()}
    summary = evaluation.summarise(table, table.model[0])  # raises where people or windows differ
    assert summary.kl_mean.max() - summary.kl_mean.min() < 1e-4
    weighted = fits[fits.model.isin(trained.index) & (fits.seed == 0)].copy()
    weighted["sum"] = weighted.validation_kl * weighted.validation_windows
    sums = weighted.groupby(["model", "fold", "candidate"])["sum"].sum().unstack()
    choice = table[table.model.isin(trained.index)].groupby(["model", "fold"]).choice.first()
    for (model, fold), row in sums.iterrows():
        assert row[choice[model, fold]] <= row.min() * (1 + 1e-4), "the lowest KL over the training people was chosen"
