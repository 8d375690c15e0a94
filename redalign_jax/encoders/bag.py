"""A bag of tokens."""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from redalign_jax.data.task import lengths
from redalign_jax.encoders.mlp import MLP


class Bag(nn.Module):
    """The mean of the tokens' vectors, then an MLP: (n, t) integers, zero after the end.

    Attributes:
      vocabulary: tokens are below it.
      width: of the vectors.
      widths, features, activation: of the MLP.
    """

    vocabulary: int
    width: int
    widths: tuple[int, ...]
    features: int
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Encodes a batch → (n, features)."""
        vectors = nn.Embed(self.vocabulary, self.width)(x)
        there = (jnp.arange(x.shape[1]) < lengths(x)[:, None])[:, :, None]
        mean = jnp.sum(vectors * there, axis=1) / jnp.maximum(jnp.sum(there, axis=1), 1)
        return MLP(self.widths, self.features, self.activation)(mean)
