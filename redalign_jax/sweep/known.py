"""What is known of a block's tasks without training, worked out beside the training."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from redalign_jax import pid
from redalign_jax.sweep.grid import Cell
from redalign_jax.task import Task


class Known(NamedTuple):
    """Of one task.

    Attributes:
      results: (subject, metric) → value.
      facts: columns of the results, the exact decomposition among them.
      scale: of a regression's target.
    """

    results: dict[tuple[str, str], float]
    facts: dict[str, Any]
    scale: float


@contextlib.contextmanager
def beside(cells: dict[int, Cell], tasks: dict[int, Task]) -> Iterator[dict[int, Future[Known]]]:
    """Inside, threads work out what is known of some tasks.

    An exact decomposition takes a second on one core; while an accelerator trains, cores are idle.

    Args:
      cells: by number.
      tasks: those of them that are loaded; the others are loaded now.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield {c: pool.submit(_of, tasks.get(c) or cell.load()) for c, cell in cells.items()}
    finally:
        pool.shutdown(cancel_futures=True)


def _of(task: Task) -> Known:
    found = dict(task.known)
    if task.classes:
        majority = {(name, "majority"): task.majority(m) for m, name in enumerate(task.modalities)}
        found |= majority
    exact = pid.columns(task.modalities, task.joint)
    about = {"resplit": task.resplit, "fixed_test": task.fixed_test}
    return Known(found, exact | about, task.target_scale)


def by_row(
    rows: list[int], known: dict[int, Future[Known]]
) -> tuple[dict[tuple, np.ndarray], pd.DataFrame, np.ndarray]:
    """What is known of the task of every row: as results, as columns, and its target's scale."""
    each = [known[c].result() for c in rows]
    keys = dict.fromkeys(key for one in each for key in one.results)
    columns = {key: np.array([one.results.get(key, np.nan) for one in each]) for key in keys}
    scales = np.array([one.scale for one in each])
    return columns, pd.DataFrame([one.facts for one in each]), scales
