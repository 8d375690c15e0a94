"""Columns of Apache Arrow as arrays: Parquet files, and datasets saved by Hugging Face."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from redalign_jax.data.readers import bounds, padding
from redalign_jax.data.readers.table import Table
from redalign_jax.errors import UserError

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_PIXELS = 2**26  # of one picture, at most


def parquet(path: str) -> Table:
    """A Parquet file as a `table.Table`, columns read where they are asked for.

    Raises:
      UserError: it would unpack to too much.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, memory_map=True)
    about = file.metadata
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    told = sum(group.total_byte_size for group in groups)
    # repeated values take no room in a file
    bounds.check(path, max(told, 8.0 * about.num_rows * about.num_columns))
    return _table(file.schema_arrow, lambda name: file.read([name])[name], path)


def is_folder(path: str) -> bool:
    """Whether a folder is what `datasets.save_to_disk` writes."""
    return any((Path(path) / name).is_file() for name in (_STATE, _SPLITS))


def folder(path: str) -> Table:
    """A folder of `datasets.save_to_disk` as a `table.Table`; its splits are a column `split`.

    Raises:
      UserError: files of it are missing, damaged or elsewhere.
    """
    import pyarrow as pa

    root = Path(path)
    parts = {"": root}
    if (root / _SPLITS).is_file():
        names = _json(root / _SPLITS).get("splits", [])
        parts = {name: root / _plain(name, root) for name in names}
    tables, features = {}, {}
    for split, where in parts.items():
        features = _json(where / _INFO).get("features") or {}
        files = [
            where / _plain(one.get("filename"), where)
            for one in _json(where / _STATE).get("_data_files", [])
        ]
        read = []
        for file in files:
            try:
                with pa.memory_map(os.fspath(file)) as source:
                    read.append(pa.ipc.open_stream(source).read_all())
            except (OSError, pa.ArrowInvalid) as error:
                raise UserError(f"{file}: cannot be read ({_line(error)})") from None
        if read:
            tables[split] = pa.concat_tables(read)
    if not tables:
        raise UserError(f"{path}: no data in it")
    try:
        whole = pa.concat_tables(tables.values())
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: its splits differ ({_line(error)})") from None
    if len(tables) > 1 and "split" not in whole.column_names:
        said = np.concatenate([np.repeat(split, t.num_rows) for split, t in tables.items()])
        whole = whole.append_column("split", pa.array(said))
    return _table(whole.schema, lambda name: whole[name], path, features)


def _table(schema: Any, read: Any, source: str, features: dict[str, Any] | None = None) -> Any:
    import pyarrow as pa

    features = features or {}

    def get(name: str) -> np.ndarray:
        column, about = read(name), features.get(name) or {}
        if isinstance(about, dict) and about.get("_type") == "ClassLabel" and about.get("names"):
            names = about["names"]
            numbers = column.to_pylist()
            if all(v is None or 0 <= v < len(names) or v == -1 for v in numbers):
                named = [None if v in (None, -1) else names[v] for v in numbers]
                return np.array(named, object)
        return values(column, name, source)

    wide = [
        field.name
        for field in schema
        if pa.types.is_nested(_storage(field.type)) and field.name != "labels"
    ]
    return Table(list(schema.names), get, wide)


def values(column: Any, name: str, source: str) -> np.ndarray:
    """A column as an array (n, ...); with holes, whole numbers and texts are objects.

    Raises:
      UserError: a type that is no numbers, texts or pictures.
    """
    import pyarrow as pa

    kind = _storage(column.type)
    if isinstance(column.type, pa.ExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind)
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(column, name, source)
    if pa.types.is_struct(kind) and {"bytes", "path"} >= {field.name for field in kind}:
        return _pictures(column.to_pylist(), name, source)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float64()) if pa.types.is_decimal(kind) else column
        return column.to_numpy()
    simple = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if simple and not column.null_count:
        return column.to_numpy()
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if simple or texts or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return np.array(column.to_pylist() + [None], object)[:-1]
    raise UserError(f"{source}: column {name!r} holds {kind}, neither numbers nor texts")


def _storage(kind: Any) -> Any:
    return getattr(kind, "storage_type", kind)


def _lists(column: Any, name: str, source: str) -> np.ndarray:
    """(n, ...) of lists of one length, else padded sequences; a missing list is NaN throughout."""
    import pyarrow as pa

    inner = column.type.value_type
    if not pa.types.is_nested(inner) and column.null_count == 0:
        sizes = pa.compute.list_value_length(column).to_numpy() if len(column) else np.zeros(0)
        if len(sizes) and sizes.min() == sizes.max():  # without a Python object per number
            flat = pa.compute.list_flatten(column)
            if flat.null_count == 0 and (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
                return flat.to_numpy().reshape(len(column), -1)
    return padding.padded(column.to_pylist(), name, source)


def _pictures(rows: list, name: str, source: str) -> np.ndarray:
    from PIL import Image

    found = []
    for i, row in enumerate(rows):
        if not row or not row.get("bytes"):
            raise UserError(
                f"{source}: picture {i} of column {name!r} is not in the file; save it with its "
                "content, or make arrays of the pictures"
            )
        try:
            with Image.open(io.BytesIO(row["bytes"])) as image:
                if image.width * image.height > _PIXELS:
                    raise ValueError(f"{image.width} × {image.height} pixels")
                found.append(np.asarray(image.convert("L" if image.mode in "1L" else "RGB")))
        except Exception as error:  # whatever a foreign picture makes PIL say
            raise UserError(
                f"{source}: picture {i} of column {name!r} cannot be read ({_line(error)})"
            ) from None
    if len({one.shape for one in found}) > 1:
        raise UserError(f"{source}: the pictures of column {name!r} differ in size; resize them")
    return np.stack(found)


def _plain(name: Any, where: Path) -> str:
    """The name of a file in a folder; not a way out of it."""
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        raise UserError(f"{where}: names {str(name)[:60]!r}, which is no file in it; not read")
    return name


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({_line(error)})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: is not what datasets.save_to_disk writes")
    return found


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
