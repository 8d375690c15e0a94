"""One block of runs: inputs on the devices, segment after segment, rows of the tables."""

from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jax import Array
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from redalign_jax import alignment
from redalign_jax import config as configs
from redalign_jax.measures import evaluate
from redalign_jax.measures.evaluate import EvalSpec
from redalign_jax.runtime import coordination, devices, processes, results
from redalign_jax.sweep import grid, known, stream
from redalign_jax.sweep.grid import Group
from redalign_jax.sweep.known import Known
from redalign_jax.sweep.lower import Evaluate
from redalign_jax.sweep.program import Program, fit
from redalign_jax.sweep.shape import Shape
from redalign_jax.sweep.stream import Streamed
from redalign_jax.task import Task
from redalign_jax.training.data import Data, shared
from redalign_jax.training.loop import TrainMetrics, TrainSpec
from redalign_jax.training.model import Hyper
from redalign_jax.training.start import State

Table = dict[tuple, np.ndarray]


@dataclass(frozen=True)
class Block:
    """Runs that are trained together.

    Attributes:
      config: the experiment.
      group: their tasks.
      settings: of the whole grid.
      program: of the group.
      units: the block's rows: (number of the task in the group, numbers of its settings).
      tasks: those that this process has loaded, by number.
    """

    config: ConfigDict
    group: Group
    settings: list[dict[str, Any]]
    program: Program
    units: list[tuple[int, np.ndarray]]
    tasks: dict[int, Task] = field(default_factory=dict)

    @property
    def columns(self) -> np.ndarray:
        """(rows, settings) numbers of the settings."""
        return np.array([columns for _, columns in self.units])

    @property
    def places(self) -> np.ndarray:
        """(rows, settings) places of the runs in the grid."""
        count, cells = len(self.settings), self.group.cells
        return np.array([grid.places(cells[c], columns, count) for c, columns in self.units])

    def curves(self) -> TrainMetrics:
        """The whole curves, (evaluations, rows, settings, ...), NaN before anything is trained."""
        whole = (self.config.train.evaluations, *self.columns.shape)
        return jax.tree.map(
            lambda a: np.full((*whole, *a.shape[2:]), np.nan, np.float32), self.program.curve
        )


class Inputs(NamedTuple):
    """What a block is trained on, placed."""

    hyper: Hyper
    seeds: Array
    data: Data | Streamed


class BlockState(NamedTuple):
    """A block between two segments.

    Attributes:
      step: optimiser steps done.
      state: of every run, on the devices.
      curves: what every segment showed, (evaluations, rows, settings, ...), NaN where it has not
        been trained; on the host.
    """

    step: int
    state: State
    curves: TrainMetrics


# What is done with the trained states of a block, on the devices; runs that only fill it are in it.
Keep = Callable[[Block, State], None]


def compiled(
    config: ConfigDict,
    group: Group,
    setting_count: int,
    chunk: int = 0,
    shape: Shape | None = None,
    evaluated: Evaluate = evaluate.measure,
) -> Program:
    """The program of a group's runs; `chunk`, `shape` and `evaluated` as in `program.fit`."""
    train = config.train
    batch, examples, neighbours = grid.fitted(config, group.example)
    return fit(
        group.model,
        TrainSpec(
            train.steps, batch, train.evaluations, config.sweep.batch_shards, train.precision
        ),
        EvalSpec(examples, neighbours, config.measure.probe_examples),
        devices.mesh(config.sweep.batch_shards),
        (len(group.cells), len(group.numbers(setting_count))),
        group.example,
        chunk or config.sweep.runs_per_device,
        shape,
        evaluated,
    )


def cut(
    config: ConfigDict,
    group: Group,
    settings: list[dict[str, Any]],
    program: Program,
    done: Container[int] = (),
) -> Iterator[Block]:
    """The blocks of a group's runs, those left out whose places in the grid are all `done`."""
    shape, count = program.shape, len(settings)
    numbers = group.numbers(count)
    todo = [
        (c, columns)
        for c, columns in (
            (c, numbers[own]) for c, own in grid.units(len(group.cells), len(numbers), shape)
        )
        if any(place not in done for place in grid.places(group.cells[c], columns, count))
    ]
    for units in grid.chunks(todo, shape):
        yield Block(config, group, settings, program, units)


def train(
    block: Block,
    after: Callable[[BlockState], None],
    carry: BlockState | None = None,
    around: Callable[[], AbstractContextManager] = nullcontext,
    keep: Keep | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Trains a block to its end and measures it.

    Args:
      block: what to train.
      after: called with the carry after every segment.
      carry: to go on from; None starts.
      around: gives a context in which each segment is trained.
      keep: called with what was trained, before it is measured.

    Returns:
      See `finish`.
    """
    inputs = load(block)
    coordination.meet("loaded")
    cells = {c: block.group.cells[c] for c, _ in block.units} if processes.first() else {}
    with known.beside(cells, block.tasks) as facts:
        carry = carry or start(block, inputs)
        while carry.step < block.config.train.steps:
            with around():
                carry = advance(block, inputs, carry)
            after(carry)
        if keep:
            keep(block, carry.state)
        return finish(block, inputs, carry, facts)


def load(block: Block) -> Inputs:
    """Loads this process's tasks and places the block's inputs."""
    sharding = NamedSharding(devices.mesh(block.config.sweep.batch_shards), P(devices.RUNS))
    hypers = grid.hyper_arrays(block.settings, len(block.group.model.modalities))
    seeds = np.array([block.group.cells[c].seed for c, _ in block.units], np.uint32)
    hyper = Hyper(*(a[block.columns] for a in hypers))
    local: dict[int, Data] = {}
    for row in processes.local_rows(sharding, len(block.units)):
        c = block.units[row][0]
        if c not in block.tasks:
            block.tasks[c] = block.group.cells[c].load()
        local[row] = block.group.arrays(block.group.cells[c], block.tasks[c])
    return Inputs(
        jax.tree.map(lambda a: processes.place(sharding, a), hyper),
        processes.place(sharding, seeds),
        (stream.load if block.program.streamed else _placed)(local, len(block.units), sharding),
    )


def _placed(local: dict[int, Data], rows: int, sharding: NamedSharding) -> Data:
    """Tasks of this process by row, on the devices; what they share once."""
    wholes = shared(local.values())
    own = {row: task._replace(wholes=None) for row, task in local.items()}
    everywhere = NamedSharding(sharding.mesh, P())
    wholes = jax.tree.map(lambda a: processes.place(everywhere, a), wholes)
    return processes.place_rows(sharding, rows, own)._replace(wholes=wholes)


def start(block: Block, inputs: Inputs) -> BlockState:
    """The block before its first step."""
    return BlockState(0, _run(block.program.start, *inputs), block.curves())


def _run(program: Callable[..., Any], *inputs: Any) -> Any:
    """Runs one of a `Program`; an input that is not on the devices yet is an error, not a copy."""
    with jax.transfer_guard("disallow"):
        return program(*inputs)


def advance(block: Block, inputs: Inputs, carry: BlockState) -> BlockState:
    """Trains one segment; the carry that came in is used up."""
    train = block.config.train
    everywhere = NamedSharding(devices.mesh(block.config.sweep.batch_shards), P())
    first = processes.place(everywhere, np.array(carry.step, np.int32))
    state, curve = _run(block.program.segment, *inputs, carry.state, first)
    steps = train.steps // train.evaluations
    for whole, now in zip(
        *map(jax.tree.leaves, (carry.curves, processes.gather(curve))), strict=True
    ):
        whole[carry.step // steps] = now
    return BlockState(carry.step + steps, state, carry.curves)


def evaluated(block: Block, inputs: Inputs, carry: BlockState) -> Any:
    """What the program's `measure` says of the trained block, on the host."""
    return processes.gather(_run(block.program.measure, *inputs, carry.state))


def finish(
    block: Block, inputs: Inputs, carry: BlockState, facts: dict[int, Future[Known]]
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Measures the trained block: its rows of the results and of the curves.

    Errors and task losses of a regression are in the user's units. Rows that only fill the block
    are left out. None on other processes than the first.
    """
    measured = evaluated(block, inputs, carry)
    diverged = processes.gather(carry.state.diverged)
    if not processes.first():
        return None
    _, once = np.unique(block.places, return_index=True)
    once = np.unravel_index(np.sort(once), block.places.shape)
    own, about, scale = known.by_row([c for c, _ in block.units], facts)
    rows, _ = once
    names = block.group.model.modalities
    flags = {name: diverged[once][:, m] for m, name in enumerate(names)}
    runs = _runs(block, once)
    seed = runs.columns.get_loc("seed") + 1
    about = about.iloc[rows].reset_index(drop=True)
    about = pd.concat([runs.iloc[:, :seed], about, runs.iloc[:, seed:]], axis="columns")
    columns = _in_units(measured, once, scale)
    columns |= {key: values[rows] for key, values in own.items()}
    curves = _in_units(_curve_columns(block, carry.curves), once, scale)
    return (
        results.tidy(about, columns, ("subject", "metric"), flags),
        results.tidy(runs, curves, ("step", "subject", "metric"), flags),
    )


def _in_units(table: Table, once: tuple[np.ndarray, np.ndarray], scale: np.ndarray) -> Table:
    """The runs `once` of every column; errors and task losses times their row's `scale`."""
    found = {}
    for key, values in table.items():
        unit = scale[once[0]] if key[-1] == "task_loss" or key[-1].endswith("mae") else 1.0
        found[key] = np.asarray(values[once], np.float64) * unit
    return found


def _curve_columns(block: Block, curves: TrainMetrics) -> Table:
    model, train = block.group.model, block.config.train
    columns: Table = {}
    for i in range(train.evaluations):
        step = (i + 1) * (train.steps // train.evaluations)
        for m, name in enumerate(model.modalities):
            columns[step, name, "task_loss"] = curves.task_loss[i, ..., m]
            sign, metric = (1, "valid_accuracy") if model.classes else (-1, "valid_mae")
            columns[step, name, metric] = sign * curves.valid[i, ..., m]
            if curves.evidence is not None:
                columns[step, name, "gate"] = curves.evidence.gate[i, ..., m]
                columns[step, name, "temperature"] = curves.evidence.temperature[i, ..., m]
                others = [o for o in model.modalities if o != name]
                for k, other in enumerate(others):
                    columns[step, name, f"weight_{other}"] = curves.evidence.weight[i, ..., m, k]
        for k, (a, b) in enumerate(alignment.pairs(len(model.modalities))):
            pair = f"{model.modalities[a]}|{model.modalities[b]}"
            columns[step, pair, "alignment_loss"] = curves.alignment_loss[i, ..., k]
    return columns


def _runs(block: Block, once: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """One row per run: its place in the grid and what identifies it."""
    cells = [block.group.cells[block.units[row][0]] for row in once[0]]
    settings = block.columns[once]
    columns: dict[str, Any] = {"place": block.places[once]}
    columns |= {name: [cell.columns[name] for cell in cells] for name in cells[0].columns}
    hyper = hyper_columns(block.config, block.settings, block.group.model.modalities)
    return pd.DataFrame(columns | {name: [v[s] for s in settings] for name, v in hyper.items()})


def hyper_columns(
    config: ConfigDict, settings: list[dict[str, Any]], modalities: tuple[str, ...]
) -> dict[str, list]:
    """What tells the settings of a grid apart, as columns of the results."""
    hyper = results.strength_columns(settings, modalities)
    for name in configs.swept(config.hyper):
        hyper[name] = [s[name] for s in settings]
    if config.sweep.balanced:
        hyper[results.BALANCED] = [False] * (len(settings) - 1) + [True]
    return hyper
