"""What samples and options of an estimate must be, and what labels they hold."""

import math
from collections.abc import Sequence

import numpy as np
from jax.typing import ArrayLike

from redalign_jax.errors import UserError
from redalign_jax.pid.crossfit import Recipe

MOST_CLASSES = 64  # the tables grow with the third power of it


def inputs(x: Sequence[ArrayLike], names: Sequence[str], n: int) -> list[np.ndarray]:
    """Every modality as an array (n, ...) of finite numbers."""
    checked = []
    for name, value in zip(names, x, strict=True):
        value = np.asarray(value)
        if value.dtype.kind not in "biuf" and str(value.dtype) != "bfloat16":
            raise UserError(f"{name}: holds {value.dtype}, not numbers")
        if value.ndim == 0 or len(value) != n:
            rows = f"{len(value)} rows" if value.ndim else "no rows"
            raise UserError(f"{name}: has {rows}, but there are {n} labels")
        if not value.size:
            raise UserError(f"{name}: an array of shape {value.shape} is empty")
        if not np.all(np.isfinite(value.astype(np.float32))):
            raise UserError(f"{name}: needs finite float32 numbers; found nan or inf")
        checked.append(value)
    return checked


def binned(y: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of at most `bins` quantile bins, (n,), and the edges between them, ascending.

    Equal values share a bin: each edge lies halfway between those two neighbouring values of y that
    part it most nearly at its quantile. Only the order of y matters, so y → a y + b moves no
    example to another bin, a > 0.

    Args:
      y: (n,) finite float64.
      bins: at least 2.
    """
    values, counts = np.unique(y, return_counts=True)
    below = np.cumsum(counts)[:-1]  # examples below the cut after each value
    if not len(below):
        return np.zeros(len(y), int), np.zeros(0)
    wanted = len(y) * np.arange(1, bins) / bins
    cut = np.unique(np.abs(below[:, None] - wanted).argmin(axis=0))
    number = np.searchsorted(values[cut + 1], y, side="right")
    return number, values[cut] / 2 + values[cut + 1] / 2


def labels(
    y: ArrayLike, bins: int, folds: int, clusters: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Class indices (n,), what the classes are called (C,), and the edges of bins."""
    y = np.asarray(y)
    if y.ndim != 1:
        raise UserError(f"y: needs one label per example, got shape {y.shape}")
    edges = None
    if y.dtype.kind == "f" or str(y.dtype) == "bfloat16":
        y = y.astype(np.float64)
        if not np.all(np.isfinite(y)):
            raise UserError("y: needs finite numbers; found nan or inf")
        y, edges = binned(y, bins)
    elif y.dtype.kind not in "biuUS":
        raise UserError(f"y: holds {y.dtype}; classes are integers, booleans or strings")
    values, y = np.unique(y, return_inverse=True)
    if len(values) < 2:
        raise UserError("y: only one class; nothing can be decomposed")
    if len(values) > MOST_CLASSES:
        raise UserError(
            f"y: {len(values)} classes; at most {MOST_CLASSES} can be decomposed, merge some"
        )
    if 0 < clusters < len(values):
        raise UserError(f"clusters: {clusters} is below {len(values)} classes; 0 chooses")
    counts = np.bincount(y)
    if counts.min() < folds:
        rarest = values[counts.argmin()].item()
        raise UserError(f"y: class {rarest!r} has {counts.min()} examples, below {folds} folds")
    return y, values, edges


def spread(y: np.ndarray, values: np.ndarray, group: np.ndarray, folds: int) -> None:
    """Raises UserError where a class is in fewer groups than there are folds."""
    counts = np.bincount(np.unique(np.stack([y, group]), axis=1)[0])
    if counts.min() < folds:
        rarest = values[counts.argmin()].item()
        raise UserError(
            f"y: class {rarest!r} is in {counts.min()} groups of rows that belong together, "
            f"below {folds} folds"
        )


def options(recipe: Recipe, clusters: int, bins: int, n_resamples: int) -> None:
    """Raises UserError where one is impossible."""
    least = {"folds": 2, "ensemble_size": 1, "steps": 1, "batch": 1}
    numbers = [(name, getattr(recipe, name), low) for name, low in least.items()]
    numbers += [("hidden_sizes", width, 1) for width in recipe.hidden_sizes]
    numbers += [("clusters", clusters, 0), ("bins", bins, 2), ("n_resamples", n_resamples, 0)]
    for name, value, low in numbers:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
            raise UserError(f"{name}: {value!r} must be a whole number, at least {low}")
    for name, value, open_low in (
        ("learning_rate", recipe.learning_rate, True),
        ("weight_decay", recipe.weight_decay, False),
    ):
        if not 0 <= value < math.inf or (open_low and value == 0):
            bound = "above 0" if open_low else "at least 0"
            raise UserError(f"{name}: {value!r} must be finite and {bound}")
