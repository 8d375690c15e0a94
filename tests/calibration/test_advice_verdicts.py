"""Verdicts of the advice, from simulated scores of folds.

Gains of a fold share a part among candidates (its examples) and all folds share a part (their
training sets overlap), as cross-validated gains do.
"""

import numpy as np
import pandas as pd
import pytest

from redalign_jax.advise import cross_validate, decide

REPEATS, EXAMPLES = 400, 300
SPREAD = 0.04  # of a fold's gain, in accuracy


def gains(rng, names, mean):
    """{encoder: (folds, candidates)} with these mean gains; 0 at strength 0."""
    count = len(cross_validate.candidates(names))
    found = {}
    for name in names:
        fold = rng.standard_normal((cross_validate.FOLDS, 1)) + rng.standard_normal() / np.sqrt(
            cross_validate.FOLDS
        )
        values = mean + SPREAD * (
            0.7 * fold + 0.7 * rng.standard_normal((cross_validate.FOLDS, count))
        )
        values[:, 0] = 0
        found[name] = pd.DataFrame(values)
    return found


def choices(encoders, mean, seed):
    rng = np.random.default_rng(seed)
    names = [f"m{k}" for k in range(encoders)]
    return [decide.choose(gains(rng, names, mean), names, EXAMPLES) for _ in range(REPEATS)]


@pytest.mark.parametrize("encoders", [2, 4])
def test_a_page_says_nothing_where_nothing_is(encoders):
    found = choices(encoders, 0.0, 0)
    said = np.mean([any(v != decide.UNDECIDED for v in c.verdicts) for c in found])
    assert said <= 0.05, said
    for choice in found:
        for verdict, strength in zip(choice.verdicts, choice.strengths, strict=True):
            assert (strength > 0) == (verdict == decide.ALIGN)


def test_gains_that_were_chosen_are_not_larger_than_they_are():
    found = choices(2, 0.0, 1)
    expected = np.array([gain.mean for c in found for gain in c.gains])
    error = expected.std() / np.sqrt(REPEATS)  # encoders of a page share the choice
    assert abs(expected.mean()) < 3 * error


@pytest.mark.parametrize(("mean", "verdict"), [(0.08, decide.ALIGN), (-0.08, decide.ALONE)])
def test_what_is_there_is_said_and_its_interval_holds(mean, verdict):
    found = choices(2, mean, 2)
    assert np.mean([v == verdict for c in found for v in c.verdicts]) > 0.8
    covered = [all(g.low <= mean <= g.high for g in c.gains) for c in found]
    assert np.mean(covered) >= 0.92
