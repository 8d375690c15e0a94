""".h5ad and .h5mu files: one modality per assay or `obsm` key, labels of a column of `obs`.

The layout is that of anndata's documentation, "on-disk format"; nothing but arrays is read.
"""

from typing import Any

import numpy as np
import scipy.sparse

from redalign_jax.data import members, notes
from redalign_jax.data.members import LABELS, SPLIT, Asked, Raw
from redalign_jax.data.readers import bounds, hdf5
from redalign_jax.errors import UserError

_DERIVED = "X_"  # scanpy's embeddings of X, in obsm


def read(path: str, asked: Asked) -> Raw:
    """Modalities, and of the table of observations labels, groups and split.

    Of an .h5ad file the modalities are `X` and the keys of `obsm`, those left out whose names begin
    with X_ (made of X) unless they are asked for; of an .h5mu file the assays. Rows of several
    assays are joined by their names.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    with hdf5.opened(path, "omics") as file:
        assays = file.get("mod")
        if assays is None:
            found = {name: (file, name) for name in _arrays(file)}
        else:
            found = {}
            for name in _ordered(assays):
                extra = [one for one in _arrays(assays[name]) if one != "X"]
                found |= {name: (assays[name], "X")}
                found |= {f"{name}.{one}": (assays[name], one) for one in extra}
        chosen = _chosen(found, asked, path, assays is not None)
        x = {
            name: members.beside_each_other(
                [_matrix(*found[one], f"{path}: {one}") for one in parts], parts, path
            )
            for name, parts in chosen.items()
        }
        obs, columns = _observations(file, assays)
        label = asked.label or (LABELS if LABELS in columns else "")
        if not label or label not in columns:
            what = f"data.label={label!r}: no such column" if label else "which column of `obs`"
            raise UserError(
                f"{path}: {what}{'' if label else ' holds the labels? --config.data.label=NAME'}; "
                f"it has {', '.join(columns) or 'none'}"
            )
        beside = {}
        for field, name in (("groups", asked.groups), ("split", asked.split)):
            if name:
                members.role(field, name, list(columns), path)
                beside[SPLIT if field == "split" else name] = columns[name](label)
        y = columns[label](label)
        of = [found[parts[0]][0] for parts in chosen.values()]
        if all(one == of[0] for one in of) and assays is None:
            return Raw(x, y, beside, {}, asked.groups)
        ids = {name: _index(one["obs"]) for name, one in zip(chosen, of, strict=True)}
        same = columns[label].ids if hasattr(columns[label], "ids") else obs
        return Raw(x, y, beside, {**ids, LABELS: same}, asked.groups)


class _Column:
    """A column of a table of observations, with the names of its rows."""

    def __init__(self, table: Any, name: str) -> None:
        self._table, self._name = table, name
        self.ids = _index(table)

    def __call__(self, label: str) -> np.ndarray:
        return _column(self._table[self._name])


def _observations(file: Any, assays: Any) -> tuple[np.ndarray, dict[str, _Column]]:
    """Names of the rows, and the columns by name; those of an assay are called ASSAY:NAME."""
    columns = {name: _Column(file["obs"], name) for name in _names(file["obs"])}
    for assay in _ordered(assays) if assays is not None else ():
        for name in _names(assays[assay]["obs"]):
            columns.setdefault(f"{assay}:{name}", _Column(assays[assay]["obs"], name))
    return _index(file["obs"]), columns


def _chosen(found: dict[str, Any], asked: Asked, path: str, several: bool) -> dict[str, list[str]]:
    if asked.modalities.strip():
        return members.chosen(asked.modalities, list(found), path)
    usual = [name for name in found if not name.split(".")[-1].startswith(_DERIVED)]
    if several:
        usual = [name for name in usual if "." not in name]
    if len(usual) < 2:
        raise UserError(
            f"{path}: alignment needs two modalities or more, and it has "
            f"{', '.join(found) or 'none'}; name them: --config.data.modalities=NAME,NAME"
        )
    left = [name for name in found if name not in usual]
    if left:
        notes.once(
            f"{path}: {', '.join(left)} left out unless --config.data.modalities says so",
        )
    return {name: [name] for name in usual}


def _arrays(assay: Any) -> list[str]:
    names = ["X"] if "X" in assay else []
    return [*names, *(_ordered(assay["obsm"]) if "obsm" in assay else ())]


def _ordered(group: Any) -> list[str]:
    order = group.attrs.get("mod-order", group.attrs.get("column-order", list(group)))
    return [_text(name) for name in order if _text(name) in group]


def _names(table: Any) -> list[str]:
    order = table.attrs.get("column-order", [n for n in table if n != table.attrs.get("_index")])
    return [_text(name) for name in order if _text(name) in table]


def _index(table: Any) -> np.ndarray:
    return np.array(_column(table[_text(table.attrs.get("_index", "_index"))]), str)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _matrix(assay: Any, name: str, source: str) -> np.ndarray:
    """An array, a sparse matrix made dense, or the columns of a table."""
    held = assay[name] if name == "X" else assay["obsm"][name]
    kind = _text(held.attrs.get("encoding-type", ""))
    if kind == "dataframe":
        parts = [np.asarray(_column(held[one]), float) for one in _names(held)]
        return np.stack(parts, axis=1)
    if kind in ("csr_matrix", "csc_matrix") or (hasattr(held, "keys") and "indptr" in held):
        shape = tuple(int(n) for n in held.attrs.get("shape", held.attrs.get("h5sparse_shape")))
        bounds.dense(float(np.prod(shape, dtype=float)), name, source)
        make = scipy.sparse.csc_array if kind == "csc_matrix" else scipy.sparse.csr_array
        matrix = make((held["data"][:], held["indices"][:], held["indptr"][:]), shape=shape)
        matrix.check_format(full_check=True)
        return matrix.toarray()
    if hasattr(held, "keys"):
        raise UserError(f"{source}: is stored as {kind or 'a group'}, which is not read")
    return held[:]


def _column(held: Any) -> np.ndarray:
    """A column; texts, categories and what has holes as objects, None where there is none."""
    kind = _text(held.attrs.get("encoding-type", ""))
    if not hasattr(held, "keys"):
        if "categories" in held.attrs:  # as anndata wrote them before 0.8
            names = _column(held.file[held.attrs["categories"]]).tolist()
            return np.array([None if c < 0 else names[c] for c in held[:]] + [None], object)[:-1]
        value = held.asstr()[:] if held.dtype.kind in "OS" else held[:]
        return np.array(value, object) if value.dtype.kind in "OSU" else value
    if "codes" in held:
        names = _column(held["categories"]).tolist()
        return np.array([None if c < 0 else names[c] for c in held["codes"][:]] + [None], object)[
            :-1
        ]
    if "mask" in held and "values" in held:
        value = _column(held["values"]).tolist()
        mask = held["mask"][:]
        if not mask.any():
            return np.array(value)
        pairs = zip(value, mask, strict=True)
        return np.array([None if hole else v for v, hole in pairs] + [None], object)[:-1]
    raise UserError(f"a column of `obs` is stored as {kind or 'a group'}, which is not read")
