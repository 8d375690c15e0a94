"""The best strength, its gain and its harm, from tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from helpers.planted import rising, table
from scipy import stats

from redalign_jax.analysis import strengths
from redalign_jax.analysis.trend import trend


def test_the_best_strength_its_gain_and_its_harm():
    best = strengths.best(table(rising)).set_index(["redundancy", "subject"])
    assert best["best_strength"].to_dict() == {
        (v, s): rising(v) for v in range(5) for s in ("a", "b")
    }
    first = best.loc[(0, "a")]
    assert first["held_out_gain_low"] < 0.03 < first["held_out_gain_high"]
    assert first["change_at_max_low"] < -0.1 < first["change_at_max_high"]
    assert first["best_strength_low"] <= 0.3 <= first["best_strength_high"]


def test_held_out_gain_does_not_flatter():
    """Where strength does nothing, the best of noisy means is no gain once held out."""
    flat, held = [], []
    for seed in range(30):
        best = strengths.best(
            table(lambda v: 9.0, axis=[0], subjects=("a",), seed=seed, noise=0.05)
        )
        flat.append(best["gain"].item())
        held.append(best["held_out_gain"].item())
    assert np.mean(flat) > 2 * stats.sem(flat)
    assert abs(np.mean(held)) < 3 * stats.sem(held)


def test_trend_follows_the_axis():
    up = trend(table(rising), "redundancy")
    assert up["best_strength"] == [0.3, 0.3, 1.0, 1.0, 4.0]
    assert up["spearman_low"] > 0.8
    down = trend(table(lambda v: rising(4 - v)), "redundancy")
    assert down["spearman"] < -0.8
    flat = trend(table(lambda v: 1.0), "redundancy")
    assert flat["spearman"] == 0
    assert trend(table(rising, axis=[0, 1]), "redundancy") is None


def test_errors_count_downwards():
    results = table(rising, metric="mae")
    results["value"] = 2 - results["value"]  # an error falls where accuracy rose
    best = strengths.best(results).set_index(["redundancy", "subject"])
    assert best["best_strength"].loc[(4, "a")] == 4.0
    assert best["gain"].min() > 0


def test_strengths_of_an_encoders_own():
    results = table(rising, axis=[0], subjects=("a", "b"))
    results = results.drop(columns="redundancy")
    swapped = results.assign(strength=np.nan)
    both = []
    for own, other, rows in ((results["strength"], results["strength"], results),):
        both.append(rows.assign(strength_a=own, strength_b=other))
    directed = swapped[results["strength"] > 0].assign(
        strength_a=results["strength"], strength_b=0.0
    )
    directed["value"] += 0.05
    combined = pd.concat([*both, directed], ignore_index=True)
    order = [
        "seed",
        "strength",
        "strength_a",
        "strength_b",
        "subject",
        "metric",
        "value",
        "diverged",
    ]
    best = strengths.best(combined[order]).set_index("subject")
    assert best.loc["a", "best_strength"] == 0.3
    assert best.loc["b", "best_strength"] == 0.0  # its best setting is the one that moves a alone
    assert best["gain"].min() > 0.05


def test_verdicts():
    """Shapes whose verdict is plain, with noise of a tenth of a point."""
    shapes = {
        "helps": lambda s: 0.02 * (s > 0),
        "hurts": lambda s: -0.02 * s,
        "neither": lambda s: 0.0,
    }
    for verdict, shape in shapes.items():
        results = table(lambda v: 9.0, axis=[0], subjects=("a",), noise=0.001)
        results["value"] += results["strength"].map(shape)
        assert strengths.best(results)["verdict"].tolist() == [verdict]
    noisy = table(lambda v: 9.0, axis=[0], subjects=("a",), noise=0.1)
    assert strengths.best(noisy)["verdict"].tolist() == ["undecided"]
    one = table(rising, seeds=1, axis=[0])
    assert set(strengths.best(one)["verdict"]) == {"undecided"}


def test_one_standard_error_rule_takes_the_smallest_that_is_as_good():
    results = table(lambda v: 9.0, axis=[0], subjects=("a",), noise=0.0)
    rng = np.random.default_rng(0)
    means = {0.0: 0.0, 0.3: 0.0195, 1.0: 0.02, 4.0: 0.0}
    step = rng.standard_normal(12)
    step = 0.01 * (step - step.mean()) / step.std(ddof=1)  # s.e. of 0.01 / √12 = 0.0029
    noise = results["seed"].map(dict(enumerate(step))) * (results["strength"] > 0)
    results["value"] += results["strength"].map(means) + noise
    (row,) = strengths.best(results).to_dict("records")
    assert (row["best_strength"], row["strength_one_se"]) == (1.0, 0.3)
    results["value"] -= 0.004 * (results["strength"] == 0.3)
    (row,) = strengths.best(results).to_dict("records")
    assert (row["best_strength"], row["strength_one_se"]) == (1.0, 1.0)


def test_early_stopping_is_asked_for_by_its_metric():
    last, early = table(rising), table(lambda v: 0.3, metric="early_accuracy")
    both = pd.concat([last, early], ignore_index=True)
    assert strengths.best(both, "early_accuracy")["best_strength"].tolist() == [0.3] * 10
    pd.testing.assert_frame_equal(strengths.best(both, tables=2), strengths.best(last))
    twice = strengths.best(both)["gain_p"]  # the page has twice as many tables
    np.testing.assert_allclose(twice, np.minimum(1, 2 * strengths.best(last)["gain_p"]))


def test_verdicts_follow_from_their_own_rows():
    results = pd.concat(
        [
            table(lambda v: 4.0 - v, axis=range(4), noise=n, seed=s)
            for s, n in enumerate((0.002, 0.02))
        ],
        keys=[0, 1],
        names=["kind"],
    ).reset_index("kind")
    best = strengths.best(results)
    assert set(best["verdict"]) >= {"helps", "hurts"}
    for row in best.to_dict("records"):
        said = [v for v, p in (("helps", "gain_p"), ("hurts", "change_at_max_p")) if row[p] <= 0.05]
        if row["verdict"] in ("helps", "hurts"):
            assert row["verdict"] == said[0]
            assert (row["held_out_gain_low"] > 0) or row["verdict"] != "helps"
            assert (row["change_at_max_high"] < 0) or row["verdict"] != "hurts"
        else:
            assert not said


def test_many_encoders_are_judged_together():
    """A gain that one encoder alone would be granted is not granted to one of many."""
    one = table(lambda v: 4.0, axis=[0], subjects=("a",), seeds=6, noise=0.03, seed=6)
    many = [table(lambda v: 9.0, axis=[0], subjects=(f"n{k}",), seeds=6, seed=k) for k in range(20)]
    alone, among = (
        strengths.best(pd.concat(tables, ignore_index=True)).set_index("subject").loc["a"]
        for tables in ([one], [one, *many])
    )
    assert (alone["verdict"], among["verdict"]) == ("helps", "undecided")
    assert among["gain_p"] >= min(1, 20 * alone["gain_p"])
    assert among["held_out_gain_low"] == pytest.approx(
        alone["held_out_gain_low"]
    )  # each for itself
    assert alone["held_out_gain_low"] > 0


def test_splits_of_the_same_rows_widen_everything():
    results = table(rising, axis=[2], noise=0.02)
    again = results.copy()
    again.insert(2, "resplit", 0.25)
    fresh, split = (strengths.best(t).iloc[0] for t in (results, again))
    wide = np.sqrt(1 + 12 * 0.25)
    assert split["change_at_max"] - split["change_at_max_low"] == pytest.approx(
        wide * (fresh["change_at_max"] - fresh["change_at_max_low"])
    )
    assert split["held_out_gain"] == fresh["held_out_gain"]
    assert split["held_out_gain_low"] < fresh["held_out_gain_low"]
    assert split["gain_p"] > fresh["gain_p"]
    assert split["best_strength_high"] >= fresh["best_strength_high"]


def test_a_diverged_run_is_the_worst_outcome():
    """λ = 4 diverges in eight of twelve seeds, each of which costs at least what the worst cost."""
    results = table(lambda v: 1.0, axis=[0], subjects=("a",), noise=0.001)
    lost = (results["strength"] == 4.0) & (results["seed"] < 8)
    true = results.assign(value=results["value"].mask(lost, 0.25))
    broken = results.assign(diverged=lost, value=results["value"].mask(lost))
    majority = results.assign(metric="majority", value=0.25)
    known = pd.concat([broken, majority], ignore_index=True)
    assert strengths.best(known)["strongest"].item() == 4.0
    np.testing.assert_allclose(
        strengths.best(known)["change_at_max"], strengths.best(true)["change_at_max"]
    )
    assert (
        strengths.best(broken)["change_at_max"].item()
        < strengths.best(true)["change_at_max"].item()
    )  # a bound
    errors = results.assign(metric="mae", value=2 - results["value"])
    errors = errors.assign(diverged=lost, value=errors["value"].mask(lost))
    row = strengths.best(errors).iloc[0]
    kept = strengths.best(errors[errors["seed"] >= 8]).iloc[0]
    assert row["strongest"] == 4.0
    assert row["change_at_max"] < kept["change_at_max"]


def test_equal_changes_leave_something_open():
    """Three seeds that each gain the same one example of few are no proof."""
    results = table(lambda v: 9.0, axis=[0], subjects=("a",), seeds=3, noise=0.0)
    results["value"] += 0.05 * (results["strength"] == 1.0)
    row = strengths.best(results).iloc[0]
    assert row["held_out_gain_low"] < 0.05 < row["held_out_gain_high"]
    assert row["verdict"] == "undecided"


def test_accuracy_is_shown_beside_balanced_accuracy_and_the_majority():
    results = table(rising, axis=[0])
    more = [
        results.assign(metric="majority", value=0.95),
        results.assign(metric="balanced_accuracy", value=0.5 + 0.1 * results["strength"]),
    ]
    best = strengths.best(pd.concat([results, *more], ignore_index=True))
    assert best["majority"].tolist() == pytest.approx([0.95] * 2)
    assert best["balanced"].tolist() == pytest.approx([0.5] * 2)
    assert not {"majority", "balanced"} & set(strengths.best(results))
