"""Matrix products and factorisations that are safe and fast under vmap on every platform."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def batch_safe(factorise: Callable[..., Any]) -> Callable[..., Any]:
    """`factorise`, one matrix at a time on CPU however it is vmapped, batched elsewhere.

    XLA's CPU kernels of Cholesky and eigh split a batch over the thread pool they run on and wait
    for it; with several host devices all threads can end up waiting, and the program hangs.
    """
    one_by_one = jax.custom_batching.sequential_vmap(factorise)

    def safe(*matrices: Array) -> Any:
        return jax.lax.platform_dependent(*matrices, cpu=one_by_one, default=factorise)

    return safe


def power_of_two(x: Array, axis: int | None = None) -> Array:
    """A power of two, with x's axes kept, that brings the largest |x| along `axis` into [1, 2).

    Multiplied by it, float32 numbers lose no digit, and their squares neither overflow nor vanish.
    No gradient passes through it. It is 0 where all are 0, and finite whatever x is.
    """
    top = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis, keepdims=True)).astype(jnp.float32)
    exponent = jax.lax.bitcast_convert_type(top, jnp.int32) & 0x7F800000
    inverse = jnp.maximum(0x7F000000 - exponent, 0x00800000)
    return jax.lax.bitcast_convert_type(jnp.where(exponent == 0, 0, inverse), jnp.float32)


@jax.custom_vjp
def matmul(w: Array, x: Array) -> Array:
    """wᵀx for a kernel (a, b) and a batch (a, n) → (b, n), with as fast a gradient.

    XLA's CPU product runs along the last axis: with the batch there no layer is too narrow for
    its vectors. The barriers keep it from folding a transpose into a product, which is slower
    than the two apart.
    """
    return _forward(w, x)[0]


def _forward(w: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
    return jax.lax.optimization_barrier(w.T) @ x, (w, x)


def matmul_gradient(w: Array, x: Array, g: Array) -> tuple[Array, Array]:
    """The gradient of `matmul` to w and x for one of its result, g (b, n)."""
    g = jax.lax.optimization_barrier(g)
    over_batch = (((1,), (1,)), ((), ()))
    if x.shape[0] > g.shape[0]:  # the wider operand belongs on the left
        kernel = jax.lax.dot_general(x, g, over_batch)
    else:
        kernel = jax.lax.optimization_barrier(jax.lax.dot_general(g, x, over_batch)).T
    return kernel, w @ g


matmul.defvjp(_forward, lambda saved, g: matmul_gradient(*saved, g))
