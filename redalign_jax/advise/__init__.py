"""Advice for one task: should its encoders be aligned, and how strongly?"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from threadpoolctl import threadpool_limits

from redalign_jax import config as configs
from redalign_jax import rooms
from redalign_jax.advise import arms, decide, explain, held_out, prior, summary
from redalign_jax.advise.apply import apply
from redalign_jax.data import Load, identity
from redalign_jax.errors import UserError
from redalign_jax.pid import decomposition
from redalign_jax.runtime import claim, preemption, workdir
from redalign_jax.runtime.progress import Progress
from redalign_jax.task import Task

__all__ = ["advise", "apply"]

INFORMATION = 0.25  # of the minutes, for the decomposition; its intervals only if they fit
MOST_INFORMATION = 0.4  # of the minutes; it is given up beyond
FEWEST_RESAMPLES = 2
RESERVE = 2.0  # seconds, for what comes after the trials
REPEATS = 8  # of the cross-validation, at most


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
    """Advice from the labelled training examples; the test split stays unseen.

    The information in the pairs is estimated; training alone, the posterior mechanism and contrast
    are cross-validated until `config.advise.minutes` are over or every verdict is known, and each
    encoder gets one, see `decide.verdict`. Writes `config.json` and `advice.json` into the workdir.
    Ctrl-C or SIGTERM ends the trials, and the advice is that of what is done.

    Args:
      config: an experiment on one task.
      folder: the workdir, made if need be.
      progress: show a bar; None shows it on a terminal, lines elsewhere.
      load: makes the task, as of `config.points`.

    Returns:
      {"encoders": {name: {"verdict", "arm", "strength", "expected_change",
      "expected_change_interval" (mean, low, high), "regret", "hangs_on_prior", "labels_needed",
      "reasons"}}, "pid": one entry per pair, "trials": what was tried, "config": what
      `--config.advice` reads}. Changes are points, see `decide`.

    Raises:
      UserError: a config, data or workdir that cannot be used.
      Stopped: it was asked to stop before a round of trials had ended.
    """
    began = time.monotonic()
    folder = Path(folder)
    config = configs.check(config)
    with identity.recorded() as content:
        task = _task(config, load)
        identity.check_new({}, {}, task)
    with workdir.held(folder), preemption.listening() as asked_to_stop:
        about = claim.admit(folder, config, content, "advise")
        found = _found(config, task, progress, began, asked_to_stop)
        claim.write(folder, about)
        workdir.write_json(folder / "advice.json", found)
    return found


def _found(
    config: ConfigDict,
    task: Task,
    progress: bool | None,
    began: float,
    asked_to_stop: Callable[[], bool],
) -> dict[str, Any]:
    seconds = 60 * config.advise.minutes
    information = _information(task, config, progress, INFORMATION * seconds)
    every = [arm.name for arm in arms.of(config)][1:]
    posterior = every.index(arms.POSTERIOR)
    trials, known, choice, every_evidence = None, None, None, []
    if held_out.enough(task):
        rounds = held_out.run(
            arms.contrastive(config),
            task,
            began + seconds - RESERVE,
            config.sweep.first_seed,
            REPEATS,
            asked_to_stop,
            progress,
        )
        group = None if task.groups is None else task.groups[0][: len(task.train.y)]
        for trials in rounds:
            known = prior.of(config, task, trials, information)
            every_evidence = [
                decide.evidence(trials.scores[:, m], group, _shut(gate, posterior, len(every)))
                for m, gate in enumerate(trials.gate)
            ]
            priors = known or [None] * len(every_evidence)
            early = decide.verdicts(every_evidence, priors, posterior, decide.EARLY)
            if all(one.verdict != decide.OPEN for one in early[1]):
                break
        if trials is None and asked_to_stop():
            raise preemption.Stopped("stopped before the first round of trials had ended")
        if trials is not None:
            choice = decide.verdicts(every_evidence, priors, posterior)
    said = summary.of(config, task, trials, every_evidence, known, every)
    encoders = {}
    for m, name in enumerate(task.modalities):
        encoders[name] = summary.encoder(config, task, choice, m, every)
        encoders[name]["reasons"] = explain.of(name, encoders[name], said, information)
    return {
        "encoders": encoders,
        "pid": information,
        "trials": said | {"seconds": time.monotonic() - began},
        "config": summary.advised(config, task, encoders, choice),
    }


def _shut(gate: float, posterior: int, count: int) -> np.ndarray:
    """(K,) ways to align that train an encoder as without: the mechanism, where its gate is shut.

    `gate` is the mean over all trainings.
    """
    return (np.arange(count) == posterior) & (gate == 0)


def _information(
    task: Task, config: ConfigDict, progress: bool | None, seconds: float
) -> list[dict[str, Any]]:
    """Decompositions of the labelled training examples; empty where they are too few.

    Intervals only if a first estimate says that they, too, end in `seconds`; none at all if that
    takes longer than its share.
    """
    began = time.monotonic()
    end = began + seconds * MOST_INFORMATION / INFORMATION
    y = task.train.y
    x = tuple(m[: len(y)] for m in task.train.x)
    group = None if task.groups is None else task.groups[0][: len(y)]
    present = task.train.present
    present = None if present is None else present[:, : len(y)]
    key = jax.random.key(config.sweep.first_seed)

    def estimated(resamples: int) -> list[dict[str, Any]]:
        own = ConfigDict(config.decompose.to_dict() | {"n_resamples": resamples})
        work = decomposition.work(len(x), present is not None, own.to_dict())
        shown = Progress(*work, progress, what="classifiers for the information")

        def advance(steps: int) -> None:
            shown.advance(steps)
            if time.monotonic() > end:
                raise TimeoutError

        with threadpool_limits(1, user_api="blas"), shown:
            return decomposition.estimates(task.modalities, x, y, key, own, group, advance, present)

    most, rows = config.decompose.n_resamples, []
    try:
        rows = estimated(0)
        took = time.monotonic() - began
        fits = min(most, int((seconds - took) / took) - 1)
        if fits >= FEWEST_RESAMPLES:
            rows = estimated(fits)
    except UserError as error:
        logging.warning("the information cannot be estimated: %s", error)
        return []
    except TimeoutError:
        if not rows:
            logging.warning("the information is not estimated: that takes longer than its share")
    # NaN, a share of nothing, is no JSON
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]


rooms.callable_package(__name__)
