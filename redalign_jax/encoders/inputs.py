"""What an encoder makes of its input before anything else."""

import jax.numpy as jnp
from jax import Array


def numbers(x: Array) -> Array:
    """Inputs as float32; bytes of images, (n, h, w, c), as levels from 0 to 1."""
    levels = x.dtype == jnp.uint8 and x.ndim == 4
    return x.astype(jnp.float32) / 255 if levels else x.astype(jnp.float32)
