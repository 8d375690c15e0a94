"""Encoders, as flax.linen modules that are only ever used through `init` and `apply`."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from redalign_jax.linalg import matmul

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "tanh": jnp.tanh,
}
DTYPES = ("float32", "bfloat16")


class Dense(nn.Module):
    """wᵀx + b: (a, n) → (features, n), batch last, computed in the type of x."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps a batch."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[0], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return matmul(kernel.astype(x.dtype), x) + bias.astype(x.dtype)[:, None]


class MLP(nn.Module):
    """Dense layers with an activation between them: (n, ...) → (n, features).

    Inputs of more than two dimensions are flattened. The output is linear.

    Attributes:
      widths: hidden widths, may be empty.
      features: output size.
      activation: a key of `ACTIVATIONS`.
      dtype: a key of `DTYPES`, of the products and activations; parameters and output are float32.
    """

    widths: tuple[int, ...]
    features: int
    activation: str = "relu"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Encodes a batch."""
        x = x.reshape(x.shape[0], -1).T.astype(self.dtype)
        for width in self.widths:
            x = ACTIVATIONS[self.activation](Dense(width)(x))
        return Dense(self.features)(x).T.astype(jnp.float32)


def _patches(x: Array) -> Array:
    """(c, h, w, n) → (9c, h, w, n): every pixel's 3×3 neighbourhood, zeros beyond the border."""
    _, h, w, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)])


def _pool(x: Array) -> Array:
    """(c, h, w, n) → (c, ⌊h/2⌋, ⌊w/2⌋, n): the largest of 2×2."""
    h, w = (size // 2 * 2 for size in x.shape[1:3])
    x = jnp.maximum(x[:, 0:h:2, :w], x[:, 1:h:2, :w])
    return jnp.maximum(x[:, :, 0::2], x[:, :, 1::2])


class CNN(nn.Module):
    """Stages of 3×3 convolution, activation and 2×2 max-pooling, then a dense layer.

    Images (n, h, w) or (n, h, w, c) → (n, features). Whole numbers are taken for 0–255 and scaled
    to [0, 1]. A convolution is the product of its kernel with shifted copies of the image, batch
    last: where every run has a kernel of its own it stays a matrix product, which XLA's
    convolutions, grouped by vmap (jax issue 26568), do not.

    Attributes:
      widths: channels of the stages.
      features: output size.
      activation: a key of `ACTIVATIONS`.
      dtype: a key of `DTYPES`, of the products and activations; parameters and output are float32.
    """

    widths: tuple[int, ...]
    features: int
    activation: str = "relu"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Encodes a batch."""
        scale = 255 if jnp.issubdtype(x.dtype, jnp.integer) else 1
        x = x[..., None] if x.ndim == 3 else x
        x = x.transpose(3, 1, 2, 0).astype(self.dtype) / scale
        for width in self.widths:
            seen = _patches(x)
            out = Dense(width)(seen.reshape(len(seen), -1)).reshape(width, *seen.shape[1:])
            x = _pool(ACTIVATIONS[self.activation](out))
        return Dense(self.features)(x.reshape(-1, x.shape[-1])).T.astype(jnp.float32)


KINDS = {"mlp": MLP, "cnn": CNN}
