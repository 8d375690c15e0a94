"""From arrays to a Task: choose, check, split, standardise. Every real source ends here."""

from collections.abc import Mapping, Sequence

import numpy as np

from redalign_jax.data import checks, grouped, missing, notes, scaling, strata
from redalign_jax.data.rows import Rows, Whole, at
from redalign_jax.errors import UserError
from redalign_jax.task import Split, Task

FEW = 100  # labelled rows, below which test parts are folds: random ones leave more to chance


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
    kinds: Mapping[str, str] | None = None,
    groups: np.ndarray | None = None,
    known: np.ndarray | None = None,
    present: Mapping[str, np.ndarray] | None = None,
    wholes: Mapping[str, Whole] | None = None,
) -> Task:
    """Splits and standardises paired arrays.

    The splits are stratified: by class, or by the `strata.QUANTILES` quantiles of a regression's
    target. They depend on (seed, y, valid, test, groups, known) alone, never on the modalities;
    `labels` moves training rows to the front and changes nothing else. Below `FEW` labelled rows
    without groups, test splits are those of a repeated cross-validation: seeds 0..k−1 test on its k
    folds, k = ⌊1 / test⌋, seeds k..2k−1 on those of another division. Inputs become what
    `scaling.standardise` makes of their kind, with the scale of all training pairs, labelled or
    not.

    Args:
      x: name → (n, ...) numbers; (n,) counts as one column, (n, 1).
      y: labels of the `known` rows. Integers, booleans or strings are classes, numbered 0..C-1 in
        sorted order; floating point is the target of a regression, see `standardised`.
      labels: how many training pairs carry a label, stratified, placed first; 0 = all; more than
        there are = all, with a line that says so.
      valid: share of all labelled pairs in the validation split, rounded to whole pairs.
      test: the same for the test split; the rest is for training.
      seed: of the splits.
      source: the file or dataset, for the message of an error.
      kinds: name → one of `kinds.KINDS`, arrays as `kinds.cast` makes them; None takes all for
        vectors.
      groups: (n,) numbers; rows of one number are never in two splits, see `grouped.draw`.
      known: (n,) bool, the rows that have a label; the others are training pairs without one.
      present: name → (n,) bool, the rows that a modality has; a name that is left out has all.
      wholes: those of x that all seeds share, checked before.

    Returns:
      The task, float32 inputs.

    Raises:
      UserError: one line that names `source`, the array or the field.
    """
    y, classes = _encode(y, source)
    known = np.ones(len(y), bool) if known is None else known
    x = {
        name: value if name in (wholes or {}) else checks.modality(name, value, len(known), source)
        for name, value in x.items()
    }
    kinds = kinds or dict.fromkeys(x, "vector")
    y, stratum, least = _spread(y, classes, known)
    if groups is None:
        own = np.flatnonzero(known)
        rest, in_valid, in_test = (
            own[part] for part in _draw(y[own], classes, valid, test, seed, source)
        )
        spare = np.flatnonzero(~known)
    else:
        n_valid, n_test = _sizes(int(known.sum()), classes, valid, test, source)
        rest, spare, in_valid, in_test = grouped.draw(
            stratum,
            groups,
            known,
            valid=n_valid,
            test=n_test,
            least=least,
            seed=seed,
            source=source,
        )
    labels = _labels(labels, len(rest), len(classes), source)
    ties = np.random.default_rng([seed, 1])
    labelled, unlabelled = strata.pick(rest, stratum, labels, least, ties)
    # The scale is taken over `rest`, whose order does not depend on `labels`.
    rows = labelled, np.concatenate([unlabelled, spare]), in_valid, in_test
    _check_present(present, list(x), rows, source)
    whole = np.concatenate([rest, spare])
    z, scales = scaling.modalities(x, kinds, whole, source, present, wholes)
    return _task(z, y, classes, rows, kinds=kinds, groups=groups, scales=scales, present=present)


def _check_present(
    present: Mapping[str, np.ndarray] | None,
    names: list[str],
    rows: Sequence[np.ndarray],
    source: str,
) -> None:
    labelled, _, in_valid, in_test = rows
    parts = {"train": labelled, "valid": in_valid, "test": in_test}
    by_part = {part: missing.of_rows(present, names, of) for part, of in parts.items()}
    missing.check(names, by_part, source)


def strata_of(y: np.ndarray, known: np.ndarray, source: str) -> tuple[np.ndarray, int]:
    """The stratum of every row, 0 without a label, and how many rows of each a split needs."""
    _, stratum, least = _spread(*_encode(y, source), known)
    return stratum, least


def stratified(
    y: np.ndarray, *, valid: float, test: float, seed: int, source: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of a training, validation and test split, stratified; see `make_task`."""
    return _draw(*_encode(y, source), valid, test, seed, source)


def _draw(
    y: np.ndarray, classes: np.ndarray, valid: float, test: float, seed: int, source: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_valid, n_test = _sizes(len(y), classes, valid, test, source)
    stratum, least = (y, 1) if len(classes) else (strata.quantiles(y), 0)
    rng = np.random.default_rng(seed)
    rest = rng.permutation(len(y))
    folds = _folds(y, classes, test)
    if folds:
        n_test = min(n_test, len(y) // folds)
        notes.once(
            f"{source}: {len(y)} labelled rows, fewer than {FEW}: every {folds} seeds in turn "
            "test on the folds of a cross-validation"
        )
        in_test = _fold(stratum, n_test, least, seed, folds)
        rest = rest[~np.isin(rest, in_test)]
    else:
        in_test, rest = strata.pick(rest, stratum, n_test, least, rng)
    in_valid, rest = strata.pick(rest, stratum, n_valid, least, rng)
    for part in (rest, in_valid, in_test) if len(classes) else ():
        present = np.bincount(y[part], minlength=len(classes))
        if not present.all():
            k = present.argmin()
            raise UserError(
                f"{source}: class {classes[k].item()!r} has {np.sum(y == k)} of {len(y)} examples, "
                f"too few for train, valid and test at data.valid={valid}, data.test={test}"
            )
    return rest, in_valid, in_test


def _folds(y: np.ndarray, classes: np.ndarray, test: float) -> int:
    """Folds of a cross-validation whose test parts are of size `test`; 0 where none is made.

    None is of `FEW` rows and more, which are enough to split at random, nor of classes too rare for
    a row in every fold and two outside it.
    """
    folds = int(1 / test + 1e-9)
    fewest = int(np.bincount(y).min()) if len(classes) else len(y)
    enough = 2 <= folds <= fewest and fewest - -(-fewest // folds) >= 2
    return folds if len(y) < FEW and enough else 0


def _fold(stratum: np.ndarray, n_test: int, least: int, seed: int, folds: int) -> np.ndarray:
    """Test rows of fold `seed` mod `folds` of a division that the seeds of one repeat share."""
    repeat, number = divmod(seed, folds)
    rng = np.random.default_rng([repeat, 3])
    shuffled = rng.permutation(len(stratum))
    dealt = shuffled[np.argsort(stratum[shuffled], kind="stable")]  # like cards, class by class
    return strata.pick(dealt[number::folds], stratum, n_test, least, rng)[0]


def _sizes(n: int, classes: np.ndarray, valid: float, test: float, source: str) -> tuple[int, int]:
    n_valid, n_test = (_size(name, f, n) for name, f in (("valid", valid), ("test", test)))
    n_train = n - n_valid - n_test
    if min(n_train, n_valid, n_test) < max(len(classes), 1):
        every = f" of every class, and there are {len(classes)}" if len(classes) else ""
        raise UserError(
            f"data.valid={valid}, data.test={test} split the {n} examples of {source} into "
            f"{max(n_train, 0)} train, {n_valid} valid, {n_test} test: each needs one{every}"
        )
    return n_valid, n_test


def _spread(
    y: np.ndarray, classes: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels and strata at all rows, 0 where there is none; the rows that a stratum needs."""
    stratum, least = (y, 1) if len(classes) else (strata.quantiles(y), 0)
    if known.all():
        return y, stratum, least
    at_all = [np.zeros(len(known), values.dtype) for values in (y, stratum)]
    for values, one in zip(at_all, (y, stratum), strict=True):
        values[known] = one
    return *at_all, least


def make_split_task(
    x: dict[str, np.ndarray | Rows],
    y: np.ndarray,
    parts: Sequence[np.ndarray],
    *,
    labels: int,
    seed: int,
    source: str,
    kinds: Mapping[str, str] | None = None,
    groups: np.ndarray | None = None,
    known: np.ndarray | None = None,
    scales: Mapping[str, scaling.Scale | None] | None = None,
    present: Mapping[str, np.ndarray] | None = None,
) -> Task:
    """A task whose splits are given, and whose inputs are taken as they are.

    Args:
      x: name → (n, ...) numbers, ready for training: see `Split.x` and `scaling`.
      y: labels of the `known` rows, see `make_task`.
      parts: row numbers of the training, validation and test split; all of the last two are known.
      labels: how many training pairs carry a label, stratified, placed first; see `make_task`.
      seed: of their choice, and of the order of the training pairs.
      source: the file or dataset, for the message of an error.
      kinds: name → one of `kinds.KINDS`; None tells by shape and type, `kinds.ready`.
      groups: (n,) numbers, equal for rows that belong together.
      known: (n,) bool, the rows that have a label.
      scales: name → what `x` was standardised by; a name that is left out is as the source has it.
      present: see `make_task`.

    Returns:
      The task.

    Raises:
      UserError: one line that names `source`, the array or the field.
    """
    y, classes = _encode(y, source)
    known = np.ones(len(y), bool) if known is None else known
    x = {
        name: value if isinstance(value, Rows) else checks.modality(name, value, len(known), source)
        for name, value in x.items()
    }
    y, stratum, least = _spread(y, classes, known)
    in_train, in_valid, in_test = parts
    for name, part in (
        ("train", in_train[known[in_train]]),
        ("valid", in_valid),
        ("test", in_test),
    ):
        counts = np.bincount(y[part], minlength=len(classes)) if len(classes) else np.ones(1)
        if not len(part):
            raise UserError(f"{source}: no examples in its {name} split")
        if not counts.all():
            lacking = classes[counts.argmin()].item()
            raise UserError(f"{source}: its {name} split has no example of class {lacking!r}")
    shuffled = np.random.default_rng(seed).permutation(in_train)
    spare, shuffled = shuffled[~known[shuffled]], shuffled[known[shuffled]]
    labels = _labels(labels, len(shuffled), len(classes), source)
    ties = np.random.default_rng([seed, 1])
    labelled, unlabelled = strata.pick(shuffled, stratum, labels, least, ties)
    rows = labelled, np.concatenate([unlabelled, spare]), in_valid, in_test
    _check_present(present, list(x), rows, source)
    scales = scales or {}
    return _task(x, y, classes, rows, kinds=kinds, groups=groups, scales=scales, present=present)


def _task(
    x: dict[str, np.ndarray | Rows],
    y: np.ndarray,
    classes: np.ndarray,
    rows: Sequence[np.ndarray],
    *,
    kinds: Mapping[str, str] | None,
    groups: np.ndarray | None,
    scales: Mapping[str, scaling.Scale | None],
    present: Mapping[str, np.ndarray] | None,
) -> Task:
    """`rows`: labelled and unlabelled training pairs, validation, test."""
    labelled, unlabelled, in_valid, in_test = rows
    in_train = np.concatenate([labelled, unlabelled])
    mean, scale = 0.0, 1.0
    if not len(classes):
        y, mean, scale = standardised(y, labelled)

    def split(rows: np.ndarray, labels: np.ndarray) -> Split:
        there = missing.of_rows(present, list(x), rows)
        return Split(tuple(at(a, rows) for a in x.values()), labels, there)

    return Task(
        modalities=tuple(x),
        classes=len(classes),
        train=split(in_train, y[labelled]),
        valid=split(in_valid, y[in_valid]),
        test=split(in_test, y[in_test]),
        kinds=tuple(kinds[name] for name in x) if kinds else (),
        groups=None
        if groups is None
        else tuple(groups[part].astype(np.int32) for part in (in_train, in_valid, in_test)),
        target_mean=mean,
        target_scale=scale,
        class_names=classes if len(classes) else None,
        scales=tuple(scales.get(name) for name in x),
        resplit=len(in_test) / (len(in_train) + len(in_valid)),
    )


def standardised(y: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Targets of a regression with the mean and the deviation of the labelled training rows.

    All of it in float64 before the cast, so that neither units nor an offset cost digits.

    Args:
      y: (n,) float64, not all equal.
      labelled: their row numbers. Where these targets are all equal, as a single one is, the scale
        is the deviation of all from them.

    Returns:
      (y − mean) / scale as float32, the mean and the scale.
    """
    # a power of two loses no digit; without it the largest overflow, the smallest vanish
    unit = 2.0 ** (np.frexp(np.abs(y).max())[1] - 1)
    offset = y / unit - y[labelled[0]] / unit
    centre = offset[labelled].mean()
    scale = offset[labelled].std() or np.sqrt(np.mean(offset**2))
    mean = float((centre + y[labelled[0]] / unit) * unit)
    return ((offset - centre) / scale).astype(np.float32), mean, float(scale * unit)


def _labels(labels: int, n_train: int, classes: int, source: str) -> int:
    """How many training pairs carry a label."""
    if isinstance(labels, bool) or not isinstance(labels, (int, np.integer)) or labels < 0:
        raise UserError(f"data.labels={labels!r} must be a whole number, 0 (all) or more")
    if 0 < labels < classes:
        raise UserError(f"data.labels={labels} is below the {classes} classes of {source}")
    if labels > n_train:
        notes.once(
            f"data.labels={labels}: {source} leaves {n_train} training examples; all are taken",
        )
    return min(labels or n_train, n_train)


def _encode(y: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels as int32 indices into the sorted classes, or float64 targets and no classes."""
    if y.ndim != 1:
        raise UserError(f"{source}: the labels must be one per example, not of shape {y.shape}")
    if not len(y):
        raise UserError(f"{source}: no examples")
    if y.dtype.kind == "f":
        y = y.astype(np.float64)
        if not np.isfinite(y).all():
            at = np.isfinite(y).argmin()
            raise UserError(
                f"{source}: array 'labels' holds {y[at]} in row {at} (counted from 0), "
                "which is not a finite number"
            )
        if y.min() == y.max():
            raise UserError(f"{source}: every label is {y[0]}, nothing to learn")
        return y, np.empty(0)
    if y.dtype.kind not in "biuUS":
        raise UserError(
            f"{source}: labels of type {y.dtype}; classes are integers, booleans or strings, "
            "the target of a regression is floating point"
        )
    classes, indices = np.unique(y, return_inverse=True)
    if len(classes) == 1:
        raise UserError(f"{source}: every label is {classes[0].item()!r}, nothing to learn")
    return indices.astype(np.int32), classes


def _size(name: str, fraction: float, n: int) -> int:
    if not 0 < fraction < 1:
        raise UserError(f"data.{name}={fraction} must lie between 0 and 1")
    return round(fraction * n)
