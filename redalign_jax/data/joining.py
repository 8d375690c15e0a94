"""Rows joined by their ids, in whatever order they come."""

import numpy as np

from redalign_jax.data import notes
from redalign_jax.errors import UserError

LABELS = "labels"


def joined(
    x: dict[str, np.ndarray],
    y: np.ndarray,
    beside: dict[str, np.ndarray],
    ids: dict[str, np.ndarray],
    source: str,
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray]]:
    """Rows whose id is in every modality, those with a label first, in the order of the labels.

    Rows that have an id in every modality and none among the labels follow without a label (None),
    unless something is `beside` the labels, which they would lack too.

    Args:
      x: name → (rows of its own, ...) of every modality.
      y: labels.
      beside: further arrays, row by row with `y`.
      ids: name → ids of its rows, for every modality and `labels`.
      source: the file, for what is said.

    Raises:
      UserError: ids that are not there, or not different, or of which none is everywhere.
    """
    lacking = [name for name in (*x, LABELS) if name not in ids]
    if lacking:
        raise UserError(
            f"{source}: {next(iter(ids))}_ids is there, but no {lacking[0]}_ids; to join rows by "
            "id give every modality and the labels theirs, or drop them all if rows are paired as "
            "they stand"
        )
    ids = {name: as_text(value) for name, value in ids.items()}
    for name, value in ids.items():
        of = y if name == LABELS else x[name]
        if value.ndim != 1 or not of.ndim or len(value) != len(of):
            raise UserError(
                f"{source}: {name}_ids of shape {value.shape} is not one per row of {name!r}"
            )
        different, count = np.unique(value, return_counts=True)
        if len(different) < len(value):
            again = different[count.argmax()]
            raise UserError(
                f"{source}: {name}_ids holds {str(again)!r} twice; ids must be different"
            )
    first = next(iter(x))
    every = ids[first]
    for name in x:
        every = every[np.isin(every, ids[name])]
    common = ids[LABELS][np.isin(ids[LABELS], every)]
    if not len(common):
        raise UserError(f"{source}: no id is in {', '.join(f'{name}_ids' for name in ids)} alike")
    alone = beside or (y.ndim > 1 and y.shape[1] > 1)  # one-hot rows have no None
    without = every[:0] if alone else every[~np.isin(every, common)]
    rows = np.concatenate([common, without])
    said = f"{source}: joined by id: {len(common)} rows are in all of " + ", ".join(
        f"{name} ({len(value)})" for name, value in ids.items()
    )
    if len(without):
        said += f"; {len(without)} are in all modalities and have no label"
    notes.once(said)
    at = _places(ids[LABELS], common)
    label = y[at]
    if len(without):
        label = np.empty((len(rows), *y.shape[1:]), object)
        label[: len(common)], label[len(common) :] = y[at], None
    return (
        {name: value[_places(ids[name], rows)] for name, value in x.items()},
        label,
        {name: value[at] for name, value in beside.items()},
    )


def _places(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    order = np.argsort(ids)
    return order[np.searchsorted(ids, wanted, sorter=order)]


def as_text(value: np.ndarray) -> np.ndarray:
    """Ids as texts; 7, 7.0 and "7" are one."""
    if value.dtype.kind == "S":
        return np.char.decode(value, "utf-8", "replace")
    whole = value.dtype.kind == "f" and np.isfinite(value).all() and (value % 1 == 0).all()
    return (value.astype(np.int64) if whole else value).astype(str)
