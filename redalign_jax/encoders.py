"""Encoders, as flax.linen modules that are only ever used through `init` and `apply`."""

from collections.abc import Callable

import jax
from flax import linen as nn
from jax import Array

from redalign_jax.linalg import matmul

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "tanh": jax.numpy.tanh,
}


class Dense(nn.Module):
    """wᵀx + b: (a, n) → (features, n), batch last."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps a batch."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[0], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return matmul(kernel, x) + bias[:, None]


class MLP(nn.Module):
    """Dense layers with an activation between them: (n, ...) → (n, features).

    Inputs of more than two dimensions are flattened. The output is linear.

    Attributes:
      widths: hidden widths, may be empty.
      features: output size.
      activation: a key of `ACTIVATIONS`.
    """

    widths: tuple[int, ...]
    features: int
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Encodes a batch."""
        x = x.reshape(x.shape[0], -1).T
        for width in self.widths:
            x = ACTIVATIONS[self.activation](Dense(width)(x))
        return Dense(self.features)(x).T
