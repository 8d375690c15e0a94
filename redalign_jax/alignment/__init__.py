"""The controllable contrastive module: what is aligned, how strongly, and when.

    L = L_task + λ · L_align

An *objective* compares two batches of projections. *Strength* is not a factor of the loss but of
the gradient that each encoder feels (`scale_gradient`), so that encoder m can have its own λ_m:
equal strengths give exactly the gradient of the line above, and λ_m = 0 leaves encoder m as if it
were trained alone. Every number here may be traced; every choice of function is static.
"""

from redalign_jax.alignment.info_nce import BOUNDED_TEMPERATURE, info_nce
from redalign_jax.alignment.negatives import Negatives, negative_weights
from redalign_jax.alignment.pairs import all_pairs, pairs
from redalign_jax.alignment.siglip import siglip
from redalign_jax.alignment.strength import (
    SCHEDULES,
    aligned_dims_mask,
    felt,
    normalise,
    scale_gradient,
    schedule,
)
from redalign_jax.alignment.vicreg import vicreg

__all__ = [
    "BOUNDED_TEMPERATURE",
    "SCHEDULES",
    "Negatives",
    "all_pairs",
    "info_nce",
    "negative_weights",
    "normalise",
    "pairs",
    "scale_gradient",
    "schedule",
    "aligned_dims_mask",
    "felt",
    "siglip",
    "vicreg",
]
