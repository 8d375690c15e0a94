"""Datasets that TensorFlow Datasets has prepared as array_record files: prepare, open, read.

TensorFlow itself is not needed, and no network: a builder's data are in the package or in files.
"""

import contextlib
import functools
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from redalign_jax.data import identity
from redalign_jax.errors import UserError
from redalign_jax.runtime import locks

INFO = "dataset_info.json"  # TFDS writes it last


def directory(data_dir: str) -> Path:
    """Where datasets live: `data_dir`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    if "://" in chosen:
        raise UserError(f"data.data_dir={chosen!r}: only local directories are supported")
    try:
        return Path(chosen).expanduser()
    except RuntimeError:
        raise UserError(f"data.data_dir: {chosen!r}, and this user has no home; name one") from None


class LocalBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of our builders: the data are here already, TFDS downloads nothing.

    Attributes:
      files: what the data are made from, as `prepare` got them.
    """

    # Looking for checksums of downloads, TFDS 4.9.10 imports a module that it does not require.
    url_infos = None

    def __init__(self, *, files: Sequence[Path] = (), **options: Any) -> None:
        self.files = tuple(files)
        super().__init__(**options)


def prepare(
    builder: type[LocalBuilder],
    data_dir: str,
    fetch: Callable[[], Sequence[Path]] = tuple,
    variant: str = "",
) -> Path:
    """Prepares a dataset of ours, if that has not been done before.

    One process prepares while others that want the same wait for it. The dataset is written under a
    temporary name and renamed, so that it is there completely or not at all, even where a process
    is killed (it leaves an `incomplete.*` directory, which nothing reads).

    Args:
      builder: the class; raise its VERSION whenever what it generates changes.
      data_dir: see `directory`.
      fetch: gets the files it is made from; called only where there is something to prepare.
      variant: a name that tells apart what is made from different files; TFDS's config.

    Returns:
      Its version directory, `data_dir/name[/variant]/version`, to `read` from.

    Raises:
      UserError: the directory cannot be written, or holds something else.
    """
    root = directory(data_dir)
    home = root / builder.name / variant / str(builder.VERSION)
    if not (home / INFO).exists():
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with locks.holding(root / builder.name / ".lock", wait=True):
                if not (home / INFO).exists():
                    options = {"files": fetch()}
                    if variant:
                        options["config"] = tfds.core.BuilderConfig(name=variant)
                    _generate(builder, options, home, root)
        except OSError as error:
            raise UserError(f"{home}: cannot be prepared ({_line(error)})") from None
    return home


def _generate(builder: type[LocalBuilder], options: dict[str, Any], home: Path, root: Path) -> None:
    terminal = sys.stderr.isatty()
    tfds.display_progress_bar(terminal)
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # not to be told of a variant that is not predefined
    # A directory of our own: the temporary names of TFDS repeat in forked processes.
    with (
        tempfile.TemporaryDirectory(prefix=f"incomplete.{builder.name}.", dir=root) as draft_root,
        contextlib.redirect_stdout(sys.stderr if terminal else io.StringIO()),
    ):
        try:
            draft = builder(data_dir=draft_root, **options)
        finally:
            logging.set_verbosity(before)
        draft.download_and_prepare(file_format="array_record")
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
    return _open(home, written(home))


# Opening and reading are cached because a sweep draws many tasks from the same rows.
def written(home: Path) -> int:
    """The time of writing, part of the key of a cache: what was prepared anew is read anew."""
    info = home / INFO
    return info.stat().st_mtime_ns if info.exists() else 0


def used(home: Path) -> int:
    """`written`, for a cache of what was read from `home`: its content is noted all the same."""
    identity.note((home, written(home)))
    return written(home)


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
    what = (home, tuple(names), split, written(home))
    arrays = _read(*what)
    identity.note(what)
    return dict(arrays)


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
    arrays = {name: _stack(name, [row[name] for row in rows], home) for name in names}
    called = f"{builder.name}[{split}]"
    digests = {f"{called}.{name}": identity.digest(array) for name, array in arrays.items()}
    for what in ((home, names, split, written), (home, written)):
        identity.know(what, digests)
    return arrays


def read_splits(
    home: Path, names: Iterable[str], splits: Sequence[str] = ("train", "valid", "test")
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Reads the dataset's own splits, one after the other, into one array per feature.

    Args:
      home: the version directory, from `prepare`.
      names: the features to read.
      splits: of the dataset.

    Returns:
      Arrays as from `read`, and the row numbers of every split.

    Raises:
      UserError: as `read`.
    """
    arrays = read(home, names, "+".join(splits))
    info = open_directory(home).info
    ends = np.cumsum([info.splits[name].num_examples for name in splits])
    return arrays, np.split(np.arange(ends[-1]), ends[:-1])


def _stack(name: str, values: list, home: Path) -> np.ndarray:
    try:
        array = np.stack(values) if values else np.empty(0)
    except ValueError:
        raise UserError(f"{home}: the shape of feature {name!r} varies between rows") from None
    array.flags.writeable = False
    return array


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
