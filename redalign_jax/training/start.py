"""A run before its first step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from redalign_jax.alignment import posterior
from redalign_jax.alignment.posterior import Evidence
from redalign_jax.training.data import Data
from redalign_jax.training.flat import optimiser
from redalign_jax.training.model import Hyper, ModelSpec, init


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
        optimiser=optimiser(hyper, params).init(params),
        best=params,
        best_score=scores,
        best_step=jnp.zeros(scores.shape, jnp.int32),
        diverged=jnp.zeros(scores.shape, bool),
        evidence=evidence,
    )
