"""Files by what they are: one short module per format, all with the same arrays as a result."""

import os
from pathlib import Path

from redalign_jax.data import members
from redalign_jax.data.members import Asked, Members, Raw
from redalign_jax.errors import UserError

FORMATS = (
    ".npz, .npy, .csv, .tsv, .parquet, .mat, .h5ad, .h5mu, a folder of .npy files or one of "
    "datasets.save_to_disk"
)


def read(path: str, asked: Asked) -> tuple[Members, Raw]:
    """Reads what `data.path` names.

    Args:
      path: a file or a folder, or several .npy files and a table of labels, between commas.
      asked: which arrays or columns are what.

    Returns:
      The arrays row by row, and as they were found: their digests are the identity of the data.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    raw = _raw(path, asked)
    return members.paired(*raw, path), raw


def files(path: str) -> list[str]:
    """The files behind a path, those of a folder in order of their names."""
    if os.path.isdir(path):
        return sorted(str(p) for p in Path(path).rglob("*") if p.is_file())
    if "," in path and not os.path.exists(path):
        return [os.path.expanduser(part.strip()) for part in path.split(",") if part.strip()]
    return [path]


def _raw(path: str, asked: Asked) -> Raw:
    from redalign_jax.data.readers import arrow, mat, npy, npz, omics, tables

    if os.path.isdir(path):
        if arrow.is_folder(path):
            return tables.of_columns(arrow.folder(path), asked, path)
        known = (".npy", ".txt")
        held = [p for p in files(path) if p.endswith(known) or tables.is_table(p)]
        held = [p for p in held if Path(p).parent == Path(path)]
        if not any(p.endswith(".npy") for p in held):
            raise UserError(
                f"{path}: a folder without .npy files, and none of datasets.save_to_disk; "
                f"data.path may be {FORMATS}"
            )
        return npy.read(held, path, asked)
    several = files(path)
    if len(several) > 1 or path.endswith(".npy"):
        other = [p for p in several if not (p.endswith((".npy", ".txt")) or tables.is_table(p))]
        if other:
            raise UserError(
                f"data.path: {other[0]!r} is no .npy file and no table; a list is of .npy files and"
                " a table of labels"
            )
        return npy.read(several, path, asked)
    ending = Path(path).suffix.lower()
    if ending and ending != ".npz" and not os.path.isfile(path):
        raise UserError(f"{path}: cannot be read (No such file or directory)")
    if tables.is_table(path):
        return tables.read(path, asked)
    by_ending = {".mat": mat, ".h5ad": omics, ".h5mu": omics, ".npz": npz, "": npz}
    if ending not in by_ending:
        raise UserError(f"{path}: {ending} files are not read; data.path may be {FORMATS}")
    return by_ending[ending].read(path, asked)
