"""Alignment of what encoders tell about the label, as far as evidence supports it.

Encoder m's head gives a posterior p_m of the label. On labelled examples held out from training,
each posterior is calibrated, the partners' are weighed by what they add to it, and the gain is
judged; on pairs, with or without labels, p_m then learns from the product:

    p̂_k ∝ p_k^{1/T_k} π^{1 − 1/T_k},   q_m ∝ p_m · Π_k (p̂_k / π)^{α_mk},
    L_m = L_task,m + λ_m g_m · mean over pairs of CE(q_m, p_m),   no gradient through q_m.

A product of experts (Hinton 2002) whose prior π is counted once; with conditionally independent
modalities and calibrated posteriors, α = 1 is Bayes' rule. The own factor is p_m, not p̂_m: an
encoder that is taught its own tempered posterior drifts.

Posteriors are *natural parameters* η of an exponential family, log p(y) = η·S(y) − A(η): products
and powers are sums and multiples of η. Classes: η are logits, S is one-hot, D = classes. Regression
(`classes` = 0): Gaussians, η = (mean / v, −1 / 2v), S = (y, y²), D = 2. Examples are the last axis,
(D, n): vector lanes run along them.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.alignment.blocks import batch_size, number

START = 0.1  # part of training before which there is nothing to agree on
SCARCE = 30  # validation labels below which no evidence is taken from them
MOST = 512  # validation labels beyond which no more of them are looked at: fits cost rows × classes
COLDEST, HOTTEST = 0.5, 1000.0  # bounds of T
GREATEST = 1.2  # bound of α
SMALLEST = 1e-4  # variance of a Gaussian posterior, in parts of the prior's

_ITERATIONS = 14  # Newton steps of a fit, at most


class Evidence(NamedTuple):
    """What labelled examples say about M encoders; see `fit`.

    Attributes:
      prior: (D,) natural parameters of π.
      temperature: (M,) T.
      variance: (M,) of a regression's posteriors, 1 for classes.
      weight: (M, M − 1) α_mk, partners k ≠ m in order.
      gate: (M,) g, in [0, 1).
    """

    prior: Array
    temperature: Array
    variance: Array
    weight: Array
    gate: Array


def nothing(modalities: int, before: Array) -> Evidence:
    """No evidence yet: gates of 0. `before` is the prior's, see `prior`."""
    ones = jnp.ones(modalities)
    return Evidence(
        before, ones, ones, jnp.zeros((modalities, modalities - 1)), jnp.zeros(modalities)
    )


def prior(y: Array, classes: int) -> Array:
    """Natural parameters of the label's distribution, from training labels.

    Args:
      y: (n,) classes, n ≥ 0, or targets, n ≥ 1.
      classes: number of classes, 0 for a regression.

    Returns:
      (classes,) log of (count + ½) / (n + ½ classes), or (2,) of a Gaussian with the targets' mean
      and variance.
    """
    if classes:
        counts = jnp.sum(y[:, None] == jnp.arange(classes)[None], axis=0) + 0.5
        return jnp.log(counts / jnp.sum(counts))
    mean = jnp.mean(y)
    v = jnp.maximum(jnp.mean((y - mean) ** 2), 1e-12)
    return jnp.stack([mean / v, -0.5 / v])


def natural(output: Array, variance: Array, classes: int) -> Array:
    """What a head says as natural parameters: (n, classes) logits, or (n,) means → (D, n)."""
    if classes:
        return output.T
    return jnp.stack([output / variance, jnp.broadcast_to(-0.5 / variance, output.shape)])


def statistics(y: Array, classes: int) -> Array:
    """S(y): (n,) labels → (D, n)."""
    return jax.nn.one_hot(y, classes, axis=0) if classes else jnp.stack([y, y * y])


def log_partition(eta: Array, classes: int) -> Array:
    """A(η): (..., D, n) → (..., n)."""
    if classes:
        return jax.nn.logsumexp(eta, axis=-2)
    first, second = eta[..., 0, :], eta[..., 1, :]
    return -first * first / (4 * second) + 0.5 * jnp.log(-jnp.pi / second)


def moments(eta: Array, classes: int) -> Array:
    """E[S] under η, (..., D, n): class probabilities, or (mean, mean² + variance)."""
    if classes:
        return jax.nn.softmax(eta, axis=-2)
    mean, v = -0.5 * eta[..., 0, :] / eta[..., 1, :], -0.5 / eta[..., 1, :]
    return jnp.stack([mean, mean * mean + v], axis=-2)


def log_loss(eta: Array, s: Array, classes: int) -> Array:
    """−log p(y), or the cross-entropy where s = E_q[S]: twice (..., D, n) → (..., n), nats."""
    return log_partition(eta, classes) - jnp.sum(eta * s, axis=-2)


def exponents(
    own: Array,
    ratios: Array,
    s: Array,
    counted: Array,
    classes: int,
    low: float,
    high: float,
    start: float,
) -> Array:
    """The exponents a_k ∈ [low, high] that minimise the mean log-loss of p · Π_k r_k^{a_k}.

    Convex, whatever the family. Newton steps inside the box; one at whose end the loss rises more
    than half as steeply as it fell at its start is not taken, and the next is a quarter as long.

    Args:
      own: (D, n) η of p.
      ratios: (K, D, n) η of r_k.
      s: (D, n) statistics of the labels.
      counted: (n,) how much each example counts.
      classes: number of classes, 0 for a regression.
      low: bound.
      high: bound.
      start: of the search.

    Returns:
      (K,).
    """
    share = counted / jnp.sum(counted)
    means = partial(moments, classes=classes)

    def model(a: Array) -> tuple[Array, Array]:
        """Gradient and curvature of the loss at a: (K,), (K, K)."""
        expected, push = jax.linearize(means, own + jnp.sum(a[:, None, None] * ratios, axis=0))
        weighed = share[None, None] * ratios
        g = jnp.sum((expected - s)[None] * weighed, axis=(1, 2))
        return g, jnp.sum(weighed[:, None] * jax.vmap(push)(ratios)[None], axis=(2, 3))

    def step(a: Array, g: Array, h: Array) -> Array:
        """To the minimum in the box of the quadratic model at a, coordinate by coordinate."""
        curvature = jnp.diagonal(h) * (1 + 1e-6) + 1e-12

        def sweep(_: int, d: Array) -> Array:
            for k in range(len(a)):
                wish = d[k] - (g[k] + jnp.sum(h[k] * d)) / curvature[k]
                d = d.at[k].set(jnp.clip(wish, low - a[k], high - a[k]))
            return d

        d = jnp.zeros_like(a)
        return sweep(0, d) if len(a) == 1 else jax.lax.fori_loop(0, 12, sweep, d)

    def newton(now: tuple) -> tuple:
        count, a, g, h, damping, _ = now
        d = step(a, g, damping * h)
        there = (a + d, *model(a + d))
        fine = jnp.sum(there[1] * d) <= -0.5 * jnp.sum(g * d)
        kept = (jnp.where(fine, new, old) for new, old in zip(there, (a, g, h), strict=True))
        damping = jnp.where(fine, jnp.maximum(damping / 4, 1), damping * 4)
        done = fine & (jnp.max(jnp.abs(d)) <= 1e-3 * jnp.max(jnp.abs(a + d)) + 1e-7)
        return count + 1, *kept, damping, done

    a = jnp.full(len(ratios), start, own.dtype)
    begin = (0, a, *model(a), jnp.ones(()), jnp.bool_(False))
    # runs that are done wait for those beside them, unchanged
    found = jax.lax.while_loop(lambda now: (now[0] < _ITERATIONS) & ~now[-1], newton, begin)
    return jnp.clip(found[1], low, high)


def temperature(
    eta: Array, before: Array, s: Array, classes: int, counted: Array | None = None
) -> Array:
    """T ∈ [.5, 1000] that minimises the mean log-loss of p^{1/T} π^{1 − 1/T}.

    The limit of an encoder that knows nothing is the prior, not the uniform distribution.

    Args:
      eta: (D, n) of p.
      before: (D,) of π.
      s: (D, n) statistics of the labels.
      classes: number of classes, 0 for a regression.
      counted: (n,) 1 or 0, which examples count; None for all.

    Returns:
      Scalar.
    """
    known = jnp.broadcast_to(before[:, None], eta.shape)
    cold, hot = 1 / COLDEST, 1 / HOTTEST
    every = jnp.ones(eta.shape[1]) if counted is None else counted
    return 1 / exponents(known, (eta - known)[None], s, every, classes, hot, cold, hot)[0]


def weigh(
    own: Array, ratios: Array, s: Array, classes: int, counted: Array | None = None
) -> tuple[Array, Array]:
    """α of every partner, and g = max(0, 1 − (s/μ)²) if μ > 0, else 0: how sure it is they help.

    μ and s are mean and standard error of the log-loss that fusing saves on an example, with
    exponents fitted on the examples of the other half, every second one.

    Args:
      own: (D, n) η of p̂_m, n ≥ 4.
      ratios: (K, D, n) η of p̂_k / π.
      s: (D, n) statistics of the labels.
      classes: number of classes, 0 for a regression.
      counted: (n,) 1 or 0, which examples count, 4 or more; None for all.

    Returns:
      (K,) in [0, 1.2], and a scalar in [0, 1).
    """
    examples = own.shape[1]
    if counted is None:
        even = 1.0 - jnp.arange(examples) % 2
        parts = jnp.stack([jnp.ones_like(even), even, 1 - even])  # all, one half, the other
    else:
        even = 1.0 - (jnp.cumsum(counted) - counted) % 2
        parts = counted[None] * jnp.stack([jnp.ones_like(even), even, 1 - even])
    every, on_even, on_odd = jax.vmap(
        lambda c: exponents(own, ratios, s, c, classes, 0, GREATEST, 0)
    )(parts)
    judging = jnp.where((even == 1)[None], on_odd[:, None], on_even[:, None])  # (K, n)
    fused = own + jnp.sum(judging[:, None] * ratios, axis=0)
    saved = log_loss(own, s, classes) - log_loss(fused, s, classes)
    if counted is None:
        mean, square = jnp.mean(saved), jnp.var(saved, ddof=1) / examples
    else:
        some = jnp.sum(counted)
        mean = jnp.sum(counted * saved) / some
        square = jnp.sum(counted * (saved - mean) ** 2) / (some - 1) / some
    positive = jnp.where(mean > 0, mean, 1)
    g = jnp.where(mean > 0, jnp.maximum(0, 1 - square / positive**2), 0)
    return every, g


def partners(modalities: int) -> Array:
    """(M, M − 1) numbers of each encoder's partners, in order."""
    every = range(modalities)
    return jnp.array([[k for k in every if k != m] for m in every], jnp.int32).reshape(
        modalities, modalities - 1
    )


def fit(
    outputs: Array,
    y: Array,
    before: Array,
    classes: int,
    apart: Array | None = None,
    present: Array | None = None,
) -> Evidence:
    """Calibration, weights and gates from held-out examples.

    With fewer than `SCARCE` of them they say too little, and the encoders are left alone.

    Args:
      outputs: (M, n, classes) logits, or (M, n) predictions of a regression.
      y: (n,) labels, or (M, n) of every encoder's own examples, where they are not the same ones.
      before: (D,) see `prior`.
      classes: number of classes, 0 for a regression.
      apart: (M,) encoders that take no part, besides those whose outputs are not finite.
      present: (M, n) bool, the rows that every encoder has. Its evidence is that of the rows which
        it shares with a partner; a partner that lacks a row tells nothing there. None for all.

    Returns:
      T, the variance, α and g of every encoder.
    """
    count = len(outputs)
    if y.shape[-1] < SCARCE or count < 2:
        return nothing(count, before)
    apart = _broken(outputs) if apart is None else apart | _broken(outputs)
    outputs = _without(outputs, apart)
    y = jnp.broadcast_to(y, outputs.shape[:2])
    s = jax.vmap(lambda own: statistics(own, classes))(y)
    counted, alone = None, apart
    if present is not None:
        counted = _shared(present)
        scarce = jnp.sum(counted, axis=1) < SCARCE
        counted = (counted | scarce[:, None]).astype(jnp.float32)  # its gate is 0 then
        alone = apart | scarce
    variance = jnp.ones(count)
    if not classes:
        v = -0.5 / before[1]
        square = (outputs - y) ** 2
        if counted is None:
            square = jnp.mean(square, axis=1)
        else:
            square = jnp.sum(counted * square, axis=1) / jnp.sum(counted, axis=1)
        variance = jnp.clip(square, SMALLEST * v, v)
    eta = jax.vmap(natural, (0, 0, None))(outputs, variance, classes)
    hot = jax.vmap(lambda e, own, c: temperature(e, before, own, classes, c))(eta, s, counted)
    ratios = _without((eta - before[None, :, None]) / hot[:, None, None], apart)
    told = ratios if present is None else jnp.where(present[:, None], ratios, 0)
    weight, gates = jax.vmap(lambda own, others, t, c: weigh(own, others, t, classes, c))(
        ratios + before[None, :, None], told[partners(count)], s, counted
    )
    return Evidence(before, hot, variance, weight, jnp.where(alone, 0, gates))


def losses(
    outputs: Array,
    evidence: Evidence,
    classes: int,
    apart: Array | None = None,
    *,
    present: Array | None = None,
    axis: str | None = None,
) -> Array:
    """Mean over examples of CE(q_m, p_m), with a gradient through p_m alone.

    Nats for classes; for a regression times the posterior's standard deviation, units of the
    target like its task loss.

    Args:
      outputs: as for `fit`, of pairs; no labels are needed.
      evidence: of `fit`.
      classes: number of classes, 0 for a regression.
      apart: (M,) encoders that take no part; nothing reaches the others from them. None for those
        whose outputs are not finite.
      present: (M, n) bool, the rows that every encoder has. q_m is the product of those who have a
        row, and an encoder's mean is over the rows that it shares with a partner; None for all.
      axis: mesh axis over which the examples are split; every device returns its part of the means.
    """
    apart = _broken(outputs) if apart is None else apart
    eta = jax.vmap(natural, (0, 0, None))(_without(outputs, apart), evidence.variance, classes)
    still = jax.lax.stop_gradient(eta)
    # one row of exponents per encoder: α_mk / T_k for partners, 0 for itself
    count = len(outputs)
    exponent = jnp.zeros((count, count)).at[jnp.arange(count)[:, None], partners(count)]
    exponent = exponent.set(evidence.weight) / evidence.temperature[None]
    exponent = jnp.where(apart[None], 0, exponent)[:, :, None, None]
    ratios = still - evidence.prior[None, :, None]
    if present is not None:
        ratios = jnp.where(present[:, None], ratios, 0)
    expected = moments(still + jnp.sum(exponent * ratios[None], axis=1), classes)
    each = log_loss(eta, expected, classes)
    if present is None:
        mean = jnp.mean(each, axis=-1) / batch_size(1, axis)
    else:
        shared = _shared(present)
        mean = jnp.sum(jnp.where(shared, each, 0), axis=-1) / number(shared, axis)
    return mean * jnp.sqrt(evidence.variance)


def _shared(present: Array) -> Array:
    """(M, n) the rows that an encoder and a partner have."""
    return present & (jnp.sum(present, axis=0) > 1)[None]


def _broken(outputs: Array) -> Array:
    return ~jnp.all(jnp.isfinite(outputs), axis=tuple(range(1, outputs.ndim)))


def _without(rows: Array, apart: Array) -> Array:
    """(M, ...) with zeros for the encoders that take no part."""
    return jnp.where(apart.reshape(-1, *(1,) * (rows.ndim - 1)), 0, rows)
