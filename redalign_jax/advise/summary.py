"""What `advice.json` holds of trials and verdicts."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict
from scipy import stats

from redalign_jax import config as configs
from redalign_jax.advise import arms, decide, held_out
from redalign_jax.advise.apply import asked
from redalign_jax.advise.decide import Normal, Verdict
from redalign_jax.advise.held_out import Trials
from redalign_jax.task import Task

Choice = tuple[int, list[Verdict]]


def of(
    config: ConfigDict,
    task: Task,
    trials: Trials | None,
    found: list[Normal],
    known: list[Normal] | None,
    names: list[str],
) -> dict[str, Any]:
    """What was tried, per encoder and way to align, and what other data say."""
    labelled = len(task.train.y)
    said = {
        "labelled": labelled,
        "units": held_out.units(task),
        "enough": held_out.enough(task),
        "unit": unit(task),
        "arms": names,
        "repeats": 0,
    }
    if trials is None:
        return said
    modalities = task.modalities
    judged = np.isfinite(trials.scores).all(axis=(0, 1))
    said |= {
        "repeats": trials.repeats,
        "trainings": trials.trainings,
        "folds": held_out.FOLDS,
        "judged": int(judged.sum()),
        "alone": {n: float(np.nanmean(trials.scores[0, m])) for m, n in enumerate(modalities)},
        "changes": {n: _each(one) for n, one in zip(modalities, found, strict=True)},
        "prior": None,
        "gate": {n: float(trials.gate[m]) for m, n in enumerate(modalities)},
    }
    if known:
        said["prior"] = {n: _each(one) for n, one in zip(modalities, known, strict=True)}
    if task.classes:
        said["balanced_changes"] = {
            n: _balanced(trials.scores[:, m], task.train.y) for m, n in enumerate(modalities)
        }
    return said


def unit(task: Task) -> dict[str, Any]:
    """How a point is shown: of accuracy, or as a regression's error in the user's units."""
    if task.classes:
        return {"name": "points of accuracy", "scale": 1.0, "digits": 1}
    scale = task.target_scale / 100
    digits = int(np.clip(1 - np.floor(np.log10(10 * scale)), 0, 12))
    name = "in mean absolute error, more is better"
    return {"name": name, "scale": scale, "digits": digits}


def _each(one: Normal) -> list[list[float]]:
    """Mean, low and high of every way to align."""
    half = stats.norm.ppf((1 + decide.LEVEL) / 2) * np.sqrt(np.diag(one.covariance))
    return np.stack([one.mean, one.mean - half, one.mean + half], axis=1).tolist()


def _balanced(scores: np.ndarray, y: np.ndarray) -> list[float]:
    """Change of the mean over classes of the share that is found, points."""
    here = np.isfinite(scores).all(axis=0)
    of_class = [scores[:, here & (y == c)].mean(axis=1) for c in np.unique(y[here])]
    mean = 100 * np.mean(of_class, axis=0)
    return (mean[1:] - mean[0]).tolist()


def encoder(
    config: ConfigDict, task: Task, choice: Choice | None, m: int, names: list[str]
) -> dict[str, Any]:
    """An encoder's verdict."""
    if choice is None:
        return {
            "verdict": decide.OPEN,
            "arm": None,
            "strength": 0.0,
            "expected_change": None,
            "regret": None,
            "hangs_on_prior": False,
            "labels_needed": None,
        }
    shared, every = choice
    one = every[m]
    more = None
    if one.settles:
        count = (one.settles - 1) * len(task.train.y)
        more = int(
            np.ceil(count / 10 ** np.floor(np.log10(count))) * 10 ** np.floor(np.log10(count))
        )
    return {
        "verdict": one.verdict,
        "arm": names[shared],
        "strength": arms.of(config)[1 + one.arm].strength if one.arm >= 0 else 0.0,
        "expected_change": list(one.change),
        "regret": one.regret,
        "hangs_on_prior": one.prior,
        "labels_needed": more,
    }


def advised(
    config: ConfigDict, task: Task, encoders: dict[str, Any], choice: Choice | None
) -> dict[str, Any]:
    """Strength 0, to compare with, and the advised one, with the objective that goes with it."""
    nothing = [0.0] * len(task.modalities)
    strengths = [row["strength"] for row in encoders.values()]
    arm = arms.of(config)[1 + choice[0] if choice else -1]
    own, _ = arms.settings(config, arm.objective)
    hyper = {name: list(values) for name, values in own.hyper.items() if name in configs.BALANCED}
    hyper["temperature"] = list(own.hyper.temperature)
    hyper["strength"] = [nothing] if strengths == nothing else [nothing, strengths]
    return {
        "modalities": asked(config),
        "alignment": {"objective": arm.objective},
        "hyper": hyper,
    }
