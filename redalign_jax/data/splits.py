"""From arrays to a Task: choose, check, split, standardise. Every real source ends here."""

from collections.abc import Sequence

import numpy as np

from redalign_jax.data import scaling, strata
from redalign_jax.data.task import Split, Task
from redalign_jax.errors import UserError


def choose(modalities: str, available: Sequence[str], source: str) -> list[str]:
    """Resolves the field `data.modalities`.

    Args:
      modalities: comma-separated names; "" stands for all that are available.
      available: the names that `source` offers, in its order.
      source: the file or dataset, for the message of an error.

    Returns:
      The names in the order asked for.

    Raises:
      UserError: an unknown name, or one given twice.
    """
    if not modalities.strip():
        return list(available)
    names = [name.strip() for name in modalities.split(",")]
    for i, name in enumerate(names):
        if name not in available:
            raise UserError(
                f"data.modalities={modalities!r}: no {name!r} in {source}; "
                f"it has {', '.join(available)}"
            )
        if name in names[:i]:
            raise UserError(f"data.modalities={modalities!r} names {name!r} twice")
    return names


def make_task(
    x: dict[str, np.ndarray],
    y: np.ndarray,
    *,
    labels: int,
    valid: float,
    test: float,
    seed: int,
    source: str,
) -> Task:
    """Splits and standardises paired arrays.

    The splits are stratified: by class, or by the `strata.QUANTILES` quantiles of a regression's
    target. They depend on (seed, y, valid, test) alone, never on the modalities; `labels` moves
    training rows to the front and changes nothing else. Inputs become z = (x - μ) / σ per column,
    with μ and σ (of the population, ddof = 0) taken over all training pairs, labelled or not; a
    column that is constant there is only centred.

    Args:
      x: name → (n, ...) numbers; (n,) counts as one column, (n, 1).
      y: (n,) labels. Integers, booleans or strings are classes, numbered 0..C-1 in sorted order;
        floating point is the target of a regression and keeps its units.
      labels: how many training pairs carry a label, stratified, placed first; 0 = all.
      valid: share of all pairs in the validation split, rounded to whole pairs.
      test: the same for the test split; the rest is for training.
      seed: of the splits.
      source: the file or dataset, for the message of an error.

    Returns:
      The task, float32 inputs.

    Raises:
      UserError: one line that names `source`, the array or the field.
    """
    y, classes = _encode(y, source)
    x = {name: _checked(name, value, len(y), source) for name, value in x.items()}

    rest, in_valid, in_test = _draw(y, classes, valid, test, seed, source)
    _check_labels(labels, len(rest), len(classes), source)
    stratum, least = (y, 1) if len(classes) else (strata.quantiles(y), 0)
    labelled, unlabelled = strata.pick(rest, stratum, labels or len(rest), least)
    # The scale is taken over `rest`, whose order does not depend on `labels`.
    z = {name: scaling.columns(value, rest) for name, value in x.items()}
    return _task(z, y, classes, (labelled, unlabelled, in_valid, in_test))


def stratified(
    y: np.ndarray, *, valid: float, test: float, seed: int, source: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of a training, validation and test split, stratified; see `make_task`."""
    return _draw(*_encode(y, source), valid, test, seed, source)


def _draw(
    y: np.ndarray, classes: np.ndarray, valid: float, test: float, seed: int, source: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_valid, n_test = (_size(name, f, len(y)) for name, f in (("valid", valid), ("test", test)))
    n_train = len(y) - n_valid - n_test
    if min(n_train, n_valid, n_test) < max(len(classes), 1):
        every = f" of every class, and there are {len(classes)}" if len(classes) else ""
        raise UserError(
            f"data.valid={valid}, data.test={test} split the {len(y)} examples of {source} into "
            f"{max(n_train, 0)} train, {n_valid} valid, {n_test} test: each needs one{every}"
        )
    stratum, least = (y, 1) if len(classes) else (strata.quantiles(y), 0)
    rest = np.random.default_rng(seed).permutation(len(y))
    in_test, rest = strata.pick(rest, stratum, n_test, least)
    in_valid, rest = strata.pick(rest, stratum, n_valid, least)
    for part in (rest, in_valid, in_test) if len(classes) else ():
        present = np.bincount(y[part], minlength=len(classes))
        if not present.all():
            k = present.argmin()
            raise UserError(
                f"{source}: class {classes[k].item()!r} has {np.sum(y == k)} of {len(y)} examples, "
                f"too few for train, valid and test at data.valid={valid}, data.test={test}"
            )
    return rest, in_valid, in_test


def make_split_task(
    x: dict[str, np.ndarray],
    y: np.ndarray,
    parts: Sequence[np.ndarray],
    *,
    labels: int,
    seed: int,
    source: str,
) -> Task:
    """A task whose splits are given, and whose inputs are taken as they are.

    Args:
      x: name → (n, ...) numbers, ready for training: see `Split.x` and `scaling`.
      y: (n,) labels, see `make_task`.
      parts: row numbers of the training, validation and test split.
      labels: how many training pairs carry a label, stratified, placed first; 0 = all.
      seed: of their choice, and of the order of the training pairs.
      source: the file or dataset, for the message of an error.

    Returns:
      The task.

    Raises:
      UserError: one line that names `source`, the array or the field.
    """
    y, classes = _encode(y, source)
    x = {name: _checked(name, value, len(y), source) for name, value in x.items()}
    for name, part in zip(("train", "valid", "test"), parts, strict=True):
        present = np.bincount(y[part], minlength=len(classes)) if len(classes) else np.ones(1)
        if not len(part):
            raise UserError(f"{source}: no examples in its {name} split")
        if not present.all():
            missing = classes[present.argmin()].item()
            raise UserError(f"{source}: its {name} split has no example of class {missing!r}")
    in_train, in_valid, in_test = parts
    _check_labels(labels, len(in_train), len(classes), source)
    shuffled = np.random.default_rng(seed).permutation(in_train)
    stratum, least = (y, 1) if len(classes) else (strata.quantiles(y), 0)
    labelled, unlabelled = strata.pick(shuffled, stratum, labels or len(in_train), least)
    return _task(x, y, classes, (labelled, unlabelled, in_valid, in_test))


def _task(
    x: dict[str, np.ndarray], y: np.ndarray, classes: np.ndarray, rows: Sequence[np.ndarray]
) -> Task:
    """`rows`: labelled and unlabelled training pairs, validation, test."""
    labelled, unlabelled, in_valid, in_test = rows
    in_train = np.concatenate([labelled, unlabelled])
    return Task(
        modalities=tuple(x),
        classes=len(classes),
        train=Split(tuple(a[in_train] for a in x.values()), y[labelled]),
        valid=Split(tuple(a[in_valid] for a in x.values()), y[in_valid]),
        test=Split(tuple(a[in_test] for a in x.values()), y[in_test]),
        resplit=len(in_test) / (len(in_train) + len(in_valid)),
    )


def _check_labels(labels: int, n_train: int, classes: int, source: str) -> None:
    if isinstance(labels, bool) or not isinstance(labels, (int, np.integer)) or labels < 0:
        raise UserError(f"data.labels={labels!r} must be a whole number, 0 (all) or more")
    if labels > n_train:
        raise UserError(f"data.labels={labels}: {source} leaves only {n_train} training examples")
    if 0 < labels < classes:
        raise UserError(f"data.labels={labels} is below the {classes} classes of {source}")


def _encode(y: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int32 indices into the sorted classes, or float32 targets and no classes."""
    if y.ndim != 1:
        raise UserError(f"{source}: the labels must be one per example, not of shape {y.shape}")
    if not len(y):
        raise UserError(f"{source}: no examples")
    if y.dtype.kind == "f":
        _check_finite("labels", y, source)
        if y.min() == y.max():
            raise UserError(f"{source}: every label is {y[0]}, nothing to learn")
        return y.astype(np.float32), np.empty(0)
    if y.dtype.kind not in "biuUS":
        raise UserError(
            f"{source}: labels of type {y.dtype}; classes are integers, booleans or strings, "
            "the target of a regression is floating point"
        )
    classes, indices = np.unique(y, return_inverse=True)
    if len(classes) == 1:
        raise UserError(f"{source}: every label is {classes[0].item()!r}, nothing to learn")
    return indices.astype(np.int32), classes


def _checked(name: str, value: np.ndarray, n: int, source: str) -> np.ndarray:
    if value.dtype.kind not in "biuf":
        raise UserError(f"{source}: array {name!r} holds {value.dtype}, not numbers")
    if value.ndim == 0 or len(value) != n:
        rows = f"{len(value)} rows" if value.ndim else "no rows"
        raise UserError(f"{source}: array {name!r} has {rows}, but there are {n} labels")
    if not value.size:
        raise UserError(f"{source}: array {name!r} of shape {value.shape} is empty")
    _check_finite(name, value, source)
    return value[:, None] if value.ndim == 1 else value


def _check_finite(name: str, value: np.ndarray, source: str) -> None:
    if value.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(value.astype(np.float32, copy=False))
    if bad.any():
        at = tuple(int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
        column = f", column {', '.join(map(str, at[1:]))}" if at[1:] else ""
        raise UserError(
            f"{source}: array {name!r} holds {value[at]} in row {at[0]}{column} (counted from 0), "
            "which is not a finite float32 number"
        )


def _size(name: str, fraction: float, n: int) -> int:
    if not 0 < fraction < 1:
        raise UserError(f"data.{name}={fraction} must lie between 0 and 1")
    return round(fraction * n)
