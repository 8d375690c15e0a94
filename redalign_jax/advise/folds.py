"""Cross-validation on a task's labelled training examples; its test split stays unseen."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from redalign_jax.data.rows import at
from redalign_jax.pid import groups
from redalign_jax.task import Split, Task


def assign(y: np.ndarray, folds: int, seed: int, group: np.ndarray | None = None) -> np.ndarray:
    """The fold of every labelled example, (n,) in 0..folds−1.

    Folds are stratified: examples are dealt out in shuffled order of the label. Without groups they
    are of equal size, and up to folds − 1 examples left over are in none, −1. With groups, (n,)
    numbers equal for rows that belong together, each is dealt out whole, large ones first within a
    label.
    """
    rng = np.random.default_rng(seed)
    if group is not None:
        _, y = np.unique(y, return_inverse=True)
        _, group = np.unique(group, return_inverse=True)
        order, part = groups.deal(y, group, np.arange(len(y)), folds, rng)
        return part[np.argsort(order)]
    shuffled = rng.permutation(len(y))
    dealt = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold = np.full(len(y), -1)
    whole = len(y) - len(y) % folds
    fold[dealt[:whole]] = np.arange(whole) % folds
    return fold


class Sizes(NamedTuple):
    """Examples of a fold's task: trained on with and without a label, and judged on."""

    labelled: int
    unlabelled: int
    judged: int


def smallest(task: Task, every: Sequence[np.ndarray]) -> Sizes:
    """The smallest over folds of `every` assignment: what tasks of all of them can have."""
    found = []
    for fold in every:
        for f in range(fold.max() + 1):
            stay, out = _rows(task, fold, f)
            labelled = int((stay < len(fold)).sum())
            found.append((labelled, len(stay) - labelled, len(out)))
    return Sizes(*map(int, np.min(found, axis=0)))


def _rows(task: Task, fold: np.ndarray, f: int) -> tuple[np.ndarray, np.ndarray]:
    """Training rows without a fold and all that belongs together with it, and the fold's."""
    out = gone = np.flatnonzero(fold == f)
    if task.groups is not None:
        group = task.groups[0]
        gone = np.flatnonzero(np.isin(group, group[out]))
    return np.delete(np.arange(len(task.train.x[0])), gone), out


def split(task: Task, fold: np.ndarray, held_out: int, sizes: Sizes | None = None) -> Task:
    """`task` trained without one fold of its labelled examples and judged on it.

    The fold is gone from the training pairs altogether, and so are pairs of its groups; the other
    unlabelled pairs stay. The fold is the test split, the validation split stays. Where folds
    differ in size, all are cut to `sizes`: tasks of all folds have one shape.

    Args:
      task: the task.
      fold: of every labelled example, see `assign`.
      held_out: the fold.
      sizes: None for `smallest` of this assignment.
    """
    labelled, group = len(fold), None if task.groups is None else task.groups[0]
    sizes = smallest(task, [fold]) if sizes is None else sizes
    stay, out = _rows(task, fold, held_out)
    out = out[: sizes.judged]
    with_label, without = stay[stay < labelled], stay[stay >= labelled]
    stay = np.concatenate([with_label[: sizes.labelled], without[: sizes.unlabelled]])
    train, part = (
        Split(
            tuple(at(x, rows) for x in task.train.x),
            task.train.y[rows[:count]],
            None if task.train.present is None else task.train.present[:, rows],
        )
        for rows, count in ((stay, sizes.labelled), (out, len(out)))
    )
    numbers = None if group is None else (group[stay], task.groups[1], group[out])
    return replace(task, train=train, test=part, groups=numbers, known={}, joint=None)
