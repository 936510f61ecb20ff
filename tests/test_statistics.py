import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helo.evaluation import statistics


def table(values, seeds=1):
    """values: model -> KL by fold."""
    return pd.DataFrame(
        {"model": m, "fold": f"f{k}", "seed": s, "kl": v + 0.001 * s, "cosine": 1 - v}
        for m, vs in values.items()
        for k, v in enumerate(vs)
        for s in range(seeds)
    )


def test_ranks_by_hand():
    found = statistics.mean_ranks(table({"a": [0.1, 0.2, 0.3], "b": [0.2, 0.1, 0.4], "c": [0.3, 0.3, 0.3]}))
    assert found.to_dict() == pytest.approx({"a": (1 + 2 + 1.5) / 3, "b": (2 + 1 + 3) / 3, "c": (3 + 3 + 1.5) / 3})
    assert list(found.index) == ["a", "b", "c"]
    assert statistics.mean_ranks(table({"a": [0.1], "b": [0.2]}), "cosine").to_dict() == {"a": 1, "b": 2}


def test_seeds_are_no_observations():
    values = {"a": [0.1, 0.2, 0.3, 0.25], "b": [0.2, 0.25, 0.35, 0.2]}
    one, many = (statistics.paired_test(table(values, s), "a") for s in (1, 30))
    assert one.loc["b", "p"] == pytest.approx(many.loc["b", "p"])


def test_critical_difference_of_the_textbook():
    # Demsar 2006, table 5: q_0.05 = 2.343 for 3, 2.569 for 4, 3.164 for 10 models
    for models, q in ((3, 2.343), (4, 2.569), (10, 3.164)):
        expected = q * np.sqrt(models * (models + 1) / (6 * 14))
        assert statistics.critical_difference(models, 14) == pytest.approx(expected, abs=2e-3)


def test_paired_test_is_wilcoxons_with_holm():
    rng = np.random.default_rng(0)
    base = rng.random(15)
    values = {
        "ref": base,
        "worse": base + 0.1 + 0.01 * rng.random(15),
        "same": base + rng.normal(0, 0.05, 15),
        "twin": base,
    }
    found = statistics.paired_test(table(values), "ref")
    assert found.loc["worse", "p"] == pytest.approx(stats.wilcoxon(values["worse"] - base).pvalue)
    assert found.loc["worse", "p (Holm)"] == pytest.approx(min(1, 3 * found.loc["worse", "p"]))
    assert found.loc["worse", "p (Holm)"] < 0.01 < 0.05 < found.loc["same", "p (Holm)"]
    assert found.loc["twin", "p"] == 1 and found.loc["worse", "folds better"] == 0
    assert found.loc["worse", "difference"] == pytest.approx(0.105, abs=0.006)


def test_what_cannot_be_compared_is_named():
    with pytest.raises(ValueError, match="unknown measure 'auc'"):
        statistics.mean_ranks(table({"a": [0.1]}), "auc")
    with pytest.raises(ValueError, match="reference 'z' is not in the table"):
        statistics.paired_test(table({"a": [0.1, 0.2]}), "z")
    with pytest.raises(ValueError, match="has 1 fold"):
        statistics.paired_test(table({"a": [0.1], "b": [0.2]}), "a")
    with pytest.raises(ValueError, match="model 'b' has no kl in fold 'f1'"):
        statistics.by_fold(table({"a": [0.1, 0.2], "b": [0.2]}))
