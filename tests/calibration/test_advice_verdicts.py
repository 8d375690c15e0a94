"""Verdicts of the advice, from simulated scores of examples held out.

An example is right with a probability of its own; ways to align change it by an effect and by
something of its own; models of a fold share a shock; repeats train again.
"""

import numpy as np
import pytest

from redalign_jax.advise import decide

PAGES, REPEATS, FOLDS, ARMS = 300, 4, 8, 3
POSTERIOR = ARMS - 1


def scores(rng, examples, effect):
    """(1 + ARMS, examples) mean over repeats; `effect` in points, on every way to align."""
    ease = rng.beta(1.4, 0.7, size=examples)
    own = rng.normal(0, 0.12, size=(ARMS, examples))
    total = np.zeros((1 + ARMS, examples))
    for _ in range(REPEATS):
        fold = rng.permutation(np.arange(examples) % FOLDS)
        luck = rng.random(examples)
        for arm in range(1 + ARMS):
            shock = rng.normal(0, 0.02, size=FOLDS)[fold]
            p = ease + shock + (effect / 100 + own[arm - 1] if arm else 0)
            drawn = np.where(rng.random(examples) < 0.5, rng.random(examples), luck)
            total[arm] += drawn < p
    return total / REPEATS


def verdicts(examples, effect, seed=0):
    rng = np.random.default_rng([seed, examples, effect + 100])
    found = [decide.evidence(scores(rng, examples, effect)) for _ in range(PAGES)]
    return [decide.verdicts([one], [None], POSTERIOR)[1][0].verdict for one in found]


def share(found, *wanted):
    return np.mean([v in wanted for v in found])


ALIGNED = (decide.ALIGN_POSTERIORS, decide.ALIGN_CONTRAST)


@pytest.mark.parametrize("examples", [100, 300, 1000])
def test_nothing_to_gain_is_not_said_to_gain(examples):
    assert share(verdicts(examples, 0), *ALIGNED) <= 0.03


@pytest.mark.parametrize(("examples", "effect"), [(300, 10), (1000, 5), (1000, 10)])
def test_gains_are_found(examples, effect):
    found = verdicts(examples, effect)
    assert share(found, *ALIGNED) > 0.7
    assert share(found, decide.LEAVE, decide.SAME) <= 0.03


@pytest.mark.parametrize(("examples", "effect"), [(100, -10), (300, -5), (1000, -5)])
def test_losses_are_left_alone(examples, effect):
    found = verdicts(examples, effect)
    assert share(found, decide.LEAVE) > 0.7
    assert share(found, *ALIGNED, decide.SAME) <= 0.03
