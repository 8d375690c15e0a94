"""Files that a user has to get by hand: where they are looked for, and what is made of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from redalign_jax.data import prepared
from redalign_jax.errors import UserError


def folder(builder: type[prepared.LocalBuilder], manual_dir: str, data_dir: str) -> Path:
    """`manual_dir`, else TFDS's own place: downloads/manual/NAME below the data directory."""
    if manual_dir:
        return Path(manual_dir).expanduser()
    return prepared.directory(data_dir) / "downloads" / "manual" / builder.name


def prepare(
    builder: type[prepared.LocalBuilder],
    names: Sequence[str],
    what: str,
    manual_dir: str,
    data_dir: str,
) -> Path:
    """Prepares a dataset from files got by hand, once for every version of them.

    What was prepared stays usable when the files are gone, unless `manual_dir` asks for them.

    Args:
      builder: the class.
      names: of the files, below `folder`.
      what: says what to put there.
      manual_dir: the field of the config.
      data_dir: likewise.

    Returns:
      The version directory, to `prepared.read` from.

    Raises:
      UserError: a file is missing (its whole path, and what to put there), or unusable.
    """
    place = folder(builder, manual_dir, data_dir)
    files = [place / name for name in names]
    missing = [file for file in files if not file.is_file()]
    if not missing:
        return prepared.prepare(builder, data_dir, lambda: files, _fingerprint(files))
    made = _prepared(builder, data_dir)
    if made and not manual_dir:
        return max(made, key=lambda home: (home / prepared.INFO).stat().st_mtime_ns)
    raise UserError(
        f"{missing[0]} is missing: put {what} there, or name another folder as data.manual_dir"
    )


def checksums(files: Sequence[Path]) -> tfds.core.MetadataDict:
    """SHA-256 of the files, by name, to be kept with what was made of them (metadata.json)."""
    found = {}
    for path in files:
        with open(path, "rb") as file:
            found[f"{path.parent.name}/{path.name}"] = hashlib.file_digest(
                file, "sha256"
            ).hexdigest()
    return tfds.core.MetadataDict(sha256=found)


def _prepared(builder: type[prepared.LocalBuilder], data_dir: str) -> list[Path]:
    home = prepared.directory(data_dir) / builder.name
    return [info.parent for info in home.glob(f"*/{builder.VERSION}/{prepared.INFO}")]


def _fingerprint(files: Sequence[Path]) -> str:
    """Changes with the files: their names, sizes and times, since some are gigabytes."""
    about = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(about).encode()).hexdigest()[:12]
