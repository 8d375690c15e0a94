"""A run's parameters as one flat vector: how it reads, and the optimiser on it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from redalign_jax.training.model import Hyper, ModelSpec, Params, init


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


def optimiser(hyper: Hyper, decayed: Array) -> optax.GradientTransformation:
    """Adam with decoupled weight decay of the numbers that `decayed`, (P,), marks by 1."""
    return optax.chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(hyper.weight_decay * decayed),
        optax.scale(-hyper.learning_rate),
    )
