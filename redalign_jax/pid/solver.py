"""The convex programme behind BROJA, solved by a primal-dual interior point.

    F* = min_q Σ q log q(y|x1,x2)   over q ≥ 0 with Σ_x2 q = a(x1,y) and Σ_x1 q = b(x2,y)
       = max_{λ,μ} Σ aλ + Σ bμ      over log Σ_y exp(λ(x1,y) + μ(x2,y)) ≤ 0 for all x1, x2.

Any q that has the marginals bounds F* from above and any (λ, μ) that meets the inequality bounds it
from below, so the difference of the two best bounds seen so far certifies the answer whatever the
iteration did. Newton's method runs on the perturbed optimality conditions

    log q(y|x1,x2) - λ - μ - z = 0,   Σ_x2 q = a,   Σ_x1 q = b,   q z = τ ω,   q, z > 0

with Mehrotra's predictor and corrector (1992, SIAM J. Optim. 2(4):575). The start and the weights ω
are a b / p(y): X1 and X2 independent given Y. It has the marginals and lies near the weighted
central path however small some of them are (with ω = 1, peaked tables spend most steps on getting
there). The part of the Newton system in q is one diagonal plus rank-one block per (x1, x2). What is
left couples λ and μ; the larger alphabet is eliminated block by block, and the Cholesky
factorisation of the rest, n2 ny wide, is what a step costs. First-order methods stall at 1e-5.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from redalign_jax.runtime.lapack import batch_safe

_START = 0.5  # smallest dual slack at the start
_BACK_OFF = 0.95  # share of the way to the boundary that a step may go


class Bounds(NamedTuple):
    """What is known about F*.

    Attributes:
      lam: λ (n1, ny), feasible together with `mu`; it is ∂F*/∂a. Where a = 0 it is -∞, stored as 0.
      mu: μ (n2, ny); it is ∂F*/∂b. Where b = 0 it is -∞, stored as 0.
      lower: Σ aλ + Σ bμ ≤ F*.
      upper: F(q) ≥ F* for some q with the marginals.
      steps: Newton steps taken.
    """

    lam: jax.Array
    mu: jax.Array
    lower: jax.Array
    upper: jax.Array
    steps: jax.Array

    @property
    def gap(self) -> jax.Array:
        """How far F* may lie above `lower`."""
        return jnp.maximum(self.upper - self.lower, 0)


class _Point(NamedTuple):
    q: jax.Array
    z: jax.Array
    lam: jax.Array
    mu: jax.Array


def _ratio(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y, and 0 where y = 0 (then x is 0 too)."""
    return x / jnp.where(y > 0, y, 1)


def _log(x: jax.Array) -> jax.Array:
    """log x, and 0 where x = 0."""
    return jnp.log(jnp.where(x > 0, x, 1))


def _conditional(q: jax.Array) -> jax.Array:
    """q(y|·) of q (..., y)."""
    return _ratio(q, jnp.sum(q, -1, keepdims=True))


def negative_conditional_entropy(q: jax.Array) -> jax.Array:
    """-H(Y|X) = Σ q log q(y|x), in nats, of a joint table q (..., ny) with y last."""
    return jnp.sum(q * _log(_conditional(q)))


def _feasible_primal(q: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """A nearby q with exactly the marginals: scaled down, what is missing added as a product."""
    q = q * jnp.minimum(1, _ratio(a, q.sum(1)))[:, None]
    q = q * jnp.minimum(1, _ratio(b, q.sum(0)))[None]
    missing_a = jnp.maximum(a - q.sum(1), 0)
    missing_b = jnp.maximum(b - q.sum(0), 0)
    return q + missing_a[:, None] * _ratio(missing_b, missing_b.sum(0, keepdims=True))[None]


def _feasible_dual(
    lam: jax.Array, mu: jax.Array, a: jax.Array, b: jax.Array, keep_a: jax.Array, keep_b: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(λ, μ) made feasible, and their value. Pruned entries get a value that does no harm."""
    top = jnp.max(jnp.where(keep_b, mu, -jnp.inf), 0, keepdims=True)
    lam = jnp.where(keep_a, lam, _log(a) - jnp.where(jnp.isfinite(top), top, 0))
    lam = jnp.where(a > 0, lam, -jnp.inf)
    top = jnp.max(lam, 0, keepdims=True)
    mu = jnp.where(keep_b, mu, _log(b) - jnp.where(jnp.isfinite(top), top, 0))
    mu = jnp.where(b > 0, mu, -jnp.inf)

    lse = jax.nn.logsumexp(lam[:, None] + mu[None], -1)
    excess = jnp.max(lse, 1, keepdims=True)
    excess = jnp.where(jnp.isfinite(excess), excess, 0)
    lam = jnp.where(a > 0, lam - excess, 0)
    slack = jnp.max(lse - excess, 0)[:, None]  # ≤ 0: room that μ can still use
    mu = jnp.where(b > 0, mu - jnp.where(jnp.isfinite(slack), slack, 0), 0)
    return lam, mu, jnp.sum(a * lam) + jnp.sum(b * mu)


def _to_boundary(x: jax.Array, dx: jax.Array) -> jax.Array:
    """The largest step t for which x + t dx stays non-negative."""
    return jnp.min(jnp.where(dx < 0, x / jnp.where(dx < 0, -dx, 1), jnp.inf))


def _inverse_root(m: jax.Array) -> jax.Array:
    """L⁻¹ of m = L Lᵀ, many small m (n, k, k): elimination of (m, 1), all of them at once.

    On CPU that is much faster than n calls of LAPACK.
    """
    k = m.shape[-1]
    later = jnp.arange(k)

    def eliminate(j: jax.Array, rows: jax.Array) -> jax.Array:
        column = rows[:, :, j] / jnp.sqrt(rows[:, j, j])[:, None]
        row = rows[:, j] / jnp.sqrt(rows[:, j, j])[:, None]
        rows = rows - jnp.where((later > j)[None], column, 0)[..., None] * row[:, None]
        return rows.at[:, j].set(row)

    unit = jnp.broadcast_to(jnp.eye(k, dtype=m.dtype), m.shape)
    rows = jax.lax.fori_loop(0, k, eliminate, jnp.concatenate([m, unit], -1))
    return rows[..., k:]


class _System(NamedTuple):
    """The factorised Newton system: Σ_x2 H(dλ+dμ) = r_a, Σ_x1 H(dλ+dμ) = r_b."""

    scale_a: jax.Array  # (n1, ny)
    scale_b: jax.Array  # (n2, ny)
    root_a: jax.Array  # (n1, ny, ny), inverse Cholesky factors
    cross: jax.Array  # (n1, ny, n2 ny)
    chol_b: jax.Array  # (n2 ny, n2 ny)

    def solve(self, r_a: jax.Array, r_b: jax.Array) -> tuple[jax.Array, jax.Array]:
        t = jnp.einsum("iyz,iz->iy", self.root_a, r_a / self.scale_a)
        rest = (r_b / self.scale_b).ravel() - jnp.einsum("iyk,iy->k", self.cross, t)
        x_b = cho_solve((self.chol_b, True), rest)
        t = t - self.cross @ x_b
        x_a = jnp.einsum("iyz,iy->iz", self.root_a, t)
        return x_a / self.scale_a, x_b.reshape(r_b.shape) / self.scale_b


def _factorise(
    d: jax.Array, e: jax.Array, keep_a: jax.Array, keep_b: jax.Array, ridge: jax.Array
) -> _System:
    """Factorises Σ over cells of diag(d) + d eᵀ, d and e (n1, n2, ny), e ∝ d per cell."""
    n1, n2, ny = d.shape
    eye = jnp.eye(ny, dtype=d.dtype)
    # Pruned rows are empty: a unit on their diagonal keeps them out of the way.
    block_a = jnp.einsum("ijy,ijz->iyz", d, e) + (d.sum(1) + ~keep_a)[..., None] * eye[None]
    block_b = jnp.einsum("ijy,ijz->jyz", d, e) + (d.sum(0) + ~keep_b)[..., None] * eye[None]
    scale_a = jnp.sqrt(jnp.einsum("iyy->iy", block_a))
    scale_b = jnp.sqrt(jnp.einsum("iyy->iy", block_b))
    block_a = block_a / (scale_a[:, :, None] * scale_a[:, None, :]) + ridge * eye[None]
    block_b = block_b / (scale_b[:, :, None] * scale_b[:, None, :]) + ridge * eye[None]
    d = jnp.swapaxes(d, 1, 2) / scale_a[..., None]  # (n1, ny, n2)
    cross = d[..., None] * (eye[None, :, None] + e[:, None]) / scale_b[None, None]

    root_a = _inverse_root(block_a)
    cross = root_a @ cross.reshape(n1, ny, n2 * ny)
    flat = cross.reshape(n1 * ny, n2 * ny)
    same = jnp.eye(n2, dtype=d.dtype)[:, None, :, None]
    # λ + c(y), μ - c(y) changes nothing: adding that direction for each y makes the matrix regular.
    gauge = jnp.where(keep_b, scale_b, 0)
    squared = jnp.sum(gauge**2, 0, keepdims=True)
    gauge = gauge / jnp.sqrt(jnp.maximum(squared, jnp.finfo(d.dtype).tiny))
    gauge = gauge[:, :, None, None] * gauge[None, None] * eye[None, :, None]
    schur = (same * block_b[:, :, None] + gauge).reshape(n2 * ny, n2 * ny) - flat.T @ flat
    return _System(scale_a, scale_b, root_a, cross, batch_safe(jnp.linalg.cholesky)(schur))


def _newton_step(
    point: _Point,
    weight: jax.Array,
    a: jax.Array,
    b: jax.Array,
    tau_min: jax.Array,
    ridge: jax.Array,
) -> _Point:
    """One predictor-corrector step; a, b are the marginals of `weight`, which is 0 where pruned."""
    q, z, lam, mu = point
    live = weight > 0
    keep_a, keep_b = jnp.any(live, 1), jnp.any(live, 0)
    r_a, r_b = a - q.sum(1), b - q.sum(0)
    r_d = jnp.where(live, _log(_conditional(q)) - lam[:, None] - mu[None] - z, 0)

    # (diag((1 + z)/q) - 11ᵀ/Σq)⁻¹ = diag(d) + d eᵀ, per cell (x1, x2), by Sherman and Morrison.
    d = q / (1 + z)
    e = _ratio(d, jnp.sum(d * z, -1, keepdims=True))
    system = _factorise(d, e, keep_a, keep_b, ridge)

    def expand(v: jax.Array) -> jax.Array:
        """(diag(d) + d eᵀ) diag(d)⁻¹ v."""
        return v + e * jnp.sum(v, -1, keepdims=True)

    def direction(r_d: jax.Array, r_c: jax.Array) -> _Point:
        v = d * r_d - r_c / (1 + z)
        full = expand(v)
        dlam, dmu = system.solve(r_a + full.sum(1), r_b + full.sum(0))
        dq = expand(d * (dlam[:, None] + dmu[None]) - v)
        dz = jnp.where(live, (r_c - z * dq) / jnp.where(live, q, 1), 0)
        return _Point(dq, dz, dlam, dmu)

    now = jnp.sum(q * z)
    predicted = direction(r_d, -q * z)
    t = jnp.minimum(_to_boundary(q, predicted.q), _to_boundary(z, predicted.z))
    t = jnp.minimum(1, t)
    then = jnp.sum((q + t * predicted.q) * (z + t * predicted.z))
    tau = jnp.maximum(jnp.clip((then / now) ** 3, 0.01, 0.9) * now, tau_min)

    # Second order, from the predictor: of the product q z and of log q(y|x1,x2).
    change = _ratio(predicted.q, q)
    change_cell = _ratio(predicted.q.sum(-1, keepdims=True), q.sum(-1, keepdims=True))
    bend = (jnp.clip(change_cell, -1, 1) ** 2 - jnp.clip(change, -1, 1) ** 2) / 2
    step = direction(
        r_d + jnp.where(live, bend, 0), tau * weight - q * z - predicted.q * predicted.z
    )
    t = jnp.minimum(_to_boundary(q, step.q), _to_boundary(z, step.z))
    t = jnp.minimum(1, _BACK_OFF * t)
    q, z, lam, mu = (x + t * dx for x, dx in zip(point, step, strict=True))
    # Where the true slack is larger than its linearisation, take it: it costs nothing.
    slack = _log(_conditional(q)) - lam[:, None] - mu[None]
    return _Point(q, jnp.where(live, jnp.maximum(slack, z / 2), 1), lam, mu)


def solve(p: jax.Array, tol: jax.Array | float, max_steps: jax.Array | int) -> Bounds:
    """Bounds on F* for the marginals of a joint table.

    Args:
      p: joint table (n1, n2, ny), sum 1, in the precision to compute in.
      tol: stop when upper - lower ≤ tol, nats.
      max_steps: or after that many Newton steps.

    Returns:
      Bounds with the best λ, μ and the best F(q) seen.
    """
    if p.shape[0] < p.shape[1]:  # the Schur complement is over the second alphabet
        swapped = solve(jnp.swapaxes(p, 0, 1), tol, max_steps)
        return swapped._replace(lam=swapped.mu, mu=swapped.lam)

    a, b = p.sum(1), p.sum(0)
    p_y = a.sum(0)
    # Marginals this small cannot move the answer by tol, but would ruin the conditioning.
    keep_a, keep_b = a > 1e-5 * tol, b > 1e-5 * tol
    independent = a[:, None] * _ratio(b, p_y[None])[None]
    weight = jnp.where(keep_a[:, None] & keep_b[None], independent, 0)
    live = weight > 0
    target_a, target_b = weight.sum(1), weight.sum(0)

    # λ = log p(y|x1), μ = 0 is feasible with value -H(Y|X1), and the same for X2: unique
    # information cannot come out negative. Nor can synergy and redundancy, by the first two q.
    lower_1, lower_2 = negative_conditional_entropy(a), negative_conditional_entropy(b)
    first = lower_1 >= lower_2
    bounds = Bounds(
        lam=jnp.where(first, _log(_conditional(a)), 0),
        mu=jnp.where(first, 0, _log(_conditional(b))),
        lower=jnp.maximum(lower_1, lower_2),
        upper=jnp.minimum(
            negative_conditional_entropy(p), negative_conditional_entropy(independent)
        ),
        steps=jnp.zeros((), jnp.int32),
    )
    lam = jnp.where(keep_a, _log(_conditional(a)) - _log(p_y)[None], 0)
    mu = jnp.where(keep_b, _log(_conditional(b)), 0)
    slack = _log(_conditional(weight)) - lam[:, None] - mu[None]
    shift = _START - jnp.min(jnp.where(live, slack, jnp.inf))
    point = _Point(weight, jnp.where(live, slack + shift, 1), jnp.where(keep_a, lam - shift, 0), mu)

    def unfinished(state: tuple[_Point, jax.Array, Bounds]) -> jax.Array:
        _, ridge, bounds = state
        return (bounds.gap > tol) & (bounds.steps < max_steps) & (ridge < 1e-3)

    def body(state: tuple[_Point, jax.Array, Bounds]) -> tuple[_Point, jax.Array, Bounds]:
        point, ridge, bounds = state
        step = _newton_step(point, weight, target_a, target_b, 0.1 * tol, ridge)
        # A matrix that lost its definiteness to rounding gives nan: once more, better conditioned.
        ok = jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in step]))
        point = jax.tree.map(lambda new, old: jnp.where(ok, new, old), step, point)
        ridge = jnp.where(ok, ridge, 100 * ridge)
        lam, mu, lower = _feasible_dual(point.lam, point.mu, a, b, keep_a, keep_b)
        upper = negative_conditional_entropy(_feasible_primal(point.q, a, b))
        better = lower > bounds.lower
        bounds = Bounds(
            lam=jnp.where(better, lam, bounds.lam),
            mu=jnp.where(better, mu, bounds.mu),
            lower=jnp.where(better, lower, bounds.lower),
            upper=jnp.minimum(upper, bounds.upper),
            steps=bounds.steps + 1,
        )
        return point, ridge, bounds

    ridge = jnp.asarray(4 * jnp.finfo(p.dtype).eps, p.dtype)
    return jax.lax.while_loop(unfinished, body, (point, ridge, bounds))[-1]
