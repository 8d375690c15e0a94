"""The law against tables in which it was planted, and its parts against other implementations."""

import numpy as np
import pandas as pd
import pytest
from helpers import planted
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from redalign_jax.analysis import across, correlation, points, strengths


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(points, "RESAMPLES", 300)


def relation(found, outcome, predictor="shared_fraction"):
    (row,) = (
        r for r in found["relations"] if (r["outcome"], r["predictor"]) == (outcome, predictor)
    )
    return row


@pytest.mark.slow
def test_a_planted_law_is_found_and_a_broken_one_is_not():
    fractions = planted.spread(9)
    (found,) = across.laws(planted.results(fractions))
    row = relation(found, "best_strength")
    assert row["spearman"] > 0.9
    assert row["spearman_low"] > 0.6
    assert row["these_tasks_low"] > row["spearman_low"]
    assert relation(found, "change_at_max")["spearman_low"] > 0.6
    (down,) = across.laws(planted.results(fractions, peak=lambda f: 4 - 4 * f))
    assert relation(down, "best_strength")["spearman_high"] < -0.6
    assert found["resampled"] == ["seeds", "redundancy"]
    assert found["exact"]

    rng = np.random.default_rng(0)
    excluded = 0
    for seed in range(8):  # λ* belongs to tasks in an order of its own
        peaks = dict(zip(np.ravel(fractions), rng.permutation(np.linspace(0, 4, 18)), strict=True))
        (none,) = across.laws(planted.results(fractions, peak=peaks.__getitem__, seed=seed))
        row = relation(none, "best_strength")
        excluded += not row["spearman_low"] < 0 < row["spearman_high"]
    assert excluded <= 2


@pytest.mark.slow
def test_intervals_cover_the_law_of_many_tasks():
    """Where noise in λ* is small; the truth is the correlation over 4,000 encoders."""
    rng = np.random.default_rng(1)

    def tasks(count):
        f = rng.uniform(0.05, 1, (count, 2))
        return f, np.clip(4 * f + 1.2 * rng.standard_normal(f.shape), 0, 4)

    f, peaks = tasks(2000)
    stars = [np.argmax(planted.peaked(p)) for p in peaks.ravel()]
    truth = stats.spearmanr(f.ravel(), stars).statistic
    below, above = 0, 0
    for seed in range(25):
        f, peaks = tasks(10)
        at = dict(zip(f.ravel(), peaks.ravel(), strict=True))
        table = planted.results(
            [tuple(p) for p in f], peak=at.__getitem__, noise=0.002, seeds=6, seed=seed
        )
        found = points.points(table, "accuracy")
        sample = across.sample(found)
        values = sample.correlation("best_strength", "shared_fraction")
        row = correlation.interval("rho", values, len(found.keys))
        above += row["rho_low"] > truth
        below += row["rho_high"] < truth
    assert above <= 3
    assert below <= 4


def test_ranks_of_a_resample_are_those_of_the_sample_written_out():
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = int(rng.integers(3, 12))
        x, y = rng.integers(0, 4, (2, n)).astype(float)
        times = rng.multinomial(n, np.full(n, 1 / n))
        out = np.repeat(np.arange(n), times)
        np.testing.assert_allclose(
            correlation.midranks(x, times)[out], stats.rankdata(x[out]), atol=1e-12
        )
        ranks = {
            "x": across._ranks(x[None], times[None]),
            "y": across._ranks(y[None], times[None]),
        }
        found = across.Sample(times[None], ranks).correlation("x", "y").item()
        if np.ptp(x[out]) and np.ptp(y[out]):
            assert found == pytest.approx(stats.spearmanr(x[out], y[out]).statistic)
        else:
            assert found == 0


def test_held_out_gains_of_a_resample_never_see_their_own_copies():
    rng = np.random.default_rng(0)
    changes = rng.standard_normal((7, 4))
    times = rng.multinomial(7, np.full(7, 1 / 7), size=30)
    found = strengths.held_out(changes, times)
    for row, drawn in zip(found, times, strict=True):
        for seed in np.flatnonzero(drawn):
            others = [s for s in np.repeat(np.arange(7), drawn) if s != seed]
            assert row[seed] == changes[seed, np.argmax(changes[others].sum(axis=0))]


def test_the_fit_is_isotonic_regression():
    table = planted.results(planted.spread(9), noise=0.02)
    (found,) = across.laws(table)
    rows = pd.DataFrame(found["points"])
    (fit,) = (f for f in found["fits"] if f["outcome"] == "change_at_max")
    other = IsotonicRegression(increasing=fit["rising"], out_of_bounds="clip")
    other.fit(rows["shared_fraction"], rows["change_at_max"])
    np.testing.assert_allclose(fit["value"], other.predict(fit["shared_fraction"]), atol=1e-9)
    (fit,) = (f for f in found["fits"] if f["outcome"] == "best_strength")
    assert (np.diff(fit["value"]) >= 0).all()
    assert (np.array(fit["low"]) <= np.array(fit["high"])).all()
    assert min(fit["low"]) >= 0 and max(fit["high"]) <= 3


def test_two_predictors_at_once_are_least_squares_on_ranks():
    (found,) = across.laws(planted.results(planted.spread(9), noise=0.02))
    rows = pd.DataFrame(found["points"])
    (row,) = (t for t in found["together"] if t["outcome"] == "held_out_gain")
    names = ["shared_fraction", "accuracy_gap", "held_out_gain"]
    ranks = stats.zscore(stats.rankdata(rows[names].to_numpy(), axis=0))
    slopes, residual, *_ = np.linalg.lstsq(ranks[:, :2], ranks[:, 2])
    assert [row["shared_fraction"], row["accuracy_gap"]] == pytest.approx(slopes)
    assert row["explained"] == pytest.approx(1 - residual.item() / len(ranks))


def test_the_gap_is_that_to_the_mean_of_the_partners():
    table = planted.results(planted.spread(4), seeds=3)
    third = table[table["subject"] == "a"].assign(subject="c")
    third["value"] += 0.3
    table = pd.concat([table, third], ignore_index=True).assign(shared_fraction_c=0.5)
    table = table[[*table.columns.drop("shared_fraction_c").insert(3, "shared_fraction_c")]]
    (found,) = across.laws(table)
    base = table[(table["strength"] == 0) & (table["redundancy"] == 2)]
    base = base.groupby("subject")["value"].mean()
    for row in found["points"]:
        if row["redundancy"] == 2:
            others = base.drop(row["subject"]).mean()
            assert row["accuracy_gap"] == pytest.approx(others - base[row["subject"]])
    assert found["tasks"] == 4
    assert found["resampled"] == ["seeds"]
    # four tasks say nothing about others, whatever they agree on
    assert relation(found, "change_at_max")["spearman_low"] == -1
    assert relation(found, "change_at_max")["these_tasks_low"] > 0.5
    assert all(row["shared_fraction_low"] is None for row in found["together"])


def test_early_stopping_is_a_second_law_and_no_information_is_none():
    table = planted.results(planted.spread(6))
    early = planted.results(planted.spread(6), peak=lambda f: 0.0)
    both = pd.concat([table, early.assign(metric="early_accuracy")], ignore_index=True)
    first, second = across.laws(both)
    assert (first["metric"], second["metric"]) == ("accuracy", "early_accuracy")
    assert relation(first, "best_strength")["spearman"] > 0.9
    assert abs(relation(second, "best_strength")["spearman"]) < 0.5
    plain = table[[c for c in table if not c.startswith(("pid_", "shared_"))]]
    assert across.laws(plain) == []
    assert across.laws(table[table["seed"] == 0]) == []  # nothing tells λ* from its noise
