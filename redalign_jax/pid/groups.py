"""Rows that belong together: copies of each other, or of one person, picture or recording.

A classifier that has seen one of them knows the others. They share a fold and a resample.
"""

import logging
from collections.abc import Sequence

import numpy as np
import scipy

from redalign_jax.errors import UserError

BEYOND_CHANCE = 10  # times as many equal pairs of rows as columns that know nothing of each other
SYMBOLS = 20  # rows per different one, on average, from which on rows are values of an alphabet


def copies(x: np.ndarray) -> np.ndarray | None:
    """The number of each row's value, (n,), where equal rows are copies; None where they are not.

    Columns drawn independently of each other, each with its own frequencies, give so many equal
    pairs of rows by chance; `BEYOND_CHANCE` times as many are copies. A column alone, codes of few
    bits or one-hot vectors therefore repeat by chance, pictures and measurements do not. Values of
    which each is there `SYMBOLS` times and more are an alphabet, whatever their columns say.

    Args:
      x: (n, d) numbers.
    """
    n = len(x)
    rows = np.ascontiguousarray(x + np.zeros(1, x.dtype))  # −0 is 0
    found, number = np.unique(rows.view(f"V{rows.itemsize * rows.shape[1]}"), return_inverse=True)
    if len(found) == n or len(found) <= n / SYMBOLS:
        return None
    equal = _pairs(np.bincount(number.ravel()))
    chance = _pairs(np.array([n]))
    for column in x.T:
        if BEYOND_CHANCE * chance < equal:
            return number.ravel()
        chance *= _pairs(np.unique(column, return_counts=True)[1]) / _pairs(np.array([n]))
    return number.ravel() if BEYOND_CHANCE * chance < equal else None


def _pairs(counts: np.ndarray) -> float:
    return float(np.sum(counts * (counts - 1.0)) / 2)


def of_rows(
    x: Sequence[np.ndarray], names: Sequence[str], given: np.ndarray | None = None
) -> np.ndarray:
    """Group numbers (n,): equal where rows are tied, directly or through others.

    Tied are rows of one given group and copies, see `copies`, in any modality or in all together.
    A warning names a modality with copies, unless the given groups say what they do.

    Args:
      x: M arrays (n, ...).
      names: of the arrays.
      given: (n,) numbers or strings, equal for rows that belong together.

    Raises:
      UserError: as many groups as rows are needed.
    """
    n = len(x[0])
    flat = [one.reshape(n, -1) for one in x]
    ties = []
    if given is not None:
        given = np.asarray(given)
        if given.shape != (n,) or given.dtype.kind not in "biuUS":
            raise UserError(
                f"groups: needs {n} whole numbers or strings, one per row; "
                f"found {given.dtype} of shape {given.shape}"
            )
        ties.append(np.unique(given, return_inverse=True)[1].ravel())
    for name, one in zip(names, flat, strict=True):
        number = copies(one)
        if number is None:
            continue
        if not ties or np.any(_joined([ties[0], number], n) != _joined([ties[0]], n)):
            logging.warning(
                "%s: %d different rows of %d; rows with the same are kept together",
                name,
                number.max() + 1,
                n,
            )
        ties.append(number)
    together = copies(np.concatenate([one.astype(np.float64) for one in flat], axis=1))
    if together is not None:
        ties.append(together)
    return _joined(ties, n)


def _joined(ties: Sequence[np.ndarray], n: int) -> np.ndarray:
    """(n,) numbers of the components that several groupings make together, in order of rows."""
    if not ties:
        return np.arange(n)
    # rows and groups are the nodes of a graph: a row is joined to each of its groups
    first = n + np.cumsum([0, *(tie.max() + 1 for tie in ties)])
    ends = np.concatenate([tie + start for tie, start in zip(ties, first, strict=False)])
    rows = np.tile(np.arange(n), len(ties))
    graph = scipy.sparse.coo_array((np.ones(len(rows)), (rows, ends)), shape=(first[-1],) * 2)
    found = scipy.sparse.csgraph.connected_components(graph, directed=False)[1][:n]
    _, seen, number = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(seen))[number.ravel()]


def label(y: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The most frequent class of every group, (groups,), the least of several; −1 of none."""
    classes = y.max() + 1
    both, counts = np.unique(group.astype(np.int64) * classes + y, return_counts=True)
    found = np.full(group.max() + 1, -1)
    order = np.lexsort((-both, counts))  # later ones overwrite
    found[both[order] // classes] = both[order] % classes
    return found


def deal(
    y: np.ndarray, group: np.ndarray, rows: np.ndarray, parts: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Divides rows into parts, whole groups at a time, stratified by class and by size.

    Groups are dealt like cards: in random order within a class and a size, large ones first.

    Args:
      y: (n,) classes of all rows; a group counts as its most frequent one.
      group: (n,) numbers from 0.
      rows: those that are divided, with all of their group or none.
      parts: how many.
      rng: draws the order.

    Returns:
      The rows in the order in which they were dealt, and the part of each.
    """
    order = rng.permutation(rows)
    of_rows = group[order]
    present, first = np.unique(of_rows, return_index=True)
    present = present[np.argsort(first)]  # in random order
    size = np.bincount(group)[present]
    classes = label(y, group)[present]
    present = present[np.lexsort((-size, classes))]
    place = np.zeros(group.max() + 1, np.int64)
    place[present] = np.arange(len(present))
    order = order[np.argsort(place[of_rows], kind="stable")]
    return order, place[group[order]] % parts
