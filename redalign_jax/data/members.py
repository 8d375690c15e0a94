"""What the arrays or columns of a dataset are for: modalities, labels, groups, splits, ids."""

import fnmatch
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from redalign_jax.data import joining, notes, row_groups, splits
from redalign_jax.errors import UserError

LABELS, GROUPS, SPLIT = "labels", "groups", "split"
ROWS = ("id", "ids", "index")  # numbers or names of rows
IN_ORDER = "none"  # value of `data.id`: rows are paired as they stand
_PARTS = {  # the spellings of a split
    0: ("0", "train", "training"),
    1: ("1", "valid", "validation", "val", "dev"),
    2: ("2", "test", "testing"),
}


class Asked(NamedTuple):
    """The fields of `data` that say what is what; "" is told by the usual names.

    Attributes:
      modalities: names between commas, or NAME=PATTERN+PATTERN of arrays or columns.
      label, id, groups, split: the array or column.
      transpose: arrays between commas that are features × rows.
    """

    modalities: str = ""
    label: str = ""
    id: str = ""
    groups: str = ""
    split: str = ""
    transpose: str = ""


class Raw(NamedTuple):
    """What a reader finds, see `paired`."""

    x: dict[str, np.ndarray]
    y: np.ndarray
    beside: dict[str, np.ndarray]
    ids: dict[str, np.ndarray]
    by: str


class Members(NamedTuple):
    """A dataset's arrays, row by row paired.

    Attributes:
      x: name → (n, ...) of every modality, as in the file.
      y: of the labels.
      groups: (n,) numbers, equal for rows that the user says belong together, or None.
      split: (n,) 0, 1, 2 for train, valid, test, where they are published, or None.
      present: name → (n,) bool, the rows that a modality has, as far as ids say that it lacks some.
    """

    x: dict[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray | None
    split: np.ndarray | None
    present: dict[str, np.ndarray]


def assigned(
    names: Sequence[str], get: Callable[..., np.ndarray], asked: Asked, source: str
) -> Raw:
    """Named arrays by what they are for.

    Args:
      names: of the arrays, in the order of the file.
      get: name → the array; `labels=True` where it is that of the labels.
      asked: what the user says.
      source: the file, for what is said.

    Raises:
      UserError: no labels, fewer than two modalities, or an array that is not there.
    """
    label = role("label", asked.label or LABELS, names, source)
    available = [name for name in names if name != label]
    x: dict[str, np.ndarray] = {}
    if asked.modalities.strip():
        for name, parts in chosen(asked.modalities, available, source).items():
            x[name] = beside_each_other([get(part) for part in parts], parts, source)
    else:
        x = _modalities(get, available, (asked.id, asked.groups, asked.split), source)
    y = get(label, labels=True)
    by, split = (
        role(field, said, names, source) if said else (usual if usual in {*names} - {*x} else "")
        for field, said, usual in (
            ("groups", asked.groups, GROUPS),
            ("split", asked.split, SPLIT),
        )
    )
    beside = {by: get(by)} if by and by not in x else {}
    if split and (asked.split or split not in x):
        beside[SPLIT] = get(split)
    ids = {}
    for name, called in (*((name, (name,)) for name in x), (LABELS, (LABELS, label))):
        there = [f"{one}_ids" for one in called if f"{one}_ids" in names]
        if there and asked.id != IN_ORDER:
            ids[name] = get(there[0])
    return Raw(_turned(x, asked.transpose, source), y, beside, ids, by)


def role(field: str, name: str, names: Sequence[str], source: str) -> str:
    """`name`, which an array or a column must have.

    Raises:
      UserError: none has it.
    """
    if name in names:
        return name
    shown = ", ".join(map(str, names[:12])) + (f" and {len(names) - 12} more" * (len(names) > 12))
    if field == "label" and name == LABELS:
        raise UserError(
            f"{source}: no array named 'labels'; it has {shown}; to name another: "
            "--config.data.label=NAME"
        )
    raise UserError(f"data.{field}={name!r}: no such array in {source}; it has {shown}")


def chosen(field: str, available: Sequence[str], source: str) -> dict[str, list[str]]:
    """The field `data.modalities`: per modality its arrays or columns, in the order of the file.

    "a,b" are two by name; "rna=rna_*+gene" is a modality of all whose names match one of the
    patterns; a pattern alone is called as what stands before its *.

    Raises:
      UserError: a name that is not there, a pattern that nothing matches, a column in two.
    """
    parts = [part.strip() for part in field.split(",")]
    if not any(set("=*?+") & set(part) for part in parts if part not in available):
        return {name: [name] for name in splits.choose(field, available, source)}
    found: dict[str, list[str]] = {}
    taken: dict[str, str] = {}
    for part in parts:
        name, equals, patterns = (p.strip() for p in part.partition("="))
        if not equals:
            patterns, name = name, name if name in available else name.split("*")[0].rstrip("_.:- ")
        if not name or name in found:
            raise UserError(
                f"data.modalities: {part!r} is not NAME=PATTERN with a name of its own, such as "
                "rna=rna_*"
            )
        matched = set()
        for pattern in filter(None, (p.strip() for p in patterns.split("+"))):
            exact = {pattern} & set(available)
            hits = exact or set(fnmatch.filter(available, pattern))
            if not hits:
                raise UserError(
                    f"data.modalities: nothing in {source} is called {pattern!r}; it has "
                    f"{', '.join(available[:8])}" + ", …" * (len(available) > 8)
                )
            matched |= hits
        found[name] = [one for one in available if one in matched]
        for one in found[name]:
            if one in taken:
                raise UserError(f"data.modalities: {one!r} is in {taken[one]!r} and {name!r}")
            taken[one] = name
    return found


def beside_each_other(
    arrays: Sequence[np.ndarray], names: Sequence[str], source: str
) -> np.ndarray:
    """One array of the columns of several; a single one as it is."""
    if len(arrays) == 1:
        return arrays[0]
    for name, value in zip(names, arrays, strict=True):
        if value.dtype.kind not in "biuf":
            raise UserError(
                f"{source}: {name!r} holds {value.dtype}, not numbers; leave it out of "
                "data.modalities, or make it numbers"
            )
        if not value.ndim or len(value) != len(arrays[0]):
            raise UserError(f"{source}: {name!r} has not as many rows as {names[0]!r}")
    return np.concatenate([value.reshape(len(value), -1) for value in arrays], axis=1)


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
    present: dict[str, np.ndarray] = {}
    if ids:
        x, y, beside, present = joining.joined(x, y, beside, ids, source)
    group = _groups({**x, **beside}[by], by, source) if by else None
    if by in present:  # rows without it are groups of their own
        group = np.where(present[by], group, group.max() + 1 + np.arange(len(group)))
    split = _split(beside[SPLIT], source) if SPLIT in beside else None
    return Members(x, y, group, split, present)


def _modalities(
    get: Callable[[str], np.ndarray], names: list[str], said: Sequence[str], source: str
) -> dict[str, np.ndarray]:
    """The arrays that are trained on when nobody says which, in file order."""
    if len(names) < 2:
        raise UserError(
            f"{source}: alignment needs two modalities or more besides 'labels'; "
            f"it has {', '.join(names) or 'none'}"
        )
    aside = {GROUPS, SPLIT, *(f"{name}_ids" for name in (*names, LABELS))}
    found = {name: get(name) for name in names if name not in aside}
    wide = any(x.ndim > 1 and x[0:1].size > 1 for x in found.values())
    left = []
    for name, x in list(found.items()):
        flat = x.ndim == 1 or (x.ndim == 2 and x.shape[1] == 1)
        if not flat:
            continue
        if name in said:
            del found[name]
            continue
        called = name in ROWS or name.endswith("_ids") or x.dtype.kind in "US"
        if called or (wide and x.ndim == 1 and x.dtype.kind in "biu"):
            left.append(name)
            del found[name]
    if left:
        notes.once(
            f"{source}: {', '.join(map(repr, left))} left out: names or whole numbers, one per "
            "row, are no modality unless --config.data.modalities says so",
        )
    if len(found) < 2:
        raise UserError(
            f"{source}: alignment needs two modalities or more besides 'labels'; it has "
            f"{', '.join(found) or 'none'}"
            + (f"; {', '.join(left)} left out, see data.modalities" if left else "")
        )
    return found


def _turned(x: dict[str, np.ndarray], field: str, source: str) -> dict[str, np.ndarray]:
    """The arrays that `data.transpose` names with their last axis first."""
    for name in filter(None, (part.strip() for part in field.split(","))):
        if name not in x:
            raise UserError(f"data.transpose={field!r}: no modality {name!r} in {source}")
        x = {**x, name: np.moveaxis(x[name], -1, 0)}
    return x


def _groups(value: np.ndarray, name: str, source: str) -> np.ndarray:
    """(n,) numbers."""
    if not value.ndim or not value.size:
        raise UserError(f"{source}: {name!r} is empty or one value, not a group per row")
    if value.dtype.kind == "O":
        value = np.array(["nan" if v is None or v != v else str(v) for v in value])
        if "nan" in value:
            raise UserError(f"{source}: {name!r} lacks the group of some rows; give each its own")
    if value.dtype.kind == "f" and np.isnan(value).any():
        raise UserError(
            f"{source}: {name!r} holds nan; give rows that belong to no others a group of their own"
        )
    return row_groups.codes(value)


def _split(value: np.ndarray, source: str) -> np.ndarray:
    value = value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value
    wrong = UserError(
        f"{source}: 'split' must say train, valid or test (or 0, 1, 2) of every row; for an array "
        "of another meaning use another name"
    )
    value = value.astype(str) if value.dtype.kind == "O" else value
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
