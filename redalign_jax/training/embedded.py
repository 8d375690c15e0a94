"""Embeddings of a whole split."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.data.rows import Rows
from redalign_jax.task import Split
from redalign_jax.training import batches
from redalign_jax.training.model import ModelSpec, Params, embed

TURN = 2048  # rows that are read at a time, where tasks share them


def embedded(model: ModelSpec, params: Params, split: Split) -> tuple[Array, ...]:
    """(n, d) per modality; shared rows are read by turns."""
    if not any(isinstance(x, Rows) for x in split.x):
        return embed(model, params, batches.cleared(split.x, split.present))

    def one(m: int, rows: Array) -> Array:
        there = None if split.present is None else split.present[m : m + 1, rows]
        x = batches.cleared((split.x[m][rows],), there)
        return model.encoders[m].apply(params["encoders"][m]["encoder"], *x)

    count = len(split.x[0])
    return tuple(_by_turns(lambda rows, m=m: one(m, rows), count) for m in range(len(split.x)))


def _by_turns(f: Callable[[Array], Array], count: int) -> Array:
    """`f` of rows 0 … count − 1, at most `TURN` at a time; the last turn repeats the last row."""
    turns = -(-count // TURN)
    width = -(-count // turns)
    rows = jnp.minimum(jnp.arange(turns * width), count - 1).reshape(turns, width)
    found = jax.lax.map(f, rows)
    return found.reshape(-1, *found.shape[2:])[:count]
