"""What the validation split says of a run."""

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.alignment import posterior
from redalign_jax.alignment.blocks import number
from redalign_jax.alignment.posterior import Evidence
from redalign_jax.task import Split
from redalign_jax.training.data import Data
from redalign_jax.training.embedded import embedded
from redalign_jax.training.model import ModelSpec, Params, predict, task_losses
from redalign_jax.training.start import State


def heads(model: ModelSpec, params: Params, split: Split) -> tuple[Array, ...]:
    """What each encoder's own head says about a split, see `model.predict`."""
    with jax.default_matmul_precision("highest"):
        return predict(model, params, embedded(model, params, split))


def validate(model: ModelSpec, outputs: tuple[Array, ...], split: Split) -> Array:
    """(M,) score of each encoder's own head: accuracy, or negative mean absolute error."""
    if model.classes:
        found = [jnp.argmax(o, axis=-1) == split.y for o in outputs]
        if split.present is None:
            return jnp.stack([jnp.mean(one) for one in found])
        right = jnp.sum(jnp.stack(found) & split.present, axis=1)
        return right / number(split.present, None)
    return -task_losses(model, outputs, split.y, split.present)


def weigh(model: ModelSpec, key: Array, data: Data, state: State, outputs: Array) -> Evidence:
    """The evidence of (M, n) outputs on the validation split, or on `posterior.MOST` rows of it."""
    rows = jnp.arange(len(data.valid.y))
    if len(rows) > posterior.MOST:
        rows = jax.random.permutation(jax.random.fold_in(key, 3), len(rows))[: posterior.MOST]
    rows = jnp.broadcast_to(rows, (len(outputs), len(rows)))
    if data.order is not None:
        rows = jnp.take_along_axis(data.order.valid, rows, axis=1)
    outputs = jax.vmap(lambda o, own: o[own])(outputs, rows)
    present = data.valid.present
    if present is not None:
        present = jnp.take_along_axis(present, rows, axis=1)
    return posterior.fit(
        outputs, data.valid.y[rows], state.evidence.prior, model.classes, state.diverged, present
    )
