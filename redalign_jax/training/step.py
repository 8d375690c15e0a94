"""One step of a run: losses, their gradient, an encoder that diverges frozen."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from redalign_jax import alignment
from redalign_jax.alignment import posterior
from redalign_jax.alignment.blocks import total as summed
from redalign_jax.alignment.posterior import Evidence
from redalign_jax.task import Split
from redalign_jax.training.flat import Layout, optimiser
from redalign_jax.training.model import (
    Hyper,
    ModelSpec,
    Params,
    alignment_losses,
    embed,
    predict,
    task_losses,
)
from redalign_jax.training.start import State

# Mean task loss (nats, or standard deviations of the target) beyond which an encoder diverged.
DIVERGED = 1e4


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
    updates, moments = optimiser(hyper, read.decayed).update(
        gradient, state.optimiser, state.params
    )
    params = optax.apply_updates(state.params, updates)
    finite = jnp.isfinite(params) & jnp.isfinite(moments[0].nu)
    finite = read.all(finite, len(state.diverged) + 1)
    own = ~state.diverged & finite[:-1] & (parts[0] < DIVERGED)
    diverged = ~own | ((hyper.strength > 0) & _lost(own, finite[-1], parts[1]))
    keep = jnp.append(~diverged, finite[-1])[read.owner]
    params, moments = jax.tree.map(
        lambda new, old: jnp.where(keep, new, old) if new.ndim else new,  # a count of steps
        (params, moments),
        (state.params, state.optimiser),
    )
    return state._replace(params=params, optimiser=moments, diverged=diverged), parts


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
