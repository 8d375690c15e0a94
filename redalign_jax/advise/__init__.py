"""Advice for one task: should its encoders be aligned, and how strongly?"""

import logging
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits

from redalign_jax import config as configs
from redalign_jax import data, decomposition, workdir
from redalign_jax.advise import decide, pilot, reasons
from redalign_jax.advise.apply import apply, asked
from redalign_jax.data.task import Task
from redalign_jax.errors import UserError
from redalign_jax.law.effects import quality_metric

__all__ = ["advise", "apply"]

FEWEST = 5  # labelled examples in a fold


def _task(config: ConfigDict) -> Task:
    points = configs.data_points(config.data)
    if len(points) > 1:
        fields = [n for n, v in config.data.items() if isinstance(v, tuple) and len(v) > 1]
        raise UserError(f"data.{fields[0]}: several values; advice is given for one task at a time")
    if len(config.encoder.embedding) > 1:
        raise UserError("encoder.embedding: several values; advice is given for one encoder")
    task = data.load(points[0][1], config.sweep.first_seed)
    if len(task.modalities) < 2:
        raise UserError(
            f"data.modalities: only {task.modalities[0]}; alignment needs two modalities"
        )
    return task


def advise(config: ConfigDict, folder: str | Path) -> dict[str, Any]:
    """Advice from the labelled training examples alone; validation and test splits stay unseen.

    The information in the pairs is estimated, the balanced mechanism is cross-validated at several
    strengths for `config.advise.minutes`, and each encoder gets a verdict. Writes `config.json` and
    `advice.json` into the workdir.

    Args:
      config: an experiment on one task.
      folder: the workdir, made if need be.

    Returns:
      {"encoders": {name: {"verdict": "align" | "do not align" | "undecided", "strength",
      "strength_interval", "expected_gain", "expected_gain_interval", "reasons"}},
      "pid": one entry per pair, "pilot": what was tried, "config": what `--config.advice` reads}.
      Gains are in the units of the metric, positive is better; None where nothing was measured.

    Raises:
      UserError: a config, data or workdir that cannot be used.
    """
    folder = Path(folder)
    configs.check(config)
    task = _task(config)
    with workdir.held(folder):
        workdir.claim(folder, config, "advise")
        found = _found(config, task)
        workdir.write_json(folder / "advice.json", found)
    return found


def _found(config: ConfigDict, task: Task) -> dict[str, Any]:
    labelled = len(task.train.y)
    information = _information(task, config)
    own = pilot.configured(config, task)
    table, choice = None, None
    if labelled >= FEWEST * pilot.FOLDS:
        table = pilot.run(own, task, config.advise.minutes, config.sweep.first_seed)
        metric, _ = quality_metric(table)
        gains = pilot.gains(table, metric)
        judged = labelled - labelled % pilot.FOLDS
        most = [_shared_most(name, information) for name in task.modalities]
        # judged on the scale of training: an error's units must not decide
        unit = task.target_scale
        gains = {name: of_encoder / unit for name, of_encoder in gains.items()}
        choice = _times(decide.choose(gains, task.modalities, judged, most), unit)
    return {
        "encoders": {
            name: _encoder(task, choice, k, information) for k, name in enumerate(task.modalities)
        },
        "pid": information,
        "pilot": _pilot(task, table, choice),
        "config": _config(own, task, choice),
    }


def _times(choice: decide.Choice, unit: float) -> decide.Choice:
    """`choice` with its gains in the user's units."""

    def times(found: decide.Estimate | None) -> decide.Estimate | None:
        return found and decide.Estimate(*(value * unit for value in found))

    return choice._replace(
        gains=[times(g) for g in choice.gains], refused=[times(r) for r in choice.refused]
    )


def _information(task: Task, config: ConfigDict) -> list[dict[str, Any]]:
    """Decompositions of the labelled training examples; empty where they are too few."""
    y = task.train.y
    x = tuple(m[: len(y)] for m in task.train.x)
    key = jax.random.key(config.sweep.first_seed)
    try:
        with threadpool_limits(1, user_api="blas"):
            rows = decomposition.estimates(task.modalities, x, y, key, config.decompose)
    except UserError as error:
        logging.warning("the information cannot be estimated: %s", error)
        return []
    # NaN, a share of nothing, is no JSON
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]


def _shared_most(name: str, information: list[dict[str, Any]]) -> float:
    """The upper end of what a partner shares of its information; inf where it is not known."""
    ends = [
        pair[f"shared_fraction_{side}_high"]
        for pair in information
        for side in ("first", "second")
        if pair[side] == name
    ]
    return max(ends) if ends and None not in ends else math.inf


def _finite(values: tuple[float, ...]) -> list[float] | None:
    return [float(v) for v in values] if np.all(np.isfinite(values)) else None


def _encoder(
    task: Task, choice: decide.Choice | None, k: int, information: list[dict[str, Any]]
) -> dict[str, Any]:
    if choice is None:
        strength, near, gain = configs.ADVISED["strength"], None, None
        verdict = decide.UNDECIDED
    else:
        strength, near, gain = choice.strengths[k], choice.intervals[k], choice.gains[k]
        verdict = choice.verdicts[k]
    return {
        "verdict": verdict,
        "strength": float(strength),
        "strength_interval": _finite(near) if near else None,
        "expected_gain": float(gain.mean) if gain else None,
        "expected_gain_interval": _finite((gain.low, gain.high)) if gain else None,
        "reasons": reasons.of(task, choice, k, information),
    }


def _pilot(task: Task, table: Any, choice: decide.Choice | None) -> dict[str, Any]:
    if table is None:
        return {"folds": 0, "labelled": len(task.train.y)}
    metric, _ = quality_metric(table)
    gains = pilot.gains(table, metric)
    trainings = table[["fold", "seed"]].drop_duplicates()
    return {
        "metric": metric,
        "labelled": len(task.train.y),
        "folds": int(trainings["fold"].nunique()),
        "trainings": len(trainings) * len(pilot.candidates(task.modalities)),
        "candidates": [list(s) for s in pilot.candidates(task.modalities)],
        "gains": {name: [float(v) for v in gains[name].mean(axis=0)] for name in task.modalities},
    }


def _config(own: ConfigDict, task: Task, choice: decide.Choice | None) -> dict[str, Any]:
    """Strength 0, to compare with, and the advised one, with the schedule that goes with it."""
    count = len(task.modalities)
    advised = choice.strengths if choice else (configs.ADVISED["strength"],) * count
    strengths = [list(s) for s in dict.fromkeys([(0.0,) * count, advised])]
    hyper = {name: list(own.hyper[name]) for name in configs.ADVISED if name != "strength"}
    return {"modalities": asked(own), "hyper": {"strength": strengths, **hyper}}
