"""Dense layers."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from redalign_jax.runtime.lapack import matmul
from redalign_jax.task import to_float

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
        x = to_float(x).reshape(x.shape[0], -1).T.astype(self.dtype)
        for width in self.widths:
            x = ACTIVATIONS[self.activation](Dense(width)(x))
        return Dense(self.features)(x).T.astype(jnp.float32)
