"""The processes of one job: what they agree on, and how arrays pass between them."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

from redalign_jax.errors import UserError
from redalign_jax.runtime import coordination

T = TypeVar("T")


def first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def agree(f: Callable[[], T]) -> T:
    """`f()` of the first process, on every process; what it returns must be JSON.

    Raises:
      UserError: the first process raised one; then all do.
    """
    if jax.process_count() == 1:
        return f()
    said: dict[str, Any] = {}
    if first():
        try:
            said["value"] = f()
        except UserError as error:
            said["error"] = str(error)
    coordination.meet("agree")
    text = np.frombuffer(json.dumps(said).encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    mine = text if first() else np.zeros(length, np.uint8)
    heard = json.loads(bytes(np.asarray(multihost_utils.broadcast_one_to_all(mine))))
    if "error" in heard:
        raise UserError(heard["error"])
    return heard["value"]


def _all(value: int) -> np.ndarray:
    """`value` of every process, in 64 bits; as bytes, because JAX has 32 of a number."""
    mine = np.array([value], np.int64)
    if jax.process_count() == 1:
        return mine
    coordination.meet("all")
    every = multihost_utils.process_allgather(mine.view(np.uint8))
    return np.ascontiguousarray(every).view(np.int64).ravel()


def any_of(flag: bool) -> bool:
    """Whether `flag` is set on any process."""
    return bool(_all(flag).any())


def all_of(flag: bool) -> bool:
    """Whether `flag` is set on every process."""
    return bool(_all(flag).all())


def least(value: int) -> int:
    """The smallest `value` of any process."""
    return int(_all(value).min())


def gather(tree: Any) -> Any:
    """Arrays of all devices as numpy arrays, whole, on every process."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    jax.block_until_ready(tree)
    coordination.meet("gather")
    return multihost_utils.process_allgather(tree, tiled=True)


def place(sharding: NamedSharding, array: np.ndarray) -> jax.Array:
    """An array that every process holds whole, placed on the devices."""
    return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])


def local_rows(sharding: NamedSharding, rows: int) -> list[int]:
    """The rows that this process's devices hold, of an array of `rows` sharded along the first."""
    parts = sharding.addressable_devices_indices_map((rows,)).values()
    return sorted({row for (part,) in parts for row in range(rows)[part]})


def place_rows(sharding: NamedSharding, rows: int, local: dict[int, Any]) -> Any:
    """A tree of arrays (rows, ...) sharded along the first axis, from this process's rows alone.

    Args:
      sharding: along the first axis.
      rows: of the whole.
      local: a tree of arrays per row of `local_rows`.
    """
    held = sorted(local)
    stacked = jax.tree.map(lambda *a: np.stack(a), *(local[row] for row in held))

    def put(leaf: np.ndarray) -> jax.Array:
        def part(index: tuple[slice, ...]) -> np.ndarray:
            wanted = range(rows)[index[0]]
            start = held.index(wanted[0])
            return leaf[start : start + len(wanted)]

        return jax.make_array_from_callback((rows, *leaf.shape[1:]), sharding, part)

    return jax.tree.map(put, stacked)
