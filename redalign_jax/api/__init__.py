"""From arrays, or an experiment, to answers: what a notebook calls, and the command line too."""

from redalign_jax.api.advice import advise
from redalign_jax.api.data import arrays, inspect
from redalign_jax.api.fits import fit, load
from redalign_jax.api.gains import predict_gain
from redalign_jax.api.information import decompose
from redalign_jax.api.reports import report
from redalign_jax.api.sweeps import sweep

__all__ = [
    "advise",
    "arrays",
    "decompose",
    "fit",
    "inspect",
    "load",
    "predict_gain",
    "report",
    "sweep",
]
