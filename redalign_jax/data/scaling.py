"""Standardised inputs, with the mean and the spread of the training pairs alone."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from redalign_jax.data import notes
from redalign_jax.data.rows import CLIP, Rows, Whole, blocks
from redalign_jax.task import lengths

FEWEST = 10  # training rows from which on one of them cannot be a column's whole spread
_NUMBERS = 2**20  # float64 numbers at a time
NOT_PADDING = 1e-6


class Scale(NamedTuple):
    """How numbers are standardised, of any row: z = (x - mean) / spread, clipped at ± `CLIP`.

    Attributes:
      mean: (d,) float64, per column of a vector, channel of an image, feature of a sequence.
      spread: (d,) float64, the standard deviation; 0 where a column is set to 0.
    """

    mean: np.ndarray
    spread: np.ndarray


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
    return apply(x, kind, measure(x, kind, train))


def measure(x: np.ndarray, kind: str, train: np.ndarray) -> Scale | None:
    """The scale of the rows `train`; None for levels and tokens. See `standardise`."""
    if kind == "tokens" or (kind == "image" and x.dtype == np.uint8):
        return None
    if kind == "image":
        return _scale(x[train].reshape(-1, x.shape[-1]))
    if kind == "sequence":
        return _scale(_steps(x, lengths(x), train))
    return _scale(x[train])


def apply(x: np.ndarray, kind: str, scale: Scale | None) -> tuple[np.ndarray, Touched]:
    """Rows, of training or new, on a scale of `measure`; None leaves them as they are."""
    if scale is None:
        return x, Touched()
    if kind == "image":
        z, touched = _columns(x.reshape(-1, x.shape[-1]), scale)
        return z.reshape(x.shape), touched
    if kind == "sequence":
        return _sequences(x, lengths(x), scale)
    return _columns(x, scale)


def modalities(
    x: Mapping[str, np.ndarray],
    kinds: Mapping[str, str],
    train: np.ndarray,
    source: str,
    present: Mapping[str, np.ndarray] | None = None,
    wholes: Mapping[str, Whole] | None = None,
) -> tuple[dict[str, np.ndarray | Rows], dict[str, Scale | None]]:
    """Every modality standardised as suits its kind, its scale, and a line on what is not kept.

    Args:
      x: name → (n, ...) numbers of `kinds.cast`.
      kinds: name → of `kinds.KINDS`.
      train: the rows of which the scale is.
      source: the file, for what is said.
      present: name → (n,) bool, the rows that it has, of which the scale is; what is in the others
        is never read. A name that is left out has all.
      wholes: those of x that all seeds share: they become `Rows`.
    """
    found, scales = {}, {}
    for name, value in x.items():
        there = (present or {}).get(name)
        own = train if there is None else train[there[train]]
        if name in (wholes or {}):
            found[name], scales[name], touched = shared(wholes[name], own, there)
        else:
            scales[name] = measure(value, kinds[name], own)
            found[name], touched = apply(value, kinds[name], scales[name])
            if there is not None:
                found[name][~there] = 0
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
    return found, scales


def shared(
    whole: Whole, train: np.ndarray, there: np.ndarray | None = None
) -> tuple[Rows, Scale | None, Touched]:
    """All rows of a shared array, vectors on the scale of the rows `train`, see `standardise`.

    `there`: (N,) bool, the rows that the modality has; None for all.
    """
    every, columns = np.arange(len(whole.values), dtype=np.int32), whole.columns
    if columns is None:
        return Rows(whole.values, every, None, None), None, Touched()
    mean, std, farthest = _moments_of_rows(whole.values, np.sort(train))
    constant = _constant(mean + columns.centre, std, farthest, len(train), columns.resolution)
    inverse = np.where(constant, 0, 1 / np.where(constant, 1, std)).astype(np.float32)
    first = mean.astype(np.float32)
    both = np.stack([first, (mean - first).astype(np.float32)])
    found = Rows(whole.values, every, both, inverse)
    clipped = np.zeros(len(whole.values), int)
    far = np.maximum(columns.high - mean, mean - columns.low) * inverse > CLIP
    if far.any():
        away = (np.abs(block[:, far] - mean[far]) for block in blocks(whole.values))
        clipped = np.concatenate([(one * inverse[far] > CLIP).sum(axis=1) for one in away])
    scale = Scale(mean + columns.centre, np.where(constant, 0.0, std))
    return (
        found,
        scale,
        Touched(int(constant.sum()), int(clipped[slice(None) if there is None else there].sum())),
    )


def sequences(x: np.ndarray, lengths: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, Scale]:
    """Sequences (n, t, d), per feature over all steps; padding becomes zero; see `standardise`.

    Args:
      x: (n, t, d) numbers.
      lengths: (n,) steps of each sequence, the first of the t; what follows is padding.
      train: the sequences over which μ and σ are taken.

    Returns:
      (n, t, d) float32, see `Split.x`; and the scale.
    """
    scale = _scale(_steps(x, lengths, train))
    return _sequences(x, lengths, scale)[0], scale


def _steps(x: np.ndarray, ends: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(steps, d) the real steps of some of the rows, whose order is nothing."""
    here = np.isin(np.arange(len(x)), rows)
    return x[here][np.arange(x.shape[1]) < ends[here, None]]


def _sequences(x: np.ndarray, ends: np.ndarray, scale: Scale) -> tuple[np.ndarray, Touched]:
    real = np.arange(x.shape[1]) < ends[:, None]
    z = np.zeros(x.shape, np.float32)
    z[real], touched = _columns(x[real], scale)
    # A last step that is zero by chance would be taken for padding.
    last = np.flatnonzero(ends)
    last = last[~z[last, ends[last] - 1].any(axis=1)]
    z[last, ends[last] - 1, 0] = NOT_PADDING
    return z, touched


def _scale(train: np.ndarray) -> Scale:
    """Of the training rows."""
    mean, std, farthest = _moments(train.reshape(len(train), -1))
    resolution = np.finfo(train.dtype if train.dtype.kind == "f" else np.float64).eps
    constant = _constant(mean, std, farthest, len(train), float(resolution))
    return Scale(mean, np.where(constant, 0.0, std))


def _constant(
    mean: np.ndarray, std: np.ndarray, farthest: np.ndarray, count: int, resolution: float
) -> np.ndarray:
    """(d,) which columns of `count` rows have no known scale, see `standardise`."""
    # What is below the resolution of the type is rounding noise of a constant, not a spread.
    constant = std <= resolution * np.abs(mean)
    # One row of m at δ from the others lies √(m-1) σ from the mean, the farthest possible.
    if count >= FEWEST:
        constant |= farthest**2 >= (1 - 1e-6) * (count - 1) * std**2
    return constant


def _columns(x: np.ndarray, scale: Scale) -> tuple[np.ndarray, Touched]:
    flat = x.reshape(len(x), -1)
    constant = scale.spread == 0
    spread = np.where(constant, 1.0, scale.spread)
    z = np.empty(flat.shape, np.float32)
    clipped = 0
    for rows in _slices(len(flat), max(1, _NUMBERS // max(1, flat.shape[1]))):
        block = ((flat[rows] - scale.mean) / spread).astype(np.float32)
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


def _moments_of_rows(x: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_moments` of the rows `at` of (N, d), which are read once, some at a time.

    Blocks are merged as in Chan, Golub, LeVeque 1983 (doi:10.1080/00031305.1983.10483115).
    """
    width = x.shape[1]
    count, mean, square = 0, np.zeros(width), np.zeros(width)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for part in _slices(len(at), max(1, _NUMBERS // width)):
        block = x[at[part]].astype(np.float64)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        own = block.mean(axis=0)
        block -= own
        away, both = own - mean, count + len(block)
        square += np.einsum("nd,nd->d", block, block) + away**2 * (count * len(block) / both)
        mean += away * (len(block) / both)
        count = both
    return mean, np.sqrt(square / count), np.maximum(high - mean, mean - low)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
