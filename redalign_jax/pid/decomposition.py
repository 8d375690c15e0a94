"""What the modalities of every task tell about its labels: `--job=decompose`."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jax import Array
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits

from redalign_jax import config as configs
from redalign_jax import kinds, pid
from redalign_jax.data import Load, Source, identity
from redalign_jax.errors import UserError
from redalign_jax.pid import checks
from redalign_jax.runtime import claim, devices, results, workdir
from redalign_jax.runtime.progress import Progress
from redalign_jax.task import Task

NUMBERS = (
    "redundancy",
    "unique_first",
    "unique_second",
    "synergy",
    "information_first",
    "information_second",
    "information",
    "shared_fraction_first",
    "shared_fraction_second",
    "redundancy_fraction",
)
# an axis that is called like a number of the table
AXIS_CALLED = {"redundancy": "task_redundancy"}


def run(
    config: ConfigDict,
    folder: str | Path,
    progress: bool | None = None,
    load: Load | None = None,
) -> pd.DataFrame:
    """Decomposes every point of the task axis and writes `decomposition` (parquet and csv).

    All labelled examples of the three splits at seed `sweep.first_seed` are read, for every pair of
    modalities: the table describes the data, not a split. A workdir that already holds the
    decomposition of the same config is read. A sweep of the same data may share the workdir.

    Args:
      config: an experiment; only `data`, `decompose` and `sweep.first_seed` matter.
      folder: the workdir, made if need be.
      progress: show a bar; None shows it on a terminal, lines elsewhere.
      load: makes the tasks, as of `config.points`.

    Returns:
      One row per point × pair: task axes (`redundancy` as `task_redundancy`), `first`, `second`,
      `examples`, `classes`, `binned` (whether the classes are quantile bins of a regression's
      target), the NUMBERS in nats with `_low` and `_high` (95 %, see `pid.estimate`), and `method`:
      "estimate", or "exact" where the source knows its joint distribution, with 0 examples and
      intervals of no width.

    Raises:
      UserError: a config, data or workdir that cannot be used.
    """
    folder = Path(folder)
    devices.prepare()
    config = configs.check(config)
    points = configs.points(config, load)
    seen: dict[str, dict[str, Any]] = {}
    options = config.decompose
    with identity.recorded() as content:
        tasks = [source(config.sweep.first_seed) for _, source in points]
        for (columns, _), task in zip(points, tasks, strict=True):
            identity.check_new(seen, columns, task)
    for task in tasks:  # before anything is written
        y, present = _labels(task)
        for pair, rows in _rows_of(task.modalities, len(y), present).items():
            with _about(pair, rows):
                checks.labels(y[rows], options.bins, options.folds, options.clusters)
    with workdir.held(folder):
        about = claim.admit(folder, config, content, "decompose")
        if _finished(folder, config):
            logging.info("%s is decomposed; its table is read", folder)
        else:
            table = _estimate(config, points, tasks, progress)
            results.remove(folder, results.DECOMPOSITION)  # of other options
            claim.write(folder, about)
            results.save(table, folder, results.DECOMPOSITION)
    return results.read(folder, results.DECOMPOSITION)


def _estimate(
    config: ConfigDict,
    points: list[tuple[dict[str, Any], Source]],
    tasks: list[Task],
    progress: bool | None,
) -> pd.DataFrame:
    """The rows of every task."""
    options = config.decompose.to_dict()
    works = [work(len(t.modalities), t.train.present is not None, options) for t in tasks]
    total, count = np.sum(works, axis=0)
    rows = []
    with (
        threadpool_limits(1, user_api="blas"),
        Progress(int(total), int(count), progress) as shown,
    ):
        for (columns, _), task in zip(points, tasks, strict=True):
            columns = {AXIS_CALLED.get(name, name): value for name, value in columns.items()}
            rows += [columns | row for row in _rows(task, config, shown.advance)]
    return pd.DataFrame(rows)


def _finished(folder: Path, config: ConfigDict) -> bool:
    if not results.there(folder, results.DECOMPOSITION):
        return False
    held = workdir.read_config(folder)["config"]["decompose"]
    return held == workdir.plain(config)["decompose"]


def work(modalities: int, missing: bool, options: Mapping[str, Any]) -> tuple[int, int]:
    """`pid.work` of `estimates`: where rows are missing, every pair is estimated by itself."""
    if not missing:
        return pid.work(modalities, **options)
    one = pid.work(2, **options)
    return tuple(math.comb(modalities, 2) * number for number in one)


def _rows_of(
    names: Sequence[str], n: int, present: np.ndarray | None
) -> dict[tuple[str, str], np.ndarray]:
    """Pairs of names → (n,) bool, the rows that both have."""
    present = np.ones((len(names), n), bool) if present is None else present
    return {
        (names[a], names[b]): present[a] & present[b] for a, b in combinations(range(len(names)), 2)
    }


@contextmanager
def _about(pair: tuple[str, str], rows: np.ndarray) -> Iterator[None]:
    """An error says of which rows it is, where they are not all."""
    try:
        yield
    except UserError as error:
        if rows.all():
            raise
        raise UserError(
            f"the {rows.sum()} labelled rows that have both {pair[0]} and {pair[1]}: {error}"
        ) from None


def labelled(
    task: Task,
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray | None, np.ndarray | None]:
    """All labelled examples: an array (n, ...) per modality, (n,) labels, groups, and `_labels`."""
    parts = (task.train, task.valid, task.test)
    x = tuple(
        np.concatenate([part.x[m][: len(part.y)] for part in parts])
        for m in range(len(task.modalities))
    )
    group = None
    if task.groups is not None:
        pieces = zip(task.groups, parts, strict=True)
        group = np.concatenate([numbers[: len(part.y)] for numbers, part in pieces])
    y, present = _labels(task)
    return x, y, group, present


def _labels(task: Task) -> tuple[np.ndarray, np.ndarray | None]:
    """Of all labelled examples the label, and (M, n) bool, which modalities have them."""
    parts = (task.train, task.valid, task.test)
    present = None
    if task.train.present is not None:
        present = np.concatenate([part.present[:, : len(part.y)] for part in parts], axis=1)
    return np.concatenate([part.y for part in parts]), present


def estimates(
    names: Sequence[str],
    x: Sequence[np.ndarray],
    y: np.ndarray,
    key: Array,
    options: ConfigDict,
    groups: np.ndarray | None = None,
    advance: Callable[[int], None] = lambda steps: None,
    present: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """The estimated rows of every pair, see `run`.

    Args:
      names: of the modalities.
      x: their arrays (n, ...).
      y: (n,) labels.
      key: of everything random.
      options: the section `decompose`.
      groups: (n,) numbers, equal for rows that belong together.
      advance: called with optimiser steps done, of `work`.
      present: (M, n) bool, the rows that a modality has: a pair's estimate is of those that both
        have. None for all.
    """
    x = [_counts(one) if kinds.ready(one) == "tokens" else one for one in x]
    own = options.to_dict() | {"advance": advance}
    of_pairs = _rows_of(names, len(y), present)
    if present is None:
        found = pid.estimate_pairs(x, y, key, names=names, groups=groups, **own)
    rows = []
    for a, b in combinations(range(len(names)), 2):
        pair = names[a], names[b]
        there = of_pairs[pair]
        if present is None:
            d = found[a, b]
        else:
            both = tuple(x[m][there] for m in (a, b))
            of = None if groups is None else groups[there]
            with _about(pair, there):
                d = pid.estimate_pairs(both, y[there], key, names=pair, groups=of, **own)[0, 1]
        row = {"first": names[a], "second": names[b], "examples": int(there.sum())}
        row |= {"classes": d.classes, "binned": d.bins is not None}
        ends = zip(NUMBERS, _flat(d), _flat(d.interval.low), _flat(d.interval.high), strict=True)
        for name, value, low, high in ends:
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"method": "estimate"})
    return rows


def _counts(tokens: np.ndarray) -> np.ndarray:
    """(n, t) tokens, 0 for none → (n, vocabulary), how often each occurs."""
    counts = np.zeros((len(tokens), tokens.max() + 1), np.float32)
    np.add.at(counts, (np.arange(len(tokens))[:, None], tokens), 1)
    return counts[:, 1:]


def _rows(task: Task, config: ConfigDict, advance: Callable[[int], None]) -> list[dict[str, Any]]:
    x, y, group, present = labelled(task)
    key = jax.random.key(config.sweep.first_seed)
    facts = pid.columns(task.modalities, task.joint)
    rows = []
    for row in estimates(task.modalities, x, y, key, config.decompose, group, advance, present):
        rows.append(row)
        if "pid_redundancy" in facts:
            exact = row | {"examples": 0, "method": "exact"}
            for name, value in zip(
                NUMBERS, _exact(facts, row["first"], row["second"]), strict=True
            ):
                exact |= dict.fromkeys((name, f"{name}_low", f"{name}_high"), value)
            rows.append(exact)
    return rows


def _flat(v: pid.Estimate | pid.Values) -> list[float]:
    one = [v.redundancy, *v.unique, v.synergy, *v.information, v.joint_information]
    return [float(n) for n in (*one, *v.shared_fraction, v.redundancy_fraction)]


def _exact(facts: dict[str, float], first: str, second: str) -> list[float]:
    r, s = facts["pid_redundancy"], facts["pid_synergy"]
    u1, u2 = (facts[f"pid_unique_{name}"] for name in (first, second))
    shares = [facts[f"shared_fraction_{name}"] for name in (first, second)]
    both = r + u1 + u2 + s
    return [r, u1, u2, s, r + u1, r + u2, both, *shares, r / both if both > 0 else np.nan]


def short_table(table: pd.DataFrame) -> str:
    """The atoms as text for a terminal, nats."""
    axes = list(table.columns[: table.columns.get_loc("first")])
    names = [*axes, "first", "second", "method"]
    atoms = {
        "redundancy": "R",
        "unique_first": "U1",
        "unique_second": "U2",
        "synergy": "S",
    }
    shown = table[names].copy()
    for name, short in atoms.items():
        ends = zip(*(table[f"{name}{end}"] for end in ("", "_low", "_high")), strict=True)
        shown[short] = [
            f"{v:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low < high else "")
            for v, low, high in ends
        ]
    return "information about the labels, nats\n" + shown.to_string(index=False)
