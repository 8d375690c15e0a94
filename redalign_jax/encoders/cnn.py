"""Convolutions."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from redalign_jax.encoders.mlp import ACTIVATIONS, Dense
from redalign_jax.runtime.lapack import matmul, matmul_gradient
from redalign_jax.task import to_float


def _patches(x: Array) -> Array:
    """(c, h, w, n) → (9c, h, w, n): every pixel's 3×3 neighbourhood, zeros beyond the border."""
    _, h, w, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)])


@jax.custom_vjp
def _convolve(kernel: Array, x: Array) -> Array:
    """3×3 convolution of (c, h, w, n) with a kernel (9c, features) → (features, h, w, n).

    The gradient makes the neighbourhoods again: they are nine times the image, and all that a step
    would have to keep of it.
    """
    seen = _patches(x)
    return matmul(kernel, seen.reshape(len(seen), -1)).reshape(-1, *x.shape[1:])


def _forward(kernel: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(kernel, x), (kernel, x)


def _backward(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    kernel, x = saved
    x, g = jax.lax.optimization_barrier((x, g))  # else XLA keeps the forward pass's
    seen, back = jax.vjp(_patches, x)
    of_kernel, of_seen = matmul_gradient(kernel, seen.reshape(len(seen), -1), g.reshape(len(g), -1))
    return of_kernel, *back(of_seen.reshape(seen.shape))


_convolve.defvjp(_forward, _backward)


class Convolution(nn.Module):
    """3×3 convolution: (c, h, w, n) → (features, h, w, n), computed in the type of x."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps a batch."""
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (9 * x.shape[0], self.features)
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return _convolve(kernel.astype(x.dtype), x) + bias.astype(x.dtype)[:, None, None, None]


def _pool(x: Array) -> Array:
    """(c, h, w, n) → (c, ⌊h/2⌋, ⌊w/2⌋, n): the largest of 2×2."""
    h, w = (size // 2 * 2 for size in x.shape[1:3])
    x = jnp.maximum(x[:, 0:h:2, :w], x[:, 1:h:2, :w])
    return jnp.maximum(x[:, :, 0::2], x[:, :, 1::2])


class CNN(nn.Module):
    """Stages of 3×3 convolution, activation and 2×2 max-pooling, then a dense layer.

    Images (n, h, w) or (n, h, w, c) → (n, features). A convolution is the product of its kernel
    with shifted copies of the image, batch last: where every run has a kernel of its own it stays a
    matrix product, which XLA's convolutions, grouped by vmap (jax issue 26568), do not.

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
        x = to_float(x[..., None] if x.ndim == 3 else x)
        x = x.transpose(3, 1, 2, 0).astype(self.dtype)
        for stage, width in enumerate(self.widths):
            out = Convolution(width, name=f"Dense_{stage}")(x)
            x = _pool(ACTIVATIONS[self.activation](out))
        last = Dense(self.features, name=f"Dense_{len(self.widths)}")
        return last(x.reshape(-1, x.shape[-1])).T.astype(jnp.float32)
