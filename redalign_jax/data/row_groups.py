"""Which rows belong together: exact copies, and what a user's `groups` says."""

import hashlib
from collections.abc import Mapping

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SHARE, LEAST = 0.05, 8  # groups of copies are at most this part of all rows, or this many rows
LARGE = 2**25  # bytes of an array whose rows are compared by digests, not sorted
CHANCE = 7.0  # bits by which rows must be unlikelier than equal by chance to count as copies


def codes(x: np.ndarray) -> np.ndarray:
    """(n,) numbers, equal where rows of (n, ...) are exact copies."""
    flat = np.ascontiguousarray(x).reshape(len(x), -1)
    rows = flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
    if flat.nbytes > LARGE:  # equal digests are equal rows, up to a chance of 1e-26 in 1e6 rows
        digests = b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in flat)
        rows = np.frombuffer(digests, np.dtype((np.void, 16)))
    return np.unique(rows, return_inverse=True)[1].reshape(-1)


def numbers(
    x: Mapping[str, np.ndarray],
    given: np.ndarray | None,
    present: Mapping[str, np.ndarray] | None = None,
) -> tuple[np.ndarray | None, list[str]]:
    """The group of every row, and what to say about copies.

    Rows are in one group if they share a value of `given`, or are exact copies in a modality, or
    in all modalities, or are linked by others that are. Copies count where they are no coincidence:
    n rows, whose columns have entropies H_j (bits, taken for independent), have n²/2 · 2^(-Σ H_j)
    equal pairs by chance; this must be below 2^-`CHANCE`. A value of more than `SHARE` of the rows
    (and of more than `LEAST`), such as zeros for what was not measured, makes no group, and copies
    in a modality are left where they would link others to groups above that.

    Args:
      x: name → (n, ...) numbers.
      given: (n,) the user's groups.
      present: name → (n,) bool, the rows that a modality has; others are no copies of each other.

    Returns:
      (n,) int32, or None if every row is a group of its own; and one line, without the dataset's
      name, per modality with copies.
    """
    n = len(next(iter(x.values())))
    most = max(LEAST, int(SHARE * n))
    group = np.arange(n) if given is None else np.unique(given, return_inverse=True)[1]
    group = group.reshape(-1)
    present = present or {}
    own = {name: _codes(value, present.get(name)) for name, value in x.items()}
    told = {
        name: f"{len(np.unique(c[present.get(name, slice(None))]))} different rows of "
        f"{int(present[name].sum()) if name in present else n} in {name!r}"
        for name, c in own.items()
    }
    x = {name: value[present.get(name, slice(None))] for name, value in x.items()}
    if len(own) > 1:
        every = codes(np.stack(list(own.values()), axis=1))
        own = {None: every, **own}  # whole rows first
    lines = []
    for name, code in own.items():
        count = np.bincount(code)
        if len(count) == n:
            continue
        columns = [v for k, v in x.items() if name in (None, k)]
        linked = None
        if not _by_chance(columns, n):
            alone = np.where(count[code] > most, n + np.arange(n), code)
            linked = _joined(group, np.unique(alone, return_inverse=True)[1].reshape(-1))
            largest = np.bincount(linked).max()
            if largest > most and largest > np.bincount(group).max():
                linked = None
        if linked is not None:
            group = linked
        if name is None:
            continue
        kept = linked is not None and count.max() <= most
        lines.append(
            f"{told[name]}; copies stay on one side of every split and fold; what else belongs "
            "together, an array `groups` or --config.data.groups says"
            if kept
            else f"{told[name]}, which may be in several splits; if equal rows belong together: "
            f"--config.data.groups={name}"
        )
    whole = len(np.unique(group)) == n
    return (None if whole else group.astype(np.int32)), lines


def _codes(x: np.ndarray, present: np.ndarray | None) -> np.ndarray:
    """`codes`, a number of its own for every row that is missing."""
    if present is None:
        return codes(x)
    found = np.empty(len(x), int)
    found[present] = codes(x[present])
    found[~present] = present.sum() + np.arange((~present).sum())
    return np.unique(found, return_inverse=True)[1].reshape(-1)


def _joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Groups of rows that are linked by a number of either."""
    n, shift = len(a), a.max() + 1
    links = coo_array((np.ones(n, bool), (a, b + shift)), shape=(shift + b.max() + 1,) * 2)
    return np.unique(connected_components(links, directed=False)[1][a], return_inverse=True)[1]


def _by_chance(x: list[np.ndarray], n: int) -> bool:
    """Whether equal rows are to be expected of independent columns."""
    needed = 2 * np.log2(n) - 1 + CHANCE
    for value in x:
        for column in value.reshape(len(value), -1).T:
            share = np.unique(column, return_counts=True)[1] / len(value)
            needed -= -(share * np.log2(share)).sum()
            if needed <= 0:
                return False
    return True
