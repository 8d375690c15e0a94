"""An objective of two modalities becomes one of several."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array

from redalign_jax.alignment.negatives import Negatives


def pairs(modalities: int) -> list[tuple[int, int]]:
    """All pairs (a, b), a < b, of `modalities` encoders."""
    return [(a, b) for a in range(modalities) for b in range(a + 1, modalities)]


def all_pairs(
    objective: Callable[[Array, Array, Negatives | None, Array | None], Array],
    z: Sequence[Array],
    negatives: Callable[[int, int], Negatives] | None = None,
    present: Array | None = None,
) -> Array:
    """The objective of every pair of modalities.

    Args:
      objective: (n, d), (n, d), negatives, counted → scalar; `counted` is (n,) bool, the rows that
        both modalities have, or None.
      z: one (n, d) batch of projections per modality.
      negatives: those between modalities a and b; None for no weights.
      present: (M, n) bool, the rows that every modality has; None for all.

    Returns:
      (M(M−1)/2,) in the order of `pairs`; empty for a single modality.
    """
    losses = [
        objective(
            z[a],
            z[b],
            negatives(a, b) if negatives else None,
            None if present is None else present[a] & present[b],
        )
        for a, b in pairs(len(z))
    ]
    return jnp.stack(losses) if losses else jnp.zeros((0,), jnp.float32)
