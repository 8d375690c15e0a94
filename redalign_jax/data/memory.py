"""Arrays in memory as a source of tasks: numpy, JAX, pandas, scipy sparse."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from ml_collections import ConfigDict

from redalign_jax.data import identity, members
from redalign_jax.data.readers import bounds, padding
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.task import Task

SOURCE = "arrays"  # in messages, where a file has its path
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
    beside = {members.GROUPS: groups, members.SPLIT: split}
    beside = {name: value for name, value in beside.items() if value is not None}
    taken = sorted({members.LABELS, members.SPLIT, members.GROUPS} & set(modalities))
    if taken:
        raise UserError(f"arrays: {taken[0]!r} is no name of a modality; give it as {taken[0]}=…")
    held = {**modalities, members.LABELS: labels, **beside}
    ids = ids or _by_index(held)
    if members.LABELS in ids:  # what is beside the labels, in their order
        of_labels = pd.Index(np.asarray(ids[members.LABELS]))
        beside = {name: _like(value, of_labels) for name, value in beside.items()}
    x = {str(name): _array(value, name) for name, value in modalities.items()}
    y = _labels(labels)
    beside = {name: _array(value, name, holes=True) for name, value in beside.items()}
    joined = {name: _array(value, f"{name}_ids") for name, value in ids.items()}
    for field in ("kinds", "transform"):
        if isinstance(fields[field], Mapping):
            fields[field] = ",".join(f"{name}={how}" for name, how in fields[field].items())
    section = arrays.defaults()
    for name, value in fields.items():
        section[name] = value
    content = {**x, members.LABELS: y, **beside, **{f"{name}_ids": v for name, v in joined.items()}}
    try:
        by = members.GROUPS if members.GROUPS in beside else ""
        found = members.paired(x, y, beside, joined, by, SOURCE)
        how = (section[name] for name in ("kinds", "transform", "target", "unlabelled"))
        ready = arrays.understand(found, *how, SOURCE)
    except UserError as error:
        raise UserError(_without_flags(str(error))) from None
    digests = {name: identity.digest(value) for name, value in content.items()}
    return Dataset(ready, section, digests)


def _by_index(given: Mapping[str, Any]) -> dict[str, Any]:
    """Ids of the rows, where pandas objects have the same ids in another order, or not all of them.

    Raises:
      UserError: indexes that differ, where something has none or nothing is common.
    """
    found = {n: v.index for n, v in given.items() if isinstance(v, (pd.DataFrame, pd.Series))}
    first, *others = found or [""]
    other = next((name for name in others if not found[name].equals(found[first])), "")
    if not other:
        return {}
    bare = [name for name in given if name not in found]
    twice = [name for name, index in found.items() if not index.is_unique]
    why = f"{bare[0]!r} has none" if bare else f"that of {twice[0]!r} repeats" if twice else ""
    if why:
        raise UserError(
            f"arrays: the indexes of {first!r} and {other!r} differ, and {why}; align them "
            "(.reindex, .reset_index), or give ids={name: …} to join rows"
        )
    beside = (members.GROUPS, members.SPLIT)
    labels = found[members.LABELS]
    for name in beside:
        if name in found and len(labels.difference(found[name])):
            raise UserError(f"arrays: {name!r} lacks rows of the labels, by their indexes")
    return {name: index for name, index in found.items() if name not in beside}


def _like(value: Any, index: pd.Index) -> Any:
    """A pandas object in the order of the labels; anything else is so already."""
    if isinstance(value, (pd.DataFrame, pd.Series)) and not value.index.equals(index):
        return value.reindex(index)
    return value


def _array(value: Any, name: str, holes: bool = False) -> np.ndarray:
    """A copy: what is done to the user's array later changes nothing here.

    `holes`: None may stand for what is missing.
    """
    if scipy.sparse.issparse(value):
        bounds.dense(np.prod(value.shape, dtype=float), name, "arrays")
        return value.toarray()
    if isinstance(value, pd.DataFrame):
        _check_columns(value, name)
    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = _of_pandas(value)
    uneven = isinstance(value, (list, tuple)) or (
        isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.ndim == 1
    )
    if uneven and len(value) and all(v is None or np.ndim(v) for v in value):
        return padding.padded(value, name, "arrays")
    try:
        found = np.array(value)
        if found.dtype.kind == "O" and not holes:  # that pandas or a list hold as objects
            found = np.array(found.tolist())
    except (ValueError, TypeError) as error:
        raise UserError(f"arrays: {name!r} is no array ({str(error).splitlines()[0]})") from None
    if found.dtype.kind == "V" and found.dtype.names is None:  # bfloat16 and its kind
        found = found.astype(np.float32)
    if found.dtype.kind not in ("biufcSUO" if holes else "biufcSU"):
        raise UserError(f"arrays: {name!r} holds {found.dtype}, not numbers")
    return found


def _check_columns(frame: pd.DataFrame, name: str) -> None:
    """Refuses a frame with a column of texts, by the column's name."""
    for column in frame:
        held = frame[column]
        if isinstance(held, pd.DataFrame):
            raise UserError(f"arrays: {name!r} has two columns {column!r}")
        texts = [v for v in held.head(1000) if isinstance(v, str)] if held.dtype == object else []
        if texts or isinstance(held.dtype, (pd.CategoricalDtype, pd.StringDtype)):
            shown = texts[0] if texts else held.iloc[0]
            raise UserError(
                f"arrays: column {column!r} of {name!r} holds {str(shown)[:20]!r}, not numbers; "
                "leave it out, or make numbers of it, for example with pandas.get_dummies"
            )


def _of_pandas(value: Any) -> np.ndarray:
    """Numbers with NaN for NA; anything else as pandas has it."""
    types = value.dtypes if isinstance(value, pd.DataFrame) else [value.dtype]
    extended = [t for t in types if isinstance(t, pd.api.extensions.ExtensionDtype)]
    numeric = all(pd.api.types.is_numeric_dtype(t) for t in types)
    if extended and numeric:
        return value.to_numpy(dtype=float, na_value=np.nan)
    return value.to_numpy()


def _labels(value: Any) -> np.ndarray:
    """Labels as an array; of objects where they have holes."""
    if scipy.sparse.issparse(value):
        raise UserError("arrays: the labels are sparse; give an array, one label per row")
    if isinstance(value, (pd.DataFrame, pd.Series)):
        value = value.to_numpy()
    try:
        found = np.array(value)
    except ValueError:
        raise UserError(
            "arrays: the labels are lists of several lengths: multi-label is not supported; give "
            "one per row"
        ) from None
    if found.ndim == 1 and found.dtype.kind in "USf" and isinstance(value, (list, tuple)):
        found = np.array(value, object)  # numpy makes texts of numbers and nan beside them
    return found


def _without_flags(line: str) -> str:
    """What a message says of flags, as arguments; there is none to transpose."""
    line = re.sub(r" or --config\.data\.transpose=\S+", "", line)
    return re.sub(r"--config\.data\.(\w+)=([^\s;,)]+)", r"\1='\2'", line)
