"""From what was measured, and what is known of other data, to a verdict per encoder.

Changes are in points: of accuracy, or hundredths of the target's standard deviation by which the
mean absolute error of a regression shrinks. More is better.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

BAND = 2.0  # points; what is inside makes no difference, and may be missed
LIKELY = 0.75  # probability of a gain
LEVEL, EARLY = 0.95, 0.99  # of bounds; of those that end the trials early
# The spread of differences between examples does not hold how much one training set differs from
# the next; by so much is a standard error from it too small, see docs/advice.md.
HETEROGENEITY = 1.2

ALIGN_POSTERIORS, ALIGN_CONTRAST = "align posteriors", "align contrastively"
LEAVE, SAME, OPEN = "leave alone", "makes no difference", "cannot tell"
DECIDED = (ALIGN_POSTERIORS, ALIGN_CONTRAST, LEAVE, SAME)
MOST_LABELS = 64  # times as many, for what would settle it


class Normal(NamedTuple):
    """What is known of the changes that K ways to align make, in points.

    Attributes:
      mean: (K,).
      covariance: (K, K).
    """

    mean: np.ndarray
    covariance: np.ndarray


class Verdict(NamedTuple):
    """Of one encoder.

    Attributes:
      verdict: one of the above.
      arm: the number of the way to align, from 0; −1 for none.
      change: expected of the way that all encoders share, taken or not, and its 95 % interval.
      regret: what another choice could bring more, at most, at 95 %.
      prior: whether the verdict would be another without what is known of other data.
      settles: how many times as many labelled examples would settle an open verdict; None if
        none of `MOST_LABELS` times does.
    """

    verdict: str
    arm: int
    change: tuple[float, float, float]
    regret: float
    prior: bool = False
    settles: float | None = None


def evidence(
    scores: np.ndarray, group: np.ndarray | None = None, same: np.ndarray | None = None
) -> Normal:
    """Changes measured on held-out examples, paired example by example.

        mean = mean_i d_i,   covariance = 1.2² Σ_g s_g s_gᵀ / n² · G / (G − 1) + 2 (100 / n)² I

    with d_i the difference of example i's scores to those without alignment, s_g the sum over a
    group of d_i − mean. The last term, one example more won and one more lost, keeps changes of a
    few examples, or of none, from looking certain; ways that left the encoder alone, and
    show it, are known not to differ.

    Args:
      scores: (1 + K, n) of every example without alignment and under each way; NaN where it was
        not judged.
      group: (n,) numbers of examples that belong together; None if all are by themselves.
      same: (K,) bool, ways that left the encoder alone; None for none.
    """
    here = np.isfinite(scores).all(axis=0)
    d = 100 * (scores[1:, here] - scores[:1, here])
    n = d.shape[1]
    number = np.arange(n) if group is None else np.unique(group[here], return_inverse=True)[1]
    groups = number.max() + 1
    mean = d.mean(axis=1)
    sums = np.zeros((len(d), groups))
    np.add.at(sums, (slice(None), number), d - mean[:, None])
    covariance = HETEROGENEITY**2 * (sums @ sums.T) / n**2 * groups / (groups - 1)
    floor = np.full(len(d), 2 * (100 / n) ** 2)
    if same is not None:
        floor[same & ~np.any(d, axis=1)] = 1e-6
    return Normal(mean, covariance + np.diag(floor))


def combined(found: Normal, known: Normal | None) -> Normal:
    """Evidence and what was known before, as normal distributions."""
    if known is None:
        return found
    gain = known.covariance @ np.linalg.inv(known.covariance + found.covariance)
    mean = known.mean + gain @ (found.mean - known.mean)
    covariance = known.covariance - gain @ known.covariance
    return Normal(mean, (covariance + covariance.T) / 2)


def choose(each: list[Normal]) -> int:
    """The one way to align that all encoders share: the largest sum of expected gains."""
    return int(np.argmax(sum(np.maximum(one.mean, 0) for one in each)))


def regret(said: Normal, arm: int, level: float = LEVEL) -> float:
    """What another choice may bring more than `arm` (−1 for none), at most, one-sided."""
    count = len(said.mean)
    z = stats.norm.ppf(level)
    bound = 0.0
    own = np.zeros(count)
    if arm >= 0:
        own[arm] = 1
    for other in range(-1, count):
        if other == arm:
            continue
        more = -own
        if other >= 0:
            more = more + np.eye(count)[other]
        spread = math.sqrt(max(more @ said.covariance @ more, 0))
        bound = max(bound, float(more @ said.mean) + z * spread)
    return bound


def verdict(said: Normal, arm: int, posterior: int, known: bool, level: float = LEVEL) -> Verdict:
    """The verdict on an encoder, where all encoders share `arm`.

    1. Every way to align changes less than `BAND` at `level`: makes no difference.
    2. The gain of `arm` is shown: its interval, of all ways together, is above 0. Or it is `LIKELY`
       by what is known of other data, and none is not better by more than `BAND`: `arm`.
    3. No way to align is better than none by more than `BAND` at `level`: leave alone.
    4. Else: cannot tell, and nothing is to be aligned.

    Args:
      said: of `combined`.
      arm: of `choose`.
      posterior: the number of the posterior mechanism.
      known: whether anything is known of other data.
      level: of the bounds.
    """
    spread = np.sqrt(np.diag(said.covariance))
    z = stats.norm.ppf((1 + LEVEL) / 2)
    mean = float(said.mean[arm])
    change = (mean, mean - z * spread[arm], mean + z * spread[arm])
    wide = stats.norm.ppf((1 + level) / 2)
    alone = regret(said, -1, level)
    if np.all(np.abs(said.mean) + wide * spread < BAND):
        return Verdict(SAME, -1, change, alone)
    each = stats.norm.ppf(1 - (1 - level) / 2 / len(spread))
    shown = mean > each * spread[arm]
    likely = known and mean > stats.norm.ppf(LIKELY) * spread[arm]
    safe = mean - stats.norm.ppf(level) * spread[arm] > -BAND
    if shown or (likely and safe):
        word = ALIGN_POSTERIORS if arm == posterior else ALIGN_CONTRAST
        return Verdict(word, arm, change, regret(said, arm, level))
    return Verdict(LEAVE if alone <= BAND else OPEN, -1, change, alone)


def verdicts(
    found: list[Normal], known: list[Normal | None], posterior: int, level: float = LEVEL
) -> tuple[int, list[Verdict]]:
    """The way to align, and every encoder's verdict.

    Args:
      found: evidence of every encoder.
      known: what other data say about it, None for nothing.
      posterior: the number of the posterior mechanism.
      level: of the bounds.
    """
    said = [combined(e, k) for e, k in zip(found, known, strict=True)]
    arm = choose(said)
    every = []
    for own, e, k in zip(said, found, known, strict=True):
        one = verdict(own, arm, posterior, k is not None, level)
        alone = verdict(e, choose(found), posterior, False, level)
        settles = _settles(e, k, arm, posterior) if one.verdict == OPEN else None
        every.append(one._replace(prior=alone.verdict != one.verdict, settles=settles))
    return arm, every


def _settles(found: Normal, known: Normal | None, arm: int, posterior: int) -> float | None:
    """How many times as many examples would do, if they said the same."""
    for times in np.geomspace(1, MOST_LABELS, 25)[1:]:
        more = Normal(found.mean, found.covariance / times)
        if verdict(combined(more, known), arm, posterior, known is not None).verdict != OPEN:
            return float(times)
    return None
