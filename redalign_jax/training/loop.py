"""One run as pure functions of (hyper, data, key): start, a segment of steps, validation."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from redalign_jax import alignment
from redalign_jax.alignment import posterior
from redalign_jax.alignment.blocks import number
from redalign_jax.alignment.blocks import total as summed
from redalign_jax.alignment.posterior import Evidence
from redalign_jax.runtime import devices
from redalign_jax.task import Split
from redalign_jax.training import batches
from redalign_jax.training.model import (
    Hyper,
    ModelSpec,
    Params,
    alignment_losses,
    embed,
    init,
    predict,
    task_losses,
)

# Mean task loss (nats, or standard deviations of the target) beyond which an encoder diverged.
DIVERGED = 1e4


class Order(NamedTuple):
    """Which row of every modality stands beside which, where partners are shuffled.

    Attributes:
      train: (M, n) a permutation of the training rows per modality, for pairs to align.
      valid: (M, n_valid) the same for the validation split, for what posteriors are weighed on.
    """

    train: Array
    valid: Array


class Data(NamedTuple):
    """A task's arrays on the device.

    Attributes:
      train, valid, test: the splits; targets of a regression are standardised.
      zero: where the zero of a regression's own units is on that scale, scalar; None for classes.
      order: of shuffled partners; None where row i of every modality is about the same thing. Task
        losses, validation scores and measures know nothing of it.
    """

    train: Split
    valid: Split
    test: Split
    zero: Array | None = None
    order: Order | None = None


class TrainSpec(NamedTuple):
    """Static numbers of training.

    Attributes:
      steps: optimiser steps.
      batch: training pairs per step; the labelled batch is as large, or all labelled examples
        where they are fewer.
      evaluations: equal segments of training, each ended by a look at the validation split.
      shards: devices that share every batch, along the mesh axis `devices.BATCH`.
    """

    steps: int
    batch: int
    evaluations: int
    shards: int = 1


class State(NamedTuple):
    """A run between two steps.

    Attributes:
      params: the parameters as one flat vector, so that an optimiser step is one kernel.
      optimiser: Adam's moments.
      best: the parameters at each encoder's best validation score so far, flat.
      best_score: (M,) that score; see `validate`.
      best_step: (M,) the step it was reached.
      diverged: (M,) which encoders have stopped changing.
      evidence: what the validation split said at the last look, for the objective "posterior".
    """

    params: Array
    optimiser: optax.OptState
    best: Array
    best_score: Array
    best_step: Array
    diverged: Array
    evidence: Evidence | None


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


def _optimiser(hyper: Hyper, decayed: Array) -> optax.GradientTransformation:
    return optax.chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(hyper.weight_decay * decayed),
        optax.scale(-hyper.learning_rate),
    )


class Layout(NamedTuple):
    """How a flat parameter vector reads.

    Attributes:
      unravel: (P,) → the tree of `model.init`.
      owner: (P,) the encoder each number belongs to, M for what is shared.
      decayed: (P,) 1 on kernels, 0 elsewhere: embeddings, positions, norms and every bias.
    """

    unravel: Callable[[Array], Params]
    owner: np.ndarray
    decayed: np.ndarray

    def all(self, fine: Array, owners: int) -> Array:
        """(P,) → (owners,) whether all of an owner's numbers are fine."""
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        ends = np.append(starts[1:], len(self.owner))
        found: list[list[Array]] = [[] for _ in range(owners)]
        for start, end in zip(starts, ends, strict=True):
            found[self.owner[start]].append(jnp.all(fine[start:end]))
        return jnp.stack([jnp.all(jnp.array(parts, bool)) for parts in found])


def layout(model: ModelSpec, inputs: tuple[Array, ...]) -> Layout:
    """The layout of `model`'s parameters for inputs of these shapes."""
    hyper = Hyper(*(jnp.float32(1) for _ in Hyper._fields))
    shapes = jax.eval_shape(lambda k: init(model, hyper, k, inputs), jax.random.key(0))
    _, unravel = ravel_pytree(jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes))
    owner, decayed = [], []
    for path, leaf in jax.tree.leaves_with_path(shapes):
        of_encoder = path[0].key == "encoders"
        owner.append(np.full(leaf.size, path[1].idx if of_encoder else len(model.modalities)))
        decayed.append(np.full(leaf.size, path[-1].key == "kernel", np.float32))
    return Layout(unravel, np.concatenate(owner), np.concatenate(decayed))


def start(model: ModelSpec, hyper: Hyper, key: Array, data: Data) -> State:
    """The run before its first step; its validation scores are those of nothing, −∞."""
    params = ravel_pytree(init(model, hyper, jax.random.fold_in(key, 0), data.train.x))[0]
    scores = jnp.full(len(model.modalities), -jnp.inf)
    evidence = None
    if model.objective == "posterior":
        before = posterior.prior(data.train.y, model.classes)
        evidence = posterior.nothing(len(model.modalities), before)
    return State(
        params=params,
        optimiser=_optimiser(hyper, params).init(params),
        best=params,
        best_score=scores,
        best_step=jnp.zeros(scores.shape, jnp.int32),
        diverged=jnp.zeros(scores.shape, bool),
        evidence=evidence,
    )


def losses(
    model: ModelSpec,
    params: Params,
    hyper: Hyper,
    labelled: Split,
    paired: tuple[Array, ...] | None,
    on: Array,
    axis: str | None = None,
    diverged: Array | None = None,
    evidence: Evidence | None = None,
    present: Array | None = None,
) -> tuple[Array, tuple[Array, Array]]:
    """L_task + L_align with each encoder's share of the alignment gradient.

    Args:
      model: the choices.
      params: of the run.
      hyper: of the run.
      labelled: a batch with labels.
      paired: a batch to align, or None to align the labelled one.
      on: the schedule's factor.
      axis: mesh axis over which both batches are split; losses and gradients are to be summed
        over it.
      diverged: (M,) encoders that take no part in alignment; None for none.
      evidence: see `alignment_losses`.
      present: (M, n) which rows of `paired` a modality has, None for all; see `Split.present`.

    Returns:
      The scalar to differentiate, and ((M,) task losses, (pairs,) unscaled alignment losses, NaN
      for a pair that is not aligned). Its *gradient* is that of Σ_m L_task,m + λ L_align; strengths
      do not scale its value.
    """
    n = labelled.y.shape[0]
    x = labelled.x
    if paired is not None:
        x = tuple(jnp.concatenate(both) for both in zip(x, paired, strict=True))
    h = embed(model, params, x)
    outputs = predict(model, params, tuple(e[:n] for e in h))
    task = task_losses(model, outputs, labelled.y, labelled.present, axis)
    if paired is not None:
        h = tuple(e[n:] for e in h)
    else:
        present = labelled.present
    # one whose loss is lost in this very step pulls nobody either
    lost = ~(summed(jax.lax.stop_gradient(task), axis) < DIVERGED)
    apart = lost if diverged is None else diverged | lost
    align = alignment_losses(model, params, hyper, h, on, axis, apart, evidence, present)
    aligned = jnp.where(jnp.isnan(align), 0, align)
    return jnp.sum(task) + jnp.sum(aligned), (task, align)


def step(
    model: ModelSpec,
    read: Layout,
    hyper: Hyper,
    state: State,
    labelled: Split,
    paired: tuple[Array, ...] | None,
    progress: Array,
    axis: str | None = None,
    present: Array | None = None,
) -> tuple[State, tuple[Array, Array]]:
    """One optimiser step; an encoder that diverges stays as it was, then and from then on.

    It diverges when its own task loss is beyond DIVERGED, when a parameter or a moment of its
    gradient would not be finite, or, where it feels alignment, when that is not finite although
    both encoders are. Its partners go on without it.

    Args:
      model: the choices.
      read: layout of the flat parameters.
      hyper: of the run.
      state: before the step.
      labelled: batch with labels.
      paired: batch to align, or None for the labelled one.
      progress: part of training done before this step.
      axis: mesh axis over which the batches are split.
      present: of the pairs, see `losses`.

    Returns:
      The state after, and (task losses, alignment losses) before the step.
    """
    on = alignment.schedule(model.schedule, progress, hyper.align_fraction)
    if model.objective == "posterior":
        on = jnp.where(progress < posterior.START, 0, on)

    def loss(params: Array) -> tuple[Array, tuple[Array, Array]]:
        tree = read.unravel(params)
        return losses(
            model, tree, hyper, labelled, paired, on, axis, state.diverged, state.evidence, present
        )

    (_, parts), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    parts, gradient = jax.tree.map(lambda x: summed(x, axis), (parts, gradient))
    updates, optimiser = _optimiser(hyper, read.decayed).update(
        gradient, state.optimiser, state.params
    )
    params = optax.apply_updates(state.params, updates)
    finite = jnp.isfinite(params) & jnp.isfinite(optimiser[0].nu)
    finite = read.all(finite, len(state.diverged) + 1)
    own = ~state.diverged & finite[:-1] & (parts[0] < DIVERGED)
    diverged = ~own | ((hyper.strength > 0) & _lost(own, finite[-1], parts[1]))
    keep = jnp.append(~diverged, finite[-1])[read.owner]
    params, optimiser = jax.tree.map(
        lambda new, old: jnp.where(keep, new, old) if new.ndim else new,  # a count of steps
        (params, optimiser),
        (state.params, state.optimiser),
    )
    return state._replace(params=params, optimiser=optimiser, diverged=diverged), parts


def _lost(own: Array, shared: Array, align: Array) -> Array:
    """(M,) whose alignment is not finite through no fault of an encoder.

    Args:
      own: (M,) which encoders are well.
      shared: whether what alignment shares stays finite.
      align: (pairs,) losses.
    """
    first, second = np.array(alignment.pairs(len(own)), int).reshape(-1, 2).T
    lost = ~jnp.isfinite(align) & own[first] & own[second]
    member = (first == np.arange(len(own))[:, None]) | (second == np.arange(len(own))[:, None])
    return ~shared | jnp.any(member & lost[None], axis=1)


def heads(model: ModelSpec, params: Params, split: Split) -> tuple[Array, ...]:
    """What each encoder's own head says about a split, see `model.predict`."""
    with jax.default_matmul_precision("highest"):
        x = batches.cleared(split.x, split.present)
        return predict(model, params, embed(model, params, x))


def validate(model: ModelSpec, outputs: tuple[Array, ...], split: Split) -> Array:
    """(M,) score of each encoder's own head: accuracy, or negative mean absolute error."""
    if model.classes:
        found = [jnp.argmax(o, axis=-1) == split.y for o in outputs]
        if split.present is None:
            return jnp.stack([jnp.mean(one) for one in found])
        right = jnp.sum(jnp.stack(found) & split.present, axis=1)
        return right / number(split.present, None)
    return -task_losses(model, outputs, split.y, split.present)


def _share(rows: Array, shards: int) -> Array:
    """This device's columns of (steps, batch) row numbers."""
    size = rows.shape[1] // shards
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(devices.BATCH) * size, size, 1)


def _weighed(model: ModelSpec, key: Array, data: Data, state: State, outputs: Array) -> Evidence:
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
    read = layout(model, data.train.x)
    labels, pairs = data.train.y.shape[0], data.train.x[0].shape[0]
    label_rows = batches.indices(
        jax.random.fold_in(key, 1), labels, min(plan.batch, labels), first, steps
    )
    pair_rows = None
    if pairs > labels and len(model.modalities) > 1:
        pair_rows = batches.indices(jax.random.fold_in(key, 2), pairs, plan.batch, first, steps)
    elif data.order is not None:
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
    state, (task, align) = jax.lax.scan(body, state, (counts, label_rows, pair_rows))
    outputs = heads(model, read.unravel(state.params), data.valid)
    score = validate(model, outputs, data.valid)
    better = score > state.best_score
    owned = jnp.append(better, jnp.any(better))[read.owner]
    state = state._replace(
        best=jnp.where(owned, state.params, state.best),
        best_score=jnp.where(better, score, state.best_score),
        best_step=jnp.where(better, first + steps, state.best_step),
    )
    if state.evidence is not None:
        found = _weighed(model, key, data, state, jnp.stack(outputs))
        state = state._replace(evidence=found)
    return state, TrainMetrics(
        jnp.mean(task, axis=0), jnp.mean(align, axis=0), score, state.evidence
    )
