"""Does any strength help? One test over all strengths, and over everything that a page says.

The best of several noisy means flatters itself. The test is the largest t over strengths, by its
distribution where none of them changes anything: dependence between strengths is that of the
residuals, turned at random (Langsrud 2005, Statistics and Computing 15:53; the continuous
counterpart of flipping the signs of seeds), margins are Student's. Sign flips would ask for no
normality, but with J seeds they know 2^J values: 6 seeds could never tell a page of two encoders
that one gains; and they take splits of the same rows for independent.

Over encoders, p-values are Holm's: "helps" is wrong anywhere on a page with probability ≤ 2.5 %,
"hurts" likewise, so that together they are a two-sided 5 %.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special

from redalign_jax.analysis import differences

TURNS = 10_000
LEVEL = 1 - differences.LEVEL  # two-sided, of a whole page


@lru_cache(maxsize=8)
def _turns(dimensions: int) -> np.ndarray:
    """Random unit vectors, the same every time: (TURNS, dimensions)."""
    drawn = np.random.default_rng(0).standard_normal((TURNS, dimensions))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def reference(changes: np.ndarray) -> np.ndarray:
    """The largest correlation of a random direction with the columns' residuals.

    In a single column it has the distribution of t / √(t² + J − 2), t Student's with J − 2 degrees
    of freedom: `_as_t` reads it as the largest t over columns whose true means are 0.

    Args:
      changes: (J, columns), J ≥ 3.

    Returns:
      (TURNS,) in [−1, 1].
    """
    j, k = changes.shape
    scale = np.linalg.norm(changes - changes.mean(axis=0), axis=0)
    flat = scale <= 1e-7 * np.linalg.norm(changes, axis=0)
    residuals = np.where(flat, np.random.default_rng(1).standard_normal((j, k)), changes)
    # coordinates of the residuals: contrasts, an orthonormal basis of what has no mean
    basis = np.linalg.qr(np.column_stack([np.ones(j), np.eye(j)[:, 1:]]))[0][:, 1:]
    residuals = basis.T @ residuals
    residuals = residuals / np.linalg.norm(residuals, axis=0)
    return (_turns(j - 1) @ residuals).max(axis=1)


def _as_t(cosine: float, j: int) -> float:
    """The t of J − 1 degrees of freedom whose tail is that of a correlation of `reference`."""
    t = cosine * np.sqrt((j - 2) / max(1 - cosine**2, 1e-15))
    return float(-special.stdtrit(j - 1, special.stdtr(j - 2, -t)))


def _as_cosine(t: float, j: int) -> float:
    """The inverse of `_as_t`."""
    t = -special.stdtrit(j - 2, special.stdtr(j - 1, -t))
    return float(t / np.sqrt(t**2 + j - 2)) if np.isfinite(t) else float(np.sign(t))


class Gain(NamedTuple):
    """Of the best strength above 0.

    Attributes:
      p: one-sided, of "no strength helps".
      low, high: 95 % interval of the largest true change, 0 being among the choices.
      small: one-sided p of "some strength helps by the margin or more".
    """

    p: float
    low: float
    high: float
    small: float


def gain(changes: np.ndarray, share: float, margin: float) -> Gain:
    """Tests all strengths together.

    The interval of g = max(0, largest true change): below, the largest lower end of simultaneous
    intervals, so that it is above 0 where p ≤ 2.5 %; above, the largest upper end of single ones.

    Args:
      changes: (J, settings) from strength 0, whose own column may be among them.
      share: see `differences.standard_error`.
      margin: what is too little to matter.

    Returns:
      NaN where there is one seed.
    """
    j = len(changes)
    changes = changes[:, np.abs(changes).max(axis=0) > 0]  # the others are strength 0
    if j < 2:
        return Gain(np.nan, np.nan, np.nan, np.nan)
    if not changes.shape[1]:
        return Gain(1.0, 0.0, 0.0, 0.0)
    tail = (1 - differences.LEVEL) / 2
    mean, error = changes.mean(axis=0), differences.standard_error(changes, share)
    most = float((mean / error).max())
    bound = changes.shape[1] * float(special.stdtr(j - 1, -most))
    critical = -float(special.stdtrit(j - 1, tail / changes.shape[1]))
    p = min(bound, 1.0)
    if j > 2:
        drawn = reference(changes)
        above = int((drawn >= _as_cosine(most, j)).sum())
        p = min((1 + above) / (1 + len(drawn)), p)
        critical = min(_as_t(float(np.quantile(drawn, 1 - tail)), j), critical)
    single = -float(special.stdtrit(j - 1, tail))
    return Gain(
        p,
        float((mean - critical * error).max()),
        max(0.0, float((mean + single * error).max())),
        float(special.stdtr(j - 1, (mean - margin) / error).max()),
    )


def below(values: np.ndarray, share: float, limit: float = 0.0) -> float:
    """One-sided p of "the true mean is `limit` or more", Student's t; NaN for one value."""
    if len(values) < 2:
        return np.nan
    mean, error = float(np.mean(values)), float(differences.standard_error(values, share))
    if error == 0:  # every change is 0
        return 0.0 if mean < limit else 1.0
    return float(special.stdtr(len(values) - 1, (mean - limit) / error))


def holm(p: np.ndarray, families: int = 1) -> np.ndarray:
    """Two-sided p-values for the whole page, from one-sided ones: Holm's, `families` of them.

    Holm 1979, Scandinavian Journal of Statistics 6:65; NaN stays NaN and counts for nothing.
    """
    found = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    left = np.arange(len(order), 0, -1)
    found[order] = np.minimum(1, np.maximum.accumulate(2 * families * left * p[order]))
    return found
