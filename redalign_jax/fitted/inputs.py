"""New rows of a modality, made into what its encoder was trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from redalign_jax.data import scaling, transforms
from redalign_jax.data.scaling import Scale
from redalign_jax.errors import UserError


@dataclass(frozen=True)
class Input:
    """What one encoder reads.

    Attributes:
      kind: of `kinds.KINDS`.
      shape: of one row.
      dtype: "uint8" levels 0..255, "int32" tokens, or "float32".
      scale: what rows are standardised by; None where they are read as they are.
      vocabulary: tokens are below it; 0 where there are none.
      transform: of `data.transforms`, before rows are standardised; "" for none.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    scale: Scale | None = None
    vocabulary: int = 0
    transform: str = ""

    @property
    def words(self) -> str:
        """Kind and shape, for people."""
        return f"{self.kind} {'×'.join(map(str, self.shape))}"


def of(
    kind: str, x: np.ndarray, scale: Scale | None, vocabulary: int, transform: str = ""
) -> Input:
    """The input of an encoder that was trained on `x`, an array of `task.Split.x`."""
    dtype = str(x.dtype) if x.dtype in (np.uint8, np.int32) else "float32"
    return Input(kind, x.shape[1:], dtype, scale, vocabulary, transform)


def count(name: str, x: Any) -> int:
    """Rows of what a user gives.

    Raises:
      UserError: it has none.
    """
    shape = (len(x),) if isinstance(x, (list, tuple)) else getattr(x, "shape", ())
    if not shape:
        raise UserError(f"{name!r}: give rows, an array of shape (n, ...)")
    return shape[0]


def batches(input: Input, name: str, x: Any, size: int) -> Iterator[np.ndarray]:
    """Rows as the encoder reads them, `size` at a time, so that memory is bounded.

    Args:
      input: of the encoder.
      name: of the modality.
      x: (n, ...) numpy, JAX, pandas, scipy sparse, a memory map or lists.
      size: rows at a time.

    Raises:
      UserError: one line: rows of another shape or type, a number that is not finite.
    """
    if isinstance(x, (list, tuple)):
        x = _array(name, x)
    if scipy.sparse.issparse(x):
        x = x.tocsr()
    for start in range(0, count(name, x), size):
        part = slice(start, start + size)
        yield ready(input, name, _rows(name, x, part), start)


def _rows(name: str, x: Any, part: slice) -> np.ndarray:
    if scipy.sparse.issparse(x):
        return x[part].toarray()
    if hasattr(x, "iloc"):
        return _array(name, x.iloc[part].to_numpy())
    return _array(name, x[part])


def _array(name: str, x: Any) -> np.ndarray:
    try:
        found = np.asarray(x)
        if found.dtype.kind == "O":
            found = np.array(found.tolist())
    except (ValueError, TypeError) as error:
        raise UserError(f"{name!r} is no array ({str(error).splitlines()[0]})") from None
    if found.dtype.kind == "V" and found.dtype.names is None:  # bfloat16 and its kind
        found = found.astype(np.float32)
    if found.dtype.kind not in "biuf":
        raise UserError(f"{name!r} holds {found.dtype}, not numbers")
    return found


def ready(input: Input, name: str, x: np.ndarray, first: int = 0) -> np.ndarray:
    """(n, ...) numbers in the shape, type and scale of training; `first` is the first row's number.

    Raises:
      UserError: as `batches`.
    """
    x = _shaped(input, name, x)
    _check_finite(name, x, first)
    if input.dtype == "uint8":
        return _levels(name, x, first)
    if input.dtype == "int32":
        return _tokens(input, name, x, first)
    if input.transform:
        if (x < 0).any():
            row = first + int((x < 0).reshape(len(x), -1).any(axis=1).argmax())
            raise UserError(
                f"{name!r}: a number below 0 in row {row}, of which no {input.transform}"
            )
        x = transforms.TRANSFORMS[input.transform](x.astype(np.float64))
    return scaling.apply(x, input.kind, input.scale)[0].astype(np.float32, copy=False)


def _shaped(input: Input, name: str, x: np.ndarray) -> np.ndarray:
    """Rows of the shape of training; short texts and sequences are padded."""
    shape, here = input.shape, x.shape[1:]
    if input.kind == "image" and x.ndim == 4 and here != shape and (*here[1:], here[0]) == shape:
        return np.moveaxis(x, 1, 3)
    if shape[-1] == 1 and len(here) == len(shape) - 1:
        x, here = x[..., None], (*here, 1)
    padded = input.kind in ("sequence", "tokens") and len(here) == len(shape)
    if padded and here[0] < shape[0] and here[1:] == shape[1:]:
        return np.pad(x, [(0, 0), (0, shape[0] - here[0]), *[(0, 0)] * (len(shape) - 1)])
    if here != shape:
        raise UserError(
            f"{name!r}: rows of shape {here}, but its encoder was trained on {shape} ({input.kind})"
        )
    return x


def _check_finite(name: str, x: np.ndarray, first: int) -> None:
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(x.astype(np.float32, copy=False))
    if bad.any():
        at = np.unravel_index(bad.argmax(), bad.shape)
        raise UserError(
            f"{name!r}: {x[at]} in row {first + int(at[0])} (counted from 0) is not a finite "
            "float32 number"
        )


def _levels(name: str, x: np.ndarray, first: int) -> np.ndarray:
    if x.dtype.kind == "b":
        return x.astype(np.uint8) * np.uint8(255)
    bad = (x < 0) | (x > 255)
    bad |= x != np.rint(x) if x.dtype.kind == "f" else False
    if bad.any():
        at = np.unravel_index(bad.argmax(), bad.shape)
        raise UserError(
            f"{name!r}: {x[at]} in row {first + int(at[0])} is no level; its encoder was trained "
            "on whole numbers 0 to 255"
        )
    return x.astype(np.uint8)


def _tokens(input: Input, name: str, x: np.ndarray, first: int) -> np.ndarray:
    bad = (x < 0) | (x >= input.vocabulary)
    bad |= x != np.rint(x) if x.dtype.kind == "f" else False
    if bad.any():
        at = np.unravel_index(bad.argmax(), bad.shape)
        raise UserError(
            f"{name!r}: {x[at]} in row {first + int(at[0])} is no token; its encoder knows whole "
            f"numbers 1 to {input.vocabulary - 1}, and 0 after a text's end"
        )
    return x.astype(np.int32)
