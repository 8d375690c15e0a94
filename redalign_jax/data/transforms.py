"""Numbers made fit for standardising: `data.transform`."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from redalign_jax import named
from redalign_jax.errors import UserError

TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"log1p": np.log1p}


def applied(x: Mapping[str, np.ndarray], field: str, source: str) -> dict[str, np.ndarray]:
    """The arrays, those that `data.transform` names as it says: log1p(x) = log(1 + x), float.

    Raises:
      UserError: a name or a transform that does not exist, or numbers below 0.
    """
    found = dict(x)
    for name, how in stated(field, tuple(x)).items():
        value = x[name]
        if value.dtype.kind not in "biuf" or (value < 0).any():
            raise UserError(f"data.transform: {name!r} of {source} has numbers below 0")
        found[name] = TRANSFORMS[how](value.astype(np.float64))
    return found


def stated(field: str, names: Sequence[str]) -> dict[str, str]:
    """The field `data.transform`, "NAME=TRANSFORM" between commas.

    Raises:
      UserError: a name or a transform that does not exist, or a name twice.
    """
    return named.values("data.transform", field, names, tuple(TRANSFORMS), "transform")
