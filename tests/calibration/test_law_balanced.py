"""What is said of the balanced mechanism, where it does nothing and where it does something."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from redalign_jax.analysis import balanced

STRENGTHS = (0.0, 0.3, 1.0, 4.0)
TASKS = range(3)


def table(rng, effect=lambda task, subject: 0.0, seeds=6, lost=None):
    """Accuracies whose seeds have most in common; `effect` is the mechanism's, per encoder."""
    rows = []
    for task in TASKS:
        for seed in range(seeds):
            data = 0.6 + 0.05 * rng.standard_normal()
            for subject in "ab":
                start = data + 0.02 * rng.standard_normal()
                for setting in (*STRENGTHS, None):
                    own = setting is None
                    value = start + effect(task, subject) * own
                    value += 0.01 * rng.standard_normal() * (setting != 0)
                    gone = own and lost is not None and lost(task, seed)
                    rows.append(
                        (task, seed, 16.0 if own else setting, own, subject, "accuracy")
                        + (np.nan if gone else value, gone)
                    )
    names = ["redundancy", "seed", "strength", "balanced", "subject", "metric"]
    return pd.DataFrame(rows, columns=[*names, "value", "diverged"])


def of(found, setting):
    return next(row for row in found["last"]["overall"] if row["setting"] == setting)


def test_a_mechanism_that_does_nothing_is_not_shown_to():
    rng = np.random.default_rng(0)
    worlds = 40
    marked, covered = 0, 0
    for _ in range(worlds):
        found = balanced.comparisons(table(rng))
        rows = [*found["last"]["overall"], *found["last"]["encoders"]]
        marked += any(v for row in rows for name, v in row.items() if name.endswith("_shown"))
        row = of(found, "balanced")
        covered += row["change_low"] < 0 < row["change_high"]
    assert marked <= stats.binom.ppf(0.999, worlds, 0.05)
    within = stats.binom.ppf([0.001, 0.999], worlds, 0.95)
    assert within[0] <= covered <= within[1]


def test_a_gain_is_shown():
    found = balanced.comparisons(table(np.random.default_rng(0), lambda task, subject: 0.03))
    assert of(found, "balanced")["change_shown"] == 1
    assert of(found, 0.3)["advantage_shown"] == 1


def test_cells_that_diverge_are_no_gain():
    """It helps one task and harms another, on average nothing; where it harms it often diverges."""
    rng = np.random.default_rng(0)

    def effect(task, subject):
        return {0: 0.08, 1: -0.08, 2: 0.0}[task]

    for _ in range(10):
        found = balanced.comparisons(
            table(rng, effect, lost=lambda task, seed: task == 1 and seed % 2)
        )
        row = of(found, "balanced")
        assert row["change_low"] < 0.005
        assert row["change_shown"] < 1
        assert found["last"]["left_out"] == 0
        assert len(found["last"]["encoders"]) == 6


def test_runs_that_are_not_there_yet_take_their_cells_with_them():
    """A mean over other encoders in one seed than in the next is no paired difference."""
    rng = np.random.default_rng(0)
    full = table(rng, lambda task, subject: 0.1 * task)
    late = (full["redundancy"] == 2) & (full["seed"] == 5) & full["balanced"]
    found = balanced.comparisons(full[~late])
    assert found["last"]["left_out"] == 2
    assert {row["redundancy"] for row in found["last"]["encoders"]} == {0, 1}
    assert of(found, "balanced")["change"] == pytest.approx(0.05, abs=0.02)
