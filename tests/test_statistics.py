"""Ranks, tests, intervals and summaries: people are the unit, however many windows, seeds and folds they have."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import random_data
from scipy import stats

import helo
from helo.evaluation import (
    by_condition,
    critical_difference,
    interval_over_people,
    mean_ranks,
    paired_test,
    people,
    person_scores,
    reference_kl,
    statistics,
    summarise,
    to_markdown,
)
from helo.evaluation.intervals import drawn_sums, limits


def table(values, seeds=1, windows=10, mean=0.5, ceiling=0.0, **columns):
    """values: model -> KL by person, one row for each and each seed, as `evaluate` gives them."""
    rows = []
    for model, of_people in values.items():
        for k, kl in enumerate(of_people):
            row = {"model": model, "fold": f"f{k % 2}", "subject": f"s{k}", "condition": "", "trials": 2}
            row |= {"windows": np.broadcast_to(windows, len(of_people))[k], "epochs": 3, "capped": False, "choice": 0}
            row |= {"chebyshev": kl, "clark": kl, "canberra": kl, "cosine": 1 - kl, "intersection": 1 - kl}
            for end in ("", "_trial"):
                row |= {
                    f"kl{end}": kl,
                    f"kl_mean{end}": mean,
                    f"kl_ceiling{end}": np.broadcast_to(ceiling, len(of_people))[k],
                }
            rows += [row | {"seed": s, "seconds": 1.0} for s in range(seeds)]
    return pd.DataFrame(rows).assign(**columns)


def random_people(n=15, seed=0, **of_table):
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.1, 0.3, n)
    return table(
        {"helo": base, "other": base + rng.normal(0.02, 0.03, n), "third": rng.uniform(0.1, 0.4, n)}, **of_table
    )


INTERVALS = ["kl_low", "kl_high", "skill_low", "skill_high", "difference_low", "difference_high"]


def test_ranks_by_hand():
    found = mean_ranks(table({"a": [0.1, 0.2, 0.3], "b": [0.2, 0.1, 0.4], "c": [0.3, 0.3, 0.3]}))
    assert found.to_dict() == pytest.approx({"a": (1 + 2 + 1.5) / 3, "b": (2 + 1 + 3) / 3, "c": (3 + 3 + 1.5) / 3})
    assert list(found.index) == ["a", "b", "c"]
    assert mean_ranks(table({"a": [0.1], "b": [0.2]}), "cosine").to_dict() == {"a": 1, "b": 2}


def test_critical_difference_of_the_textbook():
    # Demsar 2006, table 5: q_0.05 = 2.343 for 3, 2.569 for 4, 3.164 for 10 models
    for models, q in ((3, 2.343), (4, 2.569), (10, 3.164)):
        expected = q * np.sqrt(models * (models + 1) / (6 * 14))
        assert critical_difference(models, 14) == pytest.approx(expected, abs=2e-3)


def test_paired_test_is_wilcoxons_with_holm():
    rng = np.random.default_rng(0)
    base = rng.random(15)
    values = {
        "ref": base,
        "worse": base + 0.1 + 0.01 * rng.random(15),
        "same": base + rng.normal(0, 0.05, 15),
        "twin": base,
    }
    found = paired_test(table(values), "ref")
    assert found.loc["worse", "p"] == pytest.approx(stats.wilcoxon(values["worse"] - base).pvalue)
    assert found.loc["same", "p"] == pytest.approx(stats.wilcoxon(values["same"], base).pvalue)
    assert found.loc["worse", "p_holm"] == pytest.approx(min(1, 3 * found.loc["worse", "p"]))
    assert found.loc["worse", "p_holm"] < 0.01 < 0.05 < found.loc["same", "p_holm"]
    assert found.loc["worse", "better"] == 0 and found.loc["same", "better"] == (values["same"] < base).sum()
    assert found.loc["worse", "difference"] == pytest.approx(0.105, abs=0.006)
    twin = found.loc["twin", ["difference", "low", "high", "better", "p", "p_holm"]]
    assert twin.tolist() == [0, 0, 0, 0, 1, 1]


def test_people_without_a_difference_leave_the_test_exact():
    """Of 15 people five differ, all one way: of 32 signs two are as clear, which SciPy's approximation calls .043."""
    base = np.full(15, 0.1)
    found = paired_test(
        table({"ref": base, "few": base + 0.01 * np.r_[1:6, [0] * 10], "one": base + 0.01 * np.eye(15)[3]}), "ref"
    )
    assert found["p"].to_dict() == pytest.approx({"few": 2 / 2**5, "one": 1})


def test_holm_by_hand():
    # sorted .005 .01 .03 .04: times 4, 3, 2, 1 = .02 .03 .06 .04, and none below the one before
    assert statistics.holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm(np.array([0.6, 0.7])) == pytest.approx([1, 1])


def test_rounding_is_no_difference():
    """Answers are float32; a sum in another order must not be a difference that holds for everybody."""
    base = np.random.default_rng(0).uniform(0.05, 0.1, 12)
    found = paired_test(table({"a": base, "b": base * (1 + 1e-7)}), "a").loc["b"]
    assert found["p"] == 1 and found["better"] == 0 and found["difference"] == 0


def test_rounding_shares_a_rank():
    base = np.array([0.3, 0.3, 0.3])
    found = mean_ranks(table({"a": base, "b": base + 1e-9, "c": [0.4, 0.2, 0.4], "d": base + 2e-9}))
    assert found.to_dict() == pytest.approx({"a": 7 / 3, "b": 7 / 3, "d": 7 / 3, "c": 3})


def test_a_person_is_one_observation():
    """Ten times the windows of everybody, or thirty seeds, say nothing new about people."""
    one, windows, seeds = (summarise(random_people(**more)) for more in ({}, {"windows": 100}, {"seeds": 30}))
    for other in (windows, seeds):
        columns = [*INTERVALS, "p", "p_holm", "better", "people"]
        pd.testing.assert_frame_equal(one[columns], other[columns])
    assert one.loc["helo", "people"] == 15 and one.loc["helo", "unit"] == "subject"


def test_a_person_with_many_windows_makes_nobody_surer():
    """One of twelve with ten times the windows: the intervals widen, and still hold the truth as often."""
    rng, weights = np.random.default_rng(1), np.array([100] + [10] * 11)
    widths, inside = [], 0
    for k in range(200):
        of_people = rng.normal(size=12)
        sums = np.column_stack([weights * of_people, weights, of_people])
        drawn = drawn_sums(sums, draws=1000, seed=k)
        (low, high), even = limits(drawn[:, 0] / drawn[:, 1], 12), limits(drawn[:, 2] / 12, 12)
        widths.append((high - low, np.ptp(even)))
        inside += low <= 0 <= high
    uneven, even = np.mean(widths, axis=0)
    assert uneven > even and inside > 180
    found = summarise(table({"a": of_people}, windows=weights)).loc["a"]
    assert found["kl"] == pytest.approx(np.average(of_people, weights=weights))
    assert found[["kl_low", "kl_high"]].tolist() == pytest.approx([low, high], rel=0.15)


def test_folds_and_conditions_are_averaged_within_a_person():
    """Two seeds, and rows of 30 and 10 windows: the person has the mean of 40."""
    rows = table({"a": [0.1, 0.5]}, seeds=2, windows=30)
    more = table({"a": [0.3, 0.7]}, seeds=2, windows=10, fold="f7", condition="stress")
    found = people(pd.concat([rows, more]))
    assert found["a"].tolist() == pytest.approx([(30 * 0.1 + 10 * 0.3) / 40, (30 * 0.5 + 10 * 0.7) / 40])
    assert found.index.tolist() == ["s0", "s1"] and found.index.name == "subject"


def test_a_trial_counts_once_by_trials():
    """s0 has a trial of 9 windows at KL .1 and one of 1 window at .5; s1 one trial of 10 windows at .2."""
    rows = table({"a": [0.14, 0.2]})
    rows = rows.assign(trials=[2, 1], kl_trial=[0.3, 0.2], kl_mean_trial=0.5, kl_ceiling_trial=0.1)
    by_window, by_trial = (summarise(rows, weight=w).loc["a"] for w in ("windows", "trials"))
    assert people(rows, weight="trials")["a"].tolist() == pytest.approx([0.3, 0.2])
    assert by_window["kl"] == pytest.approx((10 * 0.14 + 10 * 0.2) / 20)
    assert by_trial["kl"] == pytest.approx((0.1 + 0.5 + 0.2) / 3)
    assert by_trial["skill"] == pytest.approx((3 * 0.5 - 0.8) / (3 * 0.5 - 3 * 0.1))
    assert "KL by trial" in to_markdown(summarise(rows, weight="trials")) and "clark" not in by_trial
    with pytest.raises(ValueError, match="'clark' is not known by trial"):
        people(rows, "clark", "trials")


def test_skill_is_a_ratio_of_sums_drawn_together():
    """Not the mean of people's ratios; and its interval is scipy's percentiles of the same ratio, taken further out."""
    rows = random_people(ceiling=np.linspace(0.05, 0.2, 15), windows=np.arange(10, 25))
    kl, low, n = people(rows)["other"].to_numpy(), np.linspace(0.05, 0.2, 15), np.arange(10, 25)
    found = summarise(rows).loc["other"]
    assert found["skill"] == pytest.approx((n * (0.5 - kl)).sum() / (n * (0.5 - low)).sum())
    tail = stats.norm.cdf(-np.sqrt(15 / 14) * stats.t.ppf(0.975, 14))
    expected = stats.bootstrap(
        (n * (0.5 - kl), n * (0.5 - low)),
        lambda gain, room, axis=-1: gain.sum(axis) / room.sum(axis),
        paired=True,
        method="percentile",
        confidence_level=1 - 2 * tail,
        n_resamples=20_000,
        random_state=3,
    ).confidence_interval
    width = expected.high - expected.low
    assert found[["skill_low", "skill_high"]].tolist() == pytest.approx(list(expected), abs=0.06 * width)


def test_draws_are_paired_between_models():
    """Two models that differ by the same amount for everybody differ by it in every draw, however people differ."""
    base = np.random.default_rng(0).uniform(0.1, 0.4, 10)
    found = summarise(table({"helo": base, "b": base + 0.01})).loc["b"]
    assert found[["difference", "difference_low", "difference_high"]].tolist() == pytest.approx([0.01] * 3)
    assert found["kl_high"] - found["kl_low"] > 0.05 and found["better"] == 0


def test_identical_models_do_not_differ():
    rows = random_people()
    twin = pd.concat([rows[rows.model == "helo"], rows[rows.model == "helo"].assign(model="twin")])
    found = summarise(twin).loc["twin"]
    assert found[["difference", "difference_low", "difference_high", "p", "p_holm", "better"]].tolist() == [
        0,
        0,
        0,
        1,
        1,
        0,
    ]


@pytest.mark.parametrize("n", [8, 15, 33])
def test_the_interval_covers_the_truth_as_often_as_it_says(n):
    """Simulated people: their KL and the training mean's go together; the truth is the skill of all there are."""
    rng, inside, truth = np.random.default_rng(n), {"mean": 0, "skill": 0}, (0.1 - 0.07) / (0.1 - 0.05)
    for k in range(200):
        mean = rng.normal(0.1, 0.02, n)
        kl, ceiling = 0.7 * mean + rng.normal(0, 0.01, n), 0.5 * mean + rng.normal(0, 0.005, n)
        sums = drawn_sums(np.column_stack([mean, kl, ceiling]), draws=1000, seed=k)
        low, high = limits(sums[:, 1] / n, n)
        inside["mean"] += low <= 0.07 <= high
        low, high = limits((sums[:, 0] - sums[:, 1]) / (sums[:, 0] - sums[:, 2]), n)
        inside["skill"] += low <= truth <= high
    # 200 draws at 95 %: 190, give or take three deviations of 3.1
    assert all(count > 180 for count in inside.values()), inside


def test_of_normal_values_it_is_students_interval():
    """Where the percentile interval of eight people would be a quarter too narrow."""
    x = np.random.default_rng(5).normal(size=8)
    x = (x - x.mean()) / x.std(ddof=1)
    low, high = interval_over_people(np.repeat(x, 3), np.repeat(np.arange(8), 3), draws=50_000)
    t = stats.t.interval(0.95, 7, 0, 8**-0.5)
    assert (high - low) == pytest.approx(t[1] - t[0], rel=0.1)


def test_one_subject_alone_is_compared_over_folds():
    rows = table({"helo": [0.1, 0.2, 0.3], "b": [0.2, 0.1, 0.4]}, subject="only").assign(fold=["x", "y", "z"] * 2)
    found = people(rows)
    assert found.index.name == "fold" and found.index.tolist() == ["x", "y", "z"]
    summary = summarise(rows)
    assert (summary["unit"] == "fold").all() and summary.loc["b", "people"] == 3
    assert "[95 % over 3 folds]" in to_markdown(summary)


def test_more_draws_without_a_value_than_the_tail_holds_leave_no_interval():
    """With 12 people the tail of a 95 % interval holds 1.1 % of the draws, not 2.5 %."""
    values = np.random.default_rng(0).normal(size=5000)
    for missing, known in ((50, True), (75, False)):
        some = np.r_[np.full(missing, np.nan), values[missing:]]
        assert np.isfinite(limits(some, 12)).all() == known


def test_why_there_is_no_skill_or_no_interval():
    unknown = summarise(table({"a": [0.1, 0.2]}, ceiling=np.nan)).loc["a"]
    assert np.isnan(unknown["skill"]) and "conditions are not" in unknown["skill_note"]
    part = summarise(table({"a": [0.1, 0.2]}, ceiling=[0.1, np.nan])).loc["a"]
    assert np.isnan(part["skill"]), "some people's ceiling is no ceiling"
    above = summarise(table({"a": [0.1, 0.2]}, ceiling=0.6)).loc["a"]
    assert (
        np.isnan(above["skill"])
        and "ceiling (KL 0.6000) is not below the training mean (0.5000)" in above["skill_note"]
    )
    # one of six has all the room: a third of the draws are without
    often = summarise(table({"a": [0.4] * 6}, ceiling=[0.0, *[0.55] * 5])).loc["a"]
    assert np.isfinite(often["skill"]) and np.isnan(often["skill_low"]) and "often" in often["skill_note"]
    assert np.isfinite(often["kl_low"])
    alone = summarise(table({"a": [0.1], "b": [0.2]})).loc["a"]
    assert np.isfinite(alone["skill"]) and np.isnan(alone["kl_low"]) and "one person" in alone["skill_note"]
    assert summarise(random_people()).skill_note.eq("").all()


def test_the_reference_is_helo_or_the_first():
    rows = random_people()
    assert summarise(rows).reference.idxmax() == "helo"
    assert summarise(rows[rows.model != "helo"]).reference.idxmax() == "other"
    found = summarise(rows, "third")
    assert found.reference.tolist() == [False, False, True]
    assert np.isnan(found.loc["third", "p"]) and np.isfinite(found.loc["helo", "p"])
    tested = paired_test(rows, "third")
    assert found.loc["helo", "difference_low"] == tested.loc["helo", "low"]
    assert found.loc["helo", "difference"] == pytest.approx(found.loc["helo", "kl"] - found.loc["third", "kl"])


def test_the_difference_is_that_of_the_table_and_its_test_is_over_people():
    """With uneven windows too: a window counts once in the means, a person once in the test."""
    rows = random_people(windows=np.arange(5, 20))
    found, wide = summarise(rows), people(rows)
    row = found.loc["other"]
    assert row["difference"] == pytest.approx(row["kl"] - found.loc["helo", "kl"], rel=1e-9)
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert row["p"] == pytest.approx(stats.wilcoxon(wide["other"], wide["helo"]).pvalue)
    assert row["better"] == (wide["other"] < wide["helo"]).sum()


def test_fits_cut_at_the_cap_are_counted_once():
    """A fit has a row for every person of its fold."""
    rows = random_people(4, seeds=3)
    rows.loc[(rows.model == "other") & (rows.seed == 0) & (rows.fold == "f1"), "capped"] = True
    found = summarise(rows)
    assert found.fits.tolist() == [6, 6, 6] and found.seeds.tolist() == [3, 3, 3]
    assert found.capped.tolist() == pytest.approx([0, 1 / 6, 0])
    assert "17 % of fits" in to_markdown(found) and "cut at the cap" not in to_markdown(found.loc[["helo"]])


def test_by_condition_the_gains_add_up():
    """Stress is most of the gain; somebody who was never stressed has no part in its interval."""
    calm = table({"a": [0.45, 0.5, 0.4, 0.45]}, windows=30, condition="calm")
    stress = table({"a": [0.1, 0.2, 0.3]}, windows=10, condition="stress")
    rows = pd.concat([calm, stress])
    found = by_condition(rows)
    assert found.people.tolist() == [4, 3] and found.windows.tolist() == [120, 30]
    assert found.gain.tolist() == pytest.approx([0.05, 0.3])
    assert found.share.tolist() == pytest.approx([6 / 15, 9 / 15])
    assert found.gain_low["stress", "a"] == pytest.approx(0.2) and found.gain_high["stress", "a"] == pytest.approx(0.4)
    total = summarise(rows).loc["a"]
    assert (found.gain * found.windows).sum() / 150 == pytest.approx(total["kl_mean"] - total["kl"])
    parts = by_condition(rows.assign(trials=np.where(rows.condition == "calm", 8 / 3, 1 / 3)), "trials")
    assert parts.trials.tolist() == pytest.approx([32 / 3, 1]) and parts.share.tolist() == pytest.approx(
        [16 / 25, 9 / 25]
    )
    with pytest.raises(ValueError, match="rows without a condition"):
        by_condition(calm.assign(condition=""))
    with pytest.raises(ValueError, match="rows without a condition"):
        by_condition(pd.concat([calm.assign(condition=np.nan), stress]))  # as "" comes back from a CSV file


def test_a_conditions_gain_counts_windows():
    found = by_condition(table({"a": [0.1, 0.4]}, windows=[30, 10], condition="calm")).loc["calm", "a"]
    assert found.gain == pytest.approx((30 * 0.4 + 10 * 0.1) / 40)
    assert found.kl == pytest.approx((30 * 0.1 + 10 * 0.4) / 40)


def test_person_scores_add_up_to_the_scores_of_all_windows(simulated):
    split = helo.splits.by_subject(simulated, folds=3)[0]
    truth, answer = simulated.distributions[split.test], np.roll(simulated.distributions[split.test], 1, axis=0)
    rows = pd.DataFrame(person_scores(simulated, split, answer))
    assert set(rows.subject) == set(simulated.subjects[split.test]) and rows.windows.sum() == len(split.test)
    assert rows.trials.sum() == len(set(simulated.trial_ids[split.test]))
    for name, value in helo.score(truth, answer).items():
        assert np.average(rows[name], weights=rows.windows) == pytest.approx(value)
    low, ceiling = reference_kl(simulated, split)
    assert np.average(rows.kl_mean, weights=rows.windows) == pytest.approx(low)
    assert np.average(rows.kl_ceiling, weights=rows.windows) == pytest.approx(ceiling)
    # by trial, by hand
    per_window = helo.score(truth, answer, per_window=True)["kl"]
    trials = simulated.trial_ids[split.test]
    by_hand = np.mean([per_window[trials == t].mean() for t in np.unique(trials)])
    assert np.average(rows.kl_trial, weights=rows.trials) == pytest.approx(by_hand)
    found = summarise(rows.assign(model="m", seed=0, fold=split.name, capped=False)).loc["m"]
    assert found["skill"] == pytest.approx((low - per_window.mean()) / (low - ceiling))


def test_a_trial_of_two_conditions_counts_in_each_by_its_part():
    """A trial of one window in x; another of three windows, one in x and two in y."""
    people_of, trials, conditions = ["a"] * 4 + ["b"] * 4, list("sttt") * 2, ["x", "x", "y", "y"] * 2
    data = random_data(8, subjects=people_of, trials=trials, conditions=conditions)
    split = helo.splits.Split("s", np.arange(4, 8), [], np.arange(4))
    answer = np.tile(data.distributions[4:].mean(0), (4, 1))
    rows = pd.DataFrame(person_scores(data, split, answer)).set_index("condition")
    kl = helo.score(data.distributions[:4], answer, per_window=True)["kl"]
    assert rows.trials.to_dict() == pytest.approx({"x": 4 / 3, "y": 2 / 3})
    assert rows.kl_trial["x"] == pytest.approx((kl[0] + kl[1] / 3) / (4 / 3))
    assert np.average(rows.kl_trial, weights=rows.trials) == pytest.approx((kl[0] + kl[1:].mean()) / 2)


def test_an_unknown_ceiling_by_trial_is_no_ceiling():
    data = random_data()
    split = helo.splits.by_subject(data)[0]
    rows = person_scores(data, split, data.distributions[split.test])
    assert all(np.isnan(row["kl_ceiling_trial"]) for row in rows)


def test_markdown_names_every_bracket():
    lines = to_markdown(summarise(random_people()).sort_values("kl")).splitlines()
    header = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert header[1:4] == [f"{name} [95 % over 15 people]" for name in ("KL ↓", "skill ↑", "KL − KL of helo")]
    assert all(line.count("|") == lines[0].count("|") for line in lines) and len(lines) == 5
    barred = to_markdown(summarise(table({"ridge | no face": [0.1, 0.2]}))).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in barred[:3]}) == 1
    cells = {line.split(" | ")[0].strip("| "): line for line in lines[2:]}
    assert " of 15 |" in cells["other"] and " of 15 |" not in cells["helo"]
    noted = to_markdown(summarise(table({"a": [0.1, 0.2]}, ceiling=np.nan)))
    assert "For all models: no skill: the ceiling is not known" in noted.splitlines()[-1] and "nan" not in noted


def test_what_cannot_be_compared_is_named():
    with pytest.raises(ValueError, match="level is 95; expected a share"):
        summarise(random_people(), level=95)
    with pytest.raises(ValueError, match="unknown measure 'auc'"):
        mean_ranks(table({"a": [0.1]}), "auc")
    with pytest.raises(ValueError, match="weight is 'people'"):
        people(table({"a": [0.1]}), weight="people")
    with pytest.raises(ValueError, match="reference 'z' is not in the table"):
        paired_test(table({"a": [0.1, 0.2]}), "z")
    with pytest.raises(ValueError, match="reference 'z' is not in the table"):
        summarise(table({"a": [0.1, 0.2]}), "z")
    with pytest.raises(ValueError, match="has 1 fold"):
        paired_test(table({"a": [0.1], "b": [0.2]}), "a")
    with pytest.raises(ValueError, match="'b', seed 0: 0 windows of subject 's1', but 10 for model 'a'"):
        people(table({"a": [0.1, 0.2], "b": [0.2]}))
    with pytest.raises(ValueError, match="'a', seed 1: 0 windows of subject 's0'"):
        people(table({"a": [0.1, 0.2]}, seeds=2).iloc[[0, 2, 3]])
    with pytest.raises(ValueError, match="'a': kl is NaN for subject 's1'"):
        people(table({"a": [0.1, np.nan]}))
