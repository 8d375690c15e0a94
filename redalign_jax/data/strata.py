"""Stratified choice of rows."""

import numpy as np

QUANTILES = 10  # a regression is stratified by this many quantiles of its target


def quantiles(y: np.ndarray) -> np.ndarray:
    """The stratum of every target of a regression, 0..QUANTILES-1."""
    rank = np.empty(len(y), np.int64)
    rank[np.argsort(y, kind="stable")] = np.arange(len(y))
    return rank * QUANTILES // len(y)


def pick(
    rows: np.ndarray, strata: np.ndarray, total: int, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first `total` of `rows`, stratum by stratum, and the others; both in their old order."""
    stratum = strata[rows]
    counts = np.bincount(stratum)
    place = np.empty(len(rows), np.int64)  # the how-manieth of its stratum a row is
    first = np.cumsum(counts) - counts
    order = np.argsort(stratum, kind="stable")
    place[order] = np.arange(len(rows)) - first[stratum[order]]
    taken = place < quotas(counts, total, least)[stratum]
    return rows[taken], rows[~taken]


def quotas(counts: np.ndarray, total: int, least: int) -> np.ndarray:
    """Seats per stratum: largest remainders, but at least `least` where there are that many.

    Needs `total` ≥ `least` times the number of strata. The seats add up to `total`, and where every
    proportional share is a whole number they are those shares.
    """
    share = counts * total / counts.sum()
    floor = np.minimum(least, counts)
    seats = np.maximum(floor, share.astype(np.int64))
    while seats.sum() < total:
        seats[np.argmax(share - seats)] += 1
    while seats.sum() > total:  # the guaranteed seats, paid by the best-served strata
        seats[np.argmin(np.where(seats > floor, share - seats, np.inf))] -= 1
    return seats
