"""The pairwise sigmoid loss."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from redalign_jax.alignment import blocks
from redalign_jax.alignment.negatives import Negatives, negative_weights, pair_weights


def siglip(
    z_a: Array,
    z_b: Array,
    temperature: ArrayLike,
    bias: ArrayLike,
    negatives: Negatives | None = None,
    counted: Array | None = None,
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
      counted: (n,) bool, the rows that both modalities have, all of n then; None for all.
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
    if counted is not None:
        rows["counted"] = counted = counted.astype(z_a.dtype)
        every_counted = blocks.gathered(counted, axis)

    @jax.checkpoint
    def add(sofar: Array, rows: dict[str, Array]) -> tuple[Array, None]:
        losses = jax.nn.softplus(rows["z"] @ every_b.T / temperature + bias)
        weights = None
        if negatives:
            these = Negatives(rows["p"], every_p, negatives.false_negative_weight)
            weights = negative_weights(these, rows["position"])
        positive = jnp.sum(rows["z"] * rows["z_b"], axis=1) / temperature + bias
        if counted is not None:
            own = rows["counted"]
            weights = pair_weights(weights, own, rows["position"], every_counted) * own[:, None]
            positive = positive * own
        if weights is not None:
            losses = losses * weights
        return sofar + jnp.sum(losses) - jnp.sum(positive), None

    loss, _ = blocks.scan(add, jnp.zeros((), z_a.dtype), rows, block)
    if counted is not None:
        return loss / blocks.number(counted, axis)
    return loss / blocks.batch_size(len(z_a), axis)
