"""Permutation tests of a law: is it more than any exchange of its tasks, or of their views, gives?

Correlations are tested by giving every point's information to others, slopes by the residuals of
what the other predictor explains (Freedman & Lane 1983, Journal of Business & Economic Statistics
1(4):292). p values are adjusted for all that is said at once: the largest statistic of every
exchange is what each is compared with, step by step from the largest (Westfall & Young 1993).
"""

import numpy as np

from redalign_jax.analysis import correlation, factors
from redalign_jax.analysis.points import GAP, INFORMATION, OUTCOMES, Points


def _ranks(found: Points, name: str, whole: np.ndarray) -> np.ndarray:
    """Standardised ranks of what was observed, 0 for points that are not known whole."""
    ranks = np.zeros(len(whole))
    values = found.values[name][0][whole]
    ranks[whole] = correlation.standardised(correlation.midranks(values, np.ones(len(values))))
    return ranks


def _correlate(a: np.ndarray, b: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis of the points that are there; 0 where undefined."""
    count = np.maximum(here.sum(axis=-1, keepdims=True), 1)
    a, b = (np.where(here, v - (v * here).sum(axis=-1, keepdims=True) / count, 0) for v in (a, b))
    spread = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    known = spread > correlation.ABSENT
    return np.where(known, (a * b).sum(axis=-1) / np.where(known, spread, 1), 0)


def _partial(y: np.ndarray, x: np.ndarray, other: np.ndarray, here: np.ndarray) -> np.ndarray:
    """The correlation of y and x given the other; 0 where x is the other."""
    yx, yo, xo = _correlate(y, x, here), _correlate(y, other, here), _correlate(x, other, here)
    left = (1 - yo**2) * (1 - xo**2)
    known = left > 1e-6
    return np.where(known, (yx - yo * xo) / np.sqrt(np.where(known, left, 1)), 0)


def statistics(found: Points) -> dict[tuple[str, str, str], np.ndarray]:
    """What a law says, of the tasks as they are and of every exchange.

    Returns:
      {(kind, outcome, predictor): (exchanges,)}, the first as observed. Kinds are "relation",
      Spearman's correlation, and "slope", the partial correlation given the other of
      `shared_fraction` and `accuracy_gap`.
    """
    names = (*OUTCOMES, *INFORMATION, GAP)
    whole = np.all([np.isfinite(found.values[n][0]) for n in names], axis=0)
    ranks = {n: _ranks(found, n, whole) for n in names}
    moved = factors.exchanged(found.factors, found.keys)
    here = whole & (moved >= 0) & whole[moved]
    tests = {}
    for outcome in OUTCOMES:
        y = ranks[outcome]
        for name in (*INFORMATION, GAP):
            tests["relation", outcome, name] = _correlate(y, ranks[name][moved], here)
        for name, other in (("shared_fraction", GAP), (GAP, "shared_fraction")):
            fitted = _correlate(y, ranks[other], whole) * ranks[other]
            again = fitted + (y - fitted)[moved]
            tests["slope", outcome, name] = _partial(again, ranks[name], ranks[other], here)
    return tests


def adjusted(tests: np.ndarray) -> np.ndarray:
    """p values that hold for a whole family at once, two-sided.

    Args:
      tests: (exchanges, family) statistics of like scale, the first as observed.

    Returns:
      (family,) p, at least 1 / exchanges.
    """
    tests = np.abs(tests)
    order = np.argsort(-tests[0], kind="stable")
    # the largest of this test and of those that come after
    largest = np.maximum.accumulate(tests[:, order[::-1]], axis=1)[:, ::-1]
    p = np.mean(largest >= tests[:1, order] - correlation.ABSENT, axis=0)
    found = np.empty(len(order))
    found[order] = np.maximum.accumulate(p)
    return found
