"""Labels as people bring them: which rows have one, and whether they are classes or a target."""

import numpy as np
import pandas as pd

from redalign_jax.data import notes
from redalign_jax.errors import UserError

TARGETS = ("", "classes", "regression")
MISSING = "missing"  # value of `data.unlabelled`: the texts that stand for NaN too
_TEXTS = ("", "nan", "NaN", "None", "<NA>", "NaT")
_FEW = 10  # values of a floating target that look like classes


def read(
    y: np.ndarray, *, unlabelled: str, target: str, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the rows that have one.

    NaN, None, pandas' NA and the empty text lack a label. (n, 1) is taken as (n,), and one-hot rows
    as the column of their 1. A floating target of two values is two classes, and so is one of few
    whole numbers beside NaN, which is how holes turn whole numbers into floating point. What looks
    like a class and may be the lack of one is refused, or named, until `unlabelled` says so.

    Args:
      y: (n,), (n, 1) or one-hot (n, C). Python objects, which no file holds, are numbers or texts;
        None, NaN and pandas' NA among them lack a label.
      unlabelled: the value, as text, that stands for "no label"; "missing" for the texts nan,
        NaN, None, <NA>, NaT too; "" for none.
      target: "classes", "regression", or "" to tell by the type: floating point is a regression.
      source: the file, for what is said.

    Returns:
      The labels of the rows that have one, and (n,) bool, which these are.

    Raises:
      UserError: one line that says what they look like and what to do.
    """
    if target not in TARGETS:
        raise UserError(f"data.target: {target!r} is not one of classes, regression")
    y = _flat(y, source)
    if y.dtype.kind == "O":
        return _of_objects(y, unlabelled, target, source)
    if y.dtype.kind not in "biufUS":
        raise UserError(
            f"{source}: labels of type {y.dtype}; classes are integers, booleans or strings, the "
            "target of a regression is floating point"
        )
    y = y.astype(y.dtype.newbyteorder("="))
    without = _without(y, unlabelled, source)
    holes = y.dtype.kind == "f" and bool(np.isnan(y).any())
    y = y[~without]
    if not len(y):
        raise UserError(f"{source}: no row has a label")
    if without.any():
        notes.once(
            f"{source}: {without.sum()} of {len(without)} rows have no label; they are trained on "
            "as pairs alone",
        )
    return _typed(y, target, source, holes), ~without


def _of_objects(
    y: np.ndarray, unlabelled: str, target: str, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """`read` of Python objects, those that lack a label left out first."""
    known = ~pd.isna(y)
    texts = {isinstance(v, str) for v in y[known]}
    if len(texts) > 1:
        raise UserError(f"{source}: the labels are texts and numbers; use one kind")
    try:
        values = np.array(y[known].tolist())
    except ValueError:
        values = y[:0]
    if any(isinstance(v, (list, tuple, set, frozenset, np.ndarray)) for v in y[known]):
        raise UserError(_multi(source, "lists"))
    if values.ndim != 1 or values.dtype.kind not in "biufUS":
        held = ", ".join(sorted({type(v).__name__ for v in y[known]}))
        raise UserError(f"{source}: the labels are of type {held}, not numbers or texts")
    if unlabelled == MISSING and not known.all():
        unlabelled = ""
    if not known.all():
        notes.once(
            f"{source}: {(~known).sum()} of {len(y)} rows have no label; they are trained on as "
            "pairs alone",
        )
    values, labelled = read(values, unlabelled=unlabelled, target=target, source=source)
    known[known] = labelled
    return values, known


def _multi(source: str, what: str) -> str:
    return (
        f"{source}: the labels are {what}, several per row: multi-label is not supported; give one "
        "label per row, for example one column of them"
    )


def _flat(y: np.ndarray, source: str) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] == 1:
        return y[:, 0]
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf":
        lacking = np.isnan(y).all(axis=1) if y.dtype.kind == "f" else np.zeros(len(y), bool)
        if lacking.any() and not lacking.all():
            found = np.full(len(y), np.nan)
            found[~lacking] = _flat(y[~lacking], source)
            return found
        if len(y) and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
            notes.once(
                f"{source}: the labels are one-hot; class k is column k, as of labels.argmax(1)",
            )
            return y.argmax(axis=1)
        if len(y) and ((y == 0) | (y == 1)).all():
            raise UserError(_multi(source, f"rows of {y.shape[1]} zeros and ones"))
        raise UserError(
            f"{source}: the labels must be one per example, not of shape {y.shape}; of one-hot "
            "rows, each with a single 1, labels.argmax(1) would be taken"
        )
    if y.ndim != 1:
        raise UserError(f"{source}: the labels must be one per example, not of shape {y.shape}")
    return y


def _without(y: np.ndarray, unlabelled: str, source: str) -> np.ndarray:
    """Which rows have no label."""
    text = y if y.dtype.kind == "U" else None
    if y.dtype.kind == "S":
        text = np.char.decode(y, "utf-8", "replace")
    missing = np.isin(text, _TEXTS) if text is not None else np.zeros(len(y), bool)
    surely = text == "" if text is not None else np.zeros(len(y), bool)
    if y.dtype.kind == "f":
        missing = surely = np.isnan(y)
    if unlabelled == MISSING or (unlabelled == "nan" and y.dtype.kind == "f"):
        without = missing
    elif unlabelled:
        missing = _equal(y, text, unlabelled)
        without = missing | surely
    else:
        without = surely
    if unlabelled and not missing.any():
        raise UserError(f"data.unlabelled={unlabelled!r}: no label of {source} is that")
    if (missing & ~without).any():
        found = y.dtype.type("nan") if text is None else text[missing][0]
        raise UserError(
            f"{source}: {missing.sum()} of {len(y)} labels are {str(found)!r}, which is no class; "
            f"to train on these rows as pairs without a label: --config.data.unlabelled={MISSING} "
            "(if it is a class, give it another name)"
        )
    if not unlabelled and y.dtype.kind == "i" and y.min(initial=0) == -1:
        others = np.unique(y[y >= 0])
        if len(others) > 1:
            notes.once(
                f"{source}: {(y == -1).sum()} of {len(y)} labels are -1, taken as a class; if it "
                "means that there is no label: --config.data.unlabelled=-1",
            )
    return without


def _equal(y: np.ndarray, text: np.ndarray | None, value: str) -> np.ndarray:
    if text is not None:
        return text == value
    try:
        return y == float(value)
    except ValueError:
        return np.zeros(len(y), bool)


def _typed(y: np.ndarray, target: str, source: str, holes: bool) -> np.ndarray:
    """Integers or texts for classes, floating point for a regression.

    `holes`: whether rows without a label made floating point of it.
    """
    if target == "regression":
        if y.dtype.kind in "US":
            raise UserError(f"data.target: the labels of {source} are texts, no regression")
        return y if y.dtype.kind == "f" else y.astype(np.float64)
    values, counts = np.unique(y, return_counts=True)
    if y.dtype.kind == "f" and np.isfinite(y).all():
        whole = (np.abs(y) < 2**53).all() and (y == np.rint(y)).all()
        few = holes and whole and 2 < len(values) <= _FEW and counts.min() > 2
        if target == "classes" or len(values) == 2 or few:
            if not target:
                first = ", ".join(f"{v:g}" for v in values[:-1])
                notes.once(
                    f"{source}: the labels are {first} and {values[-1]:g}, taken as "
                    f"{'two' if len(values) == 2 else len(values)} classes; for a regression: "
                    "--config.data.target=regression",
                )
            return y.astype(np.int64 if whole else str)
        if 2 < len(values) <= _FEW and len(y) > 5 * _FEW:
            notes.once(
                f"{source}: floating-point labels with {len(values)} values only, taken as a "
                "regression; for classes: --config.data.target=classes",
            )
    elif y.dtype.kind in "iu" and not target and len(values) > _FEW and counts.min() < 3:
        k = counts.argmin()
        raise UserError(
            f"{source}: class {values[k].item()!r} has {counts[k]} of {len(y)} examples, too few "
            "for train, valid and test; if the labels are amounts, for a regression: "
            "--config.data.target=regression"
        )
    return y
