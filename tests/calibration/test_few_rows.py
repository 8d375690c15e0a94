"""Intervals of few rows that are tested in turn: two models as good as each other, many datasets.

Both are ridge regressions, each on features of its own that tell as much; what is under trial is
how `data.splits` divides and `differences.mean_interval` counts.
"""

import numpy as np
import pytest

from redalign_jax.analysis import differences
from redalign_jax.data import splits

DATASETS, FEATURES = 400, 8


def found(x, y, train, test):
    """Accuracy on test rows."""
    x = np.c_[x, np.ones(len(x))]
    gram = x[train].T @ x[train] + np.eye(x.shape[1])
    return np.mean((x[test] @ np.linalg.solve(gram, x[train].T @ y[train]) > 0) == (y[test] > 0))


def differences_of(rows, seeds, rng):
    """(seeds,) differences on one dataset, and the share of its splits."""
    y = np.sign(rng.normal(size=rows))
    signal = 0.5 * y[:, None] * (np.arange(FEATURES) < 3)
    x = [rng.normal(size=(rows, FEATURES)) + signal for _ in range(2)]
    fields = {"valid": 0.1, "test": 0.2, "source": "x"}
    parts = [splits.stratified((y > 0).astype(int), seed=s, **fields) for s in range(seeds)]
    one, other = ([found(z, y, train, test) for train, _, test in parts] for z in x)
    test = len(parts[0][2])
    return np.subtract(one, other), test / (rows - test)


@pytest.mark.parametrize(("rows", "seeds"), [(40, 10), (60, 5), (60, 8)])
def test_intervals_hold_no_difference(rows, seeds):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(DATASETS):
        values, share = differences_of(rows, seeds, rng)
        _, low, high = differences.mean_interval(values, share)
        held.append(low <= 0 <= high)
    assert 0.92 <= np.mean(held) <= 0.99
