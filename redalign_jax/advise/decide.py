"""From cross-validated gains to strengths and verdicts."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from redalign_jax.advise import cross_validate
from redalign_jax.config import ADVISED

LEVEL = 0.95
FEWEST = 5  # folds that can be judged
ALIGN, ALONE, UNDECIDED = "align", "do not align", "undecided"


class Estimate(NamedTuple):
    """A mean over folds.

    Attributes:
      mean: of the gain.
      error: its standard error.
      low, high: the 95 % interval, of this and its family together.
    """

    mean: float
    error: float
    low: float
    high: float


@cache
def _quantile(freedom: int, family: int) -> float:
    return float(stats.t.ppf(1 - (1 - LEVEL) / (2 * family), freedom))


def estimate(changes: np.ndarray, examples: int, family: int = 1) -> Estimate:
    """Mean of cross-validated gains, with an interval for data not seen.

        s.e.² = (1/K + 1/(K−1)) s² + 2/n²

    s² is the variance over the K folds; 1/(K−1) stands for training sets that overlap (Nadeau and
    Bengio 2003, Machine Learning 52:239). The last term, one example more won and one more lost,
    keeps gains of a few examples from looking certain.

    Args:
      changes: (K,) mean gain of each fold; NaN where a training diverged.
      examples: n, judged in all folds together; groups, where rows belong together.
      family: so many intervals are read together; all hold at 95 % (Bonferroni).

    Returns:
      The estimate, its interval infinite with fewer than `FEWEST` folds or where any diverged.
    """
    k = len(changes)
    mean = float(np.mean(changes))
    if k < FEWEST or not np.isfinite(mean):
        return Estimate(mean, np.inf, -np.inf, np.inf)
    error = float(np.sqrt((1 / k + 1 / (k - 1)) * np.var(changes, ddof=1) + 2 / examples**2))
    half = _quantile(k - 1, family) * error
    return Estimate(mean, error, mean - half, mean + half)


class Choice(NamedTuple):
    """What the pilot chose.

    Attributes:
      candidate: number of the strengths in `cross_validate.candidates`.
      strengths: per encoder; 0 unless its verdict is to align.
      verdicts: per encoder.
      gains: per encoder, what was measured: at the choice where it is aligned, else what alignment
        would have done to it.
      intervals: per encoder, lowest and highest shared strength that is not clearly worse.
      diverged: per encoder, folds in which it diverged: without alignment, and aligned.
    """

    candidate: int
    strengths: tuple[float, ...]
    verdicts: list[str]
    gains: list[Estimate]
    intervals: list[tuple[float, float]]
    diverged: list[tuple[int, int]]


def choose(gains: dict[str, pd.DataFrame], modalities: Sequence[str], examples: int) -> Choice:
    """Strengths and verdicts.

    "do not align" needs an interval of the balanced mechanism's gain wholly below 0, "align" one
    wholly above 0; all else is undecided and stays at strength 0. The intervals hold for all
    encoders together. Encoders that are not aligned are left alone beside their partners. Where
    every one is aligned, all share a strength: the mechanism's own, unless another is better by
    more than a standard error, averaged over encoders.

    The gain of a strength that was chosen among several is that of folds without a part in the
    choice: it is made again without each fold, which then judges it.

    Args:
      gains: of `cross_validate.gains`, NaN where one diverged: such strengths are not chosen.
      modalities: names.
      examples: labelled examples judged; groups, where rows belong together.
    """
    options = cross_validate.candidates(modalities)
    shared = [c for c, s in enumerate(options) if len(set(s)) == 1]
    default = options.index((ADVISED["strength"],) * len(modalities))
    tables = {name: gains[name].to_numpy(float) for name in modalities}
    everyone = range(len(modalities))

    def judged(k: int, pick: Callable[[dict[str, np.ndarray]], int]) -> Estimate:
        own = tables[modalities[k]]
        held_out = []
        for f in range(len(own)):
            others = {name: np.delete(table, f, axis=0) for name, table in tables.items()}
            held_out.append(own[f, pick(others)])
        return estimate(np.array(held_out), examples, len(modalities))

    finite = np.all(np.isfinite(sum(tables.values())), axis=0)  # nothing diverged

    def pick_shared(tables: dict[str, np.ndarray]) -> int:
        able = [c for c in shared if finite[c]]
        own = default if finite[default] else 0
        return _shared(sum(tables.values()) / len(tables), examples, able, own)

    hurt = [judged(k, lambda _: default).high < 0 for k in everyone]
    if any(hurt):
        chosen = _leaving(hurt, options)
        at = [default if h else chosen for h in hurt]
        here = [judged(k, lambda _, c=at[k]: c) for k in everyone]
    else:
        chosen = pick_shared(tables)
        here = [judged(k, pick_shared) for k in everyone]
    aligned = [here[k].low > 0 and not hurt[k] for k in everyone]
    if any(aligned) and not all(aligned) and not any(hurt):
        # their partners stay where they are: what was tried so counts
        chosen = _leaving([not a for a in aligned], options)
        again = [judged(k, lambda _: chosen) if aligned[k] else here[k] for k in everyone]
        aligned = [aligned[k] and again[k].low > 0 for k in everyone]
        here = again
    chosen = chosen if any(aligned) else 0
    return Choice(
        chosen,
        tuple(options[chosen][k] if aligned[k] else 0.0 for k in everyone),
        [ALIGN if aligned[k] else ALONE if hurt[k] else UNDECIDED for k in everyone],
        here,
        [_near(tables[name], examples, shared, options) for name in modalities],
        [
            (int(np.isnan(table[:, 0]).sum()), int(np.isnan(table[:, default]).sum()))
            for table in tables.values()
        ],
    )


def _leaving(alone: list[bool], options: list[tuple[float, ...]]) -> int:
    """The trial that left these encoders alone, or as many of them as a trial did."""
    wanted = tuple(0.0 if a else ADVISED["strength"] for a in alone)
    first = tuple(0.0 if k == alone.index(True) else ADVISED["strength"] for k in range(len(alone)))
    return options.index(wanted if wanted in options else first)


def _shared(mean: np.ndarray, examples: int, shared: list[int], default: int) -> int:
    """The shared strength to take, from (folds, candidates) gains averaged over encoders."""
    better = []
    for c in shared:
        ahead = estimate(mean[:, c] - mean[:, default], examples)
        if c != default and ahead.mean > ahead.error:
            better.append(c)
    return max(better, key=lambda c: mean[:, c].mean(), default=default)


def _near(
    own: np.ndarray, examples: int, shared: list[int], options: list[tuple[float, ...]]
) -> tuple[float, float]:
    """Lowest and highest shared strength that are not clearly worse than the best."""
    shared = [c for c in shared if np.all(np.isfinite(own[:, c]))] or [0]
    top = max(shared, key=lambda c: own[:, c].mean())
    near = [
        options[c][0]
        for c in shared
        if c == top or estimate(own[:, top] - own[:, c], examples).low <= 0
    ]
    return min(near), max(near)
