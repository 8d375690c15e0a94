"""Partial information decomposition: what two modalities tell about the label."""

from redalign_jax.pid.columns import columns
from redalign_jax.pid.estimate import Estimate, Values, estimate, estimate_pairs, work
from redalign_jax.pid.exact import PID, decompose, mutual_information

__all__ = [
    "PID",
    "Estimate",
    "Values",
    "columns",
    "decompose",
    "estimate",
    "estimate_pairs",
    "mutual_information",
    "work",
]
