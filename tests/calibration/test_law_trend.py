"""The interval of a rank correlation with λ*, over seeds, and its verdict.

λ* is read off noisy curves on a grid. Every world is a true λ* and a height for each value of an
axis; seeds add a smooth error, which curves of a seed share, and a rough one.
"""

import numpy as np
import pytest
from scipy import stats

from redalign_jax.analysis import correlation

WORLDS = 80
RESAMPLES = 150
PLACES = np.arange(7)
STEEP = np.full(9, 1.0)
FADING = np.geomspace(4, 0.1, 9)  # curves flatten along the axis


def least(share):
    """Of `WORLDS`, what a true share of this leaves in 999 of 1,000 tests."""
    return stats.binom.ppf(0.001, WORLDS, share)


def most(share):
    return stats.binom.ppf(0.999, WORLDS, share)


def curves(rng, peaks, heights, seeds, noise):
    """(values, seeds, settings) changes from strength 0."""
    true = 0.004 * heights[:, None] * (peaks[:, None] ** 2 - (PLACES - peaks[:, None]) ** 2)
    at = PLACES / PLACES[-1]
    smooth = noise * rng.standard_normal((2, len(peaks), seeds, 1))
    error = smooth[0] * at + smooth[1] * at**2
    error += noise * rng.standard_normal((len(peaks), seeds, len(PLACES)))
    changes = true[:, None] + error
    changes[..., 0] = 0
    return true.argmax(axis=1), changes


def found(peaks, heights=STEEP, seeds=12, noise=0.03, share=0.0):
    """(worlds, 2) ends of intervals, and the correlation without noise."""
    rng = np.random.default_rng(0)
    values = np.arange(len(peaks))
    ends = []
    for _ in range(WORLDS):
        stars, changes = curves(rng, peaks, heights[: len(peaks)], seeds, noise)
        times = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
        times = np.vstack([np.ones(seeds), times])
        picked = np.argmax(np.einsum("bj,kjs->bks", times, changes), axis=-1)
        same = correlation.constant([(PLACES, c) for c in changes], share)
        row = correlation.over_seeds("rho", values, picked, seeds, same, share)
        ends.append((row["rho_low"], row["rho_high"]))
    return np.array(ends), float(correlation.spearman(values, stars))


WORLD = {
    "constant": (np.full(9, 3.0), STEEP),
    "constant, fading": (np.full(9, 2.0), FADING),
    "zero, fading": (np.zeros(9), FADING),
    "zero": (np.zeros(5), STEEP),
    "three values": (np.full(3, 3.0), STEEP),
    "scattered": (np.array([3, 1, 5, 2, 6, 4, 3, 0, 5.0]), STEEP),
    "between": (np.array([1, 3, 2, 2, 5, 3, 6, 4, 5.0]), STEEP),
    "rising": (np.linspace(0, 6, 9), STEEP),
    "a little": (np.linspace(2, 3.6, 9), STEEP),
}


@pytest.mark.parametrize("noise", [0.01, 0.1])
@pytest.mark.parametrize("name", WORLD)
def test_intervals_cover_the_correlation_without_noise(name, noise):
    for seeds in (4, 16):
        ends, truth = found(*WORLD[name], seeds=seeds, noise=noise)
        inside = (ends[:, 0] <= truth + 1e-9) & (ends[:, 1] >= truth - 1e-9)
        assert inside.sum() >= least(0.95)
        if truth == 0:
            assert ((ends[:, 0] > 0) | (ends[:, 1] < 0)).sum() <= most(0.05)


def test_what_resamples_say_lies_below_the_truth():
    """Why intervals are not percentiles."""
    rng = np.random.default_rng(0)
    peaks, below = WORLD["rising"][0], 0
    for _ in range(40):
        stars, changes = curves(rng, peaks, STEEP, 8, 0.1)
        times = rng.multinomial(8, np.full(8, 1 / 8), size=RESAMPLES)
        picked = np.argmax(np.einsum("bj,kjs->bks", times, changes), axis=-1)
        rho = correlation.spearman(np.arange(9), picked)
        below += np.quantile(rho, 0.975) < correlation.spearman(np.arange(9), stars)
    assert below > 30


def test_a_trend_is_found():
    ends, _ = found(*WORLD["rising"], seeds=12, noise=0.02)
    assert (ends[:, 0] > 0).mean() > 0.9
    assert np.median(ends[:, 0]) > 0.5


def test_overlapping_splits_widen():
    few, _ = found(*WORLD["between"], seeds=8)
    wide, _ = found(*WORLD["between"], seeds=8, share=0.3)
    assert np.mean(np.diff(wide)) > 1.2 * np.mean(np.diff(few))
