"""Sequences of several lengths as one array."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from redalign_jax.data.readers import bounds
from redalign_jax.errors import UserError

_REAL = 1e-30  # of a last step that is all zeros, which would be taken for padding


def padded(rows: Sequence[Any], name: str, source: str) -> np.ndarray:
    """(n, ...) of rows of one shape, else (n, t, d) with zeros after the end of each.

    Whole numbers without features stay (n, t), texts of tokens.

    Args:
      rows: per row (t_i,) or (t_i, d) numbers, or None or an empty one where it is missing.
      name: of the modality.
      source: for what is said.

    Returns:
      The array; a missing row is NaN throughout.

    Raises:
      UserError: rows that are no numbers, or differ in more than their length.
    """
    try:
        arrays = [None if row is None else np.asarray(row) for row in rows]
    except ValueError:
        raise UserError(f"{source}: a row of {name!r} is not an array of numbers") from None
    arrays = [None if a is None or not a.size else a for a in arrays]
    there = [a for a in arrays if a is not None]
    if not there:
        raise UserError(f"{source}: {name!r} has no row with numbers in it")
    if any(a.dtype.kind not in "biuf" for a in there):
        held = next(a for a in there if a.dtype.kind not in "biuf")
        raise UserError(f"{source}: {name!r} holds {held.dtype} in its rows, not numbers")
    tails = {a.shape[1:] for a in there}
    if len(tails) > 1 or not all(a.ndim for a in there):
        raise UserError(
            f"{source}: the rows of {name!r} differ in more than their length, "
            f"{' and '.join(str(a) for a in sorted(tails)[:2])}"
        )
    (tail,) = tails
    sizes = {len(a) for a in there}
    longest = max(sizes)
    bounds.dense(len(rows) * longest * max(1, int(np.prod(tail))), name, source, "padded")
    kind = np.result_type(*{a.dtype for a in there})
    whole = kind.kind in "iu"
    if len(there) < len(arrays):
        kind = np.result_type(kind, np.float32)
    found = np.zeros((len(rows), longest, *tail), kind)
    uneven = len(sizes) > 1
    if uneven and not tail and whole and any((a == 0).any() for a in there):
        raise UserError(
            f"{source}: {name!r} holds texts of several lengths with a 0 in them, which stands "
            "for the end of a text; add 1 to all"
        )
    for i, a in enumerate(arrays):
        if a is None:
            found[i] = np.nan
            continue
        found[i, : len(a)] = a
        if uneven and not whole and kind.kind == "f" and not a[-1].any():
            found[(i, len(a) - 1, *(0 for _ in tail))] = _REAL
    return found[..., None] if uneven and not tail and not whole and kind.kind == "f" else found
