"""From cross-validated gains to strengths and verdicts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from redalign_jax.advise import pilot
from redalign_jax.config import ADVISED

LEVEL = 0.95
FEWEST = 5  # folds that can be judged
LITTLE = 0.1  # of an encoder's information; if its partners share less, they have nothing to teach
ALIGN, ALONE, UNDECIDED = "align", "do not align", "undecided"


class Estimate(NamedTuple):
    """A mean over folds.

    Attributes:
      mean: of the gain.
      error: its standard error.
      low, high: the 95 % interval.
    """

    mean: float
    error: float
    low: float
    high: float


def estimate(changes: np.ndarray, examples: int) -> Estimate:
    """Mean of cross-validated gains, with an interval for data not seen.

        s.e.² = (1/K + 1/(K−1)) s² + 2/n²

    s² is the variance over the K folds; 1/(K−1) stands for training sets that overlap (Nadeau and
    Bengio 2003, Machine Learning 52:239). The last term, one example more won and one more lost,
    keeps gains of a few examples from looking certain.

    Args:
      changes: (K,) mean gain of each fold.
      examples: n, judged in all folds together.

    Returns:
      The estimate, its interval infinite with fewer than `FEWEST` folds.
    """
    k = len(changes)
    mean = float(np.mean(changes))
    if k < FEWEST:
        return Estimate(mean, np.inf, -np.inf, np.inf)
    error = float(np.sqrt((1 / k + 1 / (k - 1)) * np.var(changes, ddof=1) + 2 / examples**2))
    half = float(stats.t.ppf((1 + LEVEL) / 2, k - 1)) * error
    return Estimate(mean, error, mean - half, mean + half)


class Choice(NamedTuple):
    """What the pilot chose.

    Attributes:
      candidate: number of the strengths in `pilot.candidates`.
      strengths: per encoder.
      verdicts: per encoder.
      gains: per encoder, at the choice; 0 at strength 0.
      refused: per encoder at strength 0, what the mechanism would have done to it.
      intervals: per encoder, lowest and highest shared strength that is not clearly worse.
    """

    candidate: int
    strengths: tuple[float, ...]
    verdicts: list[str]
    gains: list[Estimate]
    refused: list[Estimate | None]
    intervals: list[tuple[float, float]]


def choose(
    gains: dict[str, pd.DataFrame],
    modalities: Sequence[str],
    examples: int,
    shared_most: Sequence[float] = (),
) -> Choice:
    """Strengths and verdicts.

    An encoder that the balanced mechanism clearly hurts, its whole interval below 0, is left alone
    beside its aligned partners; so is one that it hurts on average, whose partners know less than
    `LITTLE` of what it tells about the label. Where none is, all share a strength: the mechanism's
    own, unless another is better by more than a standard error, averaged over encoders. "align"
    needs an interval above 0.

    Args:
      gains: of `pilot.gains`.
      modalities: names.
      examples: labelled examples judged.
      shared_most: per encoder, the upper end of what any partner shares of its information; inf
        where that is not known. () knows nothing.
    """
    options = pilot.candidates(modalities)
    shared = [c for c, s in enumerate(options) if len(set(s)) == 1]
    default = options.index((ADVISED["strength"],) * len(modalities))

    def judged(k: int, c: int) -> Estimate:
        return estimate(gains[modalities[k]][c].to_numpy(), examples)

    everyone = range(len(modalities))
    most = shared_most or [np.inf] * len(modalities)
    tried = [judged(k, default) for k in everyone]
    hurt = [
        t.high < 0 or (t.mean < 0 and most[k] < LITTLE and np.isfinite(t.error))
        for k, t in enumerate(tried)
    ]
    if all(hurt):
        chosen = 0
    elif any(hurt):
        chosen = _leaving(hurt, options)
    else:
        chosen = _shared(gains, modalities, examples, shared, default)
    strengths = tuple(0.0 if hurt[k] else options[chosen][k] for k in everyone)
    here = [judged(k, chosen) for k in everyone]
    verdicts = [ALONE if hurt[k] else ALIGN if here[k].low > 0 else UNDECIDED for k in everyone]
    nothing = Estimate(0.0, 0.0, 0.0, 0.0)
    return Choice(
        chosen,
        strengths,
        verdicts,
        [here[k] if strengths[k] else nothing for k in everyone],
        [judged(k, default) if not strengths[k] else None for k in everyone],
        [_near(gains[name], examples, shared, options) for name in modalities],
    )


def _leaving(hurt: list[bool], options: list[tuple[float, ...]]) -> int:
    """The trial that left the hurt encoders alone, or as many of them as a trial did."""
    wanted = tuple(0.0 if h else ADVISED["strength"] for h in hurt)
    first = tuple(0.0 if k == hurt.index(True) else ADVISED["strength"] for k in range(len(hurt)))
    return options.index(wanted if wanted in options else first)


def _shared(
    gains: dict[str, pd.DataFrame],
    modalities: Sequence[str],
    examples: int,
    shared: list[int],
    default: int,
) -> int:
    mean = sum(gains[m] for m in modalities) / len(modalities)
    better = []
    for c in shared:
        ahead = estimate((mean[c] - mean[default]).to_numpy(), examples)
        if c != default and ahead.mean > ahead.error:
            better.append(c)
    return max(better, key=lambda c: mean[c].mean(), default=default)


def _near(
    own: pd.DataFrame, examples: int, shared: list[int], options: list[tuple[float, ...]]
) -> tuple[float, float]:
    """Lowest and highest shared strength that are not clearly worse than the best."""
    top = max(shared, key=lambda c: own[c].mean())
    near = [
        options[c][0]
        for c in shared
        if c == top or estimate((own[top] - own[c]).to_numpy(), examples).low <= 0
    ]
    return min(near), max(near)
