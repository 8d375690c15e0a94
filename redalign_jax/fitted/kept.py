"""The parameters that a sweep has trained, kept per run until one is chosen."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from redalign_jax.errors import UserError
from redalign_jax.runtime import processes, workdir
from redalign_jax.sweep.block import Block
from redalign_jax.training.start import State

FOLDER = "encoders"


class Kept(NamedTuple):
    """One run.

    Attributes:
      best: (P,) each encoder's parameters at its best validation score, flat; see `flat.Layout`.
      score: (M,) that score, see `validate.validate`; −∞ where there is none.
      step: (M,) when it was.
    """

    best: np.ndarray
    score: np.ndarray
    step: np.ndarray


def keep(folder: Path, block: Block, state: State) -> None:
    """Writes the runs of a trained block, one file each, whole or not at all."""
    found = Kept(*processes.gather((state.best, state.best_score, state.best_step)))
    if not processes.first():
        return
    for (row, column), place in np.ndenumerate(block.places):
        run = {name: np.ascontiguousarray(a[row, column]) for name, a in found._asdict().items()}
        content = safetensors.numpy.save(run)
        workdir.write(_path(folder, place), lambda p, content=content: p.write_bytes(content))


def read(folder: Path, place: int) -> Kept:
    """The run at a place in the grid.

    Raises:
      UserError: it was not kept, or cannot be read.
    """
    path = _path(folder, place)
    try:
        return Kept(**safetensors.numpy.load(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(
            f"workdir: the encoders of these results were not kept in {folder}; name another folder"
        ) from None
    except OSError as error:
        raise UserError(f"workdir: {path} cannot be read: {error.strerror or error}") from None
    except (SafetensorError, TypeError):
        raise UserError(f"workdir: {path} is damaged; name another folder") from None


def _path(folder: Path, place: int) -> Path:
    return folder / FOLDER / f"{place:06d}.safetensors"
