"""Paired differences and their intervals."""

import numpy as np
import pytest
from helpers.planted import rising, table
from scipy import stats

from redalign_jax.analysis import differences
from redalign_jax.errors import UserError


def test_intervals_are_students_on_paired_differences():
    results = table(rising)
    curve = differences.curves(results, "accuracy")
    row = curve[(curve["redundancy"] == 2) & (curve["strength"] == 1.0) & (curve["subject"] == "a")]
    one = results[(results["redundancy"] == 2) & (results["subject"] == "a")]
    pairs = one.pivot(index="seed", columns="strength", values="value")
    expected = stats.ttest_rel(pairs[1.0], pairs[0.0]).confidence_interval(0.95)
    assert row["change_low"].item() == pytest.approx(expected.low)
    assert row["change_high"].item() == pytest.approx(expected.high)
    assert (curve[curve["strength"] == 0]["change"] == 0).all()


def test_a_sweep_without_strength_zero_is_refused():
    results = table(rising)
    with pytest.raises(UserError, match=r"hyper\.strength: .* strength 0"):
        differences.curves(results[results["strength"] > 0], "accuracy")


def test_students_interval_covers_where_a_bootstrap_does_not():
    """Why means have Student's interval: at 10 seeds, percentiles cover about 90 %."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2000, 10))
    low, high = np.array([differences.mean_interval(v)[1:] for v in values]).T
    assert np.mean((low < 0) & (high > 0)) == pytest.approx(0.95, abs=0.015)
    times = rng.multinomial(10, np.full(10, 0.1), size=500) / 10
    low, high = np.quantile(times @ values.T, differences.TAILS, axis=0)
    assert np.mean((low < 0) & (high > 0)) < 0.92
