"""A folder, or a list, of .npy files, one per modality, memory-mapped; labels beside them."""

import os
from pathlib import Path

import numpy as np

from redalign_jax.data import members, notes
from redalign_jax.data.members import IN_ORDER, LABELS, Asked, Raw
from redalign_jax.data.readers import tables
from redalign_jax.errors import UserError

_HEADER = 2**20  # bytes of a header, at most
_IDS = ("ids", "id")


def read(paths: list[str], source: str, asked: Asked) -> Raw:
    """Arrays by the names of their files, and what a table beside them says of the rows.

    `labels.npy`, or one table (.csv, .tsv, .parquet) with a column of labels, and if it has one, of
    ids: these are the ids of `NAME_ids.npy`, of `ids.npy` or of `ids.txt` (a line per row) where
    they are there, else numbers of rows from 0.

    Args:
      paths: the files.
      source: what the user calls them, for what is said.
      asked: what the user says.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    files: dict[str, str] = {}
    for path in paths:
        name = Path(path).stem
        if name in files:
            raise UserError(f"{source}: {files[name]} and {path} are both called {name!r}")
        files[name] = path
    held = {n: p for n, p in files.items() if tables.is_table(p)}
    texts = {n: p for n, p in files.items() if p.endswith(".txt") and (n in _IDS or "_ids" in n)}
    arrays = {n: p for n, p in files.items() if p.endswith(".npy")}
    lines = {name: np.array(_lines(path)) for name, path in texts.items()}

    def get(name: str, labels: bool = False) -> np.ndarray:
        del labels
        return lines[name] if name in lines else mapped(arrays[name])

    names = [*arrays, *lines]
    shared = asked.id if asked.id in names else next((one for one in _IDS if one in names), "")
    names = [name for name in names if name != shared]
    if (asked.label or LABELS) in arrays:
        return members.assigned(names, get, asked, source)
    if len(held) != 1:
        raise UserError(
            f"{source}: {len(held) or 'no'} tables, and no labels.npy; the labels are in labels.npy"
            " or in one table, such as labels.csv"
        )
    ((_, path),) = held.items()
    table = tables.labels(path, asked)

    def also(name: str, labels: bool = False) -> np.ndarray:
        return table.y if name == LABELS else get(name, labels)

    of_arrays = asked._replace(label=LABELS, groups="", split="")
    raw = members.assigned([LABELS, *names], also, of_arrays, source)
    raw = raw._replace(beside={**raw.beside, **table.beside}, by=table.by or raw.by)
    if table.ids is None:
        return raw
    if shared and not raw.ids:
        raw = raw._replace(ids={name: get(shared) for name in raw.x})
    if raw.ids:
        return raw._replace(ids={**raw.ids, LABELS: table.ids})
    return raw._replace(ids=_numbers(table.ids, raw, path, source))


def _numbers(ids: np.ndarray, raw: Raw, path: str, source: str) -> dict[str, np.ndarray]:
    """Ids that are numbers of rows, for arrays that have none; none where rows are in order."""
    count = {len(value) for value in raw.x.values() if value.ndim}
    rows = min(count, default=0)
    as_number = [str(one).strip() for one in ids]
    whole = all(one.isdecimal() for one in as_number)
    if len(count) != 1 or not whole or max(map(int, as_number), default=0) >= rows:
        raise UserError(
            f"{source}: {path} has ids ({str(ids[0])!r}, …) and the arrays have none; put ids.npy "
            "or ids.txt, one per row, beside them, or if its rows are in their order: "
            f"--config.data.id={IN_ORDER}"
        )
    if as_number == [str(i) for i in range(rows)]:
        return {}
    notes.once(f"{source}: the ids of {path} are taken for numbers of rows, from 0")
    numbers = np.arange(rows).astype(str)
    return {**dict.fromkeys(raw.x, numbers), LABELS: np.array(as_number)}


def mapped(path: str) -> np.ndarray:
    """The array of a .npy file, read where it is used.

    Raises:
      UserError: it is not one, or its header does not fit the file.
    """
    try:
        with open(path, "rb") as stream:
            version = np.lib.format.read_magic(stream)
            length = int.from_bytes(stream.read(2 if version[0] == 1 else 4), "little")
            if length > _HEADER:
                raise ValueError(f"its header says that it is {length:,} bytes long")
            stream.seek(8)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read is None:
                raise ValueError(f"version {version[0]}.{version[1]} of the format")
            shape, _, dtype = read(stream)
            promised = int(np.prod(shape, dtype=object)) * dtype.itemsize
            there = os.fstat(stream.fileno()).st_size - stream.tell()
        if dtype.hasobject:
            raise UserError(
                f"{path}: holds Python objects (pickle), which are never loaded; save numbers or "
                "texts, with .astype(float) or .astype(str)"
            )
        if promised != there or min(shape, default=1) < 0:
            raise ValueError(
                f"its header promises {promised:,} bytes of values, and there are {there:,}"
            )
        value = np.load(path, mmap_mode="r" if promised else None, allow_pickle=False)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UserError:
        raise
    except Exception as error:  # whatever a foreign file makes numpy say
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not a .npy file that can be read ({reason})") from None
    return value.astype(value.dtype.newbyteorder("="), copy=False)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
