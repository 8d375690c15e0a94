"""Arrays in memory as a source of tasks: numpy, JAX, pandas, scipy sparse."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from ml_collections import ConfigDict

from redalign_jax.data import identity, npz
from redalign_jax.data.labels import MISSING
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.task import Task

SOURCE = "arrays"  # in messages, where a file has its path
DENSE = 2**28  # numbers of a sparse matrix made dense, at most; 2 GiB as float64
PARTS = ("labels", "valid", "test")  # fields of `data` that are read for every task


@dataclass(frozen=True)
class Dataset:
    """Paired arrays and their labels, of `redalign_jax.arrays`.

    Attributes:
      ready: the arrays, checked.
      section: the section `data` of an experiment on them.
      content: digests by name, as those of a file with the same arrays.
    """

    ready: arrays.Ready
    section: ConfigDict
    content: identity.Digests

    def load(self, section: ConfigDict, seed: int) -> Task:
        """The task at one point of the task axis, see `data.Load`.

        Raises:
          UserError: a split that the data do not allow; a field that is said in `arrays` alone.
        """
        for name, value in self.section.items():
            value = value[0] if isinstance(value, tuple) else value
            if name not in PARTS and section[name] != value:
                raise UserError(f"data.{name}: is said in redalign_jax.arrays(…), not here")
        what = (SOURCE, *sorted(self.content.items()))
        identity.know(what, self.content)
        identity.note(what)
        return arrays.task(self.ready, section, seed, SOURCE)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(self.ready.x)

    def __repr__(self) -> str:
        shapes = {name: "×".join(map(str, x.shape[1:])) for name, x in self.ready.x.items()}
        said = [f"{name} ({self.ready.kinds[name]} {shapes[name]})" for name in shapes]
        known = self.ready.known
        return f"Dataset of {len(known):,} rows, {known.sum():,} labelled: {', '.join(said)}"


def dataset(
    modalities: Mapping[str, Any],
    labels: Any,
    /,
    *,
    split: Any,
    groups: Any,
    ids: Mapping[str, Any] | None,
    **fields: Any,
) -> Dataset:
    """See `redalign_jax.arrays`; `fields` are those of `data`."""
    if not isinstance(modalities, Mapping) or len(modalities) < 2:
        raise UserError('arrays: modalities are two or more arrays by name, {"vision": …, …}')
    beside = {npz.GROUPS: groups, npz.SPLIT: split}
    beside = {name: value for name, value in beside.items() if value is not None}
    taken = sorted({npz.LABELS, npz.SPLIT, npz.GROUPS} & set(modalities))
    if taken:
        raise UserError(f"arrays: {taken[0]!r} is no name of a modality; give it as {taken[0]}=…")
    _check_indexes({**modalities, npz.LABELS: labels, **beside}, bool(ids))
    x = {str(name): _array(value, name) for name, value in modalities.items()}
    y, missing = _labels(labels)
    beside = {name: _array(value, name) for name, value in beside.items()}
    joined = {name: _array(value, f"{name}_ids") for name, value in (ids or {}).items()}
    fields["unlabelled"] = fields["unlabelled"] or missing
    kinds = fields["kinds"]
    if isinstance(kinds, Mapping):
        fields["kinds"] = ",".join(f"{name}={kind}" for name, kind in kinds.items())
    section = arrays.defaults()
    for name, value in fields.items():
        section[name] = value
    content = {**x, npz.LABELS: y, **beside, **{f"{name}_ids": v for name, v in joined.items()}}
    try:
        by = npz.GROUPS if npz.GROUPS in beside else ""
        found = npz.paired(x, y, beside, joined, by, SOURCE)
        how = (section["kinds"], section["target"], section["unlabelled"])
        ready = arrays.understand(found, *how, SOURCE)
    except UserError as error:
        raise UserError(_without_flags(str(error))) from None
    digests = {name: identity.digest(value) for name, value in content.items()}
    return Dataset(ready, section, digests)


def _check_indexes(given: Mapping[str, Any], joined: bool) -> None:
    """Refuses pandas objects that are not row by row about the same."""
    found = {n: v.index for n, v in given.items() if isinstance(v, (pd.DataFrame, pd.Series))}
    first, *others = found or [""]
    for name in () if joined else others:
        if not found[name].equals(found[first]):
            raise UserError(
                f"arrays: the indexes of {first!r} and {name!r} differ; align them "
                "(.reindex, .reset_index), or give ids={name: …} to join rows"
            )


def _array(value: Any, name: str) -> np.ndarray:
    """A copy: what is done to the user's array later changes nothing here."""
    if scipy.sparse.issparse(value):
        if np.prod(value.shape, dtype=float) > DENSE:
            raise UserError(
                f"arrays: {name!r} is sparse, and {value.shape} is too large to be made dense; "
                "reduce its columns, for example with sklearn.decomposition.TruncatedSVD"
            )
        return value.toarray()
    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = value.to_numpy()
    try:
        found = np.array(value)
        if found.dtype.kind == "O":  # numbers or texts that pandas or a list hold as objects
            found = np.array(found.tolist())
    except (ValueError, TypeError) as error:
        raise UserError(f"arrays: {name!r} is no array ({str(error).splitlines()[0]})") from None
    if found.dtype.kind == "V" and found.dtype.names is None:  # bfloat16 and its kind
        found = found.astype(np.float32)
    if found.dtype.kind not in "biufcSU":
        raise UserError(f"arrays: {name!r} holds {found.dtype}, not numbers")
    return found


def _labels(value: Any) -> tuple[np.ndarray, str]:
    """Labels as an array, and what stands for none among them."""
    if scipy.sparse.issparse(value):
        raise UserError("arrays: the labels are sparse; give an array, one label per row")
    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = value.to_numpy()
    try:
        found = np.array(value)
    except ValueError:
        raise UserError("arrays: the labels are of several lengths; give one per row") from None
    if found.ndim == 1 and found.dtype.kind in "USf" and isinstance(value, (list, tuple)):
        found = np.array(value, object)  # numpy makes texts of numbers and nan beside them
    lacking = found.dtype.kind == "f" and np.isnan(found).any()
    return found, MISSING if lacking else ""


def _without_flags(line: str) -> str:
    """What a message says of flags, as arguments."""
    return re.sub(r"--config\.data\.(\w+)=([^\s;,)]+)", r"\1='\2'", line)
