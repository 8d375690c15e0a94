"""Which numbers of a section are shown to differ from 0, of everything that it compares at once.

An interval is a number's own: of twenty that hold with 95 % each, one misses. A mark is for the
whole section: at most 5 % of sections have one that is wrong (Holm 1979, Scandinavian Journal of
Statistics 6:65), however the numbers depend on each other.
"""

from typing import Any

import numpy as np
from scipy import special

from redalign_jax.analysis.differences import LEVEL, mean_interval, standard_error

_P = "_p"  # of what an interval is of, until all are known


def interval(name: str, values: np.ndarray, share: float) -> dict[str, float]:
    """A mean over seeds as part of a row for `mark`.

    Args:
      name: of the number.
      values: (seeds,).
      share: see `differences.standard_error`.

    Returns:
      `name`, the mean, with its own 95 % Student interval `_low` and `_high`, and its p value.
    """
    mean, low, high = mean_interval(values, share)
    p = 1.0
    if len(values) > 1 and mean:
        error = float(standard_error(values, share))
        p = 2 * float(special.stdtr(len(values) - 1, -abs(mean) / error))
    return {name: mean, f"{name}_low": low, f"{name}_high": high, f"{name}{_P}": p}


def mark(rows: list[dict[str, Any]]) -> None:
    """p values of all rows of a section become `NAME_shown`: 1 above 0, −1 below, 0 not shown."""
    tests = [(row.pop(name), row, name) for row in rows for name in list(row) if name.endswith(_P)]
    lower = True
    for i, (p, row, name) in enumerate(sorted(tests, key=lambda test: test[0])):
        lower = lower and p <= (1 - LEVEL) / (len(tests) - i)
        stem = name.removesuffix(_P)
        row[f"{stem}_shown"] = int(np.sign(row[stem])) if lower else 0
