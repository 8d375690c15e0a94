"""Stratified choice of rows."""

import numpy as np

QUANTILES = 10  # a regression is stratified by this many quantiles of its target


def quantiles(y: np.ndarray) -> np.ndarray:
    """The stratum of every target of a regression, 0..QUANTILES-1."""
    rank = np.empty(len(y), np.int64)
    rank[np.argsort(y, kind="stable")] = np.arange(len(y))
    return rank * QUANTILES // len(y)


def pick(
    rows: np.ndarray, strata: np.ndarray, total: int, least: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The first `total` of `rows`, stratum by stratum, and the others; both in their old order.

    `rng` decides which of several equal strata gets a seat that they cannot share.
    """
    stratum = strata[rows]
    counts = np.bincount(stratum)
    place = np.empty(len(rows), np.int64)  # the how-manieth of its stratum a row is
    first = np.cumsum(counts) - counts
    order = np.argsort(stratum, kind="stable")
    place[order] = np.arange(len(rows)) - first[stratum[order]]
    taken = place < quotas(counts, total, least, rng)[stratum]
    return rows[taken], rows[~taken]


def quotas(counts: np.ndarray, total: int, least: int, rng: np.random.Generator) -> np.ndarray:
    """Seats per stratum: largest remainders, but at least `least` where there are that many.

    Needs `total` ≥ `least` times the number of strata. The seats add up to `total`, and where every
    proportional share is a whole number they are those shares. Ties are drawn, so that no stratum
    is favoured over seeds.
    """
    turn = rng.permutation(len(counts))  # among equals
    floor = np.minimum(least, counts)
    whole = counts.sum()
    share = counts * total  # in parts of a seat, `whole` to a seat
    seats = np.maximum(floor, share // whole)
    while seats.sum() < total:
        seats[np.lexsort((turn, seats * whole - share))[0]] += 1
    while seats.sum() > total:  # the guaranteed seats, paid by the best-served strata
        paying = np.flatnonzero(seats > floor)
        seats[paying[np.lexsort((turn[paying], (share - seats * whole)[paying]))[0]]] -= 1
    return seats
