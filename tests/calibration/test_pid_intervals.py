"""Intervals of a decomposition on discrete tasks that are known, thousands of estimates at once.

Here an estimate is the decomposition of a table of counts, in place of classifiers: what is under
trial is how halves become an interval. Halves are drawn as `pid.estimate_pairs` draws them, half of
every class; `intervals.ends` is what users get.
"""

import numpy as np

from redalign_jax import pid
from redalign_jax.pid import intervals

N, REPEATS, HALVES = 600, 300, 10
EDGE = 1e-9  # exact zeros lie on the edge, give or take rounding


def task():
    """A drawn p(x1, x2, y), each of whose parts is more than 0.05 nats."""
    return np.random.default_rng(202).dirichlet(np.full(27, 0.5)).reshape(3, 3, 3)


def nothing():
    """p(x1, x2, y): X1 and X2 know each other, y is noise."""
    alike = np.eye(3) / 6 + 1 / 18
    return np.repeat(alike[..., None], 3, axis=2) / 3


def numbers(p):
    """(k, 3, 3, 3) → (k, 10) in the order of `intervals.ends`."""
    d = pid.decompose(p, tol=1e-7)
    r, u1, u2, s = (np.maximum(v, 0) for v in (d.redundancy, *d.unique.T, d.synergy))
    both = r + u1 + u2 + s
    shares = (r / np.maximum(i, intervals.NOTHING) for i in (r + u1, r + u2, both))
    return np.stack([r, u1, u2, s, r + u1, r + u2, both, *shares], axis=-1)


def halved(counts, rng):
    """(repeats, 27) counts by cell → (HALVES, repeats, 27), half of the examples of every class."""
    of_class = counts.reshape(-1, 9, 3).transpose(0, 2, 1)
    drawn = [
        [[rng.multivariate_hypergeometric(c, c.sum() // 2) for c in sample] for sample in of_class]
        for _ in range(HALVES)
    ]
    return np.array(drawn).transpose(0, 1, 3, 2).reshape(HALVES, -1, 27)


def intervals_of(p, seed):
    """Exact numbers (10,), and lower and upper ends (REPEATS, 10)."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(N, p.ravel(), REPEATS)
    tables = np.concatenate([counts[None], halved(counts, rng)]).reshape(-1, *p.shape)
    found = numbers(tables / tables.sum((1, 2, 3), keepdims=True))
    found = found.reshape(HALVES + 1, REPEATS, -1)
    p_y = p.sum((0, 1))
    least = intervals.resolution(N, len(p_y))
    entropy = -np.sum(p_y * np.log(p_y))
    return numbers(p[None])[0], intervals.ends(found[0], found[1:], least, entropy)


def test_intervals_of_all_parts_hold_what_they_promise():
    true, (low, high) = intervals_of(task(), 0)
    assert np.all(true[:4] > 0.05)
    covered = np.mean((low <= true + EDGE) & (true <= high + EDGE), axis=0)
    assert np.all((covered[:4] >= 0.92) & (covered[:4] <= 0.98)), covered
    assert np.all((covered[4:] >= 0.9) & (covered[4:] <= 0.98)), covered
    assert np.all(high > low)


def test_nothing_is_above_the_noise_where_nothing_is():
    _, (low, high) = intervals_of(nothing(), 1)
    assert np.mean(np.any(low[:, :7] > 0, axis=1)) <= 0.05
    # an atom that was not found has a bound, and no share of it is known
    assert np.all(high[:, :7] >= intervals.resolution(N, 3) - EDGE)
    unknown = low[:, 6] <= 0
    assert np.all(low[unknown, 9] == 0) and np.all(high[unknown, 9] == 1)
