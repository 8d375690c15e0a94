"""What every source of data becomes: paired examples, split, in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from redalign_jax import kinds


class Normal(NamedTuple):
    """A joint normal distribution of (x1, x2, y) with one number y, up to its mean.

    Attributes:
      covariance: (p1 + p2 + 1, p1 + p2 + 1) float64, in this order.
      inputs: (p1, p2).
    """

    covariance: np.ndarray
    inputs: tuple[int, int]


class Split(NamedTuple):
    """Paired examples: row i of every modality describes the same thing.

    Attributes:
      x: one array (n, ...) per modality, in the order of `Task.modalities`. Any numeric dtype;
        training casts batches to float32, so binary inputs can stay one byte wide. What an array
        is, `Task.kinds` says:
        "image": (n, h, w, c), uint8 levels 0..255, see `to_float`, or float32;
        "sequence": (n, t, d) float32, up to t steps; after its end a sequence is zero, `lengths`;
        "tokens": (n, t) int32, texts of up to t tokens from 1 on; after its end a text is zero;
        "vector": (n, ...), numbers without an order.
      y: labels of the *first* rows, (n_labelled,) with n_labelled ≤ n: int32 class indices, or
        float32 targets of a regression, standardised: (y − `target_mean`) / `target_scale`. Only a
        training split has fewer labels than rows.
      present: (M, n) bool, which rows a modality has; None where all have all. A row trains and
        judges the encoders that have it, and counts for pairs of which both have it; what `x` holds
        in its place is never read, sources put zeros there.
    """

    x: tuple[np.ndarray, ...]
    y: np.ndarray
    present: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """A task: modalities, labels, and three disjoint splits.

    Attributes:
      modalities: names, at least one, in the order of `Split.x`.
      classes: number of classes, or 0 for a regression.
      train, valid, test: the splits. Labels of `valid` and `test` are complete.
      known: exact facts about the task, `{(subject, metric): value}`, where the source knows
        them (for example `("x1", "bayes_accuracy")`); they become rows of the results.
      joint: makes the exact p(x1, x2, y) of a task of two modalities, (n1, n2, ny) or `Normal`,
        where the source knows it; its decomposition becomes columns of the results, see
        `pid.columns`.
      groups: for train, valid and test one (n,) int32 array, a number per row of the split, the
        same for rows that belong together: exact copies, or rows that share a value of the user's
        `groups`. Numbers mean the same in all three. None where every row is a group of its own.
        Folds and resamples keep a group whole.
      kinds: what every modality's arrays are, of `kinds.KINDS`; if not given, as `kinds.ready` has
        it.
      target_mean, target_scale: of a regression's targets in the user's units, float64; 0 and 1 for
        classes.
      class_names: (classes,) what the user calls class 0, 1, …; None for these numbers.
      scales: per modality the `data.scaling.Scale` of its arrays, to put new rows on it;
        None where they are as the source gives them, () where all are.
      resplit: n_test / (N − n_test) where every seed splits the same N rows, so that seeds are not
        independent; 0 where every seed draws rows of its own. A column of the results.
      fixed_test: whether the test rows are the same for every seed. A column of the results.
    """

    modalities: tuple[str, ...]
    classes: int
    train: Split
    valid: Split
    test: Split
    known: dict[tuple[str, str], float] = field(default_factory=dict)
    joint: Callable[[], np.ndarray | Normal] | None = None
    groups: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    kinds: tuple[str, ...] = ()
    target_mean: float = 0.0
    target_scale: float = 1.0
    class_names: np.ndarray | None = None
    scales: tuple[Any, ...] = ()
    resplit: float = 0.0
    fixed_test: bool = False

    def __post_init__(self) -> None:
        """Fills in the kinds."""
        if not self.kinds:
            object.__setattr__(self, "kinds", tuple(map(kinds.ready, self.train.x)))

    def majority(self, modality: int) -> float:
        """The share of the largest class in a modality's test rows: what a constant can reach."""
        y, present = self.test.y, self.test.present
        y = y if present is None else y[present[modality]]
        return float(np.bincount(y).max() / len(y))


# A point of the task axis with everything but the seed decided.
Source = Callable[[int], Task]


def to_float(x: Any) -> Any:
    """An input as training wants it: float32, levels 0..255 as 0..1. numpy or JAX."""
    return x.astype("float32") / 255 if x.dtype == np.uint8 else x.astype("float32")


def lengths(x: Any) -> Any:
    """Steps of every sequence, (n, t, d) → (n,), or tokens of every text, (n, t) → (n,).

    That is, up to the last one that is not zero. numpy or JAX.
    """
    real = (x != 0).any(axis=-1) if x.ndim == 3 else x != 0
    return (real * np.arange(1, x.shape[1] + 1, dtype=np.int32)[None]).max(axis=-1)
