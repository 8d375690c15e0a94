"""Wide inputs in few columns, by directions of the rows that a classifier is trained on."""

from collections.abc import Sequence

import numpy as np

from redalign_jax.pid.crossfit import Partition

WIDE = 1024  # columns; inputs of more are reduced
KEPT = 128  # leading components of them
ROWS = 4096  # that they are found from, at most
_MORE = 8  # directions of the sketch beyond those kept


def reduced(x: np.ndarray, rows: np.ndarray, parts: Sequence[Partition], seed: int) -> np.ndarray:
    """Scores of a wide input on the leading `KEPT` directions of each fold's training rows.

        t = (x − μ) V / s

    μ is the mean of the training rows and V the right singular vectors of what is left of them, see
    `directions`; s is common to all directions, so that their mean variance is 1: they keep their
    proportions. A fold that has fewer directions fills up with zeros.

    Args:
      x: (n, d) standardised input.
      rows: that are in `parts`; the others are 0.
      parts: from `crossfit.partitions`. A row that a fold judges has no part in the fold's μ, V, s.
      seed: of what is drawn; equal seeds give equal scores.

    Returns:
      (parts, folds, n, KEPT) float32.
    """
    rng = np.random.default_rng(seed)
    found = np.zeros((len(parts), len(parts[0].train), len(x), KEPT), np.float32)
    random = rng.standard_normal((x.shape[1], KEPT + _MORE), dtype=np.float32)
    inside = x[rows]
    sketch = np.zeros((len(x), random.shape[1]), np.float32)
    sketch[rows] = inside @ random
    for member, part in zip(found, parts, strict=True):
        for scores, train in zip(member, part.train, strict=True):
            train = np.unique(train)
            if len(train) > ROWS:
                train = np.sort(rng.choice(train, ROWS, replace=False))
            mean, axes = directions(x[train], sketch[train])
            scores[rows, : axes.shape[1]] = inside @ axes - mean @ axes
    return found


def directions(x: np.ndarray, sketch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) of rows, and V / s (d, k), k = min(KEPT, n − 1, d); see `reduced`.

    Halko, Martinsson and Tropp 2011 (SIAM Review 53(2):217), algorithm 4.4 with one power
    iteration.

    Args:
      x: (n, d) float32, n ≥ 2.
      sketch: (n, KEPT + a few) their projections on random directions.
    """
    mean = x.mean(axis=0)
    z = x - mean
    n, d = z.shape
    kept = min(KEPT, n - 1, d)
    q = np.linalg.qr(sketch - sketch.mean(axis=0))[0]
    q = np.linalg.qr(z @ (z.T @ q))[0]
    b = q.T @ z
    squares, u = np.linalg.eigh((b @ b.T).astype(np.float64))
    squares, u = np.maximum(squares[::-1][:kept], 0), u[:, ::-1][:, :kept]
    if not squares[0]:  # rows that are all alike
        return mean, np.zeros((d, kept), np.float32)
    alive = squares > 1e-10 * squares[0]  # else nothing but rounding
    scale = np.sqrt(squares * squares[alive].mean() / n)  # singular values times s
    return mean, b.T @ np.where(alive, u / np.where(alive, scale, 1), 0).astype(np.float32)
