"""The pairwise sigmoid loss."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from redalign_jax.alignment import blocks
from redalign_jax.alignment.negatives import Negatives, negative_weights


def siglip(
    z_a: Array,
    z_b: Array,
    temperature: ArrayLike,
    bias: ArrayLike,
    negatives: Negatives | None = None,
    *,
    block: int = 0,
    axis: str | None = None,
) -> Array:
    """Pairwise sigmoid loss: each of the n² pairs is its own binary question.

        L = −(1/n) Σ_ij w_ij log σ(y_ij (z_a,i·z_b,j / τ + b)),  y_ij = 1 if i = j else −1

    Zhai et al. 2023 (arXiv 2303.15343).

    Args:
      z_a: (n, d) projections, L2-normalised by the caller.
      z_b: (n, d).
      temperature: τ > 0, scalar.
      bias: b, scalar, learned; −10 at the start, against the n² − n negatives.
      negatives: whose `negative_weights` are w; None for all ones.
      block: rows of the similarity matrix that exist at a time; 0 for all.
      axis: mesh axis over which the batch is split, see `blocks`.

    Returns:
      Scalar, in nats per example.
    """
    every_b = blocks.gathered(z_b, axis)
    rows = {"z": z_a, "z_b": z_b, "position": blocks.positions(len(z_a), axis)}
    if negatives:
        rows["p"] = negatives.p_a
        every_p = blocks.gathered(negatives.p_b, axis)

    @jax.checkpoint
    def add(sofar: Array, rows: dict[str, Array]) -> tuple[Array, None]:
        losses = jax.nn.softplus(rows["z"] @ every_b.T / temperature + bias)
        if negatives:
            these = Negatives(rows["p"], every_p, negatives.false_negative_weight)
            losses = losses * negative_weights(these, rows["position"])
        positive = jnp.sum(rows["z"] * rows["z_b"], axis=1) / temperature + bias
        return sofar + jnp.sum(losses) - jnp.sum(positive), None

    loss, _ = blocks.scan(add, jnp.zeros((), z_a.dtype), rows, block)
    return loss / blocks.batch_size(len(z_a), axis)
