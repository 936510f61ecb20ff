"""The classic label-distribution sets: measures and baselines beside python-ldl's on the same folds."""

import numpy as np
import pytest
from conftest import shared
from scipy.io import loadmat, savemat

import helo


@pytest.mark.parametrize("name, rows", [("SJAFFE", 213), ("SBU_3DFE", 2500)])
def test_real_files_load(name, rows):
    path = shared(f"ldl/{name}.mat")
    data = helo.load("ldl", path)
    file = loadmat(path)
    assert data.layout.shapes == {"face": (1, 243)} and len(data) == rows and len(data.emotions) == 6
    np.testing.assert_array_equal(data.signals["face"][:, 0], file["features"].astype(np.float32))
    np.testing.assert_allclose(data.distributions, file["labels"], atol=1e-6)


@pytest.fixture(scope="module")
def table():
    """Both libraries' baselines on the same five folds of SJAFFE."""
    data = helo.load("ldl", shared("ldl/SJAFFE.mat"))
    models = {
        "mean": {"model": "mean"},
        "aa-knn": {"model": "aa-knn"},
        "AA_KNN": {"model": "pyldl", "algorithm": "AA_KNN"},
        "sa-bfgs": {"model": "sa-bfgs"},
        "SA_BFGS": {"model": "pyldl", "algorithm": "SA_BFGS"},
    }
    return helo.evaluate(models, data, folds=5, progress=False)


@pytest.mark.parametrize("ours, theirs", [("aa-knn", "AA_KNN"), ("sa-bfgs", "SA_BFGS")])
def test_our_baselines_are_no_worse_than_the_librarys(table, ours, theirs):
    means = table.groupby("model")[["kl", "chebyshev", "intersection"]].mean()
    assert (table.groupby("model")["windows"].sum() == 213).all()
    assert means.loc[ours, "kl"] < 1.1 * means.loc[theirs, "kl"] + 0.002
    assert means.loc[ours, "intersection"] > means.loc[theirs, "intersection"] - 0.01
    assert means.loc["aa-knn", "kl"] < 0.7 * means.loc["mean", "kl"]


def test_our_measures_are_the_librarys_on_every_fold():
    from pyldl.metrics import score

    data = helo.load("ldl", shared("ldl/SJAFFE.mat"))
    names = ["chebyshev", "clark", "canberra", "kl_divergence", "cosine", "intersection"]
    for split in helo.splits.by_subject(data, folds=5, validation=0):
        model = helo.build("ridge", data)
        helo.fit(model, data, split, progress=False)
        truth = data.distributions[split.test].astype(np.float64)
        answer = helo.predict(model, data, split.test).distributions.astype(np.float64)
        theirs = score(truth, answer, metrics=names)
        np.testing.assert_allclose(list(helo.score(truth, answer).values()), theirs, rtol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("labels"), "'labels' is missing"),
        (lambda c: c.update(features=c["features"][:-1]), "9 rows of 'features' and 10 of 'labels'"),
        (lambda c: c["labels"].__setitem__((4, 0), 0.9), r"'labels' row 4 sums to 1\."),
        (lambda c: c["labels"].__setitem__((4, 0), np.nan), "'labels' row 4 sums to nan"),
        (lambda c: c["features"].__setitem__((4, 0), np.nan), "'features' row 4 holds NaN"),
    ],
)
def test_broken_files_are_named(tmp_path, change, message):
    content = {"features": np.arange(20.0).reshape(10, 2), "labels": np.full((10, 4), 0.25)}
    savemat(tmp_path / "small.mat", content)
    assert helo.load("ldl", tmp_path / "small.mat").emotions == ("label 1", "label 2", "label 3", "label 4")
    change(content)
    savemat(tmp_path / "small.mat", content)
    with pytest.raises(ValueError, match=message) as error:
        helo.load("ldl", tmp_path / "small.mat")
    assert "small" in str(error.value)


def test_a_set_of_too_many_labels_is_refused(tmp_path):
    savemat(tmp_path / "wide.mat", {"features": np.zeros((3, 2)), "labels": np.full((3, 1001), 1 / 1001)})
    with pytest.raises(ValueError, match=r"wide\.mat: 'labels' has 1001 columns; expected at most 1000"):
        helo.load("ldl", tmp_path / "wide.mat")
