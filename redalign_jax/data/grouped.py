"""Splits that keep together what belongs together."""

import numpy as np

from redalign_jax.data import strata
from redalign_jax.errors import UserError

_TRAIN, _VALID, _TEST = range(3)


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
    room = {
        part: strata.quotas(counts, total, 1)
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
