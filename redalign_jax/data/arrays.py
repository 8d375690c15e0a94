"""Your own arrays: one `.npz` file with an array per modality and one named `labels`."""

import os
import zipfile
import zlib

import numpy as np
from ml_collections import ConfigDict

from redalign_jax.data import identity, splits
from redalign_jax.data.task import Task
from redalign_jax.errors import UserError

LABELS = "labels"


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "arrays",
            "path": "",  # the .npz file
            "modalities": ("",),  # comma-separated arrays; "" = all but `labels`, in file order
            "labels": (0,),  # labelled training pairs; 0 = all
            "valid": 0.1,
            "test": 0.2,
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """Reads a task from `numpy.savez("mine.npz", audio=…, text=…, labels=…)`.

    Row i of every array describes the same thing. See `splits.make_task` for what labels may be and
    for what becomes of the arrays.

    Args:
      config: the fields of `defaults`, one value each.
      seed: of the splits.

    Returns:
      The task.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    if not config.path:
        raise UserError("data.path is empty: name an .npz file with one array per modality")
    path = os.path.expanduser(config.path)
    with _open(path) as file:
        identity.note_file(path)
        if LABELS not in file.files:
            raise UserError(f"{path}: no array named 'labels'; it has {', '.join(file.files)}")
        available = [name for name in file.files if name != LABELS]
        if len(available) < 2:
            raise UserError(
                f"{path}: alignment needs two modalities or more besides 'labels'; "
                f"it has {', '.join(available) or 'none'}"
            )
        names = splits.choose(config.modalities, available, path)
        x = {name: _member(file, name, path) for name in names}
        y = _member(file, LABELS, path)
    return splits.make_task(
        x,
        y,
        labels=config.labels,
        valid=config.valid,
        test=config.test,
        seed=seed,
        source=path,
    )


def _open(path: str) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        file = None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise UserError(f"{path}: not an .npz file; write one with numpy.savez")
    return file


def _member(file: np.lib.npyio.NpzFile, name: str, path: str) -> np.ndarray:
    try:
        return np.asarray(file[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise UserError(f"{path}: array {name!r} cannot be read ({error})") from None
        raise UserError(
            f"{path}: array {name!r} holds Python objects (pickle), which are never loaded; "
            "save numbers or strings, for example with .astype(str)"
        ) from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: array {name!r} cannot be read ({error})") from None
