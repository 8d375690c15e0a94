"""Transformers: over sequences of feature vectors, over tokens, over patches of an image."""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from redalign_jax.task import lengths, to_float


class Blocks(nn.Module):
    """Pre-norm Transformer blocks and a mean over what is there: (n, t, width) → (n, features).

    Vaswani et al. 2017 (arXiv 1706.03762), normalised before each part as in Xiong et al. 2020
    (arXiv 2002.04745); positions are learned.

    Attributes:
      depth: blocks.
      heads: of attention; divides the width.
      features: output size.
      dtype: of the computation; parameters and the output are float32.
    """

    depth: int
    heads: int
    features: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array, length: Array | None = None) -> Array:
        """Encodes a batch whose sequences end after `length` (n,) steps, or fill x."""
        _, t, width = x.shape
        positions = self.param("positions", nn.initializers.normal(0.02), (t, width))
        x = x + positions.astype(x.dtype)[None]
        there = jnp.ones(x.shape[:2], bool)
        if length is not None:
            there = jnp.arange(t)[None] < length[:, None]
        mask = None if length is None else there[:, None, None]
        for _ in range(self.depth):
            y = nn.LayerNorm(dtype=self.dtype)(x)
            x = x + nn.MultiHeadDotProductAttention(self.heads, dtype=self.dtype)(y, mask=mask)
            y = nn.LayerNorm(dtype=self.dtype)(x)
            y = nn.gelu(nn.Dense(4 * width, dtype=self.dtype)(y))
            x = x + nn.Dense(width, dtype=self.dtype)(y)
        x = nn.LayerNorm(dtype=self.dtype)(x).astype(jnp.float32)
        count = jnp.maximum(jnp.sum(there, axis=1, keepdims=True), 1)
        return nn.Dense(self.features)(jnp.sum(x * there[:, :, None], axis=1) / count)


class SequenceTransformer(nn.Module):
    """A Transformer over vectors, (n, t, d) floats, or tokens, (n, t) integers; zero after the end.

    Attributes:
      width: of the blocks.
      vocabulary: tokens are below it; 0 for vectors.
      depth, heads, features, dtype: see `Blocks`.
    """

    width: int
    depth: int
    heads: int
    features: int
    vocabulary: int = 0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Encodes a batch → (n, features)."""
        if self.vocabulary:
            y = nn.Embed(self.vocabulary, self.width, dtype=self.dtype)(x)
        else:
            y = nn.Dense(self.width, dtype=self.dtype)(x)
        return Blocks(self.depth, self.heads, self.features, self.dtype)(y, lengths(x))


class ViT(nn.Module):
    """A Transformer over the patches of an image (n, h, w, c), the mean of which it returns.

    Dosovitskiy et al. 2021 (arXiv 2010.11929), with the mean in place of a class token. An image
    that the patches do not divide is padded with zeros on the right and below.

    Attributes:
      patch: height and width of a patch.
      width: of the blocks.
      depth, heads, features, dtype: see `Blocks`.
    """

    patch: int
    width: int
    depth: int
    heads: int
    features: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Encodes a batch → (n, features)."""
        x, p = to_float(x), self.patch
        n, h, w, c = x.shape
        x = jnp.pad(x, ((0, 0), (0, -h % p), (0, -w % p), (0, 0)))
        rows, columns = x.shape[1] // p, x.shape[2] // p
        x = x.reshape(n, rows, p, columns, p, c).swapaxes(2, 3).reshape(n, rows * columns, -1)
        x = nn.Dense(self.width, dtype=self.dtype)(x)
        return Blocks(self.depth, self.heads, self.features, self.dtype)(x)
