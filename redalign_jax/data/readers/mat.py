"""MATLAB files, up to version 7 by scipy and 7.3 by h5py."""

from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from redalign_jax.data import members, notes
from redalign_jax.data.members import LABELS, Asked, Raw
from redalign_jax.data.readers import bounds, hdf5, padding
from redalign_jax.errors import UserError

_USUAL = (LABELS, "label", "y", "gt", "gnd", "truth", "truelabel", "truelabels", "target", "class")
_OTHER = ("struct", "object", "function", "opaque", "unknown")
_COMPILED = 100.0  # bytes of a cell or a structure, at most per element of it


def read(path: str, asked: Asked) -> Raw:
    """Variables as arrays; those that are features × samples are turned, and that is said.

    A cell array of matrices is one modality per cell (`X1`, `X2`, …), one of a cell per sample is
    texts or padded sequences.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    held = _old(path)
    held = _new(path) if held is None else held
    if not held:
        raise UserError(f"{path}: holds no variables")
    label = asked.label or next((n for n in held if n.lower() in _USUAL), "")
    members.role("label", label or LABELS, list(held), path)
    y = _labels(held[label], path)
    x: dict[str, Any] = {}
    for name, value in held.items():
        if name != label:
            x |= _variable(name, value, len(y), path)
    turned = []
    by_hand = {part.strip() for part in asked.transpose.split(",")}
    for name, value in x.items():
        matches = value.ndim == 2 and len(value) != len(y) and value.shape[1] == len(y)
        if matches and min(value.shape) > 1 and name not in by_hand:
            x[name] = value.T
            turned.append(f"{name!r} ({value.shape[0]} × {value.shape[1]})")
    if turned:
        notes.once(f"{path}: {', '.join(turned)} taken as features × samples, and turned")
    if not asked.modalities.strip():  # constants, sizes and names of features
        left = [name for name, value in x.items() if len(value) != len(y) and name not in by_hand]
        x = {name: value for name, value in x.items() if name not in left}
        if left:
            notes.once(f"{path}: {', '.join(map(repr, left))} left out: not one row per label")
    x = {name: _flat(value, len(y)) for name, value in x.items()}
    names = [label, *x]

    def get(name: str, labels: bool = False) -> np.ndarray:
        return y if labels else x[name]

    return members.assigned(names, get, asked._replace(label=label), path)


def _flat(value: np.ndarray, n: int) -> np.ndarray:
    """Names and numbers of rows, which MATLAB has as columns or rows, as (n,)."""
    alone = value.ndim == 2 and 1 in value.shape and value.size == n
    return value.reshape(-1) if alone and value.dtype.kind != "f" else value


def _old(path: str) -> dict[str, Any] | None:
    """The variables of a file up to version 7; None for a later one."""
    try:
        with open(path, "rb") as file:
            if b"MATLAB 7.3" in file.read(64):
                return None
        told = scipy.io.whosmat(path)
        sizes = [float(np.prod(shape, dtype=float)) for _, shape, _ in told]
        kinds = [kind for _, _, kind in told]
        bounds.check(
            path,
            sum(
                size * (_COMPILED if kind in ("cell", "struct") else 8)
                for size, kind in zip(sizes, kinds, strict=True)
                if kind != "sparse"
            ),
        )
        names = [name for name, _, kind in told if kind not in _OTHER]
        found = scipy.io.loadmat(path, variable_names=names, chars_as_strings=True)
    except NotImplementedError:
        return None
    except UserError:
        raise
    except OSError as error:
        if error.errno:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        raise UserError(f"{path}: not a .mat file that can be read ({_line(error)})") from None
    except Exception as error:  # whatever a foreign file makes scipy say
        raise UserError(f"{path}: not a .mat file that can be read ({_line(error)})") from None
    return {name: found[name] for name in names if name in found and name[:2] != "__"}


def _new(path: str) -> dict[str, Any]:
    """The variables of a file of version 7.3, in MATLAB's order of axes."""
    with hdf5.opened(path, "mat") as file:
        return {
            name: value
            for name in file
            if not name.startswith("#") and (value := _hdf5(file[name], file, path)) is not None
        }


def _hdf5(held: Any, file: Any, path: str, depth: int = 0) -> Any:
    if hasattr(held, "keys"):
        if "MATLAB_sparse" not in held.attrs:
            return None  # a structure
        rows = int(held.attrs["MATLAB_sparse"])
        start = held["jc"][:]
        bounds.dense(float(rows) * (len(start) - 1), held.name, path)
        shape = (rows, len(start) - 1)
        if "data" not in held:
            return np.zeros(shape)
        return scipy.sparse.csc_array((held["data"][:], held["ir"][:], start), shape=shape)
    kind = held.attrs.get("MATLAB_class", b"")
    if "MATLAB_empty" in held.attrs:
        return np.empty((0, 0))
    if held.dtype.kind == "O":
        if depth > 1:
            return None
        refs = held[:].T
        cells = np.empty(refs.shape, object)
        for at in np.ndindex(refs.shape):
            cells[at] = _hdf5(file[refs[at]], file, path, depth + 1)
        return cells
    value = held[:].T
    if kind == b"char":
        return np.array(["".join(map(chr, row)).rstrip() for row in np.atleast_2d(value)])
    return value.astype(bool) if kind == b"logical" else value


def _variable(name: str, value: Any, n: int, path: str) -> dict[str, np.ndarray]:
    """A variable as one array, or as one per cell."""
    value = _dense(value, name, path)
    if value.dtype.kind != "O":
        return {name: value}
    cells = [_dense(cell, name, path) for cell in value.reshape(-1)]
    if any(cell.dtype.kind in "OV" for cell in cells):
        return {}
    if len(cells) == n:
        if all(cell.dtype.kind in "US" for cell in cells):
            return {name: np.array([_word(cell) for cell in cells])}
        rows = [cell.reshape(-1) if 1 in cell.shape[:1] else cell for cell in cells]
        flat = all(row.ndim == 1 for row in rows)
        return {name: padding.padded(rows if flat else cells, name, path)}
    if all(cell.ndim >= 2 and n in cell.shape for cell in cells):
        return {f"{name}{i}": cell for i, cell in enumerate(cells, 1)}
    return {}


def _dense(value: Any, name: str, path: str) -> np.ndarray:
    if scipy.sparse.issparse(value):
        bounds.dense(float(np.prod(value.shape, dtype=float)), name, path)
        return value.toarray()
    return np.asarray(value)


def _labels(value: Any, path: str) -> np.ndarray:
    """One label per row of a row, a column, a matrix of characters or a cell array."""
    value = _dense(value, LABELS, path)
    if value.dtype.kind == "O":
        cells = [_dense(cell, LABELS, path) for cell in value.reshape(-1)]
        if any(cell.size > 1 or cell.dtype.kind == "O" for cell in cells):
            raise UserError(f"{path}: a cell of the labels holds several values; give one per row")
        words = [None if not cell.size else cell.reshape(-1)[0].item() for cell in cells]
        words = [w.strip() or None if isinstance(w, str) else w for w in words]
        return np.array([*words, None], object)[:-1]
    value = value.reshape(-1) if value.ndim == 2 and 1 in value.shape else value
    whole = value.dtype.kind == "f" and np.isfinite(value).all() and (value == value.round()).all()
    if whole and value.ndim == 1 and len(np.unique(value)) <= max(20, len(value) // 10):
        notes.once(
            f"{path}: the labels are whole numbers, taken as classes; for a regression: "
            "--config.data.target=regression"
        )
        return value.astype(np.int64)  # MATLAB has whole numbers as floating point
    return value


def _word(cell: np.ndarray) -> str:
    return str(cell.reshape(-1)[0]) if cell.size else ""


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
