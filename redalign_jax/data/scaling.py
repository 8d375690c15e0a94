"""Standardised inputs, with the mean and the spread of the training pairs alone."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from redalign_jax.data import notes
from redalign_jax.task import lengths

CLIP = 30.0  # standard deviations that an input may lie from the mean
FEWEST = 10  # training rows from which on one of them cannot be a column's whole spread
_NUMBERS = 2**20  # float64 numbers at a time
_NOT_PADDING = 1e-6


class Touched(NamedTuple):
    """What scaling could not keep.

    Attributes:
      constant: columns that are set to 0.
      clipped: values that lie beyond `CLIP` standard deviations and are set there.
    """

    constant: int = 0
    clipped: int = 0


def standardise(x: np.ndarray, kind: str, train: np.ndarray) -> tuple[np.ndarray, Touched]:
    """z = (x - μ) / σ as suits the kind, float32; levels (uint8) and tokens stay as they are.

    Vectors are scaled per column, float images per channel, sequences per feature over their real
    steps. A column (channel, feature) is set to 0 if in training it is constant up to the
    resolution of its type, or if one of at least `FEWEST` rows makes up its spread (all but a
    millionth of the variance): its scale is then unknown. |z| is clipped at `CLIP`.

    Args:
      x: (n, ...) numbers of `kinds.cast`.
      kind: of `kinds.KINDS`.
      train: the rows over which μ and σ (of the population, ddof = 0) are taken.
    """
    if kind == "tokens" or (kind == "image" and x.dtype == np.uint8):
        return x, Touched()
    if kind == "image":
        pixels = (-1, x.shape[-1])
        z, touched = _columns(x.reshape(pixels), x[train].reshape(pixels))
        return z.reshape(x.shape), touched
    if kind == "sequence":
        return _sequences(x, lengths(x), train)
    return _columns(x, x[train])


def modalities(
    x: Mapping[str, np.ndarray], kinds: Mapping[str, str], train: np.ndarray, source: str
) -> dict[str, np.ndarray]:
    """Every modality standardised as suits its kind, and a line on what could not be kept."""
    found = {}
    for name, value in x.items():
        found[name], touched = standardise(value, kinds[name], train)
        parts = []
        if touched.constant:
            parts.append(f"{touched.constant} columns of no known scale in training are set to 0")
        if touched.clipped:
            parts.append(
                f"{touched.clipped} of {value.size} values beyond {CLIP:g} standard "
                "deviations are clipped"
            )
        if parts:
            line = f"{source}: {name!r}, at the first seed that has such: {', '.join(parts)}"
            notes.once(line, f"{source} {name} scaled")
    return found


def columns(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Vectors (n, ...), per column; see `standardise`."""
    return _columns(x, x[train])[0]


def sequences(x: np.ndarray, lengths: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Sequences (n, t, d), per feature over all steps; padding becomes zero; see `standardise`.

    Args:
      x: (n, t, d) numbers.
      lengths: (n,) steps of each sequence, the first of the t; what follows is padding.
      train: the sequences over which μ and σ are taken.

    Returns:
      (n, t, d) float32, see `Split.x`.
    """
    return _sequences(x, lengths, train)[0]


def _sequences(x: np.ndarray, ends: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, Touched]:
    real = np.arange(x.shape[1]) < ends[:, None]
    z = np.zeros(x.shape, np.float32)
    steps = x[real]
    of_train = np.repeat(np.isin(np.arange(len(x)), train), real.sum(axis=1))
    z[real], touched = _columns(steps, steps[of_train])
    # A last step that is zero by chance would be taken for padding.
    last = np.flatnonzero(ends)
    last = last[~z[last, ends[last] - 1].any(axis=1)]
    z[last, ends[last] - 1, 0] = _NOT_PADDING
    return z, touched


def _columns(x: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, Touched]:
    """`train`: the training rows of x."""
    flat = x.reshape(len(x), -1)
    mean, std, farthest = _moments(train.reshape(len(train), -1))
    # What is below the resolution of the type is rounding noise of a constant, not a spread.
    resolution = np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).eps
    constant = std <= resolution * np.abs(mean)
    # One row of m at δ from the others lies √(m-1) σ from the mean, the farthest possible.
    if len(train) >= FEWEST:
        constant |= farthest**2 >= (1 - 1e-6) * (len(train) - 1) * std**2
    scale = np.where(constant, 1.0, std)
    z = np.empty(flat.shape, np.float32)
    clipped = 0
    for rows in _slices(len(flat), max(1, _NUMBERS // max(1, flat.shape[1]))):
        block = ((flat[rows] - mean) / scale).astype(np.float32)
        block[:, constant] = 0
        clipped += int(np.count_nonzero(np.abs(block) > CLIP))
        z[rows] = np.clip(block, -CLIP, CLIP)
    return z.reshape(x.shape), Touched(int(constant.sum()), clipped)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and largest distance from the mean of every column, in float64."""
    count, width = x.shape
    mean, square, farthest = np.zeros(width), np.zeros(width), np.zeros(width)
    # Whole columns where they fit, so that the sums do not depend on the cut.
    for columns in _slices(width, max(2, _NUMBERS // max(1, min(count, _NUMBERS)))):
        for rows in _slices(count, _NUMBERS):
            mean[columns] += x[rows, columns].astype(np.float64).sum(axis=0) / count
        for rows in _slices(count, _NUMBERS):
            away = np.abs(x[rows, columns].astype(np.float64) - mean[columns])
            square[columns] += (away**2).sum(axis=0) / count
            farthest[columns] = np.maximum(farthest[columns], away.max(axis=0))
    return mean, np.sqrt(square), farthest


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
