"""Variance–invariance–covariance regularisation."""

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.alignment.blocks import batch_size, gathered


def vicreg(
    z_a: Array,
    z_b: Array,
    variance: float = 1.0,
    covariance: float = 0.04,
    counted: Array | None = None,
    *,
    axis: str | None = None,
) -> Array:
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
      counted: (n,) bool, the rows that both modalities have, over which all is taken; where there
        are fewer than two, nothing is said of the spread. None for all.
      axis: mesh axis over which the batch is split, see `blocks`.

    Returns:
      Scalar.
    """
    devices = batch_size(1, axis)
    z_a, z_b = gathered(z_a, axis), gathered(z_b, axis)
    if counted is not None:
        counted = gathered(counted, axis).astype(z_a.dtype)[:, None]
        some = jnp.maximum(jnp.sum(counted), 1)

    def spread(z: Array) -> Array:
        if counted is None:
            z, less = z - jnp.mean(z, axis=0, keepdims=True), z.shape[0] - 1
        else:
            mean = jnp.sum(counted * z, axis=0, keepdims=True) / some
            z, less = counted * (z - mean), jnp.maximum(some - 1, 1)
        cov = z.T @ z / less
        var = jnp.diagonal(cov)
        hinge = jnp.mean(jax.nn.relu(1 - jnp.sqrt(var + 1e-4)))
        off_diagonal = jnp.sum(cov**2) - jnp.sum(var**2)
        return variance * hinge + covariance * off_diagonal / z.shape[1]

    if counted is None:
        return (jnp.mean((z_a - z_b) ** 2) + spread(z_a) + spread(z_b)) / devices
    apart = jnp.sum(counted * (z_a - z_b) ** 2) / (some * z_a.shape[1])
    return (apart + jnp.where(some > 1, spread(z_a) + spread(z_b), 0)) / devices
