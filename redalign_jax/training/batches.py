"""Which examples each step sees: a pure function of a key and a step number."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.task import Split


def indices(key: Array, examples: int, batch: int, start: Array, steps: int) -> Array:
    """Batches start, …, start + steps − 1 of an endless sequence of shuffled epochs.

    Every epoch is a fresh permutation, cut into ⌊examples / batch⌋ batches; what remains of it is
    dropped. Any stretch of the sequence can be asked for, so nothing about the order of examples
    has to be kept between segments of training.

    Args:
      key: of the run; runs that share it share their batches.
      examples: number of examples n.
      batch: batch size ≤ n. With batch = n every batch is the whole set, in order.
      start: first step, scalar int32, may be traced.
      steps: number of batches, static.

    Returns:
      (steps, batch) int32 row numbers.
    """
    if batch == examples:
        return jnp.broadcast_to(jnp.arange(examples, dtype=jnp.int32), (steps, batch))
    per_epoch = examples // batch
    epochs = (steps - 2) // per_epoch + 2  # that `steps` batches can touch, wherever they start
    first = start // per_epoch
    keys = jax.vmap(lambda e: jax.random.fold_in(key, first + e))(jnp.arange(epochs))
    order = jax.vmap(lambda k: jax.random.permutation(k, examples))(keys).astype(jnp.int32)
    order = order[:, : per_epoch * batch].reshape(epochs * per_epoch, batch)
    return jax.lax.dynamic_slice_in_dim(order, start - first * per_epoch, steps)


def drawn(
    key: Array, labels: int, pairs: int, batch: int, start: Array, steps: int
) -> tuple[Array, Array | None]:
    """Rows of a stretch of steps: those with a label, and those to align.

    Args:
      key: of the run.
      labels: labelled rows, the first of all.
      pairs: all rows.
      batch: of pairs; the labelled batch is as large, or all labelled rows where they are fewer.
      start, steps: as of `indices`.

    Returns:
      (steps, min(batch, labels)), and (steps, batch), None where labelled rows are aligned.
    """
    labelled = indices(jax.random.fold_in(key, 1), labels, min(batch, labels), start, steps)
    if pairs == labels:
        return labelled, None
    return labelled, indices(jax.random.fold_in(key, 2), pairs, batch, start, steps)


def take(split: Split, rows: Sequence[Array]) -> tuple[tuple[Array, ...], Array | None]:
    """Rows of every modality, and which of them it has: M arrays (batch, ...), (M, batch) or None.

    Args:
      split: of the task.
      rows: M × (batch,) row numbers.
    """
    x = tuple(one[own] for one, own in zip(split.x, rows, strict=True))
    if split.present is None:
        return x, None
    present = jnp.stack([one[own] for one, own in zip(split.present, rows, strict=True)])
    return cleared(x, present), present


def cleared(x: tuple[Array, ...], present: Array | None) -> tuple[Array, ...]:
    """Inputs with zeros in the rows that are not `present`, (M, n): what is there never matters."""
    if present is None:
        return x
    there = [own.reshape(-1, *(1,) * (one.ndim - 1)) for one, own in zip(x, present, strict=True)]
    return tuple(
        jnp.where(own, one, jnp.zeros((), one.dtype)) for one, own in zip(x, there, strict=True)
    )
