"""How strongly an encoder is pulled, when, and by which part of its embedding."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from redalign_jax.runtime.lapack import power_of_two


def normalise(x: Array, axis: int = -1) -> Array:
    """x / ‖x‖₂ along one axis, whatever the scale of x.

    A vector of zeros stays so, with a zero gradient. float32 of any shape.
    """
    x = x * power_of_two(x, axis)
    # the largest number is now at least 1, or all are 0
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=axis, keepdims=True), 0.5))


def scale_gradient(x: Array, scale: ArrayLike) -> Array:
    """Identity forward, `scale` times the gradient backward. Any shape; `scale` may be traced.

    Scale 0 lets nothing through, a gradient that is not finite included.
    """
    still = jax.lax.stop_gradient(x)
    felt = jnp.where(jnp.asarray(scale) == 0, still, x)
    return still + scale * (felt - still)


def felt(strength: Array, on: ArrayLike) -> tuple[Array, Array]:
    """λ_m · s(t) / (M − 1), the part of the alignment's gradient that encoder m feels, in two.

    An encoder meets M − 1 partners: λ weighs their mean, whatever M. What stands between encoder
    and objective, such as a projector, belongs to no encoder and feels the largest strength.

    Args:
      strength: (M,) λ, may be traced.
      on: s(t), the schedule's factor, scalar.

    Returns:
      (M,) λ_m / max λ, for the encoders; scalar max λ · s(t) / (M − 1), for all.
    """
    most = jnp.max(strength)
    return strength / jnp.where(most > 0, most, 1), most * on / max(len(strength) - 1, 1)


def aligned_dims_mask(features: int, share: ArrayLike) -> Array:
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
