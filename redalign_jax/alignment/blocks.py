"""Batches whose similarity matrix is never whole: by blocks of rows, and split over devices.

A device holds n / devices rows of every array of the batch. It compares its own rows of one
modality with all rows of the other; what it returns is its part of the loss, so that the parts'
*sum* over devices is the loss, and gradients are to be summed over devices in the same way.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def gathered(x: Array, axis: str | None) -> Array:
    """All devices' rows along the mesh axis `axis`, in order; `x` itself without an axis."""
    return x if axis is None else jax.lax.all_gather(x, axis, tiled=True)


def positions(rows: int, axis: str | None) -> Array:
    """(rows,) places of a device's rows in the whole batch."""
    first = 0 if axis is None else jax.lax.axis_index(axis) * rows
    return first + jnp.arange(rows)


def batch_size(rows: int, axis: str | None) -> int:
    """Rows of the whole batch."""
    return rows if axis is None else rows * jax.lax.psum(1, axis)


def total(x: Array, axis: str | None) -> Array:
    """The sum over devices, on all of them."""
    return x if axis is None else jax.lax.psum(x, axis)


def number(counted: Array, axis: str | None) -> Array:
    """How many rows of the whole batch count, at least 1; `counted` (..., rows) is 1 or 0."""
    return jnp.maximum(total(jnp.sum(counted, axis=-1), axis), 1)


def own_rows(x: Array, axis: str | None) -> Array:
    """The sum over devices of `x` (n, ...), of which each keeps its own rows."""
    return x if axis is None else jax.lax.psum_scatter(x, axis, tiled=True)


def scan(f: Callable[[Any, Any], tuple[Any, Any]], carry: Any, rows: Any, block: int) -> Any:
    """`jax.lax.scan` over blocks of rows, the last of which may be smaller.

    Args:
      f: (carry, block of rows) → (carry, outputs per row, or None).
      carry: to begin with.
      rows: a tree of arrays that share their first axis.
      block: rows per block; 0 for all.

    Returns:
      The last carry, and the outputs of all rows.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    if not 0 < block < count:
        return f(carry, rows)
    whole = count // block * block

    def split(x: Array) -> Array:
        return x[:whole].reshape(whole // block, block, *x.shape[1:])

    carry, out = jax.lax.scan(f, carry, jax.tree.map(split, rows))
    out = jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), out)
    if whole < count:
        carry, tail = f(carry, jax.tree.map(lambda x: x[whole:], rows))
        out = jax.tree.map(lambda *both: jnp.concatenate(both), out, tail)
    return carry, out
