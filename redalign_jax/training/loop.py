"""A segment of a run: steps, then a look at the validation split."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.alignment.posterior import Evidence
from redalign_jax.runtime import devices
from redalign_jax.task import Split
from redalign_jax.training import batches
from redalign_jax.training.data import Data
from redalign_jax.training.flat import layout
from redalign_jax.training.model import Hyper, ModelSpec
from redalign_jax.training.start import State
from redalign_jax.training.step import step
from redalign_jax.training.validate import heads, validate, weigh


class TrainSpec(NamedTuple):
    """Static numbers of training.

    Attributes:
      steps: optimiser steps.
      batch: training pairs per step; the labelled batch is as large, or all labelled examples
        where they are fewer.
      evaluations: equal segments of training, each ended by a look at the validation split.
      shards: devices that share every batch, along the mesh axis `devices.BATCH`.
      precision: of the products of training, one of `fields.PRECISIONS`.
    """

    steps: int
    batch: int
    evaluations: int
    shards: int = 1
    precision: str = "default"


class TrainMetrics(NamedTuple):
    """What one segment showed: means over its steps, and the validation score at its end.

    Attributes:
      task_loss: (M,) nats, or standard deviations of a regression's target.
      alignment_loss: (pairs,), unscaled by strength; NaN once an encoder of the pair diverged.
      valid: (M,) accuracy, or negative mean absolute error in the same units.
      evidence: see `State`.
    """

    task_loss: Array
    alignment_loss: Array
    valid: Array
    evidence: Evidence | None = None


def _share(rows: Array, shards: int) -> Array:
    """This device's columns of (steps, batch) row numbers."""
    size = rows.shape[1] // shards
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(devices.BATCH) * size, size, 1)


def segment(
    model: ModelSpec,
    plan: TrainSpec,
    hyper: Hyper,
    key: Array,
    data: Data,
    state: State,
    first: Array,
) -> tuple[State, TrainMetrics]:
    """Trains from step `first` for one segment, then looks at the validation split.

    Args:
      model: the choices.
      plan: static numbers.
      hyper: of the run.
      key: of the run; decides init and batches, never the hyperparameters' place in a grid.
      data: the task on the device.
      state: of the run.
      first: number of steps done before, scalar int32.

    Returns:
      The state and what the segment showed.
    """
    steps = plan.steps // plan.evaluations
    state, losses = train(model, plan, hyper, key, data, state, first, steps)
    return look(model, key, data, state, losses, first + steps)


def train(
    model: ModelSpec,
    plan: TrainSpec,
    hyper: Hyper,
    key: Array,
    data: Data,
    state: State,
    first: Array,
    steps: int,
) -> tuple[State, tuple[Array, Array]]:
    """Some steps: arguments as of `segment`.

    Returns:
      The state; (steps, M) task losses and (steps, pairs) alignment losses.
    """
    read = layout(model, data.train.x)
    labels, pairs = data.train.y.shape[0], data.train.x[0].shape[0]
    label_rows, pair_rows = batches.drawn(key, labels, pairs, plan.batch, first, steps)
    if len(model.modalities) == 1:
        pair_rows = None
    if pair_rows is None and data.order is not None:
        pair_rows = label_rows

    def pair(rows: Array) -> tuple[tuple[Array, ...], Array | None]:
        if data.order is None:
            return batches.take(data.train, [rows] * len(model.modalities))
        return batches.take(data.train, [own[rows] for own in data.order.train])

    def body(state: State, now: tuple) -> tuple[State, tuple[Array, Array]]:
        count, rows, aligned = now
        x, own = batches.take(data.train, [rows] * len(model.modalities))
        labelled = Split(x, data.train.y[rows], own)
        paired, present = (None, None) if aligned is None else pair(aligned)
        return step(model, read, hyper, state, labelled, paired, count / plan.steps, axis, present)

    axis = devices.BATCH if plan.shards > 1 else None
    if axis:
        label_rows, pair_rows = jax.tree.map(
            lambda r: _share(r, plan.shards), (label_rows, pair_rows)
        )
    counts = first + jnp.arange(steps)
    with _products(plan.precision):
        return jax.lax.scan(body, state, (counts, label_rows, pair_rows))


def _products(precision: str) -> AbstractContextManager[None]:
    """Products traced here have this precision; as JAX was told where it is "default"."""
    return nullcontext() if precision == "default" else jax.default_matmul_precision(precision)


def look(
    model: ModelSpec,
    key: Array,
    data: Data,
    state: State,
    losses: tuple[Array, Array],
    done: Array,
) -> tuple[State, TrainMetrics]:
    """The validation split after a segment: the best parameters so far, and the evidence.

    Args:
      model: the choices.
      key: of the run.
      data: the task on the device.
      state: after the segment.
      losses: of all of its steps, see `train`.
      done: number of steps done, scalar int32.
    """
    read = layout(model, data.train.x)
    outputs = heads(model, read.unravel(state.params), data.valid)
    score = validate(model, outputs, data.valid)
    better = score > state.best_score
    owned = jnp.append(better, jnp.any(better))[read.owner]
    state = state._replace(
        best=jnp.where(owned, state.params, state.best),
        best_score=jnp.where(better, score, state.best_score),
        best_step=jnp.where(better, done, state.best_step),
    )
    if state.evidence is not None:
        found = weigh(model, key, data, state, jnp.stack(outputs))
        state = state._replace(evidence=found)
    task, align = (jnp.mean(each, axis=0) for each in losses)
    return state, TrainMetrics(task, align, score, state.evidence)
