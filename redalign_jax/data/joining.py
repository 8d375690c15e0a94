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
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rows with a label and a modality, in the order of the labels, then those of two modalities.

    The latter have no label (None), and are left out if something is `beside` the labels, which
    they would lack too. A row that a modality lacks is zeros.

    Args:
      x: name → (rows of its own, ...) of every modality.
      y: labels.
      beside: further arrays, row by row with `y`.
      ids: name → ids of its rows, for every modality and `labels`.
      source: the file, for what is said.

    Returns:
      x, y and `beside` of these rows; and name → (n,) bool, the rows that a modality has, of those
      that lack some.

    Raises:
      UserError: ids that are not there, or not different, or of no other array.
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
    for name in x:
        for others in ([LABELS], [other for other in x if other != name]):
            if not np.isin(ids[name], np.concatenate([ids[other] for other in others])).any():
                what = " or ".join(f"{other}_ids" for other in others)
                raise UserError(f"{source}: no id is in {name}_ids and {what} alike")
    every, first = np.unique(np.concatenate([ids[name] for name in x]), return_index=True)
    every = every[np.argsort(first)]
    held = sum(np.isin(every, ids[name]).astype(int) for name in x)
    common = ids[LABELS][np.isin(ids[LABELS], every)]
    alone = beside or (y.ndim > 1 and y.shape[1] > 1)  # one-hot rows have no None
    free = (held > 1) & ~np.isin(every, common)
    without = every[:0] if alone else every[free]
    rows = np.concatenate([common, without])
    there = {name: np.isin(rows, ids[name]) for name in x}
    _say(ids, there, len(common), len(every) - len(rows), len(ids[LABELS]) - len(common), source)
    at = _places(ids[LABELS], common)
    label = y[at]
    if len(without):
        label = np.empty((len(rows), *y.shape[1:]), object)
        label[: len(common)], label[len(common) :] = y[at], None
    return (
        {name: _gathered(value, ids[name], rows, there[name]) for name, value in x.items()},
        label,
        {name: value[at] for name, value in beside.items()},
        {name: own for name, own in there.items() if not own.all()},
    )


def _say(
    ids: dict[str, np.ndarray],
    there: dict[str, np.ndarray],
    labelled: int,
    unused: int,
    bare: int,
    source: str,
) -> None:
    """Says how many rows have what."""
    whole = np.all(list(there.values()), axis=0)
    said = f"{source}: joined by id: {whole[:labelled].sum()} rows are in all of " + ", ".join(
        f"{name} ({len(value)})" for name, value in ids.items()
    )
    for count, what in (
        (np.sum(~whole[:labelled]), "have a label and not all modalities"),
        (np.sum(whole[labelled:]), "are in all modalities and have no label"),
        (np.sum(~whole[labelled:]), "are in two modalities or more and have no label"),
        (unused, "are left out, as nothing goes with them"),
        (bare, "labels have no row"),
    ):
        if count:
            said += f"; {count} {what}"
    notes.once(said)


def _gathered(value: np.ndarray, ids: np.ndarray, rows: np.ndarray, own: np.ndarray) -> np.ndarray:
    if own.all():
        return value[_places(ids, rows)]
    found = np.zeros((len(rows), *value.shape[1:]), value.dtype)
    found[own] = value[_places(ids, rows[own])]
    return found


def _places(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    order = np.argsort(ids)
    return order[np.searchsorted(ids, wanted, sorter=order)]


def as_text(value: np.ndarray) -> np.ndarray:
    """Ids as texts; 7, 7.0 and "7" are one."""
    if value.dtype.kind == "S":
        return np.char.decode(value, "utf-8", "replace")
    whole = value.dtype.kind == "f" and np.isfinite(value).all() and (value % 1 == 0).all()
    return (value.astype(np.int64) if whole else value).astype(str)
