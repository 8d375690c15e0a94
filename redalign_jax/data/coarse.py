"""Pictures with fewer pixels."""

from collections.abc import Sequence

import numpy as np

from redalign_jax.errors import UserError


def means(x: np.ndarray, cell: int) -> np.ndarray:
    """(n, h, w, c) uint8 → (n, ⌊h/cell⌋, ⌊w/cell⌋, c): means of cell × cell pixels, rounded."""
    n, h, w, c = x.shape
    h, w = h // cell, w // cell
    cells = x[:, : h * cell, : w * cell].reshape(n, h, cell, w, cell, c)
    return np.rint(cells.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


def check(cell: int, sides: Sequence[int]) -> None:
    """Refuses cells that are no pixels, or larger than a picture with these sides.

    Raises:
      UserError: one line that names `data.downsample`.
    """
    if isinstance(cell, bool) or not isinstance(cell, int) or not 1 <= cell <= min(sides):
        raise UserError(
            f"data.downsample={cell!r} must be a whole number of pixels, 1 to {min(sides)}"
        )
