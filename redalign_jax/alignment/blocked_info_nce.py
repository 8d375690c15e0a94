"""InfoNCE of batches too large for one matrix: O(block · n) memory, any number of devices."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.alignment import blocks
from redalign_jax.alignment.negatives import Negatives, negative_weights, pair_weights


@partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def blocked_info_nce(
    z_a: Array,
    z_b: Array,
    temperature: Array,
    negatives: Negatives | None,
    counted: Array | None,
    bounded: bool,
    block: int,
    axis: str | None,
) -> Array:
    """What `info_nce` says, without its matrix: rows of s come and go, and come again backward.

    Every device goes once through its own rows of s for both directions: a row ends there, the
    columns are summed over blocks and devices.

    Shapes: (n / devices, d), (n / devices, d), scalar → this device's part of the loss; `counted`
    is (n / devices,) of 1 and 0, or None.
    """
    return _forward(z_a, z_b, temperature, negatives, counted, bounded, block, axis)[0]


def _rows(
    z_a: Array, negatives: Negatives | None, counted: Array | None, axis: str | None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What is read row by row, and what weights need of all rows."""
    rows, every = {"z": z_a, "position": blocks.positions(len(z_a), axis)}, {}
    if negatives is not None:
        rows["p"], every["p"] = negatives.p_a, blocks.gathered(negatives.p_b, axis)
    if counted is not None:
        rows["counted"], every["counted"] = counted, blocks.gathered(counted, axis)
    return rows, every


def _weights(
    rows: dict[str, Array], negatives: Negatives | None, every: dict[str, Array]
) -> Array | None:
    weights, at = None, rows["position"]
    if negatives is not None:
        these = Negatives(rows["p"], every["p"], negatives.false_negative_weight)
        weights = negative_weights(these, at)
    if "counted" in every:
        weights = pair_weights(weights, rows["counted"], at, every["counted"])
    return weights


def _forward(
    z_a: Array,
    z_b: Array,
    temperature: Array,
    negatives: Negatives | None,
    counted: Array | None,
    bounded: bool,
    block: int,
    axis: str | None,
) -> tuple[Array, tuple]:
    every_b = blocks.gathered(z_b, axis)
    rows, every = _rows(z_a, negatives, counted, axis)
    n = len(every_b)

    def one_exp(columns: Array, rows: dict[str, Array]) -> tuple[Array, Array]:
        e = jnp.exp((rows["z"] @ every_b.T - 1) / temperature)
        weights = _weights(rows, negatives, every)
        if weights is not None:
            e = e * weights
        return columns + jnp.sum(e, axis=0), jnp.log(jnp.sum(e, axis=1))

    def two_exps(columns: Array, rows: dict[str, Array]) -> tuple[Array, Array]:
        s = rows["z"] @ every_b.T / temperature
        weights = _weights(rows, negatives, every)
        down, across = (jax.nn.logsumexp(s, axis=k, b=weights) for k in (0, 1))
        return jnp.logaddexp(columns, down), across

    # logarithms of the sums over rows and columns, less 1/τ in the bounded form
    if bounded:
        columns, across = blocks.scan(one_exp, jnp.zeros(n, z_a.dtype), rows, block)
        down = jnp.log(blocks.total(columns, axis))
    else:
        columns, across = blocks.scan(two_exps, jnp.full(n, -jnp.inf, z_a.dtype), rows, block)
        down = _log_total(columns, axis)
    own = jax.lax.dynamic_slice_in_dim(down, rows["position"][0], len(z_a))
    positive = (jnp.sum(z_a * z_b, axis=-1) - bounded) / temperature
    each = (across + own) / 2 - positive
    if counted is None:
        loss = jnp.sum(each) / n
    else:
        loss = jnp.sum(counted * each) / blocks.number(counted, axis)
    return loss, (z_a, z_b, temperature, negatives, counted, across, down)


def _log_total(x: Array, axis: str | None) -> Array:
    """log Σ exp x over devices."""
    if axis is None:
        return x
    top = jax.lax.pmax(x, axis)
    return top + jnp.log(jax.lax.psum(jnp.exp(x - top), axis))


def _backward(
    bounded: bool, block: int, axis: str | None, saved: tuple, g: Array
) -> tuple[Array, Array, Array, Negatives | None, Array | None]:
    z_a, z_b, temperature, negatives, counted, across, down = saved
    every_b = blocks.gathered(z_b, axis)
    rows, every = _rows(z_a, negatives, counted, axis)
    rows["across"] = across
    n = len(every_b) if counted is None else blocks.number(counted, axis)
    # every device's loss has the same cotangent: that of their sum
    scale = g / (2 * n * temperature)

    def add(g_b: Array, rows: dict[str, Array]) -> tuple[Array, Array]:
        s = (rows["z"] @ every_b.T - bounded) / temperature
        if bounded:
            p = jnp.exp(s) * (jnp.exp(-rows["across"])[:, None] + jnp.exp(-down)[None])
        else:
            p = jnp.exp(s - rows["across"][:, None]) + jnp.exp(s - down[None])
        weights = _weights(rows, negatives, every)
        if weights is not None:
            p = p * weights
        if counted is not None:
            p = p * rows["counted"][:, None]
        # zᵀp, not pᵀz: see `info_nce`
        return g_b + jnp.tensordot(rows["z"], p, (0, 0)), p @ every_b

    g_b, g_a = blocks.scan(add, jnp.zeros(every_b.shape[::-1], z_a.dtype), rows, block)
    if counted is not None:
        z_a, z_b = z_a * counted[:, None], z_b * counted[:, None]
    g_a = (g_a - 2 * z_b) * scale
    g_b = (blocks.own_rows(g_b.T, axis) - 2 * z_a) * scale
    # the loss depends on z_a / τ alone
    none = jax.tree.map(jnp.zeros_like, (negatives, counted))
    return g_a, g_b, -jnp.sum(z_a * g_a) / temperature, *none


blocked_info_nce.defvjp(_forward, _backward)
