"""Conclusions from tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from redalign_jax import law
from redalign_jax.errors import UserError

STRENGTHS = (0.0, 0.3, 1.0, 4.0)


def table(
    peak, seeds=12, noise=0.01, axis=range(5), subjects=("a", "b"), seed=0, metric="accuracy"
):
    """Curves that peak, 3 points high, at `peak(axis value)`, and lose 10 points beyond."""
    rng = np.random.default_rng(seed)
    rows = []
    for value in axis:
        for s in range(seeds):
            base = rng.uniform(0.5, 0.8)  # seeds differ much more than strengths do
            for strength in STRENGTHS:
                for subject in subjects:
                    change = 0.03 * (strength == peak(value)) - 0.1 * (strength > peak(value))
                    change = 0.0 if strength == 0 else change + noise * rng.standard_normal()
                    rows.append((value, s, strength, subject, metric, base + change, False))
    names = ["redundancy", "seed", "strength", "subject", "metric", "value", "diverged"]
    return pd.DataFrame(rows, columns=names)


def rising(value):
    return STRENGTHS[1 + min(value // 2, 2)]


def test_intervals_are_students_on_paired_differences():
    results = table(rising)
    curve = law.curves(results, "accuracy")
    row = curve[(curve["redundancy"] == 2) & (curve["strength"] == 1.0) & (curve["subject"] == "a")]
    one = results[(results["redundancy"] == 2) & (results["subject"] == "a")]
    pairs = one.pivot(index="seed", columns="strength", values="value")
    expected = stats.ttest_rel(pairs[1.0], pairs[0.0]).confidence_interval(0.95)
    assert row["change_low"].item() == pytest.approx(expected.low)
    assert row["change_high"].item() == pytest.approx(expected.high)
    assert (curve[curve["strength"] == 0]["change"] == 0).all()


def test_the_best_strength_its_gain_and_its_harm():
    best = law.best(table(rising)).set_index(["redundancy", "subject"])
    assert best["strength_star"].to_dict() == {
        (v, s): rising(v) for v in range(5) for s in ("a", "b")
    }
    first = best.loc[(0, "a")]
    assert first["gain_low"] < 0.03 < first["gain_high"]
    assert first["harm_low"] < -0.1 < first["harm_high"]
    assert first["strength_star_low"] <= 0.3 <= first["strength_star_high"]


def test_held_out_gain_does_not_flatter():
    """Where strength does nothing, the best of noisy means is no gain once held out."""
    flat, held = [], []
    for seed in range(30):
        best = law.best(table(lambda v: 9.0, axis=[0], subjects=("a",), seed=seed, noise=0.05))
        flat.append(best["gain"].item())
        held.append(best["held_out_gain"].item())
    assert np.mean(flat) > 2 * stats.sem(flat)
    assert abs(np.mean(held)) < 3 * stats.sem(held)


def test_trend_follows_the_axis():
    up = law.trend(table(rising), "redundancy")
    assert up["strength_star"] == [0.3, 0.3, 1.0, 1.0, 4.0]
    assert up["spearman_low"] > 0.8
    down = law.trend(table(lambda v: rising(4 - v)), "redundancy")
    assert down["spearman"] < -0.8
    flat = law.trend(table(lambda v: 1.0), "redundancy")
    assert flat["spearman"] == 0
    assert law.trend(table(rising, axis=[0, 1]), "redundancy") is None


def test_errors_count_downwards():
    results = table(rising, metric="mae")
    results["value"] = 2 - results["value"]  # an error falls where accuracy rose
    best = law.best(results).set_index(["redundancy", "subject"])
    assert best["strength_star"].loc[(4, "a")] == 4.0
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
    best = law.best(combined[order]).set_index("subject")
    assert best.loc["a", "strength_star"] == 0.3
    assert best.loc["b", "strength_star"] == 0.0  # its best setting is the one that moves a alone
    assert best["gain"].min() > 0.05


def test_diverged_runs_and_single_seeds():
    results = table(rising, axis=[0])
    broken = results["strength"] == 4.0
    results.loc[broken, ["value", "diverged"]] = np.nan, True
    summary = law.summarise(results)
    assert summary["diverged"] == 12
    assert {row["strength"] for row in summary["curves"]} == {0.0, 0.3, 1.0}
    one = law.summarise(table(rising, seeds=1))
    assert one["best"][0]["gain_low"] is None
    assert "best" in law.short_table(one)
    everything = table(rising, axis=[0]).assign(diverged=True)
    assert "every run diverged" in law.short_table(law.summarise(everything))


def test_a_sweep_without_strength_zero_is_refused():
    results = table(rising)
    with pytest.raises(UserError, match=r"hyper\.strength: .* strength 0"):
        law.curves(results[results["strength"] > 0], "accuracy")
