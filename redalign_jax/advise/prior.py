"""What alignment did on other data, as something known of these before anything is tried."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from redalign_jax.advise import arms
from redalign_jax.advise.decide import Normal
from redalign_jax.advise.held_out import Trials
from redalign_jax.analysis import atlas
from redalign_jax.task import Task

UNKNOWN = 30.0  # points, the spread of what the atlas says nothing of


def of(
    config: ConfigDict,
    task: Task,
    trials: Trials,
    information: list[dict[str, Any]],
    rows: Any = None,
) -> list[Normal] | None:
    """Per encoder the changes that the atlas expects, see `analysis.atlas.expected`.

    Of several partners, the best one is taken, and the largest shared fraction.

    Args:
      config: the experiment.
      task: the task.
      trials: of `held_out.run`.
      information: rows of `pid.decomposition.estimates`, for the shared fractions.
      rows: of the atlas; None for all.

    Returns:
      None for a regression, of which the atlas has too few.
    """
    if not task.classes:
        return None
    scores = 100 * np.nanmean(trials.scores[0], axis=-1)
    majority = 100 * np.bincount(task.train.y).max() / len(task.train.y)
    count = len(scores)
    partner = [max(np.delete(scores, m)) for m in range(count)]
    shared = [_shared(information, name) for name in task.modalities]
    numbers = (majority, len(task.train.y), len(task.train.x[0]), task.classes)
    majority, labels, pairs, classes = (np.full(count, float(v)) for v in numbers)
    asked = atlas.Encoder(
        scores, np.array(partner), majority, labels, pairs, classes, np.array(shared), trials.gate
    )
    every = arms.of(config)[1:]
    names = [f"{arm.strength:g}" for arm in every[:-1]] + [atlas.POSTERIOR]
    found = atlas.expected(asked, tuple(names), rows)
    covariance = found.covariance.copy()
    if every[0].objective != "info_nce":
        for k in range(len(every) - 1):
            covariance[:, k], covariance[:, :, k] = 0, 0
            covariance[:, k, k] = UNKNOWN**2
    return [Normal(found.mean[m], covariance[m]) for m in range(count)]


def _shared(information: list[dict[str, Any]], name: str) -> float:
    sides = [
        (row, side) for row in information for side in ("first", "second") if row[side] == name
    ]
    found = [row[f"shared_fraction_{side}"] for row, side in sides]
    return max((v for v in found if v is not None), default=np.nan)
