"""A grid of runs, task axis × seeds × hyperparameters, as one program per shape of task."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits

from redalign_jax import config as configs
from redalign_jax import rooms
from redalign_jax.data import Load, identity
from redalign_jax.errors import UserError
from redalign_jax.runtime import claim, devices, preemption, processes, results, workdir
from redalign_jax.sweep import block, checkpoint, grid, runner, shards
from redalign_jax.sweep.grid import Group
from redalign_jax.sweep.program import Program


def train(
    config: ConfigDict,
    group: Group,
    settings: list[dict[str, Any]],
    program: Program | None = None,
    after_segment: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """The results of a group's runs, block by block and nothing kept; `place` says which run."""
    program = program or block.compiled(config, group, len(settings))
    with threadpool_limits(1, user_api="blas"):
        tables = [
            block.train(part, lambda _: after_segment())[0]
            for part in block.cut(config, group, settings, program)
        ]
    return pd.concat(tables, ignore_index=True)


def run(
    config: ConfigDict,
    folder: str | Path,
    progress: bool | None = None,
    load: Load | None = None,
    keep: block.Keep | None = None,
) -> pd.DataFrame:
    """Runs the whole grid and writes `results`, `curves` (parquet and csv) and `config.json`.

    A workdir that already holds the finished results of the same config and the same data is read,
    not run again; one that holds a part of them goes on from there.

    Args:
      config: an experiment; see `redalign_jax.config.base`.
      folder: the workdir, made if need be; several processes must all see it.
      progress: show a bar; None shows it on a terminal only.
      load: makes the tasks, as of `config.points`.
      keep: called with every block's trained states before its runs count as finished; not for runs
        that were finished before.

    Returns:
      The results: task axes, seed, hyperparameters, subject, metric, value, diverged.

    Raises:
      UserError: a config, data or workdir that cannot be used, before anything is compiled; a
        workdir that cannot be written any more.
      Stopped: SIGTERM came, and everything is saved.
    """
    folder = Path(folder)
    devices.prepare()
    config = configs.check(config)
    devices.mesh(config.sweep.batch_shards)  # refuses what does not divide
    with identity.recorded() as content:
        groups = grid.groups(config, load)
    if not processes.all_of(processes.agree(lambda: content) == content):
        raise UserError("data: not every process of this job reads the same")
    with workdir.held(folder), preemption.listening() as asked:
        processes.agree(lambda: claim.claim(folder, config, content))
        if processes.agree(lambda: shards.complete(folder)):
            logging.info("%s is finished; its results are read", folder)
        else:
            runner.train(config, folder, groups, asked, progress, keep)
        for part in (shards.FOLDER, checkpoint.FOLDER):  # no longer needed
            processes.agree(lambda part=part: shutil.rmtree(folder / part, ignore_errors=True))
    return results.read(folder)


rooms.callable_package(__name__)
