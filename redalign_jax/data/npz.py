"""What the arrays of an .npz file are for: modalities, labels, groups, splits, ids."""

import os
from typing import NamedTuple

import numpy as np

from redalign_jax.data import notes, row_groups, splits
from redalign_jax.errors import UserError

LABELS, GROUPS, SPLIT = "labels", "groups", "split"
_ROWS = ("id", "ids", "index")  # numbers or names of rows
_SPARSE = {"indices", "indptr", "format", "shape", "data"}
_PARTS = {  # the spellings of a split
    0: ("0", "train", "training"),
    1: ("1", "valid", "validation", "val", "dev"),
    2: ("2", "test", "testing"),
}


class Members(NamedTuple):
    """A file's arrays, row by row paired.

    Attributes:
      x: name → (n, ...) of every modality, as in the file.
      y: of the labels.
      groups: (n,) numbers, equal for rows that the user says belong together, or None.
      split: (n,) 0, 1, 2 for train, valid, test, where they are published, or None.
    """

    x: dict[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray | None
    split: np.ndarray | None


def read(path: str, modalities: str, groups: str) -> Members:
    """Reads the file; see `arrays.load` for what is in it.

    Args:
      path: the file.
      modalities: the field of that name.
      groups: the array that says which rows belong together; "" for one called so, if any.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    with _open(path) as file:
        names = list(file.files)
        if set(names) >= _SPARSE:
            raise UserError(
                f"{path}: one sparse matrix, of scipy.sparse.save_npz; write arrays instead, with "
                "numpy.savez(…, NAME=matrix.toarray(), labels=…)"
            )
        if LABELS not in names:
            raise UserError(f"{path}: no array named 'labels'; it has {', '.join(names)}")
        available = [name for name in names if name != LABELS]
        if modalities.strip():
            chosen = splits.choose(modalities, available, path)
            x = {name: _member(file, name, path) for name in chosen}
        else:
            x = _modalities(file, available, path)
        y = _member(file, LABELS, path, labels=True)
        by = groups or (GROUPS if GROUPS in names and GROUPS not in x else "")
        if by and by not in names:
            raise UserError(
                f"data.groups={by!r}: no such array in {path}; it has {', '.join(names)}"
            )
        beside = {name: _member(file, name, path) for name in {by, SPLIT} & {*names} - {*x}}
        ids = {
            name: _member(file, f"{name}_ids", path)
            for name in (*x, LABELS)
            if f"{name}_ids" in names
        }
    return paired(x, y, beside, ids, by, path)


def paired(
    x: dict[str, np.ndarray],
    y: np.ndarray,
    beside: dict[str, np.ndarray],
    ids: dict[str, np.ndarray],
    by: str,
    source: str,
) -> Members:
    """Arrays, joined by id if they have ids; groups and splits as numbers.

    Args:
      x: name → (n, ...) of every modality.
      y: (n, ...) labels.
      beside: further arrays of one value per label: that called `by`, and `split`.
      ids: name → (n,), for every modality and `labels`, or empty.
      by: the array of `x` or `beside` of which equal values belong together; "" for none.
      source: the file, for what is said.

    Raises:
      UserError: one line that names the source and what is wrong.
    """
    for name, value in {LABELS: y, **beside}.items():
        if value.ndim == 0 or len(value) != len(y):
            rows = f"{len(value)} rows" if value.ndim else "no rows"
            raise UserError(f"{source}: array {name!r} has {rows}, not one per label")
    if ids:
        x, y, places = _joined(x, y, ids, source)
        beside = {name: value[places] for name, value in beside.items()}
    group = _groups({**x, **beside}[by], by, source) if by else None
    return Members(x, y, group, _split(beside[SPLIT], source) if SPLIT in beside else None)


def _modalities(file: np.lib.npyio.NpzFile, names: list[str], path: str) -> dict[str, np.ndarray]:
    """The arrays that are trained on when nobody says which, in file order."""
    if len(names) < 2:
        raise UserError(
            f"{path}: alignment needs two modalities or more besides 'labels'; "
            f"it has {', '.join(names) or 'none'}"
        )
    aside = {GROUPS, SPLIT, *(f"{name}_ids" for name in (*names, LABELS))}
    found = {name: _member(file, name, path) for name in names if name not in aside}
    wide = any(x.ndim > 1 and x[0:1].size > 1 for x in found.values())
    left = []
    for name, x in list(found.items()):
        flat = x.ndim == 1 or (x.ndim == 2 and x.shape[1] == 1)
        if not flat:
            continue
        called = name in _ROWS or name.endswith("_ids") or x.dtype.kind in "US"
        if called or (wide and x.ndim == 1 and x.dtype.kind in "biu"):
            left.append(name)
            del found[name]
    if left:
        notes.once(
            f"{path}: {', '.join(map(repr, left))} left out: names or whole numbers, one per row, "
            "are no modality unless --config.data.modalities says so",
        )
    if len(found) < 2:
        raise UserError(
            f"{path}: alignment needs two modalities or more besides 'labels'; it has "
            f"{', '.join(found) or 'none'}"
            + (f"; {', '.join(left)} left out, see data.modalities" if left else "")
        )
    return found


def _groups(value: np.ndarray, name: str, path: str) -> np.ndarray:
    """(n,) numbers."""
    if not value.ndim or not value.size:
        raise UserError(f"{path}: {name!r} is empty or one value, not a group per row")
    if value.dtype.kind == "f" and np.isnan(value).any():
        raise UserError(
            f"{path}: {name!r} holds nan; give rows that belong to no others a group of their own"
        )
    return row_groups.codes(value)


def _split(value: np.ndarray, path: str) -> np.ndarray:
    value = value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value
    wrong = UserError(
        f"{path}: 'split' must say train, valid or test (or 0, 1, 2) of every row; for an array of "
        "another meaning use another name"
    )
    if value.ndim != 1 or value.dtype.kind not in "iufUS":
        raise wrong
    if value.dtype.kind == "S":
        value = np.char.decode(value, "utf-8", "replace")
    if value.dtype.kind in "iuf":
        found = np.select([value == 0, value == 1, value == 2], [0, 1, 2], -1)
    else:
        lower = np.char.lower(np.char.strip(value))
        found = np.select([np.isin(lower, words) for words in _PARTS.values()], list(_PARTS), -1)
    if (found < 0).any():
        raise wrong
    return found


def _joined(
    x: dict[str, np.ndarray], y: np.ndarray, ids: dict[str, np.ndarray], path: str
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Rows whose id is everywhere, in the order of the labels, and their places among these."""
    lacking = [name for name in (*x, LABELS) if name not in ids]
    if lacking:
        raise UserError(
            f"{path}: {next(iter(ids))}_ids is there, but no {lacking[0]}_ids; to join rows by id "
            "give every modality and the labels theirs, or drop them all if rows are paired as "
            "they stand"
        )
    ids = {name: _as_text(value) for name, value in ids.items()}
    for name, value in ids.items():
        of = y if name == LABELS else x[name]
        if value.ndim != 1 or not of.ndim or len(value) != len(of):
            raise UserError(
                f"{path}: {name}_ids of shape {value.shape} is not one per row of {name!r}"
            )
        different, count = np.unique(value, return_counts=True)
        if len(different) < len(value):
            again = different[count.argmax()]
            raise UserError(f"{path}: {name}_ids holds {str(again)!r} twice; ids must be different")
    common = ids[LABELS]
    for name in x:
        common = common[np.isin(common, ids[name])]
    if not len(common):
        raise UserError(f"{path}: no id is in {', '.join(f'{name}_ids' for name in ids)} alike")
    places = {}
    for name, value in ids.items():
        order = np.argsort(value)
        places[name] = order[np.searchsorted(value, common, sorter=order)]
    notes.once(
        f"{path}: joined by id: {len(common)} rows are in all of "
        + ", ".join(f"{name} ({len(value)})" for name, value in ids.items()),
    )
    return {name: v[places[name]] for name, v in x.items()}, y[places[LABELS]], places[LABELS]


def _as_text(value: np.ndarray) -> np.ndarray:
    if value.dtype.kind == "S":
        return np.char.decode(value, "utf-8", "replace")
    whole = value.dtype.kind == "f" and np.isfinite(value).all() and (value % 1 == 0).all()
    return (value.astype(np.int64) if whole else value).astype(str)


def _open(path: str) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except OSError as error:
        reason = error.strerror or str(error)
        if not os.path.isfile(path):
            raise UserError(f"{path}: cannot be read ({reason})") from None
        file = None
        if error.errno:
            raise UserError(f"{path}: cannot be read ({reason})") from None
    except Exception:  # whatever a foreign file makes numpy and zipfile say
        file = None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise UserError(f"{path}: not an .npz file; write one with numpy.savez")
    return file


def _member(file: np.lib.npyio.NpzFile, name: str, path: str, labels: bool = False) -> np.ndarray:
    try:
        value = np.asarray(file[name])
    except Exception as error:  # whatever a foreign file makes numpy and zipfile say
        if "allow_pickle" in str(error):
            how = (
                "save whole numbers, for example of pandas.factorize(labels)[0], which makes "
                "missing ones -1 (then: --config.data.unlabelled=-1)"
                if labels
                else f"save numbers, for example {name}.astype(float)"
            )
            raise UserError(
                f"{path}: array {name!r} holds Python objects (pickle), which are never loaded; "
                f"{how}"
            ) from None
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: array {name!r} cannot be read ({reason})") from None
    if value.dtype.kind in "biufc":  # in the byte order of this machine
        value = value.astype(value.dtype.newbyteorder("="), copy=False)
    return value
