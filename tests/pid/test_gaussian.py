"""The closed form of normal variables against determinants, and against the solver on a grid."""

import math

import numpy as np
import pytest
from scipy import stats

from redalign_jax import pid
from redalign_jax.pid import gaussian
from redalign_jax.task import Normal


def random_normal(seed, inputs=(3, 2)):
    a = np.random.default_rng(seed).standard_normal((sum(inputs) + 1, 9))
    return Normal(a @ a.T / 9, inputs)


def from_determinants(sigma, rows):
    every = [*rows, len(sigma) - 1]
    held = np.linalg.det(sigma[np.ix_(rows, rows)]) * sigma[-1, -1]
    return 0.5 * math.log(held / np.linalg.det(sigma[np.ix_(every, every)]))


@pytest.mark.parametrize("seed", range(3))
def test_atoms_add_up_to_what_determinants_say(seed):
    joint = random_normal(seed)
    found = gaussian.decompose(joint)
    rows = ([0, 1, 2], [3, 4])
    for part, unique in zip(rows, found.unique, strict=True):
        own = from_determinants(joint.covariance, part)
        assert found.redundancy + unique == pytest.approx(own)
    total = found.redundancy + sum(found.unique) + found.synergy
    assert total == pytest.approx(from_determinants(joint.covariance, [0, 1, 2, 3, 4]))
    assert min(found.unique) == 0
    assert found.synergy >= 0


def test_the_weaker_view_has_nothing_of_its_own_on_a_grid_either():
    """Two noisy looks at parts of y that have nothing in common, cut into 8 values each."""
    edges = stats.norm.ppf(np.linspace(0, 1, 9))
    y = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    table = np.zeros((8, 8, 8))
    slopes = (0.8, 0.6)  # the views are independent given y, which BROJA does not look at
    levels = [np.diff(stats.norm.cdf(edges, s * y[:, None], math.sqrt(1 - s**2))) for s in slopes]
    for k in range(8):
        rows = slice(500 * k, 500 * (k + 1))
        table[:, :, k] = levels[0][rows].T @ levels[1][rows] / 4000
    solved = pid.decompose(table)
    sigma = np.array([[1, 0.48, 0.8], [0.48, 1, 0.6], [0.8, 0.6, 1]])
    exact = gaussian.decompose(Normal(sigma, (1, 1)))
    assert exact.unique[1] == 0
    assert float(solved.unique[1]) < 1e-3
    weaker = float(pid.mutual_information(table.sum(axis=0)))
    assert float(solved.redundancy) == pytest.approx(weaker, abs=1e-3)
    assert 0.8 * exact.redundancy < weaker < exact.redundancy  # the cuts lose some


def test_columns_of_a_normal_task():
    found = pid.columns(("a", "b"), lambda: random_normal(0))
    exact = gaussian.decompose(random_normal(0))
    assert found["pid_redundancy"] == exact.redundancy
    assert found["pid_synergy"] == exact.synergy
    weaker = ("a", "b")[int(np.argmin(exact.unique))]
    assert found[f"shared_fraction_{weaker}"] == 1
