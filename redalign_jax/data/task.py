"""What every source of data becomes: paired examples, split, in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Split(NamedTuple):
    """Paired examples: row i of every modality describes the same thing.

    Attributes:
      x: one array (n, ...) per modality, in the order of `Task.modalities`. Any numeric dtype;
        training casts batches to float32, so binary inputs can stay one byte wide. What an array
        is shows in its shape and type:
        (n, h, w, c) uint8: images and spectrograms, levels 0..255, see `to_float`;
        (n, t, d) float32: sequences of up to t steps; after its end a sequence is zero, `lengths`;
        (n, t) int32: texts of up to t tokens, numbered from 1; after its end a text is zero;
        anything else: numbers without an order.
      y: labels of the *first* rows, (n_labelled,) with n_labelled ≤ n: int32 class indices, or
        float32 targets of a regression. Only a training split has fewer labels than rows.
    """

    x: tuple[np.ndarray, ...]
    y: np.ndarray


@dataclass(frozen=True)
class Task:
    """A task: modalities, labels, and three disjoint splits.

    Attributes:
      modalities: names, at least one, in the order of `Split.x`.
      classes: number of classes, or 0 for a regression.
      train, valid, test: the splits. Labels of `valid` and `test` are complete.
      known: exact facts about the task, `{(subject, metric): value}`, where the source knows
        them (for example `("x1", "bayes_accuracy")`); they become rows of the results.
      facts: computes exact facts about the task's information, `{column: number}`, where the
        source knows them; they become columns of the results and may take a second to compute.
        Columns are `pid_redundancy`, `pid_unique_<modality>`, `pid_synergy` (nats) and
        `shared_fraction_<modality>`.
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
    facts: Callable[[], dict[str, float]] = dict
    resplit: float = 0.0
    fixed_test: bool = False


def to_float(x: Any) -> Any:
    """An input as training wants it: float32, levels 0..255 as 0..1. numpy or JAX."""
    return x.astype("float32") / 255 if x.dtype == np.uint8 else x.astype("float32")


def lengths(x: Any) -> Any:
    """Steps of every sequence, (n, t, d) → (n,), or tokens of every text, (n, t) → (n,).

    That is, up to the last one that is not zero. numpy or JAX.
    """
    real = (x != 0).any(axis=-1) if x.ndim == 3 else x != 0
    return (real * np.arange(1, x.shape[1] + 1, dtype=np.int32)).max(axis=-1)
