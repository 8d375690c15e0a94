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


@jax.custom_vjp
def matmul(x: Array, w: Array) -> Array:
    """x w for a batch (n, a) and a kernel (a, b) → (n, b), with a faster gradient of the kernel.

    xᵀg and (gᵀx)ᵀ are the same numbers, but XLA's CPU product runs along the last axis: the wider
    operand belongs on the right.
    """
    return x @ w


def _matmul_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, w = saved
    if x.shape[1] > g.shape[1]:
        # the barrier keeps XLA from turning the transpose back into the slow product
        kernel = jax.lax.optimization_barrier(jnp.tensordot(g, x, (0, 0))).T
    else:
        kernel = jnp.tensordot(x, g, (0, 0))
    return g @ w.T, kernel


matmul.defvjp(lambda x, w: (x @ w, (x, w)), _matmul_backward)
