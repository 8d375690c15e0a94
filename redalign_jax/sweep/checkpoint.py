"""The block in progress, saved between segments: written in the background, the last two kept."""

import errno
import hashlib
import logging
import math
import os
import re
import time
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from redalign_jax.errors import UserError
from redalign_jax.runtime import processes, workdir
from redalign_jax.sweep.block import Block, BlockState

FOLDER = workdir.CHECKPOINTS
KEPT = 2


def _identity(block: Block) -> str:
    """Which runs, in which order: only the very same block goes on from a checkpoint."""
    places = block.places
    return hashlib.sha256(repr(places.shape).encode() + places.tobytes()).hexdigest()


@jax.jit
def _digests(tree: Any) -> list[Array]:
    """Per array, Σ bits · (2 · position + 1) mod 2³²: changes with every changed number."""

    def digest(a: Array) -> Array:
        a = a.astype(jnp.uint32) if a.dtype.itemsize != 4 else a
        bits = jax.lax.bitcast_convert_type(a, jnp.uint32).ravel()
        return jnp.sum(bits * (2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1))

    return [digest(a) for a in jax.tree.leaves(tree)]


def _seal(carry: BlockState) -> list[int]:
    state = [int(d) for d in processes.gather(_digests(carry.state))]
    return state + [zlib.crc32(np.ascontiguousarray(c)) for c in jax.tree.leaves(carry.curves)]


def _code(error: BaseException) -> int | None:
    """The operating system's number of an error that came through many layers."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return int(code[1]) if code else None


def _passing(error: BaseException) -> bool:
    """Whether it says that the file system failed, and nothing about what it holds."""
    return _code(error) not in (None, errno.ENOENT, errno.ENOTDIR)


def _one_line(error: BaseException) -> str:
    code = _code(error)
    if code:
        return os.strerror(code)
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _not_of_orbax(record: logging.LogRecord) -> bool:
    """Orbax logs every error of every layer; ours is one line."""
    return "orbax" not in record.pathname


def _saved(tree: Any) -> Any:
    """The arrays that hold something: Orbax refuses others, such as the pairs of one modality."""
    return jax.tree.map(lambda a: a if math.prod(a.shape) else None, tree)


def _filled(tree: Any, whole: Any) -> Any:
    """`tree` of `_saved` with its empty arrays, shaped and placed as in `whole`."""

    def fill(like: Any, a: Any) -> Any:
        if a is not None:
            return a
        empty = np.zeros(like.shape, like.dtype)
        return jax.device_put(empty, like.sharding) if hasattr(like, "sharding") else empty

    return jax.tree.map(fill, whole, tree)


class Checkpoints:
    """Saves and finds the blocks in progress of one workdir.

    Attributes:
      folder: of the checkpoints.
      every: seconds that pass at least between two saves; 0 saves after every segment.
    """

    def __init__(self, workdir: Path, every: float) -> None:
        import orbax.checkpoint as ocp  # a quarter of a second, spent only by sweeps

        self._ocp = ocp
        self.folder = workdir.resolve() / FOLDER
        self.every = every
        self._saved_at = time.monotonic()
        try:
            self._manager = ocp.CheckpointManager(
                self.folder,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=KEPT, create=True, cleanup_tmp_directories=True
                ),
            )
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: BaseException) -> UserError:
        return UserError(
            f"workdir: {self.folder} cannot be written, what was saved before stays: "
            f"{_one_line(error)}"
        )

    def save(self, block: Block, carry: BlockState) -> None:
        """Begins to save, in the background.

        Raises:
          UserError: this one or the last cannot be written, for want of space or other reasons.
        """
        about = {"block": _identity(block), "step": carry.step, "seal": _seal(carry)}
        args = self._ocp.args
        number = max(self._manager.all_steps(), default=-1) + 1
        tree = _saved({"state": carry.state, "curves": jax.tree.map(np.copy, carry.curves)})
        try:
            self._manager.save(
                number,
                args=args.Composite(carry=args.StandardSave(tree), about=args.JsonSave(about)),
            )
        except Exception as error:  # of the file system, through many layers
            raise self._unwritable(error) from None
        self._saved_at = time.monotonic()

    def save_if_due(self, block: Block, carry: BlockState) -> None:
        """Saves if `every` seconds have passed since the last time."""
        due = time.monotonic() - self._saved_at >= self.every
        if processes.agree(lambda: due):
            self.save(block, carry)

    def wait(self) -> None:
        """Until all is written.

        Raises:
          UserError: it cannot be.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unwritable(error) from None

    def restore(self, block: Block) -> BlockState | None:
        """The newest readable state of this very block; None if there is none.

        A checkpoint that is torn or has changed since it was written is left out with a warning.

        Raises:
          UserError: one cannot be read now, which is no reason to train anew.
        """
        for number in sorted(self._manager.all_steps(), reverse=True):
            about, carry, broken, passing = {}, None, "", False
            try:
                about = self._about(number)
                if about["block"] == _identity(block):
                    carry = self._carry(number, block, about["step"])
            except Exception as error:  # whatever a torn file makes of its readers
                broken, passing = _one_line(error), _passing(error)
            if processes.any_of(passing):
                raise UserError(
                    f"workdir: {self.folder / str(number)} cannot be read: "
                    f"{broken or 'not by another process'}; nothing is deleted, the same command "
                    "goes on once it can be"
                )
            if processes.all_of(not broken):
                if carry is None or _seal(carry) == about["seal"]:
                    return carry
                broken = "its contents have changed"
            logging.warning(
                "checkpoint %s cannot be read, the one before is taken: %s",
                self.folder / str(number),
                broken or "another process cannot read it",
            )
        return None

    def _about(self, number: int) -> dict[str, Any]:
        args = self._ocp.args
        return self._manager.restore(number, args=args.Composite(about=args.JsonRestore())).about

    def _carry(self, number: int, block: Block, step: int) -> BlockState:
        train = block.config.train
        if step not in range(0, train.steps + 1, train.steps // train.evaluations):
            raise ValueError(f"step {step} ends no segment")
        args = self._ocp.args
        whole = {"state": block.program.state, "curves": block.curves()}
        wanted = args.StandardRestore(_saved(whole))
        tree = self._manager.restore(number, args=args.Composite(carry=wanted)).carry
        tree = _filled(tree, whole)
        return BlockState(step, tree["state"], jax.tree.map(np.array, tree["curves"]))

    def __enter__(self) -> "Checkpoints":
        logging.getLogger("absl").addFilter(_not_of_orbax)
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for what is being written and lets go."""
        try:
            self._manager.close()
        finally:
            logging.getLogger("absl").removeFilter(_not_of_orbax)
