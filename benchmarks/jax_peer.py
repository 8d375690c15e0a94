"""The same training in JAX, the way one would write it: flax, optax, a jitted step, a Python loop.

`assert_same_work` holds it to redalign's own step: from equal parameters and batches, equal losses.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array
from ml_collections import ConfigDict

from benchmarks.timing import Contestant
from redalign_jax.sweep import grid
from redalign_jax.task import Split
from redalign_jax.training.data import Data
from redalign_jax.training.flat import layout
from redalign_jax.training.model import Hyper, ModelSpec
from redalign_jax.training.start import start
from redalign_jax.training.step import step

LEARNING_RATE, TEMPERATURE = 3e-3, 0.2
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


class Network(nn.Module):
    """Both encoders and both heads. `sizes` are widths after the input, the last one the head's."""

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, *inputs: Array) -> tuple[list[Array], list[Array]]:
        """Embeddings and logits of a batch."""
        embeddings, logits = [], []
        for m, x in enumerate(inputs):
            for k, size in enumerate(self.sizes[:-1]):
                x = nn.Dense(size, name=f"encoder_{m}_{k}")(x if k == 0 else nn.relu(x))
            embeddings.append(x)
            logits.append(nn.Dense(self.sizes[-1], name=f"head_{m}")(x))
        return embeddings, logits


def losses(network: Network, params: Any, batch: Batch) -> tuple[Array, Array]:
    """The summed task loss and the alignment loss, InfoNCE as it is usually written."""
    *inputs, y = batch
    embeddings, logits = network.apply(params, *inputs)
    task = sum(optax.softmax_cross_entropy_with_integer_labels(z, y).mean() for z in logits)
    a, b = (h / jnp.linalg.norm(h, axis=1, keepdims=True) for h in embeddings)
    s, same = a @ b.T / TEMPERATURE, jnp.arange(len(y))
    both = [optax.softmax_cross_entropy_with_integer_labels(z, same).mean() for z in (s, s.T)]
    return task, sum(both) / 2


class Loop:
    """One run after another; every step is one call of a compiled function."""

    def __init__(self, sizes: tuple[int, ...], split: Split) -> None:
        self.network, self.optimiser = Network(sizes), optax.adam(LEARNING_RATE)
        self.split = (*(np.asarray(x, np.float32) for x in split.x), np.asarray(split.y))
        self.start = jax.jit(self.network.init)
        self.step = jax.jit(self._step, donate_argnums=(0, 1))

    def _step(self, params: Any, state: Any, strength: Array, batch: Batch) -> tuple[Any, Any]:
        def loss(params: Any) -> Array:
            task, align = losses(self.network, params, batch)
            return task + strength * align

        updates, state = self.optimiser.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    def train(self, batch: int, steps: int) -> None:
        """A whole run."""
        params = self.start(jax.random.key(0), *(x[:1] for x in self.split[:-1]))
        state = self.optimiser.init(params)
        for now in batches(self.split, batch, steps):
            params, state = self.step(params, state, jnp.float32(1), now)
        jax.block_until_ready(params)


def batches(split: Batch, size: int, steps: int) -> Iterator[Batch]:
    """Shuffled epochs, the incomplete last batch dropped."""
    rng, done = np.random.default_rng(0), 0
    while True:
        order = rng.permutation(len(split[-1]))
        for rows in order[: len(order) // size * size].reshape(-1, size):
            if done == steps:
                return
            done += 1
            yield tuple(a[rows] for a in split)


def assert_same_work(model: ModelSpec, data: Data, sizes: tuple[int, ...], batch: int) -> None:
    """Compares the losses with those of redalign's step, from its parameters.

    Raises:
      AssertionError: they do not do the same work.
    """
    hyper = Hyper(*(jnp.float32(v) for v in (0, TEMPERATURE, LEARNING_RATE, 0, 1, 1, 0)))
    hyper = hyper._replace(strength=jnp.ones(2, jnp.float32))
    read = layout(model, data.train.x)
    state = start(model, hyper, jax.random.key(0), data)
    own = {}
    for m, part in enumerate(read.unravel(state.params)["encoders"]):
        dense = part["encoder"]["params"]
        own |= {f"encoder_{m}_{k}": dense[name] for k, name in enumerate(sorted(dense))}
        own[f"head_{m}"] = part["head"]["params"]["Dense_0"]
    x = tuple(np.asarray(a[:batch], np.float32) for a in data.train.x)
    y = np.asarray(data.train.y[:batch])
    ours = step(model, read, hyper, state, Split(x, y), None, jnp.float32(0))[1]
    task, align = losses(Network(sizes), {"params": own}, (*x, y))
    apart = max(abs(float(ours[0].sum() - task)), abs(float(ours[1][0] - align)))
    assert apart < 1e-5, f"losses differ by {apart}"


def contestants(
    config: ConfigDict, group: grid.Group, layers: list[tuple[int, int]], run_steps: int
) -> dict[str, Contestant]:
    """The peer, after proof that it does the same work."""
    sizes, batch = tuple(size for _, size in layers), config.train.batch
    assert_same_work(group.model, group.example, sizes, batch)
    loop = Loop(sizes, group.example.train)
    return {
        "JAX loop": Contestant(partial(loop.train, batch, run_steps), run_steps, "jit per step")
    }
