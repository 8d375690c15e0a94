"""Advice for one task: should its encoders be aligned, and how strongly?"""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits

from redalign_jax import config as configs
from redalign_jax import rooms
from redalign_jax.advise import cross_validate, decide, explain
from redalign_jax.advise.apply import apply, asked
from redalign_jax.analysis.differences import quality_metric
from redalign_jax.data import Load, identity
from redalign_jax.errors import UserError
from redalign_jax.pid import decomposition
from redalign_jax.runtime import claim, workdir
from redalign_jax.runtime.progress import Progress
from redalign_jax.task import Task

__all__ = ["advise", "apply"]

FEWEST = 5  # labelled examples in a fold, which needs 2 groups of them


def _task(config: ConfigDict, load: Load | None) -> Task:
    points = configs.points(config, load)
    if len(points) > 1:
        fields = [n for n, v in config.data.items() if isinstance(v, tuple) and len(v) > 1]
        raise UserError(f"data.{fields[0]}: several values; advice is given for one task at a time")
    if len(config.encoder.embed_dim) > 1:
        raise UserError("encoder.embed_dim: several values; advice is given for one encoder")
    task = points[0][1](config.sweep.first_seed)
    if len(task.modalities) < 2:
        raise UserError(
            f"data.modalities: only {task.modalities[0]}; alignment needs two modalities"
        )
    return task


def advise(
    config: ConfigDict,
    folder: str | Path,
    progress: bool | None = None,
    load: Load | None = None,
) -> dict[str, Any]:
    """Advice from the labelled training examples alone; validation and test splits stay unseen.

    The information in the pairs is estimated, the balanced mechanism is cross-validated at several
    strengths for `config.advise.minutes`, and each encoder gets a verdict. Writes `config.json` and
    `advice.json` into the workdir.

    Args:
      config: an experiment on one task.
      folder: the workdir, made if need be.
      progress: show a bar; None shows it on a terminal, lines elsewhere.
      load: makes the task, as of `config.points`.

    Returns:
      {"encoders": {name: {"verdict": "align" | "do not align" | "undecided", "strength",
      "strength_interval", "expected_gain", "expected_gain_interval", "reasons"}},
      "pid": one entry per pair, "pilot": what was tried, "config": what `--config.advice` reads}.
      Only "align" has a strength above 0 and an expected gain: against no alignment, in the units
      of the metric, positive is better, its interval one that holds for all encoders together.
      What the trials measured, whatever the verdict, is `measured` of the pilot.

    Raises:
      UserError: a config, data or workdir that cannot be used.
    """
    folder = Path(folder)
    config = configs.check(config)
    with identity.recorded() as content:
        task = _task(config, load)
        identity.check_new({}, {}, task)
    with workdir.held(folder):
        about = claim.admit(folder, config, content, "advise")
        found = _found(config, task, progress)
        claim.write(folder, about)
        workdir.write_json(folder / "advice.json", found)
    return found


def _found(config: ConfigDict, task: Task, progress: bool | None) -> dict[str, Any]:
    information = _information(task, config, progress)
    own = cross_validate.configured(config, task)
    table, choice, intervals = None, None, {}
    if min(len(task.train.y) // FEWEST, cross_validate.units(task) // 2) >= cross_validate.FOLDS:
        table = cross_validate.run(
            own, task, config.advise.minutes, config.sweep.first_seed, progress
        )
        metric, _ = quality_metric(table)
        gains = cross_validate.gains(table, metric)
        units = cross_validate.units(task)
        # judged on the scale of training: an error's units must not decide
        unit = task.target_scale
        gains = {name: of_encoder / unit for name, of_encoder in gains.items()}
        judged = units - units % cross_validate.FOLDS
        choice = _times(decide.choose(gains, task.modalities, judged), unit)
        intervals = _intervals(gains, judged, unit)
    return {
        "encoders": {
            name: _encoder(task, choice, k, information) for k, name in enumerate(task.modalities)
        },
        "pid": information,
        "pilot": _pilot(task, table, choice, intervals),
        "config": _config(own, task, choice),
    }


def _times(choice: decide.Choice, unit: float) -> decide.Choice:
    """`choice` with its gains in the user's units."""

    def times(found: decide.Estimate | None) -> decide.Estimate | None:
        return found and decide.Estimate(*(value * unit for value in found))

    return choice._replace(gains=[times(gain) for gain in choice.gains])


def _intervals(
    gains: dict[str, pd.DataFrame], examples: int, unit: float
) -> dict[str, list[list[float] | None]]:
    """Of every trial's mean gain, in the user's units; all of them hold together."""
    trials = sum(of_encoder.shape[1] - 1 for of_encoder in gains.values())  # not of λ = 0

    def ends(changes: np.ndarray) -> list[float] | None:
        if not changes.any():  # no alignment, compared with itself
            return [0.0, 0.0]
        found = decide.estimate(changes, examples, trials)
        return _finite((found.low * unit, found.high * unit))

    return {
        name: [ends(changes) for changes in of_encoder.to_numpy(float).T]
        for name, of_encoder in gains.items()
    }


def _information(task: Task, config: ConfigDict, progress: bool | None) -> list[dict[str, Any]]:
    """Decompositions of the labelled training examples; empty where they are too few."""
    y = task.train.y
    x = tuple(m[: len(y)] for m in task.train.x)
    group = None if task.groups is None else task.groups[0][: len(y)]
    present = task.train.present
    present = None if present is None else present[:, : len(y)]
    key = jax.random.key(config.sweep.first_seed)
    try:
        options = config.decompose.to_dict()
        total, count = decomposition.work(len(x), present is not None, options)
        what = "classifiers for the information"
        shown = Progress(total, count, progress, what=what)
        with threadpool_limits(1, user_api="blas"), shown:
            rows = decomposition.estimates(
                task.modalities, x, y, key, config.decompose, group, shown.advance, present
            )
    except UserError as error:
        logging.warning("the information cannot be estimated: %s", error)
        return []
    # NaN, a share of nothing, is no JSON
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]


def _finite(values: tuple[float, ...]) -> list[float] | None:
    return [float(v) for v in values] if np.all(np.isfinite(values)) else None


def _encoder(
    task: Task, choice: decide.Choice | None, k: int, information: list[dict[str, Any]]
) -> dict[str, Any]:
    verdict = choice.verdicts[k] if choice else decide.UNDECIDED
    found = {
        "verdict": verdict,
        "strength": float(choice.strengths[k]) if choice else 0.0,
        "strength_interval": None,
        "expected_gain": None,
        "expected_gain_interval": None,
        "reasons": explain.of(task, choice, k, information),
    }
    if verdict == decide.ALIGN:
        gain = choice.gains[k]
        found["strength_interval"] = [float(v) for v in choice.intervals[k]]
        found["expected_gain"] = gain.mean
        found["expected_gain_interval"] = [gain.low, gain.high]
    return found


def _pilot(
    task: Task, table: Any, choice: decide.Choice | None, intervals: dict[str, Any]
) -> dict[str, Any]:
    if table is None:
        return {"folds": 0, "labelled": len(task.train.y)}
    metric, _ = quality_metric(table)
    gains = cross_validate.gains(table, metric)
    trainings = table[["fold", "seed"]].drop_duplicates()
    return {
        "metric": metric,
        "labelled": len(task.train.y),
        "folds": int(trainings["fold"].nunique()),
        "trainings": len(trainings) * len(cross_validate.candidates(task.modalities)),
        "candidates": [list(s) for s in cross_validate.candidates(task.modalities)],
        "gains": {
            name: [None if np.isnan(v) else float(v) for v in gains[name].mean(skipna=False)]
            for name in task.modalities
        },
        "measured": {
            name: _finite((gain.mean, gain.low, gain.high))
            for name, gain in zip(task.modalities, choice.gains, strict=True)
        },
        "gain_intervals": {name: intervals[name] for name in task.modalities},
    }


def _config(own: ConfigDict, task: Task, choice: decide.Choice | None) -> dict[str, Any]:
    """Strength 0, to compare with, and the advised one, with the schedule that goes with it."""
    nothing = (0.0,) * len(task.modalities)
    advised = choice.strengths if choice else nothing
    strengths = [list(s) for s in dict.fromkeys([nothing, advised])]
    hyper = {name: list(own.hyper[name]) for name in configs.ADVISED if name != "strength"}
    return {"modalities": asked(own), "hyper": {"strength": strengths, **hyper}}


rooms.callable_package(__name__)
