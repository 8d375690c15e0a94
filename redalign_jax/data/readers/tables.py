"""One table, .csv, .tsv or .parquet, whose columns are assigned to modalities by name."""

import csv
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from redalign_jax.data import members
from redalign_jax.data.members import GROUPS, IN_ORDER, LABELS, ROWS, SPLIT, Asked, Raw
from redalign_jax.data.readers import arrow
from redalign_jax.data.readers.table import Table
from redalign_jax.errors import UserError

TEXT, ARROW = (".csv", ".tsv"), (".parquet",)
_USUAL = (LABELS, "label", "target", "class", "y")
_INDEX = "Unnamed: 0"  # pandas' own, written without a name


def is_table(path: str) -> bool:
    """Whether the name of a file is that of a table."""
    return path.lower().endswith(TEXT + ARROW)


class Labels(NamedTuple):
    """What a table beside arrays says, see `members.Raw`; `ids` are those of its rows."""

    y: np.ndarray
    beside: dict[str, np.ndarray]
    by: str
    ids: np.ndarray | None


def read(path: str, asked: Asked) -> Raw:
    """A table with all modalities.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    return of_columns(_open(path, asked), asked, path)


def of_columns(table: Table, asked: Asked, source: str) -> Raw:
    """Modalities, labels, groups and split of a table's columns.

    Raises:
      UserError: columns that are not there, are no numbers, or are not assigned.
    """
    label, by, split = _roles(table.names, asked, source)
    left = [n for n in table.names if n not in (label, by, split, asked.id)]
    if asked.modalities.strip():
        chosen = members.chosen(asked.modalities, left, source)
    elif len(table.wide) > 1:
        chosen = {name: [name] for name in table.wide if name in left}
    else:
        raise UserError(f"{source}: {_suggestion(left)}")
    x = {}
    for name, columns in chosen.items():
        values = [_numbers(table.get(one), one, source) for one in columns]
        x[name] = members.beside_each_other(values, columns, source)
    beside = {by: table.get(by)} if by else {}
    if split:
        beside[SPLIT] = table.get(split)
    return Raw(x, table.get(label), beside, {}, by)


def labels(path: str, asked: Asked) -> Labels:
    """A table of labels, beside arrays.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    table = _open(path, asked)
    said = None if asked.id in ("", IN_ORDER) else asked.id
    ids = said or next((n for n in table.names if n.lower() in (*ROWS, _INDEX.lower())), "")
    if said and said not in table.names:
        ids = ""  # it names an array
    if not asked.label and len(table.names) == 1 + bool(ids):
        asked = asked._replace(label=next(n for n in table.names if n != ids))
    label, by, split = _roles(table.names, asked, path)
    beside = {by: table.get(by)} if by else {}
    if split:
        beside[SPLIT] = table.get(split)
    found = table.get(ids) if ids and asked.id != IN_ORDER else None
    if found is not None:
        found = np.array([str(one) for one in found])
    return Labels(table.get(label), beside, by, found)


def _roles(names: Sequence[str], asked: Asked, source: str) -> tuple[str, str, str]:
    label = asked.label or next((name for name in _USUAL if name in names), "")
    if not label:
        shown = ", ".join(names[:12]) + f" and {len(names) - 12} more" * (len(names) > 12)
        raise UserError(
            f"{source}: which column holds the labels? --config.data.label=NAME, one of {shown}"
        )
    found = [members.role("label", label, names, source)]
    for field, said, usual in (("groups", asked.groups, GROUPS), ("split", asked.split, SPLIT)):
        found.append(
            members.role(field, said, names, source) if said else usual if usual in names else ""
        )
    return found[0], found[1], found[2]


def _suggestion(names: Sequence[str]) -> str:
    """What to say where nobody has said which columns are which modality."""
    starts = Counter()
    for name in names:
        cut = min((name.find(mark) for mark in "_.:" if name.find(mark) > 0), default=0)
        starts[name[: cut + 1]] += cut > 0
    common = [start for start, count in starts.most_common(4) if count > 1]
    asking = "which columns are which modality? --config.data.modalities="
    if len(common) < 2:
        return f'{asking}"a=PATTERN,b=PATTERN", of {", ".join(names[:12])}' + ", …" * (
            len(names) > 12
        )
    parts = ",".join(f"{start[:-1]}={start}*" for start in sorted(common, key=names_order(names)))
    return f'{asking}"{parts}" would fit {sum(starts[one] for one in common)} of {len(names)}'


def names_order(names: Sequence[str]) -> Callable[[str], int]:
    """Sorts beginnings of names by where the first such name stands."""
    return lambda start: next(i for i, name in enumerate(names) if name.startswith(start))


def _numbers(value: np.ndarray, name: str, source: str) -> np.ndarray:
    """A column of a modality; booleans and numbers, None as NaN."""
    if value.dtype.kind == "O":
        try:
            return np.array([np.nan if v is None else v for v in value], float)
        except (TypeError, ValueError):
            shown = next((v for v in value if isinstance(v, str)), value[0])
            hint = ", or leave it out of data.modalities"
            raise UserError(
                f"{source}: column {name!r} holds {str(shown)[:20]!r}, not numbers; make numbers "
                f"of it{hint}"
            ) from None
    return value


def _open(path: str, asked: Asked) -> Table:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.lower().endswith(ARROW):
                return arrow.parquet(path)
            return _of_text(path, asked)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # whatever a foreign file makes pandas or pyarrow say
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not a table that can be read ({reason})") from None


def _of_text(path: str, asked: Asked) -> Table:
    """A text file; columns of labels, ids and groups are read as texts, 007 stays 007."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        head = file.readline(2**20)
    mark = max("\t,;|", key=head.count)
    header = [name.strip() for name in next(csv.reader([head], delimiter=mark), [])]
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
    roles = {*asked[1:5], *_USUAL, GROUPS, SPLIT, *ROWS, ""}
    names = [name or (_INDEX if not i else f"column {i}") for i, name in enumerate(header)]
    texts = {names[i]: str for i, name in enumerate(header) if roles & {name, name.lower()}}
    frame = pd.read_csv(
        path,
        sep=mark,
        encoding="utf-8-sig",
        skipinitialspace=True,
        header=0,
        names=names,
        index_col=False,
        dtype=texts,
        low_memory=False,
    )
    if frame.empty:
        raise UserError(f"{path}: has no rows")

    def get(name: str) -> np.ndarray:
        column = frame[name]
        if column.dtype.kind in "biuf":
            return column.to_numpy()
        held = column.to_numpy(object, na_value=None)
        return as_typed(held, decimal=mark == ";")

    return Table(names, get, [])


def as_typed(texts: np.ndarray, decimal: bool = False) -> np.ndarray:
    """Texts as whole numbers, numbers or booleans where all are; None stays.

    Args:
      texts: (n,) objects, str or None.
      decimal: a comma may be the decimal point.

    Returns:
      (n,) int64, float64, bool, or objects: with None where whole numbers or texts have holes.
    """
    there = np.array([t is not None for t in texts], bool)
    held = [str(t).strip() for t in texts[there]]
    kinds = {"True": True, "False": False, "true": True, "false": False}
    if held and all(t in kinds for t in held):
        values, fits = np.array([kinds[t] for t in held]), bool(there.all())
    elif held and all(_whole(t) for t in held):
        values, fits = np.array([int(t) for t in held], np.int64), bool(there.all())
    else:
        try:
            numbers = [t.replace(",", ".") if decimal else t for t in held]
            values, fits = np.array(numbers, float), True
        except ValueError:
            values, fits = np.array(held, object), False
    if fits and values.dtype.kind == "f" and len(values):
        found = np.full(len(texts), np.nan)
        found[there] = values
        return found
    if fits and len(values):
        return values
    found = np.full(len(texts), None, object)
    found[there] = values.tolist() if values.dtype.kind != "O" else values
    return found


def _whole(text: str) -> bool:
    digits = text[1:] if text[:1] in "+-" else text
    return digits.isdecimal() and digits.isascii() and len(digits) < 19
