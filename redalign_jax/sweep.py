"""A grid of runs, task axis × seeds × hyperparameters, as one program per shape of task."""

import logging
import math
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import pandas as pd
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from redalign_jax import (
    block,
    checkpoint,
    devices,
    finished,
    grid,
    hosts,
    results,
    stopping,
    workdir,
)
from redalign_jax import config as configs
from redalign_jax.block import Block, Carry
from redalign_jax.checkpoint import Checkpoints
from redalign_jax.errors import UserError
from redalign_jax.grid import Group
from redalign_jax.measures import Settings
from redalign_jax.program import Program, Shape, fit
from redalign_jax.stopping import Stopped
from redalign_jax.training import Plan


def compiled(
    config: ConfigDict, group: Group, setting_count: int, chunk: int = 0, shape: Shape | None = None
) -> Program:
    """The program of a group's runs; `chunk` and `shape` as in `program.fit`."""
    train, measure = config.train, config.measure
    return fit(
        group.model,
        Plan(train.steps, train.batch, train.evaluations, config.sweep.batch_devices),
        Settings(
            min(measure.examples, len(group.example.test.y)),
            measure.neighbours,
            measure.probe_examples,
        ),
        devices.mesh(config.sweep.batch_devices),
        (len(group.cells), setting_count),
        group.example,
        chunk or config.sweep.chunk,
        shape,
    )


def train(
    config: ConfigDict,
    group: Group,
    settings: list[dict[str, Any]],
    program: Program | None = None,
    after_segment: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """The results of a group's runs, block by block and nothing kept; `place` says which run."""
    program = program or compiled(config, group, len(settings))
    with threadpool_limits(1, user_api="blas"):
        tables = [
            block.train(part, lambda _: after_segment())[0]
            for part in block.cut(config, group, settings, program)
        ]
    return pd.concat(tables, ignore_index=True)


def run(config: ConfigDict, folder: str | Path, progress: bool | None = None) -> pd.DataFrame:
    """Runs the whole grid and writes `results`, `curves` (parquet and csv) and `config.json`.

    A workdir that already holds the finished results of the same config is read, not run again; one
    that holds a part of them goes on from there.

    Args:
      config: an experiment; see `redalign_jax.config.base`.
      folder: the workdir, made if need be; several processes must all see it.
      progress: show a bar; None shows it on a terminal only.

    Returns:
      The results: task axes, seed, hyperparameters, subject, metric, value, diverged.

    Raises:
      UserError: a config, data or workdir that cannot be used, before anything is compiled; a
        workdir that cannot be written any more.
      Stopped: SIGTERM came, and everything is saved.
    """
    folder = Path(folder)
    devices.prepare()
    configs.check(config)
    devices.mesh(config.sweep.batch_devices)
    groups = grid.groups(config)
    with workdir.held(folder), stopping.listening() as asked:
        hosts.agree(lambda: workdir.claim(folder, config))
        if hosts.agree(lambda: (folder / f"{results.RESULTS}.parquet").exists()):
            logging.info("%s is finished; its results are read", folder)
        else:
            _run(config, folder, groups, asked, progress)
        for part in (finished.FOLDER, checkpoint.FOLDER):  # no longer needed
            hosts.agree(lambda part=part: shutil.rmtree(folder / part, ignore_errors=True))
    return results.read(folder)


def _run(
    config: ConfigDict,
    folder: Path,
    groups: list[Group],
    asked: Callable[[], bool],
    progress: bool | None,
) -> None:
    """Trains what is not finished yet, keeps it block by block, and makes the tables."""
    settings = configs.settings(config)
    count = sum(len(g.cells) for g in groups) * len(settings)
    now = {"runs": count, "settings": len(settings), "layout": devices.describe(), "shapes": {}}
    plan = hosts.agree(lambda: finished.plan(folder)) or now
    if plan["layout"] != now["layout"]:
        logging.warning(
            "begun on %s, goes on with %s: the results will not be bit-identical to those of a "
            "sweep that was not interrupted",
            plan["layout"],
            now["layout"],
        )
    done = set(hosts.agree(lambda: finished.places(folder)))
    began, steps = time.monotonic(), config.train.steps
    hidden = None if progress is None else not progress
    # XLA calls LAPACK from threads of its own; BLAS's threads on top would fight over the cores.
    with (
        threadpool_limits(1, user_api="blas"),
        Checkpoints(folder, config.sweep.save_every) as checkpoints,
        tqdm(total=count * steps, initial=len(done) * steps, disable=hidden) as bar,
    ):

        def stop_if_asked() -> None:
            if hosts.any_of(asked()):
                checkpoints.wait()
                raise Stopped(f"stopped with {len(done):,} of {count:,} runs finished")

        def after(part: Block, carry: Carry) -> None:
            bar.update(part.columns.size * steps // config.train.evaluations)
            if hosts.any_of(asked()):
                checkpoints.save(part, carry)
            else:
                checkpoints.save_if_due(part, carry)
            stop_if_asked()

        def train_group(number: str, group: Group, chunk: int = 0) -> None:
            shape = plan["shapes"].get(number)
            program = compiled(
                config, group, len(settings), chunk, Shape(*shape) if shape else None
            )
            plan["shapes"][number] = program.shape
            hosts.agree(lambda: finished.replan(folder, plan))
            for part in block.cut(config, group, settings, program, done):
                stop_if_asked()
                tables = block.train(part, partial(after, part), checkpoints.restore(part))
                hosts.agree(lambda t=tables: finished.add(folder, *t))
                done.update(part.places.ravel().tolist())

        for number, group in enumerate(groups):
            if done.issuperset(_places(group, len(settings))):
                continue
            _halving(partial(train_group, str(number), group), plan["shapes"], str(number))
    hosts.agree(lambda: finished.merge(folder))
    logging.info("%d runs in %.1f s", count, time.monotonic() - began)


def _places(group: Group, setting_count: int) -> list[int]:
    """Places in the grid of a group's runs."""
    starts = (cell.place * setting_count for cell in group.cells)
    return [start + s for start in starts for s in range(setting_count)]


def _halving(train: Callable[[int], None], shapes: dict[str, Any], number: str) -> None:
    """`train(0)`; if memory runs out, once more with half of the runs per device.

    Args:
      train: takes runs per device, 0 for its own choice; writes the block's shape into `shapes`.
      shapes: of every group's blocks.
      number: of the group.
    """
    chunk = 0
    while True:
        try:
            with devices.memory_errors():
                return train(chunk)
        except MemoryError as error:
            shape = shapes.pop(number, (1, 1))
            share = max(1, math.prod(shape) // len(jax.devices()))
            # one process alone cannot change what all of them run
            if chunk or share == 1 or jax.process_count() > 1:
                raise UserError(
                    f"out of memory with {share} runs per device at a time, see "
                    f"--config.sweep.chunk and --config.alignment.block: {error}"
                ) from None
            chunk = share // 2
            logging.warning("out of memory with %d runs per device, half from here on", share)
