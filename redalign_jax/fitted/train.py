"""One setting trained with several seeds, the best of which is kept."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax import sweep
from redalign_jax.data import Load, transforms
from redalign_jax.data.parts import NAMES
from redalign_jax.errors import UserError
from redalign_jax.fitted import files, inputs, kept
from redalign_jax.fitted.encoder import Encoder
from redalign_jax.fitted.model import Model
from redalign_jax.runtime import workdir
from redalign_jax.sweep import grid
from redalign_jax.task import Task
from redalign_jax.training.flat import layout
from redalign_jax.training.model import ModelSpec

MODEL = "model"  # its folder, in the workdir


def check(config: ConfigDict) -> ConfigDict:
    """The experiment, checked; it has one task and one setting.

    Raises:
      UserError: one line that names the field.
    """
    config = configs.check(config)
    for section in ("data", "encoder", "hyper"):
        for name, value in config[section].items():
            several = isinstance(value, tuple) and len(value) > 1
            if several and (section, name) != ("encoder", "hidden_sizes"):
                how = "; name one, or an advice" if name == "strength" else ""
                raise UserError(f"{section}.{name}: several values; fit trains one setting{how}")
    return config


def fit(
    config: ConfigDict, folder: Path, progress: bool | None = None, load: Load | None = None
) -> Model:
    """Trains `config.sweep.seeds` runs and keeps the best by validation, in `folder`/model.

    Every encoder is stopped at its own best validation score. Of the seeds, which draw splits,
    inits and batches, that one is kept whose score is the best in the mean of its encoders: they
    stay together, because they were aligned with each other. A workdir goes on where it stopped,
    as that of a sweep does.

    Args:
      config: an experiment with one setting.
      folder: the workdir.
      progress: see `sweep.run`.
      load: see `sweep.run`.

    Raises:
      UserError: a config, data or workdir that cannot be used.
      Stopped: SIGTERM came, and everything is saved.
    """
    config = check(config)
    table = sweep.run(config, folder, progress, load, partial(kept.keep, folder))
    if not (folder / MODEL / files.JSON).exists():
        cells = grid.cells(config, load)
        runs = [kept.read(folder, cell.place) for cell in cells]
        k = best(np.array([run.score for run in runs]))
        task = cells[k].load()
        said = about(workdir.read_config(folder), task, cells, k, runs, table)
        spec = grid.build_model(config, task, cells[k].embedding)
        to_model(spec, config, task, runs[k].best, said).save(folder / MODEL)
    shutil.rmtree(folder / kept.FOLDER, ignore_errors=True)
    return Model.load(folder / MODEL)


def holds(folder: Path) -> bool:
    """Whether a fit has been in this workdir, ended or not."""
    return (folder / MODEL / files.JSON).exists() or (folder / kept.FOLDER).exists()


def best(scores: np.ndarray) -> int:
    """The row of (seeds, M) validation scores with the best mean; the first of equal ones."""
    if not np.isfinite(scores).all(axis=1).any():
        raise UserError("fit: an encoder diverged with every seed; lower hyper.learning_rate")
    return int(np.argmax(scores.mean(axis=1)))


def to_model(
    spec: ModelSpec, config: ConfigDict, task: Task, flat: np.ndarray, about: dict[str, Any]
) -> Model:
    """A model of parameters (P,) that were trained on `task`."""
    params = jax.device_get(layout(spec, task.train.x).unravel(flat))["encoders"]
    scales = task.scales or (None,) * len(task.modalities)
    transform = transforms.stated(config.data.get("transform", ""), task.modalities)
    encoders = {}
    for m, name in enumerate(task.modalities):
        module = spec.encoders[m]
        vocabulary = getattr(module, "vocabulary", 0)
        read = inputs.of(
            task.kinds[m], task.train.x[m], scales[m], vocabulary, transform.get(name, "")
        )
        encoders[name] = Encoder(read, module, task.classes or 1, params[m])
    names = task.class_names
    if task.classes and names is None:
        names = np.arange(task.classes)
    return Model(encoders, names, task.target_mean, task.target_scale, about)


def about(
    held: dict[str, Any],
    task: Task,
    cells: list[grid.Cell],
    best: int,
    runs: list[kept.Kept],
    table: pd.DataFrame,
) -> dict[str, Any]:
    """What a model was trained on and how, and how good every seed was.

    Args:
      held: `config.json` of the workdir.
      task: of the kept seed.
      cells: of all seeds.
      best: the number of the kept one.
      runs: of all seeds.
      table: the results of this task and setting.
    """
    metric, sign = ("accuracy", 1) if task.classes else ("mae", -task.target_scale)
    seeds = [cell.seed for cell in cells]
    rows = table[table["metric"] == f"early_{metric}"]
    encoders = {}
    for m, name in enumerate(task.modalities):
        valid = [float(sign * run.score[m]) for run in runs]
        test = rows[rows["subject"] == name].set_index("seed")["value"].reindex(seeds)
        encoders[name] = {
            "metric": metric,
            "valid": valid[best],
            "valid_of_seeds": valid,
            "test": float(test.iloc[best]),
            "test_of_seeds": test.tolist(),
            "step": int(runs[best].step[m]),
        }
    sizes = {part: len(getattr(task, part).y) for part in NAMES}
    return {
        "encoders": encoders,
        "seed": seeds[best],
        "seeds": seeds,
        "labelled": sizes,
        "pairs": len(task.train.x[0]),
        "config": held["config"],
        "data": held["data"],
        "versions": held["versions"],
    }


def summary(model: Model) -> str:
    """A line per encoder: how good it is, and how much seeds differ."""
    about = model.about
    hyper = about["config"]["hyper"]
    strength = np.broadcast_to(hyper["strength"][0], len(model.encoders))
    each = ", ".join(f"{v:g} for {n}" for n, v in zip(model.encoders, strength, strict=True))
    said = [f"strength {each}"]
    said += [f"seed {about['seed']} of {len(about['seeds'])} is kept, the best by validation"]
    for name, row in about["encoders"].items():
        valid, test = np.array(row["valid_of_seeds"]), np.array(row["test_of_seeds"])
        classes = row["metric"] == "accuracy"
        shown = "{:.1f} %" if classes else "{:.3g}"
        valid, test = ((100 if classes else 1) * v for v in (valid, test))
        k = about["seeds"].index(about["seed"])
        parts = []
        for part, values in (("validation", valid), ("test", test)):
            one, low, high = map(shown.format, (values[k], values.min(), values.max()))
            parts.append(f"{part} {one} (seeds {low} to {high})")
        said.append(f"{name}: {row['metric']} in {', '.join(parts)}, stopped at step {row['step']}")
    return "\n".join(said)
