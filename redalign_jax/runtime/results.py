"""The tidy table: one row per run × subject × metric."""

import hashlib
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from redalign_jax import renamed
from redalign_jax.errors import UserError
from redalign_jax.runtime import workdir

RESULTS, CURVES, DECOMPOSITION = "results", "curves", "decomposition"
SUMS = "tables.sha256"  # of the csv files, as `sha256sum -c` reads them
SHAPE = b"redalign"  # where a parquet file says what its rows and columns are
TEXTS = ("subject", "metric", "first", "second", "method")  # columns of texts, whatever they say
BALANCED = "balanced"  # the column that marks runs of the balanced mechanism
SHUFFLED = "shuffled"  # the column that marks runs whose partners are shuffled


def strength_columns(
    settings: Sequence[dict[str, Any]], modalities: Sequence[str]
) -> dict[str, list[float]]:
    """λ of every setting as columns.

    `strength` is the strength all encoders share, NaN where they differ; `strength_<modality>` are
    there once any setting gives encoders strengths of their own.
    """
    each = [
        s["strength"] if isinstance(s["strength"], tuple) else (s["strength"],) * len(modalities)
        for s in settings
    ]
    columns = {"strength": [float(v[0]) if len(set(v)) == 1 else np.nan for v in each]}
    if any(isinstance(s["strength"], tuple) for s in settings):
        for m, name in enumerate(modalities):
            columns[f"strength_{name}"] = [float(v[m]) for v in each]
    return columns


def tidy(
    runs: pd.DataFrame,
    measured: dict[tuple, np.ndarray],
    names: Sequence[str],
    diverged: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Rows from columns.

    Args:
      runs: one row per run: its place in the grid, task axes, seed, hyperparameters.
      measured: {key: (runs,) values}; a key has one part per name.
      names: what the parts of a key are called, "subject" among them.
      diverged: {modality: (runs,)} whether its encoder diverged. A pair did if one of the two did,
        every other subject if any did.

    Returns:
      `runs` repeated per key, with the key's parts, `value` and `diverged`.
    """
    parts = []
    for key, values in measured.items():
        part = runs.copy()
        for name, k in zip(names, key, strict=True):
            part[name] = k
        subject = key[names.index("subject")]
        members = [name for name in subject.split("|") if name in diverged] or list(diverged)
        part["value"] = np.asarray(values, np.float64)
        part["diverged"] = np.any([diverged[name] for name in members], axis=0)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


class Damaged(Exception):
    """A table whose bytes could all be read, and are not those of a table."""


def save(table: pd.DataFrame, folder: Path, name: str) -> None:
    """Writes `<name>.csv` and its checksum, then the same rows as `<name>.parquet`."""
    csv = folder / f"{name}.csv"
    workdir.write(csv, lambda p: table.to_csv(p, index=False))
    sums = _sums(folder) | {csv.name: hashlib.sha256(csv.read_bytes()).hexdigest()}
    text = "".join(f"{sums[file]}  {file}\n" for file in sorted(sums))
    workdir.write(folder / SUMS, lambda p: p.write_text(text, "utf-8"))
    write_parquet(table, folder / f"{name}.parquet")


def remove(folder: Path, name: str) -> None:
    """Takes a table away."""
    for suffix in ("parquet", "csv"):
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def _sums(folder: Path) -> dict[str, str]:
    """The checksums by the names of the files; none of them where they cannot be read."""
    try:
        rows = [line.split() for line in (folder / SUMS).read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return {}
    return {row[1]: row[0] for row in rows if len(row) == 2}


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Writes one file, whole or not at all, with what tells later whether it is as it was."""
    content = pa.Table.from_pandas(table, preserve_index=False)
    about = {**content.schema.metadata, SHAPE: _shape(content)}
    content = content.replace_schema_metadata(about)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # pyarrow does not take every name that a file can have
            parquet.write_table(content, file, write_page_checksum=True)

    workdir.write(path, write)


def _shape(table: pa.Table) -> bytes:
    """Number of rows, names and types: what the checksums of the numbers leave out."""
    columns = ", ".join(f"{field.name} {field.type}" for field in table.schema)
    return f"{table.num_rows} × {columns}".encode()


def there(folder: Path, name: str = RESULTS) -> bool:
    """Whether the workdir has the table `name`: its parquet, damaged or not, or its whole csv."""
    if (folder / f"{name}.parquet").exists():
        return True
    return f"{name}.csv" in _sums(folder) and _csv(folder, name) is not None


def load(path: Path) -> pd.DataFrame:
    """The rows of one parquet file.

    Raises:
      FileNotFoundError: there is none.
      UserError: it cannot be read now, which says nothing about its content.
      Damaged: it was read, and is damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(
            f"workdir: {path} cannot be read: {error.strerror or error}; nothing is deleted, the "
            "same command goes on once it can be"
        ) from None
    try:
        table = parquet.read_table(io.BytesIO(content), page_checksum_verification=True)
        shape = (table.schema.metadata or {}).get(SHAPE)  # None where others wrote the file
        frame = table.to_pandas()
        if shape and (shape != _shape(table) or list(frame.columns) != table.column_names):
            raise ValueError("rows or columns have changed")
        return frame.rename(columns=renamed.COLUMNS)
    except MemoryError:
        raise
    except Exception as error:  # pyarrow has many of its own
        raise Damaged(str(error).splitlines()[0][:200]) from None


def read(folder: Path, name: str = RESULTS) -> pd.DataFrame:
    """The table `name` of a workdir; where its parquet file is no more, the same rows of its csv.

    Raises:
      UserError: there is none, or neither can be read.
    """
    path = folder / f"{name}.parquet"
    try:
        return load(path)
    except FileNotFoundError:
        job = "decompose" if name == DECOMPOSITION else "sweep"
        said = f"workdir: {folder} holds no {path.name}; run --job={job} first"
    except Damaged as error:
        said = f"workdir: {path} cannot be read ({error}), nor is {name}.csv whole; delete both to "
        said += "have them made again" + f", and {RESULTS}.* with them" * (name == CURVES)
    table = _from_csv(folder, name)
    if table is None:
        raise UserError(said)
    logging.warning("%s is missing or damaged; %s.csv, which holds the same, is read", path, name)
    return table


def mend(folder: Path, name: str) -> None:
    """Makes a missing or damaged parquet file again from its csv.

    Raises:
      UserError: see `read`.
    """
    path = folder / f"{name}.parquet"
    try:
        load(path)
    except (FileNotFoundError, Damaged):
        write_parquet(read(folder, name), path)


def _from_csv(folder: Path, name: str) -> pd.DataFrame | None:
    """The rows of `<name>.csv` in the types they had; None if there is none that can be read."""
    content = _csv(folder, name)
    if content is None:
        return None
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except ValueError:
        return None
    whole = bool(len(table)) and not table.isna().any(axis=None)  # not cut inside a row
    return table.apply(_typed).rename(columns=renamed.COLUMNS) if whole else None


def _csv(folder: Path, name: str) -> bytes | None:
    """The bytes of `<name>.csv`; None if there is none, or it is not as it was written.

    A workdir of an older version has no checksum: there the last row must be whole at least.
    """
    try:
        content = (folder / f"{name}.csv").read_bytes()
    except OSError:
        return None
    want = _sums(folder).get(f"{name}.csv")
    whole = want == hashlib.sha256(content).hexdigest() if want else content.endswith(b"\n")
    return content if whole else None


def _typed(texts: pd.Series) -> pd.Series:
    """A column of texts as what it was before it was written."""
    if texts.name in TEXTS:
        return texts
    if texts.isin(("True", "False")).all():
        return texts == "True"
    for kind in (np.int64, np.float64):
        try:
            return texts.replace("", "nan").astype(kind)
        except ValueError:
            pass
    return texts
