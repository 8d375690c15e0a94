"""Rows of which a modality was not measured."""

from collections.abc import Mapping

import numpy as np

from redalign_jax.data import notes
from redalign_jax.errors import UserError

Present = dict[str, np.ndarray]  # name → (n,) bool, the rows that it has; a name left out has all


def cleared(
    x: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray], source: str
) -> tuple[dict[str, np.ndarray], Present]:
    """Arrays with zeros in the rows that are NaN throughout, and which rows every modality has.

    Whole numbers that NaN beside them had turned into floating point become whole again.

    Args:
      x: name → (n, ...), as found.
      present: as far as ids say so; a name that is left out has all rows.
      source: the file, for what is said.

    Raises:
      UserError: a modality without a row.
    """
    found, there = dict(x), {}
    for name, value in x.items():
        own = present.get(name, np.ones(len(value), bool))
        empty = _empty(value) if value.dtype.kind == "f" else ~own
        own = own & ~empty
        if own.all():
            continue
        if not own.any():
            raise UserError(f"{source}: array {name!r} has no row with numbers in it")
        if empty.any() and value.dtype.kind == "f":
            value = _whole(np.where(own.reshape(-1, *(1,) * (value.ndim - 1)), value, 0))
        found[name], there[name] = value, own
    return found, there


def _empty(x: np.ndarray) -> np.ndarray:
    """(n,) which rows are NaN throughout."""
    empty = np.isnan(x.reshape(len(x), -1)[:, 0])
    at = np.flatnonzero(empty)
    empty[at] = np.isnan(x[at]).all(axis=tuple(range(1, x.ndim)))
    return empty


def _whole(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        small = np.abs(x) < 2**31
        return x.astype(np.int32) if (small & (x == np.rint(x))).all() else x


def kept(present: Mapping[str, np.ndarray], modalities: int, known: np.ndarray) -> np.ndarray:
    """(n,) the rows that are good for something: two modalities, or one and a label."""
    lacking = sum((~own).astype(int) for own in present.values())
    has = modalities - lacking
    return (has > 1) | ((has > 0) & known)


def say(
    present: Mapping[str, np.ndarray], modalities: int, keep: np.ndarray, n: int, source: str
) -> None:
    """Says how many rows miss a modality, and how many of them are of no use."""
    if not present:
        return
    each = ", ".join(f"{name} {(~own).sum():,}" for name, own in present.items())
    whole = int(np.all(list(present.values()), axis=0).sum())
    line = (
        f"{source}: rows that miss a modality: {each} of {n:,}; {whole:,} rows have all "
        f"{modalities}. A row trains the encoders that have it, and is left out of the alignment, "
        "similarity and decomposition of a pair that lacks it"
    )
    if not keep.all():
        line += f"; {(~keep).sum():,} are dropped: no modality, or one and no label"
    notes.once(line)


def of_rows(
    present: Mapping[str, np.ndarray] | None, names: list[str], rows: np.ndarray
) -> np.ndarray | None:
    """`task.Split.present` of some rows; None where no modality lacks any of the dataset's rows."""
    if not present:
        return None
    every = np.ones(len(rows), bool)
    return np.stack([present[name][rows] if name in present else every for name in names])


def check(
    names: list[str],
    parts: Mapping[str, np.ndarray | None],
    source: str,
) -> None:
    """Refuses splits in which a modality has nothing to learn from, or to be judged on.

    Args:
      names: of the modalities.
      parts: name of the part → (M, n) as of `of_rows`, of its labelled rows.
      source: the file, for what is said.

    Raises:
      UserError: one line that names the modality and the part.
    """
    for part, present in parts.items():
        if present is None:
            return
        for name, own in zip(names, present, strict=True):
            if not own.any():
                raise UserError(
                    f"{source}: {name!r} is missing in all {len(own)} labelled rows of the {part} "
                    "split; give more rows that have it, or leave it out of data.modalities"
                )
