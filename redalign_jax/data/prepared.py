"""Datasets that TensorFlow Datasets has prepared as array_record files: prepare, open, read.

TensorFlow itself is not needed, and no network: a builder brings its data with it.
"""

import contextlib
import functools
import io
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from redalign_jax.errors import UserError

INFO = "dataset_info.json"  # TFDS writes it last


def directory(data_dir: str) -> Path:
    """Where datasets live: `data_dir`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if "://" in chosen:
        raise UserError(f"data.data_dir={chosen!r}: only local directories are supported")
    return Path(chosen).expanduser()


class LocalBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of our builders: the data are here already, nothing is downloaded."""

    # Looking for checksums of downloads, TFDS 4.9.10 imports a module that it does not require.
    url_infos = None


def prepare(builder: type[LocalBuilder], data_dir: str) -> Path:
    """Prepares a dataset of ours, if that has not been done before.

    The dataset is written under a temporary name and renamed, so that it is there completely or not
    at all: a process may be killed, and several may prepare the same dataset at once (the last ones
    find it there and throw theirs away). A kill leaves only an `incomplete.*` directory, which
    nothing reads.

    Args:
      builder: the class; raise its VERSION whenever what it generates changes.
      data_dir: see `directory`.

    Returns:
      Its version directory, `data_dir/name/version`, to `read` from.

    Raises:
      UserError: the directory cannot be written, or holds something else.
    """
    root = directory(data_dir)
    home = root / builder.name / str(builder.VERSION)
    if not (home / INFO).exists():
        try:
            _generate(builder, home, root)
        except OSError as error:
            raise UserError(f"{home}: cannot be prepared ({_line(error)})") from None
    return home


def _generate(builder: type[LocalBuilder], home: Path, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr.isatty()
    tfds.display_progress_bar(terminal)
    # A directory of our own: the temporary names of TFDS repeat in forked processes.
    with (
        tempfile.TemporaryDirectory(prefix=f"incomplete.{builder.name}.", dir=root) as draft_root,
        contextlib.redirect_stdout(sys.stderr if terminal else io.StringIO()),
    ):
        draft = builder(data_dir=draft_root)
        draft.download_and_prepare(file_format="array_record")
        home.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(draft.data_dir, home)
        except OSError:
            if not (home / INFO).exists():  # otherwise another process was faster
                raise UserError(f"{home}: not a complete dataset, delete it") from None


def open_directory(home: Path) -> tfds.core.DatasetBuilder:
    """Opens a prepared dataset from its version directory.

    Raises:
      UserError: something in it is missing or broken.
    """
    return _open(home, _written(home))


# Opening and reading are cached because a sweep draws many tasks from the same rows. The time of
# writing is part of the key: a dataset that was prepared anew is read anew.
def _written(home: Path) -> int:
    info = home / INFO
    return info.stat().st_mtime_ns if info.exists() else 0


@functools.lru_cache(maxsize=2)
def _open(home: Path, written: int) -> tfds.core.DatasetBuilder:
    del written
    try:
        return tfds.builder_from_directory(os.fspath(home))
    except Exception as error:  # whatever a damaged file makes of the parser
        raise UserError(f"{home}: not a complete dataset, delete it ({_line(error)})") from None


def read(home: Path, names: Iterable[str], split: str = "all") -> dict[str, np.ndarray]:
    """Reads a prepared dataset into memory; a second call with the same arguments costs nothing.

    Args:
      home: the version directory, from `prepare`.
      names: the features to read.
      split: a TFDS split, such as "train", "train[:1000]" or "all".

    Returns:
      One read-only array (n, ...) per feature, rows in the order of the files.

    Raises:
      UserError: no such split, not array_record, damaged files, or a feature whose shape varies.
    """
    return dict(_read(home, tuple(names), split, _written(home)))


@functools.lru_cache(maxsize=2)
def _read(home: Path, names: tuple[str, ...], split: str, written: int) -> dict[str, np.ndarray]:
    builder = _open(home, written)
    try:
        source = builder.as_data_source(split)
    except NotImplementedError:
        raise UserError(
            f"{home} is stored as {builder.info.file_format.value}, which needs TensorFlow to be "
            "read: prepare it with file_format='array_record'"
        ) from None
    except ValueError as error:
        raise UserError(f"data.split={split!r} of {home}: {_line(error)}") from None
    try:
        rows = source.__getitems__(list(range(len(source))))
    except Exception as error:  # likewise
        raise UserError(f"{home}: cannot be read, delete it if damaged ({_line(error)})") from None
    return {name: _stack(name, [row[name] for row in rows], home) for name in names}


def _stack(name: str, values: list, home: Path) -> np.ndarray:
    try:
        array = np.stack(values) if values else np.empty(0)
    except ValueError:
        raise UserError(f"{home}: the shape of feature {name!r} varies between rows") from None
    array.flags.writeable = False
    return array


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
