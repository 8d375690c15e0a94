"""Splits that keep together what belongs together."""

import numpy as np

from redalign_jax.data import strata
from redalign_jax.errors import UserError

_TRAIN, _VALID, _TEST = range(3)
_PILOTS, _TRIES = 16, 1000


def stratified(
    y: np.ndarray, family: np.ndarray, *, valid: float, test: float, seed: int, source: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of a training, validation and test split; no family is in two of them.

    The shares are exact in all, and in every class up to rounding. Class by class, families are
    drawn in random order; each goes to the test split if it still fits there, else to the
    validation split if it fits there, else to training. A family of several classes counts as one
    of its first row's.

    Args:
      y: (n,) classes.
      family: (n,) numbers, equal for rows that belong together.
      valid: share of all rows in the validation split, rounded to whole rows.
      test: the same for the test split.
      seed: of the draw.
      source: the dataset, for the message of an error.

    Raises:
      UserError: too few rows, or single rows, for these shares.
    """
    n_valid, n_test = round(valid * len(y)), round(test * len(y))
    n_train = len(y) - n_valid - n_test
    if min(n_train, n_valid, n_test) < len(np.unique(y)):
        raise UserError(
            f"data.valid={valid}, data.test={test} split the {len(y)} examples of {source} into "
            f"{n_train} train, {n_valid} valid, {n_test} test: each needs one of every class"
        )
    rng = np.random.default_rng(seed)
    _, first, member = np.unique(family, return_index=True, return_inverse=True)
    size, kind = np.bincount(member), np.unique(y[first], return_inverse=True)[1]
    counts = np.bincount(kind, size).astype(np.int64)
    ties = np.random.default_rng([seed, 1])
    room = {
        part: strata.quotas(counts, total, 1, ties)
        for part, total in ((_TEST, n_test), (_VALID, n_valid))
    }
    split = np.full(len(first), _TRAIN)

    for one in rng.permutation(len(first)):
        for part, free in room.items():
            if size[one] <= free[kind[one]]:
                split[one] = part
                free[kind[one]] -= size[one]
                break
    # Single rows fit while there is room at all, so room is left only where these ran out.
    if any(free.any() for free in room.values()):
        raise UserError(
            f"data.valid={valid}, data.test={test}: {source} has too few examples that belong "
            "to no others for splits of these sizes"
        )
    return tuple(np.flatnonzero(split[member] == part) for part in (_TRAIN, _VALID, _TEST))


def draw(
    stratum: np.ndarray,
    groups: np.ndarray,
    labelled: np.ndarray,
    *,
    valid: int,
    test: int,
    least: int,
    seed: int,
    source: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of training (labelled, unlabelled), validation and test; no group in two splits.

    Whole groups are dealt out in a random order that mixes the strata, to the test split until it
    is full, then to the validation split, the rest to training. What is above a split's size is
    left out. How many rows training then has depends on the draw; it is given as many as every
    second draw leaves, for all seeds the same, and draws that leave fewer are drawn again.

    Args:
      stratum: (n,) classes, or quantiles of a target.
      groups: (n,) numbers, equal for rows that belong together.
      labelled: (n,) bool; validation and test splits are of labelled rows.
      valid, test: rows of these splits; 0 for a split that is not to be drawn.
      least: rows of every stratum that a split needs.
      seed: of the draw.
      source: the dataset, for the message of an error.

    Raises:
      UserError: no draw of groups makes such splits.
    """
    member = np.unique(groups, return_inverse=True)[1].reshape(-1)
    strata_there = np.unique(stratum[labelled])

    def attempt(rng: np.random.Generator) -> tuple[np.ndarray, ...] | None:
        split = _dealt(stratum, member, labelled, valid, test, rng)
        if split is None:
            return None
        of_row = split[member]
        parts = [np.flatnonzero((of_row == p) & labelled) for p in (_TRAIN, _VALID, _TEST)]
        wanted = [p for p, size in zip(parts, (1, valid, test), strict=True) if size]
        if least and any(len(np.unique(stratum[p])) < len(strata_there) for p in wanted):
            return None
        return parts[0], np.flatnonzero((of_row == _TRAIN) & ~labelled), parts[1], parts[2]

    pilots = [attempt(np.random.default_rng([k, 1])) for k in range(_PILOTS)]
    sizes = sorted((len(p[0]), len(p[1])) for p in pilots if p is not None)
    if sizes:
        enough = sizes[len(sizes) // 2][0]
        others = min(u for s, u in sizes if s >= enough)
        rng = np.random.default_rng([seed, 2])
        for _ in range(_TRIES):
            found = attempt(rng)
            if found and len(found[0]) >= enough and len(found[1]) >= others:
                return _trimmed(found, (enough, others, valid, test), stratum, least, rng)
    raise UserError(
        f"data.valid={valid / labelled.sum():.2g}, data.test={test / labelled.sum():.2g}: the "
        f"{member.max() + 1} groups of {source}, whose rows belong together, make no such splits "
        "with every class in each; other shares, or fewer groups that are large"
    )


def _dealt(
    stratum: np.ndarray,
    member: np.ndarray,
    labelled: np.ndarray,
    valid: int,
    test: int,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """The split of every group."""
    rows = np.flatnonzero(labelled)
    size = np.bincount(member[rows], minlength=member.max() + 1)
    kind = np.zeros(len(size), np.int64)
    kind[member[rows[::-1]]] = stratum[rows[::-1]]  # of its first row
    shuffled = rng.permutation(np.flatnonzero(size))
    order = shuffled[np.argsort(kind[shuffled], kind="stable")]
    # Where a group's middle lies in its stratum, whose rows are spread over (0, 1).
    total = np.bincount(kind, size)
    before = np.cumsum(total) - total
    at = np.cumsum(size[order]) - size[order] * rng.random(len(order)) - before[kind[order]]
    order = order[np.argsort(at / total[kind[order]], kind="stable")]
    ends = np.cumsum(size[order])
    t = np.searchsorted(ends, test) + 1 if test else 0  # groups of the test split
    if t >= len(order):
        return None
    v = np.searchsorted(ends, (ends[t - 1] if t else 0) + valid) + 1 if valid else t
    if v >= len(order):
        return None
    split = np.full(len(size), _TRAIN)
    split[order[:t]] = _TEST
    split[order[t:v]] = _VALID
    return split


def _trimmed(
    parts: tuple[np.ndarray, ...],
    sizes: tuple[int, ...],
    stratum: np.ndarray,
    least: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    train, unlabelled, valid, test = (rng.permutation(rows) for rows in parts)
    enough, others, n_valid, n_test = sizes
    train, valid, test = (
        strata.pick(rows, stratum, size, least, rng)[0]
        for rows, size in ((train, enough), (valid, n_valid), (test, n_test))
    )
    return train, unlabelled[:others], valid, test
