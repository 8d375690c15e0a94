"""Which pairs of a batch count as negatives, and how much."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


class Negatives(NamedTuple):
    """What the weights of negatives are made of; see `negative_weights`.

    Attributes:
      p_a: (n, classes) predicted probabilities of one modality; no gradient passes.
      p_b: (n, classes) of the other.
      false_negative_weight: κ in [0, 1], scalar, may be traced.
    """

    p_a: Array
    p_b: Array
    false_negative_weight: ArrayLike


def negative_weights(negatives: Negatives, positions: Array | None = None) -> Array:
    """How much each pair of a batch counts as a negative: less, the likelier it shares its label.

        w_ij = 1 − κ Σ_c p_a(c|i) p_b(c|j) for i ≠ j,  w_ii = 1

    Instance discrimination pushes apart examples of one class, which is what a task with few
    labels can least afford. The sum is the probability that i and j have the same label, as far as
    the encoders' own heads can tell; with κ = 1 a sure false negative is no negative at all. The
    idea of false-negative cancellation (Huynh et al. 2022, arXiv 2011.11765) and of debiased
    contrastive learning (Chuang et al. 2020, arXiv 2007.00224), with predicted labels.

    Args:
      negatives: predictions of the batch, and κ; `p_a` may have some of its rows only.
      positions: (rows,) where the rows of `p_a` stand in the batch; None for all, in order.

    Returns:
      (rows, n) in [0, 1].
    """
    p_a, p_b, false_negative_weight = negatives
    same = jnp.clip(jax.lax.stop_gradient(p_a @ p_b.T), 0, 1)
    if positions is None:
        return 1 - false_negative_weight * same * (1 - jnp.eye(same.shape[0]))
    other = positions[:, None] != jnp.arange(same.shape[1])[None]
    return 1 - false_negative_weight * same * other


def pair_weights(
    weights: Array | None,
    counted: Array,
    positions: Array | None = None,
    every: Array | None = None,
) -> Array:
    """Weights of a batch of which some rows do not count, neither as positives nor as negatives.

        w_ij · c_i c_j for i ≠ j,  w_ii = 1

    The ones on the diagonal keep sums over a row above 0; the caller leaves out rows with c_i = 0.

    Args:
      weights: (rows, n) of `negative_weights`; None for all ones.
      counted: (rows,) c, 1 or 0.
      positions: (rows,) where these rows stand in the batch; None for all, in order.
      every: (n,) c of all rows, if these are not all.

    Returns:
      (rows, n).
    """
    every = counted if every is None else every
    positions = jnp.arange(len(counted)) if positions is None else positions
    both = counted[:, None] * every[None]
    if weights is not None:
        both = both * weights
    return jnp.where(positions[:, None] == jnp.arange(len(every))[None], 1, both)
