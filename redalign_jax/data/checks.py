"""Whether an array can be trained on."""

import numpy as np

from redalign_jax.data.rows import blocks
from redalign_jax.errors import UserError

RESERVED = ("fusion",)  # subjects of the results that are no modality


def modality(name: str, value: np.ndarray, n: int, source: str, holes: bool = False) -> np.ndarray:
    """An array of a modality, with an axis for its columns; with `holes` it may hold NaN.

    Raises:
      UserError: it cannot be trained on, or its name is taken.
    """
    if name in RESERVED or not name or set(name) & set("|,="):
        raise UserError(
            f"{source}: an array cannot be called {name!r}: results have a name of their own for "
            "it; rename it (no 'fusion', and no |, comma or = in a name)"
        )
    if value.dtype.kind not in "biuf":
        raise UserError(f"{source}: array {name!r} holds {value.dtype}, not numbers")
    if value.ndim == 0 or len(value) != n:
        rows = f"{len(value)} rows" if value.ndim else "no rows"
        hint = ""
        if value.ndim > 1 and value.shape[-1] == n:
            hint = f"; its {n} columns match them: transpose it, {name}.T"
            hint += f" or --config.data.transpose={name}"
        raise UserError(f"{source}: array {name!r} has {rows}, but there are {n} labels{hint}")
    if not value.size:
        raise UserError(f"{source}: array {name!r} of shape {value.shape} is empty")
    if not holes:
        finite(name, value, source)
    return value[:, None] if value.ndim == 1 else value


def finite(name: str, value: np.ndarray, source: str) -> None:
    """Refuses what is no finite float32 number.

    Raises:
      UserError: where the first is, and how many rows have such.
    """
    if value.dtype.kind != "f" or all(map(_finite, blocks(value))):
        return
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(value.astype(np.float32, copy=False))
    holes = bad.reshape(len(bad), -1)
    whole = int(np.isnan(value).reshape(len(bad), -1).all(axis=1).sum())
    if whole and value.ndim > 1:
        raise UserError(
            f"{source}: array {name!r}: {whole} of {len(bad)} rows are missing (nan throughout), "
            f"{int(holes.any(axis=1).sum()) - whole} others have holes; leave the rows out of "
            f"every array, with keep = numpy.isfinite({name}).all(axis=1), or fill them in"
        )
    at = tuple(int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
    column = f", column {', '.join(map(str, at[1:]))}" if at[1:] else ""
    raise UserError(
        f"{source}: array {name!r} holds {value[at]} in row {at[0]}{column} (counted from 0), "
        f"which is not a finite float32 number; {int(holes.any(axis=1).sum())} of {len(bad)} rows "
        "have such"
        + "; a row that is nan throughout is taken for missing"
        * bool(np.isnan(value[at]))
    )


def _finite(value: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(value.astype(np.float32, copy=False)).all())
