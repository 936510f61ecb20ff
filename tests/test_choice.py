"""Settings chosen by training people, and answers of nested groups: `helo.evaluate(nested=..., choose_from=...)`."""

import dataclasses
import inspect
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from conftest import random_data, rated_by_habit

import helo
from helo import models
from helo.data.splits import Split, nested
from helo.evaluation import candidates, choice, fits
from helo.evaluation.contest import Contest

FAST = {"epochs": 3, "folds": 3, "progress": False}
TRAINED = [name for name in models.systems() if not models.is_closed_form(name)]


def of(table, model):
    return [row for row in table.attrs["fits"] if row["model"] == model]


@pytest.mark.parametrize("name", TRAINED)
def test_every_model_has_as_many_candidates_with_the_same_shared_settings(name):
    drawn, others = (candidates(n, 8, {}, {"epochs": 5}) for n in (name, "early"))
    assert len(drawn) == 8 and drawn[0] == choice.Candidate({}, {"epochs": 5}), "the defaults come first"
    for k, (own, other) in enumerate(zip(drawn[1:], others[1:], strict=True), 1):
        shared = {n: other.options[n] for n in ("dropout", "input_dropout")}
        if complete(name, choice.Candidate(shared, other.training)) in [complete(name, c) for c in drawn[:k]]:
            continue  # it would be this model's defaults again
        assert own.training == other.training and shared == {n: own.options.get(n) for n in shared}
    own = [set(c.options) - {"dropout", "input_dropout"} for c in drawn]
    assert sum(map(bool, own)) <= 8 / 3, "its own settings in at most a third"
    assert set().union(*own) == set(models.choices(name))


def complete(name, candidate):
    """What the fit of a candidate is made with, whether or not the candidate says so."""
    given = {n: p.default for n, p in inspect.signature(helo.fit).parameters.items() if n in choice.SHARED}
    return {**models.defaults(name), **candidate.options}, {**given, **candidate.training}


@pytest.mark.parametrize("name", TRAINED)
def test_no_candidate_is_another_one_again(name):
    for count in (2, 3, 5, 8, 9, 16):
        settings = [complete(name, c) for c in candidates(name, count, {}, {})]
        assert len(settings) == count and all(one not in settings[:k] for k, one in enumerate(settings)), count
    fixed = {"learning_rate": 1e-3, "weight_decay": 0.0, "batch_size": 32, "centre_people": False}
    few = candidates("early", 12, {"dropout": 0.5}, fixed)
    assert 1 < len(few) < 12, "no more than differ: the inputs' dropout, and early fusion's own"


def test_each_value_is_drawn_as_often_as_the_next():
    drawn = candidates("early", 10, {}, {})[1:]
    for name, values in choice.SHARED.items():
        found = Counter((c.options | c.training)[name] for c in drawn)
        assert set(found) == set(values) and max(found.values()) - min(found.values()) <= 1


def test_what_is_fixed_is_not_drawn_and_a_seed_draws_again():
    fixed = candidates("early", 8, {"dropout": 0.1}, {"learning_rate": 0.01})
    assert {(c.options["dropout"], c.training["learning_rate"]) for c in fixed} == {(0.1, 0.01)}
    assert candidates("early", 8, {}, {}, seed=1) == candidates("early", 8, {}, {}, seed=1)
    assert candidates("early", 8, {}, {}, seed=1) != candidates("early", 8, {}, {}, seed=2)
    assert candidates("ridge", 8, {}, {}) == [choice.Candidate({}, {}), choice.Candidate({}, {"centre_people": True})]
    for alone in (candidates("ridge", 1, {}, {}), candidates("mean", 8, {}, {})):
        assert alone == [choice.Candidate({}, {})], "it chooses inside; or there is nothing to choose"


@pytest.fixture
def slow_or_good(monkeypatch):
    """A space where one candidate in two learns nothing."""
    monkeypatch.setattr(choice, "SHARED", {"learning_rate": (1e-7, 4e-3), "dropout": (0.3,), "input_dropout": (0.0,)})


def test_the_training_people_choose_and_the_test_people_have_no_say(simulated, slow_or_good):
    arguments = {"nested": 3, "choose_from": 3} | FAST
    table = helo.evaluate(["early", "mean"], simulated, **arguments)
    rates = {row["candidate"]: row["settings"] for row in of(table, "early")}
    good = next(k for k, settings in rates.items() if "learning_rate 0.004" in settings)
    assert (table[table.model == "early"].choice == good).all()
    assert len(of(table, "early")) == 3 * 3 * 3 and len(of(table, "mean")) == 3
    # other labels of one fold's test people: the same choice and the same fits there, another score
    split = helo.splits.by_subject(simulated, folds=3)[0]
    d = simulated.distributions.copy()
    d[split.test] = d[split.test][:, ::-1]
    other = helo.evaluate(["early"], dataclasses.replace(simulated, distributions=d), **arguments)
    columns = ["candidate", "group", "validation_kl", "epochs"]
    tables = [pd.DataFrame(of(t, "early")) for t in (table, other)]
    first, second = (t.loc[t.fold == split.name, columns] for t in tables)
    pd.testing.assert_frame_equal(first, second)
    mine = [t[(t.model == "early") & (t.fold == split.name)] for t in (table, other)]
    assert (mine[0].choice.to_numpy() == mine[1].choice.to_numpy()).all()
    assert (mine[0].kl.to_numpy() != mine[1].kl.to_numpy()).all()


def test_a_choice_by_windows_that_were_trained_on_is_refused(simulated):
    with pytest.raises(ValueError, match="choose_from is 3 with refit"):
        helo.evaluate(["mlp"], simulated, folds=2, choose_from=3, refit=True, progress=False)


def test_what_learned_from_its_validation_windows_has_no_score_there(simulated):
    table = helo.evaluate(["ridge", "mlp"], simulated, folds=2, nested=2, epochs=1, workers=1, progress=False)
    kept = {fit["model"]: fit["validation_kl"] for fit in table.attrs["fits"]}
    assert np.isnan(kept["ridge"]) and kept["mlp"] > 0
    again = helo.evaluate(["mlp"], simulated, folds=2, epochs=1, refit=True, workers=1, progress=False)
    assert all(np.isnan(fit["validation_kl"]) for fit in again.attrs["fits"])


def test_the_answer_is_the_mean_of_the_groups(simulated):
    table = helo.evaluate(["early"], simulated, nested=3, seeds=[2], **FAST)
    split = helo.splits.by_subject(simulated, folds=3)[1]
    said, lowest = [], []
    for k, part in enumerate(nested(simulated, split, 3, seed=2)):
        model = helo.build("early", simulated, seed=6 + k)
        run = helo.fit(model, simulated, part, epochs=3, seed=6 + k, progress=False)
        said.append(helo.predict(model, simulated, split.test).distributions)
        lowest.append(min(row["validation_kl"] for row in run.history))
    expected = helo.score(simulated.distributions[split.test], np.mean(said, 0))["kl"]
    fold = table[table.fold == split.name]
    assert np.average(fold.kl, weights=fold.windows) == pytest.approx(expected, rel=1e-4)
    kept = [row["validation_kl"] for row in of(table, "early") if row["fold"] == split.name]
    assert kept == pytest.approx(lowest, rel=1e-4)


def contest(kls, windows, folds=1, seeds=(0,)):
    """Fits with these validation KL: kls[candidate][fold][group]."""
    data = random_data()
    splits = helo.splits.by_subject(data, folds=2)[:folds]
    made = Contest("early", {"model": "early"}, data, splits, list(seeds), 2, len(kls), {})
    for k, of_folds in enumerate(kls):
        for fold, of_groups in enumerate(of_folds):
            for group, kl in enumerate(of_groups):
                answer = data.distributions[splits[fold].test]
                made.done[k, fold, group, 0] = fits.Fitted(answer, kl, windows[group], 1, False, 1.0)
    return made


def test_every_validation_window_counts_once_in_a_choice():
    chosen = contest([[[0.1, 0.9]], [[0.4, 0.4]]], [90, 10]).choice(0)
    assert chosen == 0, ".18 beside .40 over all windows, .50 beside .40 if groups counted alike"


def test_each_fold_trains_its_own_choice_again():
    made = contest([[[0.1, 0.1], [0.9, 0.9]], [[0.4, 0.4], [0.2, 0.2]]], [5, 5], folds=2, seeds=(0, 1))
    keys = [key for _, keys in made.second_round() for key in keys]
    assert {(k, fold) for k, fold, _, _ in keys} == {(0, 0), (1, 1)}


def test_seeds_vary_who_validates_whom_and_only_the_choice_is_trained_again(simulated, slow_or_good):
    table = helo.evaluate(["early"], simulated, nested=3, choose_from=3, seeds=[0, 1], **FAST)
    fitted = pd.DataFrame(of(table, "early"))
    assert fitted.groupby("seed").candidate.nunique().to_dict() == {0: 3, 1: 1}
    split = helo.splits.by_subject(simulated, folds=3)[0]
    groups = [
        {frozenset(simulated.subjects[part.validation]) for part in nested(simulated, split, 3, seed)}
        for seed in (0, 1)
    ]
    assert groups[0] != groups[1]
    assert table.groupby("seed").kl.mean().nunique() == 2


def test_fits_are_kept_and_go_on_in_any_order(simulated, tmp_path, monkeypatch):
    arguments = {"nested": 2, "choose_from": 2, "seeds": [0, 1], "folder": tmp_path} | FAST
    whole = helo.evaluate(["early", "ridge"], simulated, **arguments | {"folder": None})
    first = helo.evaluate(["early"], simulated, **arguments | {"seeds": [1]})
    for file in sorted(tmp_path.glob("*.npz"))[::2]:
        file.unlink()
    again = helo.evaluate(["ridge", "early"], simulated, **arguments)
    merged = again.sort_values("model", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(whole.drop(columns="seconds"), merged.drop(columns="seconds"), rtol=1e-3)
    assert len(first)
    monkeypatch.setattr(fits, "_runs", lambda data, job, *_: [] if not job.fits else pytest.fail("fitted again"))
    helo.evaluate(["early", "ridge"], simulated, **arguments)


def test_a_fit_that_ends_at_its_cap_says_so(simulated):
    split = helo.splits.by_subject(simulated, folds=3)[0]
    with pytest.warns(UserWarning, match="early: training ended at its cap of 2 epochs"):
        run = helo.fit(helo.build("early", simulated), simulated, split, epochs=2, progress=False)
    assert run.capped
    done = helo.fit(
        helo.build("early", simulated), simulated, split, epochs=200, patience=3, learning_rate=0.01, progress=False
    )
    assert not done.capped and len(done.history) - done.best_epoch == 3
    with pytest.warns(UserWarning, match=r"cap of epochs.*for early \(9 of 9 fits\): more epochs may change"):
        table = helo.evaluate(["early", "ridge"], simulated, nested=3, **FAST)
    assert table.groupby("model").capped.first().to_dict() == {"early": 1.0, "ridge": 0.0}


def test_code_of_another_system_leaves_fits_valid(monkeypatch):
    """The digest of a model's fits follows its own code and what it uses, not its neighbours'; text is no code."""
    from helo import files

    before = {name: fits.code_of(name) for name in ("early", "gban", "helo")}
    real = files._code
    monkeypatch.setattr(files, "_code", lambda source: real(source) + (b"x" if b"class GBAN" in source else b""))
    assert fits.code_of("gban") != before["gban"] and fits.code_of("early") == before["early"]
    monkeypatch.setattr(
        files, "_code", lambda source: real(source) + (b"x" if b"class TransformerBlock" in source else b"")
    )
    assert fits.code_of("helo") != before["helo"], "a change of what it imports is one of its own"
    plain, told = b"def f(x):\n    return x\n", b'def f(x):\n    """Text."""\n    # more text\n    return x\n'
    assert real(plain) != real(b"def f(x):\n    return -x\n")
    assert real(b'def f(x):\n    "Other."\n    return x\n') == real(told)


def test_the_table_tells_the_budget_and_what_was_chosen(simulated, slow_or_good):
    table = helo.evaluate(["early", "ridge"], simulated, nested=2, choose_from=3, seeds=[0, 1], **FAST)
    told = helo.evaluation.chosen(table)
    assert told.candidates.to_dict() == {"early": 3, "ridge": 2}
    assert told.fits.to_dict() == {"early": 3 * 2 * (3 + 1), "ridge": 3 * (2 * 2 + 1)}
    assert 0 < told.cut["early"] <= told.fits["early"] and told.cut["ridge"] == 0, "chosen or not"
    assert "learning_rate 0.004" in told.chosen["early"] and told.chosen["early"].endswith("(3 of 3 folds)")


def test_a_closed_form_chooses_whether_to_learn_from_centred_ratings():
    """As every trained model may; by those who are held out, whose ratings are as they are, and answers with all."""
    data = rated_by_habit()
    table = helo.evaluate(["ridge", "mean"], data, nested=2, choose_from=8, **FAST | {"folds": 4})
    told = helo.evaluation.chosen(table)
    assert told.candidates.to_dict() == {"ridge": 2, "mean": 1}
    assert told.fits.to_dict() == {"ridge": 4 * (2 * 2 + 1), "mean": 4}
    assert told.chosen["ridge"] == "centre_people True (4 of 4 folds)"
    tried = pd.DataFrame(table.attrs["fits"]).query("model == 'ridge' and group >= 0")
    assert (tried[tried.candidate == 1].validation_kl.mean() < tried[tried.candidate == 0].validation_kl.mean()) and (
        tried.groupby(["fold", "candidate"]).validation_windows.sum() == 180
    ).all()
    splits = helo.splits.by_subject(data, folds=4)
    model = helo.build("ridge", data)
    helo.fit(model, data, splits[0], centre_people=True)
    alone = helo.score(data.distributions[splits[0].test], helo.predict(model, data, splits[0].test).distributions)
    rows = table[(table.model == "ridge") & (table.fold == splits[0].name)]
    assert np.average(rows.kl, weights=rows.windows) == pytest.approx(alone["kl"], rel=1e-6), "all of them answer"
    fixed = helo.evaluate(["ridge"], data, nested=2, choose_from=8, centre_people=False, **FAST | {"folds": 4})
    assert helo.evaluation.chosen(fixed).candidates["ridge"] == 1, "what is given is not chosen"
    assert (fixed.choice == 0).all() and table[table.model == "ridge"].kl.mean() < fixed.kl.mean()


def test_who_judges_a_closed_form_is_not_learned_from():
    data = rated_by_habit()
    split = helo.splits.by_subject(data, folds=4)[0]
    table = helo.evaluate(["ridge"], data, protocol=split, nested=2, choose_from=2, progress=False, workers=1)
    kept = pd.DataFrame(table.attrs["fits"]).query("candidate == 0 and group >= 0").validation_kl.to_list()
    expected = []
    for part in nested(data, split, 2, 0):
        asked = Split("judged", part.train, [], np.concatenate([part.validation, part.test]))
        model = helo.build("ridge", data, seed=0)
        helo.fit(model, data, asked, progress=False)
        said = helo.predict(model, data, asked.test).distributions[: len(part.validation)]
        expected.append(helo.score(data.distributions[part.validation], said)["kl"])
    assert kept == pytest.approx(expected, rel=1e-5)


def test_a_test_person_has_no_say_in_a_closed_forms_choice():
    data = rated_by_habit()
    split = helo.splits.by_subject(data, folds=4)[:1]
    other = data.distributions.copy()
    other[split[0].test] = other[split[0].test][:, ::-1]
    kept = [
        pd.DataFrame(
            helo.evaluate(["ridge"], d, protocol=split, nested=2, choose_from=8, epochs=3, progress=False).attrs["fits"]
        )
        for d in (data, dataclasses.replace(data, distributions=other))
    ]
    judged = [k[k.group >= 0].validation_kl.to_list() for k in kept]
    assert judged[0] == judged[1] and len(judged[0]) == 2 * 2


def test_a_closed_form_that_cannot_be_judged_answers_as_given(simulated):
    """Two trials to learn from and three groups; and groups whose people met one condition."""
    two = np.isin(simulated.trial_ids, np.unique(simulated.trial_ids)[[0, -1]])
    split = helo.splits.Split("x", np.flatnonzero(two), np.zeros(0, int), np.flatnonzero(~two))
    table = helo.evaluate(["ridge"], simulated, protocol=[split], nested=3, choose_from=8, progress=False)
    assert helo.evaluation.chosen(table).candidates["ridge"] == 1
    met = np.where(np.isin(simulated.subjects, np.unique(simulated.subjects)[:2]), "a", "b")
    apart = dataclasses.replace(simulated, conditions=met)
    first = helo.splits.by_subject(apart, folds=3)
    split = [s for s in first if len(np.unique(met[s.seen])) == 2 and (met[s.seen] == "a").mean() < 0.3][:1]
    table = helo.evaluate(["mixture"], apart, protocol=split, nested=2, choose_from=8, progress=False)
    assert np.isfinite(table.kl).all()


def test_a_person_whose_first_trials_are_given_keeps_the_tendency_when_settings_are_judged(simulated, monkeypatch):
    from helo.training import loop

    seen, real = [], loop.within_person
    monkeypatch.setattr(loop, "within_person", lambda data, split: seen.append(split) or real(data, split))
    splits = helo.splits.by_protocol(simulated, "subjects", 3, calibrate=2)
    helo.evaluate(["ridge"], simulated, protocol=splits, nested=2, choose_from=8, progress=False, workers=1)
    assert len(seen) >= 3 * 2, "of each fold both groups, at least"
    for split in seen:
        given = np.isin(simulated.subjects[split.train], np.unique(simulated.subjects[split.test]))
        assert given.any(), "of the test people"


def test_a_kept_fit_is_of_its_layout_and_its_presets(simulated, tmp_path):
    """HeLo asks by the query modality, name-guided by the emotions' names; helo-no-r is another network than helo."""
    split = helo.splits.by_subject(simulated, folds=3)[0]
    job = fits.Job("helo", {}, {}, [(split, 0)])
    other = next(m for m in simulated.roles["physiological"] if m != simulated.layout.query)
    variants = [
        simulated,
        dataclasses.replace(simulated, query=other),
        dataclasses.replace(simulated, emotions=tuple(reversed(simulated.emotions))),
    ]
    assert len({fits._file(data, job, split, 0, {}, tmp_path, "npz") for data in variants}) == 3
    assert len({fits.code_of(name) for name in ("helo", "helo-no-r", "helo-no-ot")}) == 3


def test_a_candidate_that_diverges_has_lost_and_ends_nothing(simulated, monkeypatch, tmp_path):
    monkeypatch.setattr(choice, "SHARED", {"learning_rate": (1e30, 4e-3), "dropout": (0.3,), "input_dropout": (0.0,)})
    arguments = {"nested": 3, "choose_from": 4, "folder": tmp_path} | FAST
    table = helo.evaluate("early", simulated, **arguments)
    tried = pd.DataFrame(table.attrs["fits"])
    diverged = tried["settings"].str.contains("1e\\+30")
    assert diverged.any() and not diverged.all()
    assert (tried.loc[diverged, "validation_kl"] == np.inf).all()
    assert np.isfinite(tried.loc[~diverged, "validation_kl"]).all() and np.isfinite(table["kl"]).all()
    assert not set(table["choice"]) & set(tried.loc[diverged, "candidate"])
    with pytest.raises(
        FloatingPointError, match=r"early: no candidate is finite in .*: early, epoch 1: .*learning rate"
    ):
        helo.evaluate("early", simulated, learning_rate=1e30, **arguments)
    monkeypatch.setattr(fits, "_runs", None)  # nothing is trained again
    assert helo.evaluate("early", simulated, workers=1, **arguments)["kl"].equals(table["kl"])
