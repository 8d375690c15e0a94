"""A bag of tokens."""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from redalign_jax.task import lengths


class Bag(nn.Module):
    """A linear map of the mean of the tokens' vectors: (n, t) integers, zero after the end.

    Joulin et al. 2017 (arXiv 1607.01759). Vectors begin close to zero, so that words of which no
    label was seen say next to nothing.

    Attributes:
      vocabulary: tokens are below it.
      width: of the vectors.
      features: output size.
    """

    vocabulary: int
    width: int
    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Encodes a batch → (n, features)."""
        vectors = nn.Embed(
            self.vocabulary, self.width, embedding_init=nn.initializers.normal(0.01)
        )(x)
        there = (jnp.arange(x.shape[1])[None] < lengths(x)[:, None])[:, :, None]
        mean = jnp.sum(vectors * there, axis=1) / jnp.maximum(jnp.sum(there, axis=1), 1)
        return nn.Dense(self.features)(mean)
