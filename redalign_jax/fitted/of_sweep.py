"""The encoders of a sweep: of every task and setting those of the seed that validates best."""

import logging
import re
import shutil
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax import sweep
from redalign_jax.data import Load
from redalign_jax.fitted import files, kept, train
from redalign_jax.runtime import processes, results, workdir
from redalign_jax.sweep import block, grid
from redalign_jax.sweep.grid import Group

DONE = "models.json"  # their names, written last


def run(
    config: ConfigDict, folder: Path, progress: bool | None = None, load: Load | None = None
) -> pd.DataFrame:
    """`sweep.run`, and a model per task and setting in `folder`/models, see `train.fit`.

    A folder is named by what tells its task and setting from the others, as `strength=0.3`.
    Shuffled partners leave none, nor does a setting at which an encoder diverged with every seed.
    """
    models = Path(folder) / workdir.MODELS
    table = sweep.run(config, folder, progress, load, partial(kept.keep, models))
    if processes.first() and not (models / DONE).exists():
        config = configs.check(config)
        held = workdir.read_config(Path(folder))
        for group in grid.groups(config, load):
            if not group.shuffled:
                _keep_group(config, held, models, group, table)
        names = sorted(path.parent.name for path in models.glob(f"*/{files.JSON}"))
        workdir.write_json(models / DONE, {"models": names})
        shutil.rmtree(models / kept.FOLDER, ignore_errors=True)
    return table


def _keep_group(
    config: ConfigDict, held: dict[str, Any], models: Path, group: Group, table: pd.DataFrame
) -> None:
    settings = configs.settings(config)
    columns = block.hyper_columns(config, settings, group.model.modalities)
    for _, of_point in groupby(group.cells, lambda cell: (id(cell.source), cell.embedding)):
        cells = list(of_point)
        point = {n: v for n, v in cells[0].columns.items() if n not in ("seed", results.SHUFFLED)}
        of_task = table[_where(table, point)]
        for number in group.numbers(len(settings)):
            hyper = {name: values[number] for name, values in columns.items()}
            name = _called(point, hyper)
            runs = [
                kept.read(models, int(grid.places(cell, number, len(settings)))) for cell in cells
            ]
            scores = np.array([one.score for one in runs])
            if not np.isfinite(scores).all(axis=1).any():
                logging.warning("%s: an encoder diverged with every seed; nothing is kept", name)
                continue
            best = train.best(scores)
            task = cells[best].load()
            own = _stated(config, point, settings[number], hyper.get(results.BALANCED, False))
            rows = of_task[_where(of_task, hyper)]
            stated = held | {"config": workdir.plain(own)}
            about = train.about(stated, task, cells, best, runs, rows)
            model = train.to_model(group.model, own, task, runs[best].best, about)
            model.save(models / re.sub(r"[^\w.=,+-]+", "_", name))


def _where(table: pd.DataFrame, values: dict[str, Any]) -> np.ndarray:
    """The rows that have these values, and are of true pairs."""
    found = np.ones(len(table), bool)
    if results.SHUFFLED in table:
        found &= ~table[results.SHUFFLED].to_numpy()
    for name, value in values.items():
        same = table[name].isna() if value != value else table[name] == value
        found &= same.to_numpy()
    return found


def _called(point: dict[str, Any], hyper: dict[str, Any]) -> str:
    """What tells a task and a setting from the others, in words."""
    if hyper.get(results.BALANCED):
        told = {**point, results.BALANCED: "yes"}
    elif np.isnan(hyper["strength"]):
        told = point | {n: v for n, v in hyper.items() if n not in ("strength", results.BALANCED)}
    else:
        own = {n for n in hyper if n.startswith("strength_")} | {results.BALANCED}
        told = point | {n: v for n, v in hyper.items() if n not in own}
    return ",".join(f"{name}={value}" for name, value in told.items())


def _stated(
    config: ConfigDict, point: dict[str, Any], setting: dict[str, Any], balanced: bool
) -> ConfigDict:
    """The experiment of this task and setting alone."""
    own = ConfigDict((configs.mechanism(config) if balanced else config).to_dict())
    for name, value in setting.items():
        own.hyper[name] = (value,)
    for name, value in point.items():
        if name == "embed_dim":
            own.encoder[name] = (value,)
        else:
            own.data[name] = (value,)
    return own
