"""The controllable contrastive module: what is aligned, how strongly, and when.

    L = L_task + λ · L_align

An *objective* compares two batches of projections. *Strength* is not a factor of the loss but of
the gradient that each encoder feels (`scale_gradient`), so that encoder m can have its own λ_m:
equal strengths give exactly the gradient of the line above, and λ_m = 0 leaves encoder m as if it
were trained alone. Every number here may be traced; every choice of function is static.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

# exp(-2/τ) must stay a normal float32, with room for a batch of gradients below it.
BOUNDED_TEMPERATURE = 0.025


def normalise(x: Array, axis: int = -1) -> Array:
    """x / ‖x‖₂ along an axis; a vector of zeros stays so, with a zero gradient. Any shape."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=axis, keepdims=True), 1e-12))


def info_nce(
    z_a: Array,
    z_b: Array,
    temperature: ArrayLike,
    weights: Array | None = None,
    *,
    bounded: bool = False,
) -> Array:
    """Symmetric InfoNCE: row i of `z_a` and row i of `z_b` are the positive pair.

        s = z_a z_bᵀ / τ
        L = ½ mean_i [log Σ_j w_ij exp s_ij − s_ii] + ½ mean_j [log Σ_i w_ij exp s_ij − s_jj]

    van den Oord et al. 2018 (arXiv 1807.03748), both directions as in CLIP (arXiv 2103.00020).

    Args:
      z_a: (n, d) projections of one modality, L2-normalised by the caller.
      z_b: (n, d) projections of the other.
      temperature: τ > 0, scalar, may be traced.
      weights: w (n, n) of `negative_weights`, without gradient; None for all ones.
      bounded: use one exponential for both directions, exp(s − 1/τ), instead of two
        logsumexps: faster, and exact where |z_a·z_b| ≤ 1 and τ ≥ `BOUNDED_TEMPERATURE`. Below
        that float32 underflows, so the choice is made outside the traced program.

    Returns:
      Scalar, in nats.
    """
    if not bounded:
        s = z_a @ z_b.T / temperature
        over_a, over_b = (jax.nn.logsumexp(s, axis=k, b=weights) for k in (0, 1))
        return jnp.mean(over_a + over_b) / 2 - jnp.trace(s) / s.shape[0]
    return _bounded_info_nce(z_a, z_b, jnp.asarray(temperature, z_a.dtype), weights)


@jax.custom_vjp
def _bounded_info_nce(z_a: Array, z_b: Array, temperature: Array, weights: Array | None) -> Array:
    return _bounded_forward(z_a, z_b, temperature, weights)[0]


def _bounded_forward(
    z_a: Array, z_b: Array, temperature: Array, weights: Array | None
) -> tuple[Array, tuple]:
    e = jnp.exp((z_a @ z_b.T - 1) / temperature)
    if weights is not None:
        e = e * weights
    rows, columns = jnp.sum(e, axis=1), jnp.sum(e, axis=0)
    positive = jnp.mean(jnp.sum(z_a * z_b, axis=-1) - 1) / temperature
    loss = jnp.mean(jnp.log(rows) + jnp.log(columns)) / 2 - positive
    return loss, (z_a, z_b, temperature, weights, e, rows, columns)


def _bounded_backward(saved: tuple, g: Array) -> tuple[Array, Array, Array, Array | None]:
    z_a, z_b, temperature, weights, e, rows, columns = saved
    scale = g / (2 * z_a.shape[0] * temperature)
    p = e * (1 / rows[:, None] + 1 / columns)
    g_a = (p @ z_b - 2 * z_b) * scale
    # z_aᵀp is several times faster on CPU than pᵀz_a; scaled before it is transposed, because XLA
    # would turn a bare transpose back into the slow product
    g_b = (jnp.tensordot(z_a, p, (0, 0)) * scale).T - 2 * scale * z_a
    # the loss depends on z_a / τ alone
    return g_a, g_b, -jnp.sum(z_a * g_a) / temperature, jax.tree.map(jnp.zeros_like, weights)


_bounded_info_nce.defvjp(_bounded_forward, _bounded_backward)


def siglip(
    z_a: Array,
    z_b: Array,
    temperature: ArrayLike,
    bias: ArrayLike,
    weights: Array | None = None,
) -> Array:
    """Pairwise sigmoid loss: each of the n² pairs is its own binary question.

        L = −(1/n) Σ_ij w_ij log σ(y_ij (z_a,i·z_b,j / τ + b)),  y_ij = 1 if i = j else −1

    Zhai et al. 2023 (arXiv 2303.15343).

    Args:
      z_a: (n, d) projections, L2-normalised by the caller.
      z_b: (n, d).
      temperature: τ > 0, scalar.
      bias: b, scalar, learned; −10 at the start, against the n² − n negatives.
      weights: w (n, n) of `negative_weights`, without gradient; None for all ones.

    Returns:
      Scalar, in nats per example.
    """
    s = z_a @ z_b.T / temperature + bias
    n = s.shape[0]
    losses = jax.nn.softplus(s)
    if weights is not None:
        losses = losses * weights
    return (jnp.sum(losses) - jnp.trace(s)) / n


def negative_weights(p_a: Array, p_b: Array, debias: ArrayLike) -> Array:
    """How much each pair of a batch counts as a negative: less, the likelier it shares its label.

        w_ij = 1 − κ Σ_c p_a(c|i) p_b(c|j) for i ≠ j,  w_ii = 1

    Instance discrimination pushes apart examples of one class, which is what a task with few
    labels can least afford. The sum is the probability that i and j have the same label, as far as
    the encoders' own heads can tell; with κ = 1 a sure false negative is no negative at all. The
    idea of false-negative cancellation (Huynh et al. 2022, arXiv 2011.11765) and of debiased
    contrastive learning (Chuang et al. 2020, arXiv 2007.00224), with predicted labels.

    Args:
      p_a: (n, classes) predicted probabilities of one modality; no gradient passes.
      p_b: (n, classes) of the other.
      debias: κ in [0, 1], scalar, may be traced.

    Returns:
      (n, n) in [0, 1].
    """
    same = jnp.clip(jax.lax.stop_gradient(p_a @ p_b.T), 0, 1)
    return 1 - debias * same * (1 - jnp.eye(same.shape[0]))


def vicreg(z_a: Array, z_b: Array, variance: float = 1.0, covariance: float = 0.04) -> Array:
    """Variance–invariance–covariance regularisation: alignment without negatives.

        L = mean (z_a − z_b)² + v Σ_z mean_k max(0, 1 − √(Var z_k + 1e-4))
            + c Σ_z (1/d) Σ_{k≠l} Cov(z)²_kl

    Bardes et al. 2022 (arXiv 2105.04906), whose weights 25 : 25 : 1 are divided by 25 here so
    that the strength means the same for every objective.

    Args:
      z_a: (n, d) projections, n ≥ 2, *not* normalised: their variance is what is regularised.
      z_b: (n, d).
      variance: v.
      covariance: c.

    Returns:
      Scalar.
    """

    def spread(z: Array) -> Array:
        z = z - jnp.mean(z, axis=0)
        cov = z.T @ z / (z.shape[0] - 1)
        var = jnp.diagonal(cov)
        hinge = jnp.mean(jax.nn.relu(1 - jnp.sqrt(var + 1e-4)))
        off_diagonal = jnp.sum(cov**2) - jnp.sum(var**2)
        return variance * hinge + covariance * off_diagonal / z.shape[1]

    return jnp.mean((z_a - z_b) ** 2) + spread(z_a) + spread(z_b)


def scale_gradient(x: Array, scale: ArrayLike) -> Array:
    """Identity forward, `scale` times the gradient backward. Any shape; `scale` may be traced."""
    still = jax.lax.stop_gradient(x)
    return still + scale * (x - still)


def share_mask(features: int, share: ArrayLike) -> Array:
    """Which part of an embedding is aligned: ones on the first `share` of its dimensions.

    mask_k = clip(share · d − k, 0, 1), k = 0..d−1: a dimension that the border cuts is weighted by
    the part inside, so `share` can be traced and swept continuously.

    Args:
      features: d.
      share: in [0, 1].

    Returns:
      (d,) weights.
    """
    return jnp.clip(share * features - jnp.arange(features), 0, 1)


SCHEDULES: dict[str, Callable[[Array], Array]] = {
    "constant": jnp.ones_like,
    "linear_warmup": lambda u: u,
    "linear_decay": lambda u: 1 - u,
    "cosine_warmup": lambda u: (1 - jnp.cos(jnp.pi * u)) / 2,
    "cosine_decay": lambda u: (1 + jnp.cos(jnp.pi * u)) / 2,
}


def schedule(name: str, progress: Array, until: ArrayLike) -> Array:
    """The factor on every strength at one moment of training.

    The named shape is stretched over the first `until` of training; after that alignment is off.

    Args:
      name: one of `SCHEDULES`.
      progress: part of training that is done, in [0, 1), scalar.
      until: part of training during which alignment is on, in [0, 1], may be traced.

    Returns:
      Scalar in [0, 1].
    """
    u = jnp.clip(progress / jnp.maximum(until, 1e-9), 0, 1)
    return jnp.where(progress < until, SCHEDULES[name](u), 0.0)


def pairs(modalities: int) -> list[tuple[int, int]]:
    """All pairs (a, b), a < b, of `modalities` encoders."""
    return [(a, b) for a in range(modalities) for b in range(a + 1, modalities)]


def all_pairs(
    objective: Callable[[Array, Array, Array | None], Array],
    z: Sequence[Array],
    weights: Callable[[int, int], Array] | None = None,
) -> Array:
    """The objective of every pair of modalities.

    Args:
      objective: (n, d), (n, d), weights → scalar.
      z: one (n, d) batch of projections per modality.
      weights: of the negatives between modalities a and b, (n, n); None for none.

    Returns:
      (M(M−1)/2,) in the order of `pairs`; empty for a single modality.
    """
    losses = [objective(z[a], z[b], weights(a, b) if weights else None) for a, b in pairs(len(z))]
    return jnp.stack(losses) if losses else jnp.zeros((0,), jnp.float32)
