"""Dense layers."""

from collections.abc import Callable

import jax
from flax import linen as nn
from jax import Array

from redalign_jax.encoders.inputs import numbers
from redalign_jax.linalg import matmul

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "tanh": jax.numpy.tanh,
}


def _dense(features: int) -> nn.Dense:
    return nn.Dense(features, dot_general=lambda x, w, *_, **__: matmul(x, w))


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
        x = numbers(x).reshape(x.shape[0], -1)
        for width in self.widths:
            x = ACTIVATIONS[self.activation](_dense(width)(x))
        return _dense(self.features)(x)
