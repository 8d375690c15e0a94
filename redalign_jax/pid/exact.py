"""Partial information decomposition of a known joint distribution."""

import contextlib
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from redalign_jax.errors import UserError
from redalign_jax.pid.solver import Bounds, solve


class PID(NamedTuple):
    """What X1 and X2 tell about Y, in nats; every field has the leading axes of the table.

    Attributes:
      redundancy: R, known from either source alone.
      unique: (U1, U2) in a last axis of 2, known from that source only.
      synergy: S, known from the two together only.
      gap: proven bound on the error. The true R and S lie in [value - gap, value], the true U1 and
        U2 in [value, value + gap], give or take the rounding of sums (1e-15; in float32 1e-6). One
        number, because one number moves all four alike. It exceeds `tol` where the solver did not
        get there.
    """

    redundancy: jax.Array
    unique: jax.Array
    synergy: jax.Array
    gap: jax.Array


def mutual_information(p: jax.Array) -> jax.Array:
    """I(X;Y) = Σ p(x,y) log p(x,y) / (p(x) p(y)) of a joint table.

    Args:
      p: joint table (..., n, ny), sum 1 over the last two axes.

    Returns:
      Nats, shape (...). Its first derivative takes the cells with p = 0, where the slope is
      infinite, as constant.
    """
    product = jnp.sum(p, -1, keepdims=True) * jnp.sum(p, -2, keepdims=True)
    ratio = jnp.log(jnp.where(p > 0, p, 1) / jnp.where(p > 0, product, 1))
    # Σ p d(ratio) is constant on tables that sum to 1.
    return jnp.sum(p * jax.lax.stop_gradient(ratio), (-2, -1))


@jax.custom_jvp
def _solve(p: jax.Array, tol: ArrayLike, max_steps: ArrayLike) -> Bounds:
    with jax.default_matmul_precision("highest"):
        return solve(p, tol, max_steps)


@_solve.defjvp
def _solve_jvp(primals: tuple, tangents: tuple) -> NoReturn:
    raise NotImplementedError("pid.decompose has first derivatives only")


@jax.custom_jvp
def _union(p: jax.Array, tol: ArrayLike, max_steps: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """A lower bound on F* (see solver.py) and its gap."""
    bounds = _solve(p, tol, max_steps)
    return bounds.lower, bounds.gap


@_union.defjvp
def _union_jvp(primals: tuple, tangents: tuple) -> tuple:
    """Envelope theorem: the optimal λ and μ are the slopes, the iterations need no derivative."""
    bounds = _solve(*primals)
    slope = jnp.sum((bounds.lam[:, None] + bounds.mu[None]) * tangents[0])
    return (bounds.lower, bounds.gap), (slope, jnp.zeros_like(slope))


def _decompose_one(p: jax.Array, tol: ArrayLike, max_steps: ArrayLike) -> PID:
    p = p / jnp.sum(p)
    n1, n2, ny = p.shape
    p_y = jnp.sum(p, (0, 1))
    negative_entropy = jnp.sum(p_y * jax.lax.stop_gradient(jnp.log(jnp.where(p_y > 0, p_y, 1))))
    bound, gap = _union(p, tol, max_steps)
    union = bound - negative_entropy
    first, second = mutual_information(p.sum(1)), mutual_information(p.sum(0))
    both = mutual_information(p.reshape(n1 * n2, ny))
    return PID(
        first + second - union, jnp.stack([union - second, union - first]), both - union, gap
    )


@jax.jit
def _decompose(p: jax.Array, tol: ArrayLike, max_steps: ArrayLike) -> PID:
    if p.ndim == 3:
        return _decompose_one(p, tol, max_steps)
    n1, n2, ny = p.shape[-3:]
    lead = p.shape[:-3]
    # Cores like what fits their cache, and to stop at each table's own step; accelerators width.
    room = 2**14 if jax.default_backend() == "cpu" else 2**24
    at_once = max(1, room // (n1 * n2 * ny**2))
    pid = jax.lax.map(
        lambda q: _decompose_one(q, tol, max_steps),
        p.reshape(-1, n1, n2, ny),
        batch_size=at_once,
    )
    return jax.tree.map(lambda x: x.reshape(lead + x.shape[1:]), pid)


def _check(p: np.ndarray) -> None:
    """Raises UserError where `p` is no batch of joint tables."""

    def table(bad: np.ndarray) -> str:
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        return f"p[{', '.join(map(str, where))}]" if where else "p"

    axes = (-3, -2, -1)
    if np.any(bad := ~np.all(np.isfinite(p), axes)):
        raise UserError(f"{table(bad)}: a joint table needs finite numbers; found nan or inf")
    if np.any(bad := np.any(p < 0, axes)):
        raise UserError(
            f"{table(bad)}: probabilities cannot be negative; smallest is {p.min():.3g}"
        )
    total = np.sum(p, axes, dtype=np.float64)
    if np.any(bad := np.abs(total - 1) > 1e-5):
        raise UserError(
            f"{table(bad)}: a joint table sums to 1, this one to {total[bad][0]:.6g}; "
            "divide counts by their total"
        )
    if np.any(bad := np.sum(np.sum(p, (-3, -2)) > 0, -1) < 2):
        raise UserError(f"{table(bad)}: only one class of y has mass; nothing can be decomposed")


def decompose(
    p: ArrayLike,
    *,
    tol: float | None = None,
    max_steps: int = 100,
    dtype: DTypeLike = jnp.float64,
) -> PID:
    """Exact partial information decomposition of I(X1,X2;Y), with a proven bound on its error.

    The definition of Bertschinger, Rauh, Olbrich, Jost and Ay (2014, "Quantifying unique
    information", Entropy 16(4):2161), known as BROJA. With Q the tables q that share the marginals
    p(x1,y) and p(x2,y),

        I*  = min over q in Q of I_q(X1,X2;Y)
        R   = I(X1;Y) + I(X2;Y) - I*        S  = I(X1,X2;Y) - I*
        U1  = I* - I(X2;Y)                  U2 = I* - I(X1;Y)

    so that R + U1 = I(X1;Y), R + U2 = I(X2;Y) and R + U1 + U2 + S = I(X1,X2;Y). The minimum is a
    convex programme (Makkeh, Theis and Vicente 2018, "BROJA-2PID", Entropy 20(4):271);
    see solver.py for how it is solved and certified here. No atom is negative beyond rounding.

    Works under jit, vmap and grad, and is compiled once per shape: pad small tables with zeros to
    share a shape, at no loss. The first derivative with respect to p comes from the optimal λ and μ
    by the envelope theorem; it belongs to the normalised table, and takes cells with p = 0, where
    the slope of S is infinite, as constant. A second derivative raises NotImplementedError.

    Args:
      p: joint table (..., n1, n2, ny) = p(x1, x2, y), non-negative, sum 1 per table, at least two y
        with mass. Checked when it is a concrete array, not when it is traced.
      tol: stop when the error is proven to be at most this, in nats; default 1e-10, or 1e-5 in
        float32. Most tables can reach 1e-12.
      max_steps: stop after that many Newton steps in any case; 10 to 60 are usual. `gap` tells.
      dtype: what to compute in, float64 whatever jax_enable_x64 says, or float32 where an
        accelerator lacks float64.

    Returns:
      PID, computed in `dtype` and returned like `p`: numpy for numpy, and in its precision (float32
      at least). A float64 numpy table shows all digits whatever jax_enable_x64 says.

    Raises:
      UserError: p is no such table.
    """
    if not isinstance(p, jax.Array):
        p = np.asarray(p)
    if not jnp.issubdtype(p.dtype, jnp.floating):
        raise UserError(f"p: a joint table needs floating-point numbers, got {p.dtype}")
    if p.ndim < 3 or p.size == 0:
        raise UserError(
            f"p: a joint table has shape (..., n1, n2, ny), no axis empty; got {p.shape}"
        )
    if not isinstance(p, jax.core.Tracer):
        _check(np.asarray(p))

    double = jnp.dtype(dtype) == jnp.float64
    if tol is None:
        tol = 1e-10 if double else 1e-5
    out = jnp.promote_types(p.dtype, jnp.float32)
    # Accelerators multiply float32 matrices in lower precision unless told otherwise.
    with (
        jax.enable_x64(True) if double else contextlib.nullcontext(),
        jax.default_matmul_precision("highest"),
    ):
        pid = _decompose(p.astype(dtype), tol, max_steps)
        if isinstance(p, np.ndarray):
            return jax.tree.map(lambda x: np.asarray(x, out), pid)
        return jax.tree.map(lambda x: x.astype(out), pid)
