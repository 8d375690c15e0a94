"""The tier of simulations: every kind of interval and verdict against data whose truth is known.

    python -m pytest -m calibration tests/calibration

Every test in this folder belongs to it. Numbers of simulations are chosen for four minutes on two
cores; rates are compared with their nominal value plus two standard errors of the simulation.
"""

from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.calibration)


@pytest.fixture
def at_most():
    """Asserts that a yes/no outcome happens at most at a rate, up to the simulation's own error."""

    def check(outcomes, rate):
        outcomes = np.asarray(outcomes, float)
        allowed = rate + 2 * np.sqrt(rate * (1 - rate) / outcomes.size)
        assert outcomes.mean() <= allowed, f"{outcomes.mean():.3f} of {outcomes.size}"

    return check


@pytest.fixture
def covers():
    """Asserts that intervals hold the truth in 92 to 98 % of simulations, up to their error."""

    def check(low, high, truth=0.0):
        inside = (np.asarray(low) <= truth) & (truth <= np.asarray(high))
        error = 2 * np.sqrt(0.05 * 0.95 / inside.size)
        assert 0.92 - error <= inside.mean() <= 0.98 + error, f"{inside.mean():.3f}"

    return check
