"""The decomposition of jointly normal x1, x2 and one number y, in closed form."""

import math

import numpy as np

from redalign_jax.pid.exact import PID
from redalign_jax.task import Normal


def information(joint: Normal, rows: slice) -> float:
    """I(X;Y) = −½ log(1 − R²) in nats, of the inputs in `rows`; R² of the best linear predictor."""
    sigma = joint.covariance
    cross = sigma[rows, -1]
    explained = cross @ np.linalg.solve(sigma[rows, rows], cross) / sigma[-1, -1]
    return -0.5 * math.log1p(-explained)


def decompose(joint: Normal) -> PID:
    """Redundancy, unique information and synergy of I(X1,X2;Y), nats.

    For one normal number y the definition of BROJA gives R = min(I(X1;Y), I(X2;Y)): the weaker
    modality has nothing of its own (Barrett 2015, doi:10.1103/PhysRevE.91.052802). Which directions
    of the inputs are common plays no part in it.
    """
    first, second = joint.inputs
    own = information(joint, slice(first)), information(joint, slice(first, first + second))
    both = information(joint, slice(first + second))
    shared = min(own)
    unique = np.array(own) - shared
    return PID(shared, unique, both - max(own), 0.0)
