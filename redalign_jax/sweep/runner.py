"""The grid trained block by block, each kept as it ends and while it goes on."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits

from redalign_jax import config as configs
from redalign_jax.errors import UserError
from redalign_jax.runtime import coordination, devices, processes
from redalign_jax.runtime.preemption import Stopped
from redalign_jax.runtime.progress import Progress
from redalign_jax.sweep import block, grid, shards
from redalign_jax.sweep.block import Block, BlockState, Keep
from redalign_jax.sweep.checkpoint import Checkpoints
from redalign_jax.sweep.grid import Group
from redalign_jax.sweep.profiling import profiled
from redalign_jax.sweep.program import out_of_memory
from redalign_jax.sweep.shape import Shape


@dataclass
class _Sweep:
    """A sweep under way.

    Attributes:
      config: the experiment.
      folder: the workdir.
      plan: see `shards.replan`.
      done: places in the grid of the finished runs.
      asked: whether this process was asked to stop.
      checkpoints: of the block in progress.
      shown: how far it is.
      keep: see `block.train`.
      segments: numbers of the segments to come.
    """

    config: ConfigDict
    folder: Path
    plan: dict[str, Any]
    done: set[int]
    asked: Callable[[], bool]
    checkpoints: Checkpoints
    shown: Progress
    keep: Keep | None = None
    segments: Iterator[int] = field(default_factory=itertools.count)


def train(
    config: ConfigDict,
    folder: Path,
    groups: list[Group],
    asked: Callable[[], bool],
    progress: bool | None,
    keep: Keep | None = None,
) -> None:
    """Trains what is not finished yet and makes the tables of the workdir.

    Args:
      config: the experiment.
      folder: the workdir, held by this job.
      groups: the grid.
      asked: whether this process was asked to stop.
      progress: see `Progress`.
      keep: called with every block's trained states before its runs count as finished.

    Raises:
      UserError: the workdir cannot be written any more, or memory does not suffice.
      Stopped: a process was asked to stop, and all is saved.
    """
    count = len(configs.settings(config))
    runs, steps = sum(len(_places(g, count)) for g in groups), config.train.steps
    now = {"runs": runs, "settings": count, "shapes": {}}
    now |= {"layout": devices.describe(), "chunk": config.sweep.runs_per_device}
    plan = processes.agree(lambda: shards.plan(folder)) or now
    then, here = ((p["layout"], p["chunk"]) for p in (plan, now))
    if then != here:
        logging.warning(
            "begun on %s (sweep.runs_per_device=%d), goes on with %s (sweep.runs_per_device=%d): "
            "the results will not be bit-identical to those of a sweep that was not interrupted",
            *then,
            *here,
        )
    if plan["chunk"] != now["chunk"]:
        plan |= {"chunk": now["chunk"], "shapes": {}}
    done = set(processes.agree(lambda: shards.places(folder)))
    began = time.monotonic()
    shown = Progress(
        runs * steps, runs, progress if processes.first() else False, len(done) * steps
    )
    # XLA calls LAPACK from threads of its own; BLAS's threads on top would fight over the cores.
    with (
        threadpool_limits(1, user_api="blas"),
        Checkpoints(folder, config.sweep.checkpoint_seconds) as checkpoints,
        shown,
        coordination.telling(),
    ):
        width = devices.mesh(config.sweep.batch_shards).shape[devices.RUNS]
        sweep = _Sweep(config, folder, plan, done, asked, checkpoints, shown, keep)
        for number, group in enumerate(groups):
            if not done.issuperset(_places(group, count)):
                _halving(partial(_train_group, sweep, str(number), group), plan, str(number), width)
    processes.agree(lambda: shards.merge(folder))
    logging.info("%d runs in %.1f s", runs, time.monotonic() - began)


def _train_group(sweep: _Sweep, number: str, group: Group, chunk: int) -> None:
    config, plan = sweep.config, sweep.plan
    settings = configs.settings(config)
    shape = Shape(*plan["shapes"][number]) if number in plan["shapes"] else None
    with sweep.shown.compiling():
        program = block.compiled(config, group, len(settings), chunk, shape)
    plan["shapes"][number] = program.shape
    processes.agree(lambda: shards.replan(sweep.folder, plan))
    for part in block.cut(config, group, settings, program, sweep.done):
        if processes.any_of(sweep.asked()):
            _stop(sweep)
        carry = sweep.checkpoints.restore(part)
        if carry:
            sweep.shown.skip(part.columns.size * carry.step)
        after, around = partial(_after, sweep, part), partial(_around, sweep)
        tables = block.train(part, after, carry, around, sweep.keep)
        processes.agree(lambda t=tables: shards.add(sweep.folder, *t))
        sweep.done.update(part.places.ravel().tolist())


def _around(sweep: _Sweep) -> Any:
    return profiled(sweep.folder / "profile", next(sweep.segments), sweep.config.log.profile)


def _after(sweep: _Sweep, part: Block, carry: BlockState) -> None:
    """After every segment: says so, saves, and stops if that was asked for."""
    train = sweep.config.train
    sweep.shown.advance(part.columns.size * train.steps // train.evaluations)
    if processes.any_of(sweep.asked()):
        sweep.checkpoints.save(part, carry)
        _stop(sweep)
    sweep.checkpoints.save_if_due(part, carry)


def _stop(sweep: _Sweep) -> None:
    sweep.checkpoints.wait()
    runs = sweep.plan["runs"]
    raise Stopped(f"stopped with {len(sweep.done):,} of {runs:,} runs finished, all is saved")


def _places(group: Group, setting_count: int) -> list[int]:
    """Places in the grid of a group's runs."""
    every = group.numbers(setting_count)
    return [place for c in group.cells for place in grid.places(c, every, setting_count).tolist()]


def _halving(train: Callable[[int], None], plan: dict[str, Any], number: str, width: int) -> None:
    """`train(0)`; as often as memory runs out, again with half of the runs per device.

    Args:
      train: takes runs per device, 0 for its own choice; writes the block's shape into `plan`.
      plan: with the shapes of every group's blocks.
      number: of the group.
      width: of the mesh, devices that share the runs.
    """
    chunk, before = 0, 1
    while True:
        try:
            with devices.memory_errors():
                return train(chunk)
        except MemoryError as error:
            rows, settings, *_ = plan["shapes"].pop(number, (width, 1))
            share = max(1, rows * settings // width)
            # one process alone cannot change what all of them run
            if share in (1, before) or jax.process_count() > 1:
                raise UserError(out_of_memory(share, str(error))) from None
            chunk, before = share // 2, share
            logging.warning("out of memory with %d runs per device, half from here on", share)
