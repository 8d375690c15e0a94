"""The pilot: contrast at several strengths, cross-validated inside a time budget."""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from redalign_jax import sweep
from redalign_jax.advise import folds
from redalign_jax.config import ADVISED
from redalign_jax.fields import SEEDS
from redalign_jax.runtime import devices
from redalign_jax.runtime.progress import Progress, say
from redalign_jax.sweep import block, grid
from redalign_jax.task import Task

FOLDS, REPEATS = 10, 2
STRENGTHS = (0.0, 2.0, 8.0, ADVISED["strength"], 32.0)


class _Clock:
    """Measures run-steps per second, compilation left out."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.done = 0
        self.rate = 0.0

    def advance(self, steps: int) -> None:
        """Counts steps from the end of the first segment on."""
        now = time.monotonic()
        if self.began is None:
            self.began = now
            return
        self.done += steps
        self.rate = self.done / max(now - self.began, 1e-9)


def configured(config: ConfigDict, task: Task) -> ConfigDict:
    """`config` with the hyperparameters of `config.ADVISED`, as far as they apply."""
    own = ConfigDict(config.to_dict())
    own.sweep.balanced = False
    debiased = task.classes and own.alignment.objective in ("info_nce", "siglip")
    for name, value in ADVISED.items():
        own.hyper[name] = (value if name != "false_negative_weight" or debiased else 0.0,)
    return own


def candidates(modalities: Sequence[str]) -> list[tuple[float, ...]]:
    """Strengths per encoder: one for all, then each encoder left alone beside aligned partners."""
    count = len(modalities)
    strong = ADVISED["strength"]
    alone = [tuple(0.0 if m == k else strong for m in range(count)) for k in range(count)]
    return [(s,) * count for s in STRENGTHS] + alone


def units(task: Task) -> int:
    """Labelled training examples, or groups of them where rows belong together.

    Where rows miss a modality, those of the encoder that has the fewest.
    """
    labelled = len(task.train.y)
    numbers = np.arange(labelled) if task.groups is None else task.groups[0][:labelled]
    if task.train.present is None:
        return len(np.unique(numbers))
    return min(len(np.unique(numbers[own[:labelled]])) for own in task.train.present)


def run(
    config: ConfigDict, task: Task, minutes: float, seed: int, show: bool | None = None
) -> pd.DataFrame:
    """Trains every candidate on every fold, and again with other inits while time lasts.

    One block of folds is trained first, to see how long they take; then as many as fit.

    Args:
      config: of `configured`.
      task: whose labelled training examples are cross-validated.
      minutes: budget for training; compilation and the first block are spent in any case.
      seed: of folds, inits and batches.
      show: progress, see `progress.Progress`.

    Returns:
      The tidy results with columns `fold`, `seed` and `candidate`, the number of `candidates`.
    """
    devices.prepare()
    own = ConfigDict(config.to_dict())
    hyper = {name: values[0] for name, values in own.hyper.items()}
    settings = [hyper | {"strength": s} for s in candidates(task.modalities)]
    labelled = len(task.train.y)
    group = None if task.groups is None else task.groups[0][:labelled]
    fold = folds.assign(task.train.y, FOLDS, seed, group)
    tasks = [folds.split(task, fold, k) for k in range(FOLDS)]
    own.measure.neighbours = min(own.measure.neighbours, len(tasks[0].test.y) - 1)
    own.train.batch = min(own.train.batch, len(tasks[0].train.x[0]))
    model = grid.build_model(own, task, own.encoder.embed_dim[0])
    work = [
        grid.Cell(
            repeat * FOLDS + k,
            {"fold": k, "seed": repeat},
            lambda seed, task=tasks[k]: task,
            (seed + 1000 * repeat + k) % SEEDS,
            own.encoder.embed_dim[0],
        )
        for repeat in range(REPEATS)
        for k in range(FOLDS)
    ]
    clock = _Clock()
    group = grid.Group(model, grid.arrays(tasks[0]), work)
    say(f"compiling trials of {len(settings)} strengths", show)
    program = block.compiled(own, group, len(settings))
    began = time.monotonic()

    def train(cells: list[grid.Cell], what: str) -> pd.DataFrame:
        part = grid.Group(model, group.example, cells)
        steps = program.runs * own.train.steps // own.train.evaluations
        runs = program.runs * len(list(block.cut(own, part, settings, program)))
        with Progress(runs * own.train.steps, runs, show, what=what) as progress:

            def after_segment() -> None:
                clock.advance(steps)
                progress.advance(steps)

            table = sweep.train(own, part, settings, program, after_segment)
        table["candidate"] = table["place"] % len(settings)
        return table

    first = program.shape.rows
    done = [train(work[:first], "first trials")]
    per_fold = len(settings) * own.train.steps / max(clock.rate, 1e-9)
    left = 60 * minutes - (time.monotonic() - began)
    fits = min(len(work) - first, int(left / per_fold))
    if fits > 0:
        done.append(train(work[first : first + fits], "more trials"))
    return pd.concat(done, ignore_index=True)


def gains(table: pd.DataFrame, metric: str) -> dict[str, pd.DataFrame]:
    """Changes of `metric` from no alignment, averaged over repeats.

    Returns:
      {encoder: (folds, candidates)}; more is better, NaN where any of the trainings diverged.
    """
    sign = -1 if metric.endswith("mae") else 1
    rows = table[table["metric"] == metric]
    rows = rows.assign(value=rows["value"].where(~rows["diverged"].astype(bool)))
    found = {}
    for name, of_encoder in rows.groupby("subject", sort=False):
        values = of_encoder.pivot(index=["fold", "seed"], columns="candidate", values="value")
        change = sign * values.sub(values[0], axis=0)
        diverged = change.isna().groupby(level="fold").any()
        found[name] = change.groupby(level="fold").mean().mask(diverged)
    return found
