"""The strength that validation data choose: values by hand, and an interval that holds."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from redalign_jax.analysis import chosen

STRENGTHS = (0.0, 0.3, 1.0, 3.0)


def tables(valid, test, names=("a",), metric="accuracy"):
    """Results and curves from (encoders, seeds, strengths) scores; validation peaks at step 10."""
    rows, curves = [], []
    for m, name in enumerate(names):
        for seed in range(valid.shape[1]):
            for k, strength in enumerate(STRENGTHS):
                run = {"seed": seed, "strength": strength, "subject": name, "diverged": False}
                rows.append({**run, "metric": f"early_{metric}", "value": test[m, seed, k]})
                worse = 1 if metric == "mae" else -1
                for step, off in ((5, 0.5), (10, 0.0), (20, 0.2)):
                    value = valid[m, seed, k] + worse * off
                    curves.append(
                        {**run, "metric": f"valid_{metric}", "step": step, "value": value}
                    )
    order = ["seed", "strength", "subject", "metric", "value", "diverged"]
    results = pd.DataFrame(rows)[order]
    results = pd.concat([results, results.assign(metric=metric)], ignore_index=True)
    return results, pd.DataFrame(curves)[[*order[:2], "step", *order[2:]]]


def found(results, curves, metric="accuracy"):
    return chosen.by_validation(results, f"early_{metric}", chosen.scores(curves, metric))


@pytest.mark.parametrize("metric", ["accuracy", "mae"])
def test_the_best_validation_score_chooses_and_the_test_split_judges(metric):
    rng = np.random.default_rng(0)
    sign = -1 if metric == "mae" else 1
    valid = rng.normal(size=(2, 6, 4)) * 0.01 + sign * np.array([[[0, 1, 3, 2]], [[5, 1, 3, 2]]])
    test = rng.normal(size=(2, 6, 4))
    rows = found(*tables(valid, test, ("a", "b"), metric), metric)
    assert rows["strength"].tolist() == [1.0, 0.0] and rows["subject"].tolist() == ["a", "b"]
    changes = sign * (test[0, :, 2] - test[0, :, 0])
    half = stats.t.ppf(1 - 0.025 / 6, 5) * stats.sem(changes)  # 2 encoders × 3 strengths
    a, b = rows.to_dict("records")
    assert a["change"] == pytest.approx(changes.mean())
    assert [a["change_low"], a["change_high"]] == pytest.approx(
        [changes.mean() - half, changes.mean() + half]
    )
    assert b["change"] == b["change_low"] == b["change_high"] == 0


def test_of_equals_the_weakest_is_chosen_and_never_one_that_diverged():
    flat, test = np.zeros((1, 5, 4)), np.random.default_rng(1).normal(size=(1, 5, 4))
    assert found(*tables(flat, test))["strength"].item() == 0
    rising = np.broadcast_to(np.arange(4.0), (1, 5, 4))
    results, curves = tables(rising, test)
    assert found(results, curves)["strength"].item() == 3
    curves["diverged"] = (curves["strength"] == 3) & (curves["seed"] == 2)
    assert found(results, curves)["strength"].item() == 1
    one = found(*tables(rising[:, :1], test[:, :1]))
    assert np.isnan(one["change_low"].item())


@pytest.mark.slow
def test_where_nothing_changes_no_interval_excludes_0():
    """Validation and test scores of a run share its luck: the worst case for a choice by one."""
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(200):
        luck = rng.normal(size=(2, 5, 4))
        valid, test = (luck + 0.3 * rng.normal(size=luck.shape) for _ in range(2))
        rows = found(*tables(valid, test, ("a", "b")))
        wrong += bool(((rows["change_low"] > 0) | (rows["change_high"] < 0)).any())
    assert wrong <= stats.binom.ppf(0.999, 200, 0.05)
