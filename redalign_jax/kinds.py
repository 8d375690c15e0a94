"""What an array is: vectors, sequences, images or tokens."""

from collections.abc import Mapping, Sequence

import numpy as np

from redalign_jax import named
from redalign_jax.errors import UserError

KINDS = ("vector", "sequence", "image", "tokens")
SIDE = 8  # pixels, of the smallest square that is taken for an image
PADDED = 0.1  # part of the texts that must be padded for integers to be taken for tokens
VOCABULARY = 2**24  # tokens are below it: their vectors are an array of this many rows


def ready(x: np.ndarray) -> str:
    """The kind of an array that is ready for training, see `task.Split.x`; by shape and type."""
    if x.ndim == 4:
        return "image"
    if x.ndim == 2 and x.dtype == np.int32:
        return "tokens"
    return "sequence" if x.ndim == 3 and x.dtype.kind == "f" else "vector"


def guess(x: np.ndarray) -> str:
    """The kind of an array as a user brings it.

    - (n, h, w, c) of any type, and (n, h, w) of uint8: images.
    - (n, a, b) of another type: images if a = b ≥ 8 and nothing is negative, else sequences of a
      steps with b features.
    - (n, t) of integers: tokens if t ≥ 4, none is negative, zeros stand only after a row's end, and
      at least a tenth of the rows, and not all at the same step, end before t. Counts, which have
      zeros anywhere, are vectors.
    - anything else: vectors.
    """
    if x.ndim == 4 or (x.ndim == 3 and x.dtype == np.uint8):
        return "image"
    if x.ndim == 3:
        square = x.shape[1] == x.shape[2] >= SIDE
        return "image" if square and not (x < 0).any() else "sequence"
    if x.ndim == 2 and x.dtype.kind in "iu" and x.dtype.itemsize > 1 and _padded(x):
        return "tokens"
    return "vector"


def _padded(x: np.ndarray) -> bool:
    if x.shape[1] < 4 or x.min() < 0 or x.max() >= VOCABULARY:
        return False
    real = x != 0
    ends = real.sum(axis=1)
    after = np.arange(x.shape[1]) >= ends[:, None]
    padded = ends < x.shape[1]
    return bool(not (real & after).any() and padded.mean() >= PADDED and ends.min() < ends.max())


def stated(field: str, names: Sequence[str]) -> dict[str, str]:
    """The field `data.kinds`, "name=kind" between commas.

    Raises:
      UserError: a name or a kind that does not exist, or a name twice.
    """
    return named.values("data.kinds", field, names, KINDS, "kind")


def resolve(field: str, x: Mapping[str, np.ndarray]) -> dict[str, str]:
    """The kind of every modality: as `data.kinds` says, the others guessed."""
    said = stated(field, list(x))
    return {name: said.get(name) or guess(value) for name, value in x.items()}


def line(kinds: Mapping[str, str], x: Mapping[str, np.ndarray]) -> str:
    """The kinds in words, with the shape of one example."""
    shapes = {name: "×".join(map(str, value.shape[1:])) for name, value in x.items()}
    parts = [f"{name} is {kind} {shapes[name]}" for name, kind in kinds.items()]
    return f"{', '.join(parts)}; otherwise: --config.data.kinds=NAME=KIND,… of {', '.join(KINDS)}"


def cast(x: np.ndarray, kind: str, name: str, source: str) -> np.ndarray:
    """An array in the shape and type of its kind, not yet scaled; see `task.Split.x`.

    Images get a channel; one of 1 to 4 channels that come first is turned; whole numbers 0..255
    become uint8 levels, booleans 0 and 255. A sequence of numbers gets a feature. Tokens become
    int32.

    Raises:
      UserError: an array that cannot be of this kind.
    """
    if kind == "image" and x.ndim in (3, 4):
        return _image(x)
    if kind == "sequence" and x.ndim in (2, 3):
        return x[:, :, None] if x.ndim == 2 else x
    if kind == "tokens" and x.ndim == 2 and x.dtype.kind in "iu":
        if x.min() < 0 or x.max() >= VOCABULARY:
            raise UserError(
                f"{source}: array {name!r} holds {x.min()} to {x.max()}; tokens are 1 to "
                f"{VOCABULARY - 1}, 0 after a text's end"
            )
        return x.astype(np.int32)
    if kind == "vector":
        return x[:, None] if x.ndim == 1 else x
    raise UserError(
        f"data.kinds: array {name!r} of {source} is {x.dtype} {x.shape}, which is no {kind}"
    )


def channels_first(x: np.ndarray) -> bool:
    """Whether (n, c, h, w) is meant: 1 to 4 channels, and more of everything else."""
    return x.ndim == 4 and x.shape[1] <= 4 < min(x.shape[2:])


def _image(x: np.ndarray) -> np.ndarray:
    if channels_first(x):
        x = np.moveaxis(x, 1, 3)
    x = x[..., None] if x.ndim == 3 else x
    if x.dtype.kind == "b":
        return x.astype(np.uint8) * np.uint8(255)
    levels = x.dtype.kind in "iu" and x.min() >= 0 and x.max() <= 255
    return x.astype(np.uint8, copy=False) if levels else x
