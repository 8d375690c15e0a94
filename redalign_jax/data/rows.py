"""Rows of one large array that all seeds share: a seed is its row numbers and its scale."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

SHARED = 2**25  # bytes as float32, from which on vectors are shared
CLIP = 30.0  # standard deviations that an input may lie from the mean
ALIGNED = 64  # bytes; a CPU device takes an array that starts there as it is
_NUMBERS = 2**20  # at a time
_EXACT = 2  # bytes of a whole number that float32 holds


class Columns(NamedTuple):
    """What scaling has to know of all rows.

    Attributes:
      centre: (d,) float64, what was taken of x; 0 where `values` are x itself.
      low, high: (d,) the least and the largest of every column of `values`.
      resolution: of the type of x, relative.
    """

    centre: np.ndarray
    low: np.ndarray
    high: np.ndarray
    resolution: float


class Whole(NamedTuple):
    """A modality's array as the device holds it.

    Attributes:
      values: (N, d) x - centre: float32, or x itself in a type that float32 holds; or levels or
        tokens.
      columns: of vectors; None for levels and tokens, which are not scaled.
    """

    values: np.ndarray
    columns: Columns | None


def whole(x: np.ndarray, kind: str) -> Whole | None:
    """An array of vectors, of tokens, or of pictures in levels 0..255, ready to be shared.

    What float32 does not hold is centred in float64 first, so that an offset costs no digits. None
    where it is of another kind, or small, and every seed has its own.
    """
    as_it_is = kind == "tokens" or (kind == "image" and x.dtype == np.uint8)
    if as_it_is and x.nbytes >= SHARED:
        return Whole(x if x.ctypes.data % ALIGNED == 0 else _copy(x, x.dtype, np.zeros(1)), None)
    if kind != "vector" or x.ndim != 2 or 4 * x.size < SHARED:
        return None
    resolution = float(np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).eps)
    centre = np.zeros(x.shape[1])
    if x.dtype.itemsize <= (4 if x.dtype.kind == "f" else _EXACT):
        values = x if x.ctypes.data % ALIGNED == 0 else _copy(x, x.dtype, centre)
    else:
        for block in blocks(x):
            centre += block.sum(axis=0, dtype=np.float64) / len(x)
        values = _copy(x, np.dtype(np.float32), centre)
    low, high = np.full(x.shape[1], np.inf, np.float32), np.full(x.shape[1], -np.inf, np.float32)
    for block in blocks(values):
        block = block.astype(np.float32, copy=False)  # which is faster than in float16
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    return Whole(values, Columns(centre, low, high, resolution))


def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """The array, some rows at a time."""
    size = max(1, _NUMBERS // max(1, x[:1].size))
    return (x[start : start + size] for start in range(0, len(x), size))


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of anything, which lies so that a CPU device takes it as it is."""
    count = int(np.prod(shape)) * dtype.itemsize
    room = np.empty(count + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    return room[start : start + count].view(dtype).reshape(shape)


def _copy(x: np.ndarray, dtype: np.dtype, centre: np.ndarray) -> np.ndarray:
    values = aligned(x.shape, dtype)
    for into, block in zip(blocks(values), blocks(x), strict=True):
        into[:] = block - centre if centre.any() else block
    return values


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["values", "index", "mean", "inverse"],
    meta_fields=[],
)
@dataclass(frozen=True)
class Rows:
    """Some rows of a `Whole`, standardised where they are read. numpy, or JAX in a program.

        z = clip((values[index] - mean) · inverse, ± CLIP), float32

    Levels and tokens have no scale and are read as they are. `rows[i]` reads, `at` chooses without
    reading. Like an array it has shape, dtype and a length.

    Attributes:
      values: (N, ...), see `Whole`; None where it is kept elsewhere.
      index: (n,) int32 row numbers.
      mean: (2, d) float32, a mean and what rounding took of it; None without a scale.
      inverse: (d,) float32, of the standard deviation; 0 where a column is set to 0; or None.
    """

    values: Any
    index: Any
    mean: Any
    inverse: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...)."""
        return len(self), *self.values.shape[1:]

    @property
    def ndim(self) -> int:
        """Axes."""
        return self.values.ndim

    @property
    def size(self) -> int:
        """Numbers."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of what is read."""
        return np.dtype(np.float32) if self.inverse is not None else self.values.dtype

    def __len__(self) -> int:
        """Rows."""
        return self.index.shape[-1]

    def __getitem__(self, rows: Any) -> Any:
        """Reads rows, by a slice or an array of numbers, (k, ...)."""
        x = self.values[self.index[rows]]
        if self.inverse is None:
            return x
        x = x.astype("float32")
        z = ((x - self.mean[:1]) - self.mean[1:]) * self.inverse[None]
        return z.clip(-CLIP, CLIP)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Reads all rows."""
        del copy
        return np.asarray(self[:], dtype)

    def at(self, rows: Any) -> "Rows":
        """Rows of these rows."""
        return Rows(self.values, self.index[rows], self.mean, self.inverse)


def at(x: Any, rows: Any) -> Any:
    """Rows of an array, or of shared rows, which are not read for it."""
    return x.at(rows) if isinstance(x, Rows) else x[rows]
