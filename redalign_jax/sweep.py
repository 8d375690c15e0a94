"""A grid of runs, task axis × seeds × hyperparameters, as one program per shape of task."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from redalign_jax import alignment, config as configs, data, devices, results, workdir
from redalign_jax.data.task import Task
from redalign_jax.encoders import MLP
from redalign_jax.errors import UserError
from redalign_jax.measures import Settings
from redalign_jax.model import Hyper, Model
from redalign_jax.program import Program, fit
from redalign_jax.training import Data, Plan


@dataclass(frozen=True)
class Cell:
    """One task of the grid: a point of the task axis with a seed.

    Attributes:
      place: its number in the grid.
      columns: task axes and seed, as columns of the results.
      config: the `data` section at this point.
      seed: of samples, splits, init and batches.
    """

    place: int
    columns: dict[str, Any]
    config: ConfigDict
    seed: int

    def load(self) -> Task:
        """The task."""
        return data.load(self.config, self.seed)


@dataclass
class Group:
    """Tasks of equal shapes, which share a program.

    Attributes:
      model: the choices.
      example: one task's arrays.
      cells: the tasks.
    """

    model: Model
    example: Data
    cells: list[Cell] = field(default_factory=list)


def _arrays(task: Task) -> Data:
    return Data(task.train, task.valid, task.test)


def build_model(config: ConfigDict, task: Task) -> Model:
    """The network that `config` describes for this task."""
    encoder = config.encoder
    projection = config.alignment.projection
    learned = config.alignment.learned_temperature
    return Model(
        modalities=task.modalities,
        classes=task.classes,
        encoder=MLP(tuple(encoder.widths), encoder.embedding, encoder.activation),
        projector=MLP(tuple(projection[:-1]), projection[-1], encoder.activation)
        if projection
        else None,
        objective=config.alignment.objective,
        schedule=config.alignment.schedule,
        learned_temperature=learned,
        bounded=not learned and min(config.hyper.temperature) >= alignment.BOUNDED_TEMPERATURE,
    )


def _check_task(config: ConfigDict, task: Task) -> None:
    pairs = len(task.train.x[0])
    if config.train.batch > pairs:
        raise UserError(
            f"train.batch: {config.train.batch} is above the training split's {pairs} pairs"
        )
    examples = min(config.measure.examples, len(task.test.y))
    if config.measure.neighbours >= examples:
        raise UserError(
            f"measure.neighbours: {config.measure.neighbours} must be below the {examples} test "
            "examples that are compared"
        )
    for strength in config.hyper.strength:
        if isinstance(strength, tuple) and len(strength) != len(task.modalities):
            raise UserError(
                f"hyper.strength: {strength} is not one number per modality, "
                f"{', '.join(task.modalities)}"
            )


def cells(config: ConfigDict) -> list[Cell]:
    """All tasks of the grid, in the order of the results."""
    seeds = range(config.sweep.first_seed, config.sweep.first_seed + config.sweep.seeds)
    points = configs.data_points(config.data)
    return [
        Cell(place, {**columns, "seed": seed}, point, seed)
        for place, (columns, point, seed) in enumerate(
            (columns, point, seed) for columns, point in points for seed in seeds
        )
    ]


def groups(config: ConfigDict) -> list[Group]:
    """The tasks by shape. The first task of every point is loaded, and checked, for it."""
    found: dict[Any, Group] = {}
    point, key = None, None
    for cell in cells(config):
        if cell.config is not point:
            point = cell.config
            task = cell.load()
            _check_task(config, task)
            model, arrays = build_model(config, task), _arrays(task)
            shapes = jax.tree.map(lambda a: (a.shape, a.dtype.str), arrays)
            key = (model, tuple(jax.tree.leaves(shapes)))
            found.setdefault(key, Group(model, arrays))
        found[key].cells.append(cell)
    return list(found.values())


def hyper_arrays(settings: list[dict[str, Any]], modalities: int) -> Hyper:
    """The settings as arrays: strength (n, M), the others (n,)."""
    columns = {name: [s[name] for s in settings] for name in Hyper._fields}
    columns["strength"] = [np.broadcast_to(v, modalities) for v in columns["strength"]]
    return Hyper(**{name: np.asarray(v, np.float32) for name, v in columns.items()})


def _chunks(cell_count: int, setting_count: int, program: Program) -> Iterator[list[tuple]]:
    """Rows of each block: (task, settings). Blocks are padded by repeating what they hold."""
    rows, wide = program.shape
    starts = range(0, setting_count, wide)
    # the last block of settings reaches back, so that it is as wide as the others
    blocks = [np.arange(s, s + wide) - max(0, s + wide - setting_count) for s in starts]
    work = [(cell, block) for cell in range(cell_count) for block in blocks]
    for first in range(0, len(work), rows):
        chunk = work[first : first + rows]
        yield chunk + chunk[-1:] * (rows - len(chunk))


def run_group(
    config: ConfigDict, group: Group, settings: list[dict[str, Any]], bar: tqdm
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trains and measures every run of a group: its part of the results and of the curves."""
    mesh = devices.mesh()
    train, measure = config.train, config.measure
    program = fit(
        group.model,
        Plan(train.steps, train.batch, train.evaluations),
        Settings(
            min(measure.examples, len(group.example.test.y)),
            measure.neighbours,
            measure.probe_examples,
        ),
        mesh,
        (len(group.cells), len(settings)),
        group.example,
        config.sweep.chunk,
    )
    placed = NamedSharding(mesh, P(devices.RUNS))
    hypers = hyper_arrays(settings, len(group.model.modalities))
    shape = (len(group.cells), len(settings))
    measured: dict[tuple, np.ndarray] = {}
    curves: dict[tuple, np.ndarray] = {}
    diverged = np.zeros(shape, bool)

    def keep(table: dict[tuple, np.ndarray], key: tuple, at: tuple, values: np.ndarray) -> None:
        table.setdefault(key, np.full(shape, np.nan))[at] = values

    steps = train.steps // train.evaluations
    for chunk in _chunks(len(group.cells), len(settings), program):
        tasks = {c: group.cells[c].load() for c, _ in chunk}
        at = (np.array([[c] for c, _ in chunk]), np.array([block for _, block in chunk]))
        block = jax.tree.map(lambda *a: np.stack(a), *(_arrays(tasks[c]) for c, _ in chunk))
        block = jax.device_put(block, placed)
        seeds = np.array([group.cells[c].seed for c, _ in chunk], np.uint32)
        seeds = jax.device_put(seeds, placed)
        hyper = jax.device_put(jax.tree.map(lambda a: a[at[1]], hypers), placed)
        new = program.shape.rows * program.shape.settings
        state = program.start(hyper, seeds, block)
        for evaluation in range(train.evaluations):
            first = np.int32(evaluation * steps)
            state, curve = program.segment(hyper, seeds, block, state, first)
            for key, values in _curve_columns(group.model, jax.device_get(curve)).items():
                keep(curves, (int(first) + steps, *key), at, values)
            bar.update(new * steps)
        for key, values in jax.device_get(program.measure(hyper, block, state)).items():
            keep(measured, key, at, values)
        for c, task in tasks.items():
            for key, value in task.known.items():
                keep(measured, key, (c,), value)
        diverged[at] = jax.device_get(state.diverged)
    runs = _runs(config, group, settings, diverged)

    def flat(table: dict[tuple, np.ndarray]) -> dict[tuple, np.ndarray]:
        return {key: values.ravel() for key, values in table.items()}

    return (
        results.tidy(runs, flat(measured), ("subject", "metric")),
        results.tidy(runs, flat(curves), ("step", "subject", "metric")),
    )


def _curve_columns(model: Model, curve: Any) -> dict[tuple[str, str], np.ndarray]:
    columns = {}
    for m, name in enumerate(model.modalities):
        columns[name, "task_loss"] = curve.task_loss[..., m]
        sign, metric = (1, "valid_accuracy") if model.classes else (-1, "valid_mae")
        columns[name, metric] = sign * curve.valid[..., m]
    for i, (a, b) in enumerate(alignment.pairs(len(model.modalities))):
        pair = f"{model.modalities[a]}|{model.modalities[b]}"
        columns[pair, "alignment_loss"] = curve.alignment_loss[..., i]
    return columns


def _runs(
    config: ConfigDict, group: Group, settings: list[dict[str, Any]], diverged: np.ndarray
) -> pd.DataFrame:
    """One row per run of the group: its place in the grid and what identifies it."""
    columns = results.strength_columns(settings, group.model.modalities)
    for name in configs.swept(config.hyper)[1:]:
        columns[name] = [s[name] for s in settings]
    rows = []
    for cell in group.cells:
        frame = pd.DataFrame(columns)
        frame.insert(0, "place", cell.place * len(settings) + np.arange(len(settings)))
        for number, (name, value) in enumerate(cell.columns.items()):
            frame.insert(1 + number, name, value)
        rows.append(frame)
    runs = pd.concat(rows, ignore_index=True)
    runs["diverged"] = diverged.ravel()
    return runs


def _in_order(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """All groups' rows in the grid's order, `value` and `diverged` last."""
    table = pd.concat(tables, ignore_index=True)
    table = table.sort_values("place", kind="stable", ignore_index=True)
    last = ["value", "diverged"]
    return table[[c for c in table.columns if c not in ("place", *last)] + last]


def run(config: ConfigDict, folder: str | Path, progress: bool | None = None) -> pd.DataFrame:
    """Runs the whole grid and writes `results`, `curves` (parquet and csv) and `config.json`.

    A workdir that already holds the finished results of the same config is read, not run again.

    Args:
      config: an experiment; see `redalign_jax.config.base`.
      folder: the workdir, made if need be.
      progress: show a bar; None shows it on a terminal only.

    Returns:
      The results: task axes, seed, hyperparameters, subject, metric, value, diverged.

    Raises:
      UserError: a config, data or workdir that cannot be used, before anything is compiled.
    """
    folder = Path(folder)
    devices.prepare()
    configs.check(config)
    parts = groups(config)
    workdir.claim(folder, config)
    if (folder / "results.parquet").exists():
        logging.info("%s is finished; its results are read", folder)
        return results.read(folder)
    settings = configs.hyper_points(config.hyper)
    count = sum(len(g.cells) for g in parts) * len(settings)
    total = count * config.train.steps
    hidden = None if progress is None else not progress
    began = time.monotonic()
    # XLA runs one LAPACK call per thread already; threads of BLAS's own on top fight over the cores.
    with (
        threadpool_limits(1, user_api="blas"),
        tqdm(
            total=total, desc=f"{count} runs", unit=" run-steps", unit_scale=True, disable=hidden
        ) as bar,
    ):
        done = [run_group(config, group, settings, bar) for group in parts]
    logging.info("%d runs in %.1f s", count, time.monotonic() - began)
    table, curves = (_in_order(list(t)) for t in zip(*done, strict=True))
    results.save(curves, folder, results.CURVES)
    results.save(table, folder, results.RESULTS)
    return table
