"""Dense factorisations that are safe and fast under vmap on every platform."""

from collections.abc import Callable
from typing import Any

import jax


def batch_safe(factorise: Callable[..., Any]) -> Callable[..., Any]:
    """`factorise`, one matrix at a time on CPU however it is vmapped, batched elsewhere.

    XLA's CPU kernels of Cholesky and eigh split a batch over the thread pool they run on and wait
    for it; with several host devices all threads can end up waiting, and the program hangs.
    """
    one_by_one = jax.custom_batching.sequential_vmap(factorise)

    def safe(*matrices: jax.Array) -> Any:
        return jax.lax.platform_dependent(*matrices, cpu=one_by_one, default=factorise)

    return safe
