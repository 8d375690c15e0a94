"""Partial information decomposition: what two modalities tell about the label, and how they share it."""

from redalign_jax.pid.exact import PID, decompose, mutual_information

__all__ = ["PID", "decompose", "mutual_information"]
