"""Intervals of a decomposition from estimates on halves of the examples."""

import numpy as np
import scipy  # its parts are imported when they are used

LEVEL = 0.95
NOTHING = 1e-6  # nats: information of which no share can be taken


def resolution(examples: int, classes: int) -> float:
    """Nats of information that so many examples cannot tell from none, at 95 %.

        χ²(C − 1) / 2n

    χ² at its 97.5 % quantile: twice the log-likelihood ratio of n independent labels and C classes
    is larger in 2.5 % of cases where there is no information at all (Wilks).
    """
    return float(scipy.stats.chi2.ppf((1 + LEVEL) / 2, classes - 1) / (2 * examples))


def ends(
    point: np.ndarray, halves: np.ndarray, least: float, entropy: float
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals around (pairs, 10) from (n_resamples, pairs, 10) of half of the examples each.

    No end is nearer than `least` nats, and none of an information lies outside [0, `entropy`].
    """
    if len(halves) < 2:
        return np.full(point.shape, np.nan), np.full(point.shape, np.nan)
    spread = scipy.stats.t.ppf((1 + LEVEL) / 2, len(halves) - 1) * np.std(halves, axis=0, ddof=1)
    shift = np.mean(halves, axis=0) - point
    whole = np.maximum(point[..., 4:7], NOTHING)
    least = np.concatenate([np.full_like(point[..., :7], least), least / whole], axis=-1)
    low = point - np.maximum(np.maximum(shift, 0) + spread, least)
    high = point + np.maximum(np.maximum(-shift, 0) + spread, least)
    # S as it is shown is at least 0
    low[..., :7] = np.maximum(low[..., :7], 0)
    high[..., :7] = np.clip(high[..., :7], least[..., :7], entropy)
    # of an information that may be none, no share is known
    unknown = ~np.isfinite(low[..., 7:] + high[..., 7:]) | (low[..., 4:7] <= 0)
    low[..., 7:] = np.where(unknown, 0, np.maximum(low[..., 7:], 0))
    high[..., 7:] = np.where(unknown, 1, np.minimum(high[..., 7:], 1))
    return low, high
