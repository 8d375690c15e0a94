"""Every arm trained on folds of the labelled examples, and judged on those held out, one by one."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits

from redalign_jax.advise import arms, folds
from redalign_jax.fields import SEEDS
from redalign_jax.measures.evaluate import EvalSpec
from redalign_jax.runtime import devices
from redalign_jax.runtime.progress import Progress, say
from redalign_jax.sweep import block, grid
from redalign_jax.sweep.program import Program
from redalign_jax.task import Task
from redalign_jax.training.data import Data
from redalign_jax.training.flat import layout
from redalign_jax.training.model import Hyper, ModelSpec
from redalign_jax.training.start import State
from redalign_jax.training.validate import heads

FOLDS = 8
FEWEST = 5  # labelled examples of a fold


class Trials(NamedTuple):
    """What was tried so far.

    Attributes:
      scores: (arms, M, n) of every labelled example held out, mean over repeats: 1 for a right
        class, 0 for a wrong one; for a regression the negative absolute error, in standard
        deviations of the target. NaN for examples in no fold, or without the modality.
      gate: (M,) of the posterior mechanism, mean over trainings.
      repeats: of the whole cross-validation.
      trainings: in all.
    """

    scores: np.ndarray
    gate: np.ndarray
    repeats: int
    trainings: int


class _Out(Exception):
    """Time is up, or the user has asked to stop."""


def judged(
    model: ModelSpec, settings: EvalSpec, hyper: Hyper, key: Array, data: Data, state: State
) -> tuple[Array, Array]:
    """(M, n) score of every test example at each encoder's best validation, and (M,) gates.

    In the place of `evaluate.measure`, whose arguments it has.
    """
    params = layout(model, data.train.x).unravel(state.best)
    outputs, y = jnp.stack(heads(model, params, data.test)), data.test.y
    if model.classes:
        score = (jnp.argmax(outputs, axis=-1) == y[None]).astype(jnp.float32)
    else:
        score = -jnp.abs(outputs - y[None])
    if data.test.present is not None:
        score = jnp.where(data.test.present, score, jnp.nan)
    gate = jnp.zeros(len(score)) if state.evidence is None else state.evidence.gate
    return score, gate


def units(task: Task) -> int:
    """Labelled training examples, or groups of them where rows belong together.

    Where rows miss a modality, those of the encoder that has the fewest.
    """
    labelled = len(task.train.y)
    numbers = np.arange(labelled) if task.groups is None else task.groups[0][:labelled]
    if task.train.present is None:
        return len(np.unique(numbers))
    return min(len(np.unique(numbers[own[:labelled]])) for own in task.train.present)


def enough(task: Task) -> bool:
    """Whether there are labelled examples, and groups of them, for all folds."""
    return min(len(task.train.y) // FEWEST, units(task) // 2) >= FOLDS


class _Part(NamedTuple):
    """The arms of one objective, compiled."""

    config: ConfigDict
    model: ModelSpec
    settings: list
    program: Program


def run(
    config: ConfigDict,
    task: Task,
    deadline: float,
    seed: int,
    most: int,
    asked: Callable[[], bool] = lambda: False,
    show: bool | None = None,
) -> Iterator[Trials]:
    """Trains every arm on every fold, again and again with other folds, inits and batches.

    Early stopping and the posterior mechanism use the task's own validation split, as they will
    when the advice is followed; the held-out fold judges alone.

    Args:
      config: the experiment.
      task: whose labelled training examples are cross-validated.
      deadline: `time.monotonic()` at which it ends; a repeat that would end later is not begun.
      seed: of folds, inits and batches.
      most: repeats.
      asked: whether to stop.
      show: progress, see `progress.Progress`.

    Yields:
      What is known after every whole repeat; nothing if none is done in time.
    """
    devices.prepare()
    every = arms.of(config)
    assigned = _assigned(task, seed, most)
    sizes = folds.smallest(task, assigned)  # one program for all repeats
    parts, first = [], _split(task, assigned[0], sizes)
    say(f"compiling trials of {len(every)} ways to train", show)
    for objective in dict.fromkeys(arm.objective for arm in every):
        own, settings = arms.settings(config, objective)
        own.sweep.unlock()
        model = grid.build_model(own, task, own.encoder.embed_dim[0])
        group = grid.Group(model, grid.arrays(first[0][1]), _cells(own, first, seed, 0))
        parts.append(
            _Part(own, model, settings, block.compiled(own, group, len(settings), evaluated=judged))
        )
    total = np.zeros((len(every), len(task.modalities), len(task.train.y)))
    times, gate = np.zeros_like(total), np.zeros(len(task.modalities))
    each = FOLDS * len(every)
    with (
        threadpool_limits(1, user_api="blas"),
        Progress(most * each * config.train.steps, most * each, show, what="trials") as shown,
    ):
        for repeat in range(most):
            began = time.monotonic()
            found = first if not repeat else _split(task, assigned[repeat], sizes)
            score, row = np.full_like(total, np.nan), 0
            try:
                for part in parts:
                    scores, gates = _trained(part, found, seed, repeat, deadline, asked, shown)
                    here = slice(row, row + len(part.settings))
                    for of_fold, (rows, _) in zip(scores, found, strict=True):
                        score[here, :, rows] = of_fold
                    row += len(part.settings)
            except _Out:
                return
            total += np.nan_to_num(score)
            times += np.isfinite(score)
            gate += gates.mean(axis=(0, 1))
            mean = np.divide(total, times, out=np.full_like(total, np.nan), where=times > 0)
            yield Trials(mean, gate / (repeat + 1), repeat + 1, (repeat + 1) * each)
            if time.monotonic() + (time.monotonic() - began) > deadline:
                return


def _assigned(task: Task, seed: int, repeats: int) -> list[np.ndarray]:
    """The fold of every labelled example, drawn anew for every repeat."""
    y = task.train.y
    group = None if task.groups is None else task.groups[0][: len(y)]
    return [
        folds.assign(y, FOLDS, (seed + 7919 * repeat) % SEEDS, group) for repeat in range(repeats)
    ]


def _split(task: Task, fold: np.ndarray, sizes: folds.Sizes) -> list[tuple[np.ndarray, Task]]:
    """The examples of every fold, and the task without them."""
    each = [folds.split(task, fold, k, sizes) for k in range(FOLDS)]
    return [(np.flatnonzero(fold == k)[: sizes.judged], each[k]) for k in range(FOLDS)]


def _cells(
    config: ConfigDict, found: list[tuple[np.ndarray, Task]], seed: int, repeat: int
) -> list[grid.Cell]:
    size = config.encoder.embed_dim[0]
    return [
        grid.Cell(k, {}, lambda _, part=part: part, (seed + 1000 * repeat + k) % SEEDS, size)
        for k, (_, part) in enumerate(found)
    ]


def _trained(
    part: _Part,
    found: list[tuple[np.ndarray, Task]],
    seed: int,
    repeat: int,
    deadline: float,
    asked: Callable[[], bool],
    shown: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """(folds, settings, M, n) scores and (folds, settings, M) gates of one repeat."""
    cells = _cells(part.config, found, seed, repeat)
    group = grid.Group(part.model, grid.arrays(found[0][1]), cells)
    each: list = [[None] * len(part.settings) for _ in cells]
    train = part.config.train
    for one in block.cut(part.config, group, part.settings, part.program):
        inputs = block.load(one)
        carry = block.start(one, inputs)
        while carry.step < train.steps:
            carry = block.advance(one, inputs, carry)
            shown.advance(one.columns.size * train.steps // train.evaluations)
            if asked() or time.monotonic() > deadline:
                raise _Out
        scores, gates = block.evaluated(one, inputs, carry)
        for row, column in np.ndindex(one.columns.shape):
            each[one.units[row][0]][one.columns[row, column]] = (
                scores[row, column],
                gates[row, column],
            )
    scores, gates = (
        np.array([[pair[i] for pair in of_fold] for of_fold in each], np.float64) for i in (0, 1)
    )
    return scores, gates
