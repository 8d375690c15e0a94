"""Cross-validation on a task's labelled training examples; its test split stays unseen."""

from dataclasses import replace

import numpy as np

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


def split(task: Task, fold: np.ndarray, held_out: int) -> Task:
    """`task` trained without one fold of its labelled examples and judged on it.

    The fold is gone from the training pairs altogether, and so are pairs of its groups; the other
    unlabelled pairs stay. The fold is the test split, the validation split stays. Where folds
    differ in size, all are cut to the smallest and so is what they train on: tasks of all folds
    have one shape.
    """
    labelled, group = len(fold), None if task.groups is None else task.groups[0]
    kept, judged = [], []
    for f in range(fold.max() + 1):
        out = np.flatnonzero(fold == f)
        gone = out if group is None else np.flatnonzero(np.isin(group, group[out]))
        judged.append(out)
        kept.append(np.delete(np.arange(len(task.train.x[0])), gone))
    with_label = min(int((rows < labelled).sum()) for rows in kept)
    without = min(int((rows >= labelled).sum()) for rows in kept)
    stay, out = kept[held_out], judged[held_out][: min(map(len, judged))]
    stay = np.concatenate([stay[stay < labelled][:with_label], stay[stay >= labelled][:without]])
    train, part = (
        Split(
            tuple(x[rows] for x in task.train.x),
            task.train.y[rows[:count]],
            None if task.train.present is None else task.train.present[:, rows],
        )
        for rows, count in ((stay, with_label), (out, len(out)))
    )
    numbers = None if group is None else (group[stay], task.groups[1], group[out])
    return replace(task, train=train, test=part, groups=numbers, known={}, joint=None)
