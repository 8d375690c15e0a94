"""InfoNCE of a batch, in the form that is fastest where it holds."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from redalign_jax.alignment.blocked_info_nce import blocked_info_nce
from redalign_jax.alignment.blocks import number
from redalign_jax.alignment.negatives import Negatives, negative_weights, pair_weights

# exp(-2/τ) must stay a normal float32, with room for a batch of gradients below it.
BOUNDED_TEMPERATURE = 0.025


def info_nce(
    z_a: Array,
    z_b: Array,
    temperature: ArrayLike,
    negatives: Negatives | None = None,
    counted: Array | None = None,
    *,
    bounded: bool = False,
    block: int = 0,
    axis: str | None = None,
) -> Array:
    """Symmetric InfoNCE: row i of `z_a` and row i of `z_b` are the positive pair.

        s = z_a z_bᵀ / τ
        L = ½ mean_i [log Σ_j w_ij exp s_ij − s_ii] + ½ mean_j [log Σ_i w_ij exp s_ij − s_jj]

    van den Oord et al. 2018 (arXiv 1807.03748), both directions as in CLIP (arXiv 2103.00020).

    Args:
      z_a: (n, d) projections of one modality, L2-normalised by the caller.
      z_b: (n, d) projections of the other.
      temperature: τ > 0, scalar, may be traced.
      negatives: whose `negative_weights` are w; None for all ones.
      counted: (n,) bool, the rows that both modalities have: sums and means are over these, the
        loss of none is 0; None for all.
      bounded: use one exponential for both directions, exp(s − 1/τ), instead of two
        logsumexps: faster, and exact where |z_a·z_b| ≤ 1 and τ ≥ `BOUNDED_TEMPERATURE`. Below
        that float32 underflows, so the choice is made outside the traced program.
      block: rows of s that exist at a time; 0 for all, which takes O(n²) memory.
      axis: mesh axis over which the batch is split, see `blocks`; the negatives are global.

    Returns:
      Scalar, in nats.
    """
    if counted is not None:
        counted = counted.astype(z_a.dtype)
    if 0 < block < len(z_a) or axis:
        temperature = jnp.asarray(temperature, z_a.dtype)
        return blocked_info_nce(z_a, z_b, temperature, negatives, counted, bounded, block, axis)
    weights = negative_weights(negatives) if negatives else None
    if counted is not None:
        weights = pair_weights(weights, counted)
    if not bounded:
        s = z_a @ z_b.T / temperature
        over_a, over_b = (jax.nn.logsumexp(s, axis=k, b=weights) for k in (0, 1))
        if counted is not None:
            each = counted * ((over_a + over_b) / 2 - jnp.diagonal(s))
            return jnp.sum(each) / number(counted, None)
        return jnp.mean(over_a + over_b) / 2 - jnp.trace(s) / s.shape[0]
    return _bounded_info_nce(z_a, z_b, jnp.asarray(temperature, z_a.dtype), weights, counted)


@jax.custom_vjp
def _bounded_info_nce(
    z_a: Array, z_b: Array, temperature: Array, weights: Array | None, counted: Array | None
) -> Array:
    return _bounded_forward(z_a, z_b, temperature, weights, counted)[0]


def _bounded_forward(
    z_a: Array, z_b: Array, temperature: Array, weights: Array | None, counted: Array | None
) -> tuple[Array, tuple]:
    e = jnp.exp((z_a @ z_b.T - 1) / temperature)
    if weights is not None:
        e = e * weights
    rows, columns = jnp.sum(e, axis=1), jnp.sum(e, axis=0)
    if counted is None:
        positive = jnp.mean(jnp.sum(z_a * z_b, axis=-1) - 1) / temperature
        loss = jnp.mean(jnp.log(rows) + jnp.log(columns)) / 2 - positive
    else:
        positive = (jnp.sum(z_a * z_b, axis=-1) - 1) / temperature
        each = counted * ((jnp.log(rows) + jnp.log(columns)) / 2 - positive)
        loss = jnp.sum(each) / number(counted, None)
    return loss, (z_a, z_b, temperature, weights, counted, e, rows, columns)


def _bounded_backward(saved: tuple, g: Array) -> tuple[Array | None, ...]:
    z_a, z_b, temperature, weights, counted, e, rows, columns = saved
    n = z_a.shape[0] if counted is None else number(counted, None)
    scale = g / (2 * n * temperature)
    p = e * (1 / rows[:, None] + 1 / columns[None])
    if counted is not None:
        p = p * counted[:, None]
        z_a, z_b = z_a * counted[:, None], z_b * counted[:, None]
    g_a = (p @ z_b - 2 * z_b) * scale
    # z_aᵀp is several times faster on CPU than pᵀz_a; scaled before it is transposed, because XLA
    # would turn a bare transpose back into the slow product
    g_b = (jnp.tensordot(z_a, p, (0, 0)) * scale).T - 2 * scale * z_a
    # the loss depends on z_a / τ alone
    none = jax.tree.map(jnp.zeros_like, (weights, counted))
    return g_a, g_b, -jnp.sum(z_a * g_a) / temperature, *none


_bounded_info_nce.defvjp(_bounded_forward, _bounded_backward)
