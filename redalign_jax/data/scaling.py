"""Standardised inputs, with the mean and the spread of the training pairs alone."""

import numpy as np


def columns(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """z = (x - μ) / σ per column, as float32; a column that is constant is only centred.

    Args:
      x: (n, ...) numbers.
      train: the rows over which μ and σ (of the population, ddof = 0) are taken.
    """
    rows = x[train].astype(np.float64)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    # What is below the resolution of the type is rounding noise of a constant, not a spread.
    resolution = np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).eps
    constant = std <= resolution * np.abs(mean)
    return ((x - mean) / np.where(constant, 1.0, std)).astype(np.float32)


def sequences(x: np.ndarray, lengths: np.ndarray, train: np.ndarray) -> np.ndarray:
    """z = (x - μ) / σ per feature over all steps of a sequence; padding becomes zero.

    Args:
      x: (n, t, d) numbers.
      lengths: (n,) steps of each sequence, the first of the t; what follows is padding.
      train: the sequences over which μ and σ are taken.

    Returns:
      (n, t, d) float32, see `Split.x`.
    """
    real = np.arange(x.shape[1]) < lengths[:, None]
    z = np.zeros(x.shape, np.float32)
    steps = x[real]
    of_train = np.repeat(np.isin(np.arange(len(x)), train), real.sum(axis=1))
    z[real] = columns(steps, np.flatnonzero(of_train))
    return z
