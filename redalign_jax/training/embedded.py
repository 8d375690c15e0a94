"""Embeddings of a whole split."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.data.rows import Rows
from redalign_jax.task import Split
from redalign_jax.training import batches
from redalign_jax.training.model import ModelSpec, Params

TURN = 2048  # rows that are read at a time, where tasks share them
HEAVY_TURN = 256  # of encoders whose activations are many times their inputs


@partial(jax.tree_util.register_dataclass, data_fields=["now", "best"], meta_fields=[])
@dataclass(frozen=True)
class Embeddings:
    """In the place of a modality in a split whose rows were embedded before.

    Attributes:
      now: (n, d) by the parameters after the last step.
      best: (n, d) by those at the best validation score; None where nobody asks.
    """

    now: Array
    best: Array | None = None


def embedded(
    model: ModelSpec, params: Params, split: Split, best: bool = False
) -> tuple[Array, ...]:
    """(n, d) per modality, by turns where memory asks for it; `Embeddings` are taken as they are.

    `best`: whether `params` are those at the best validation score.
    """
    found = []
    for m, x in enumerate(split.x):
        of = partial(_one, model, params, split, m)
        if isinstance(x, Embeddings):
            found.append(x.best if best else x.now)
        elif model.heavy(m):
            found.append(_by_turns(of, len(x), HEAVY_TURN))
        elif isinstance(x, Rows):
            found.append(_by_turns(of, len(x), TURN))
        else:
            found.append(of(slice(None)))
    return tuple(found)


def _one(model: ModelSpec, params: Params, split: Split, m: int, rows: Array | slice) -> Array:
    """Some rows of modality m."""
    there = None if split.present is None else split.present[m : m + 1, rows]
    x = batches.cleared((split.x[m][rows],), there)
    return model.encoders[m].apply(params["encoders"][m]["encoder"], *x)


def _by_turns(f: Callable[[Array | slice], Array], count: int, most: int) -> Array:
    """`f` of rows 0 … count − 1, at most `most` at a time; the last turn repeats the last row."""
    turns = -(-count // most)
    if turns == 1:
        return f(slice(None))
    width = -(-count // turns)
    rows = jnp.minimum(jnp.arange(turns * width), count - 1).reshape(turns, width)
    found = jax.lax.map(f, rows)
    return found.reshape(-1, *found.shape[2:])[:count]
