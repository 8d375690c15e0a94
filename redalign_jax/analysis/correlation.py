"""Rank correlations of best strengths, and intervals that cover them.

λ* is the place of a maximum of noisy means, so a correlation with it is lower than that with the
λ* of endless seeds, and a resample, which adds the noise once more, is lower still: percentiles of
resamples lie wholly below the truth. Here an interval

- is centred on what was observed, with the resamples' standard deviation on Fisher's scale
  arctanh ρ, as far as Student's t asks for few seeds;
- reaches, away from 0, to what noise in λ* may hide: that end is divided by √reliability
  (Spearman 1904, American Journal of Psychology 15(1):72), the share of the variance of the ranks
  that new seeds keep. It is ±1 where they keep nothing.

The second leaves alone whether 0 is inside. One bias is left: where curves are flat, noise moves a
constant λ* away from an end of the grid, where they are steep it does not. So 0 is also inside as
long as λ* is not shown to differ at all, see `constant`.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from redalign_jax.analysis import differences

ABSENT = 1e-9  # a spread of ranks that is none


def midranks(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Ranks of samples that hold value i `times[i]` times; ties share their mean rank.

    Shapes: (..., n), (..., n) → (..., n).
    """
    ranks = np.empty(np.broadcast_shapes(values.shape, times.shape))
    for i in range(values.shape[-1]):
        here = values[..., i : i + 1]
        below, equal = (np.where(v, times, 0).sum(axis=-1) for v in (values < here, values == here))
        ranks[..., i] = below + (equal + 1) / 2
    return ranks


def standardised(ranks: np.ndarray) -> np.ndarray:
    """Ranks along the last axis at mean 0 and variance 1; all 0 where they are equal."""
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    spread = np.sqrt((ranks**2).mean(axis=-1, keepdims=True))
    return ranks / np.where(spread > ABSENT, spread, np.inf)


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis, with midranks; 0 where either is constant.

    Shapes: (..., points), (..., points) → (...).
    """
    a, b = (standardised(stats.rankdata(v, axis=-1)) for v in (x, y))
    return (a * b).mean(axis=-1)


def reliability(values: np.ndarray, seeds: int, share: float = 0.0) -> float:
    """The share of the variance of the ranks that is not the noise of seeds, in [0, 1].

    With variance t of the truth and e of the noise, what was observed and a resample of its seeds
    correlate as q = √((t + e) / (t + 2e)) on average, hence t / (t + e) = 2 − 1/q²; e of resamples
    is too small by (J − 1) / J, and by 1 + J `share`.

    Args:
      values: (1 + resamples, points), what was observed first.
      seeds: J, how many were drawn.
      share: see `differences.standard_error`.
    """
    if seeds < 2 or not np.ptp(values[0]):
        return 0.0
    q = float(np.mean(spearman(values[:1], values[1:])))
    if q <= 0:
        return 0.0
    noise = (1 / q**2 - 1) * seeds / (seeds - 1) * (1 + seeds * share)
    return float(np.clip(1 - noise, 0, 1))


def constant(curves: Sequence[tuple[np.ndarray, np.ndarray]], share: float = 0.0) -> float:
    """The p value of "the best strength is the same at every point".

    A strength is not the best one of a point if another is better there, by a paired t test, one
    per rival and point (Bonferroni). p is the largest of any strength; so it holds whatever the
    curves look like, which differ in more than their best strength.

    Args:
      curves: per point the strengths (settings,) and changes (seeds, settings), paired by seed.
      share: see `differences.standard_error`.

    Returns:
      p in [0, 1]; 1 where a point has less than two seeds.
    """
    if any(len(changes) < 2 for _, changes in curves):
        return 1.0
    tables = [(own, _beaten(changes, share)) for own, changes in curves]
    found = []
    for strength in np.unique(np.concatenate([own for own, _ in tables])):
        # a point without this strength says nothing against it
        here = [beaten[own == strength] for own, beaten in tables if (own == strength).any()]
        found.append(len(curves) * min(max(beaten) for beaten in here))
    return float(min(1, max(found, default=1)))


def _beaten(changes: np.ndarray, share: float) -> np.ndarray:
    """(seeds, settings) → (settings,): p of "no other setting is better", over all rivals."""
    seeds, settings = changes.shape
    ahead = changes[:, None, :] - changes[:, :, None]
    mean, error = ahead.mean(axis=0), differences.standard_error(ahead, share)
    # rounding is no difference
    t = np.where(np.abs(mean) > ABSENT, mean, 0) / np.maximum(error, ABSENT)
    np.fill_diagonal(t, -np.inf)
    return np.minimum(1, (settings - 1) * stats.t.sf(t.max(axis=1), seeds - 1))


def interval(
    name: str,
    rho: np.ndarray,
    points: int,
    seeds: int | None = None,
    kept: float = 1.0,
    level: float = differences.LEVEL,
    share: float = 0.0,
) -> dict[str, float]:
    """A rank correlation with its interval.

    Args:
      name: of the keys that are returned.
      rho: (1 + resamples,), what was observed first.
      points: how many were correlated; with n, the ends stop half of the smallest step
        6 / (n (n² − 1)) below a perfect correlation, which counts as perfect.
      seeds: J of the resamples, for the t of J − 1 degrees of freedom; None is the normal.
      kept: the `reliability` of what is correlated with something known.
      level: of the interval.
      share: of the resamples' seeds, see `differences.standard_error`.

    Returns:
      {name, name_low, name_high}; from −1 to 1 with one seed.
    """
    value = float(rho[0])
    if seeds is not None and seeds < 2:
        return {name: value, f"{name}_low": -1.0, f"{name}_high": 1.0}
    most = 1 - 6 / (points * (points**2 - 1)) if points > 1 else 0.0
    scale = np.arctanh(np.clip(rho, -most, most))
    tail, spread = (1 + level) / 2, np.std(scale[1:])
    half = stats.norm.ppf(tail) * spread
    if seeds is not None:
        # resampling takes the mean for known
        half = stats.t.ppf(tail, seeds - 1) * spread * np.sqrt(seeds / (seeds - 1))
        half *= np.sqrt(1 + seeds * share)
    ends = np.tanh(scale[0] + np.array([-half, half]))
    away = ends * [-1, 1] > 0
    hidden = 1 / np.sqrt(kept) if kept > 0 else np.inf
    ends[away] = np.clip(ends[away] * hidden, -1, 1)
    ends = np.where(away & (np.abs(ends) >= most - ABSENT), np.sign(ends), ends)
    # a perfect correlation is inside its own interval
    low, high = min(ends[0], value), max(ends[1], value)
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}


def with_zero(name: str, row: dict[str, float]) -> dict[str, float]:
    """The interval, as far as it must reach to hold 0."""
    low, high = f"{name}_low", f"{name}_high"
    return row | {low: min(row[low], 0.0), high: max(row[high], 0.0)}


def over_seeds(
    name: str,
    known: np.ndarray,
    values: np.ndarray,
    seeds: int,
    constant: float = 0.0,
    share: float = 0.0,
) -> dict[str, float]:
    """The rank correlation of something known with what depends on seeds, such as λ*.

    Its interval speaks of new seeds at these very points, not of others.

    Args:
      name: of the keys that are returned.
      known: (points,), the same for every seed, or of the shape of `values`.
      values: (1 + resamples, points): with every seed once, then with seeds redrawn.
      seeds: how many were drawn.
      constant: p of "all values are equal", for λ* from `constant`; 0 is inside the interval where
        it is not shown to be false.
      share: see `differences.standard_error`.

    Returns:
      {name, name_low, name_high}; 0 where all values are equal.
    """
    kept = reliability(values, seeds, share)
    rho = spearman(known, values)
    row = interval(name, rho, values.shape[1], seeds, kept, share=share)
    return row if constant <= 1 - differences.LEVEL else with_zero(name, row)
