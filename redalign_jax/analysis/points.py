"""Every encoder of every task as a point, resampled: what the law is fitted on.

A point is how one encoder of one task answers to alignment, the information that its partners have
too, and how much better they are to begin with. All of it is resampled together: seeds with
replacement, the same draw for every task because tasks share seeds; and what tasks are made of, see
`factors`, all encoders of a task together. Where no factor has levels enough only seeds are drawn,
and what is found holds for these tasks alone.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from redalign_jax.analysis import differences, factors, information, strengths

RESAMPLES = 1000
OUTCOMES = ("best_strength", "held_out_gain", "change_at_max")
INFORMATION = ("shared_fraction", "redundancy_fraction")
GAP = "accuracy_gap"


class Points(NamedTuple):
    """All encoders of all tasks, resampled.

    Attributes:
      keys: one row per point: task axes, `subject`, other hyperparameters.
      task: (points,) number of the point's task.
      tasks: how many there are.
      seeds: of the point that has the fewest.
      share: what these seeds' splits have in common, see `differences.standard_error`.
      values: {quantity: (1 + resamples, points)}; the first row is what was observed.
      times: (1 + resamples, points) how often each point was drawn.
      exact: whether the information is known exactly, everywhere.
      curves: every point's strengths and changes, see `correlation.constant`.
      factors: what its tasks are made of.
    """

    keys: pd.DataFrame
    task: np.ndarray
    tasks: int
    seeds: int
    share: float
    values: dict[str, np.ndarray]
    times: np.ndarray
    exact: bool
    curves: list[tuple[np.ndarray, np.ndarray]]
    factors: list[factors.Factor]


def points(
    results: pd.DataFrame, metric: str, decomposition: pd.DataFrame | None = None
) -> Points | None:
    """The encoders whose information is known; None where they are below three, or seeds two."""
    role = differences.columns(results)
    known = information.of_encoders(results, decomposition)
    answers = list(strengths.responses(results, metric))
    if not len(known) or not answers or results["seed"].nunique() < 2:
        return None
    on = [c for c in known if c in (*role.tasks, "subject")]
    known = dict(list(known.groupby(on, sort=False)))
    all_seeds = np.unique(results["seed"])
    bases = _bases(answers, role)
    keys, rows, exact, curves = [], [], [], []
    times = np.vstack([np.ones(len(all_seeds)), strengths.draws(len(all_seeds), RESAMPLES)])
    for one in answers:
        about = known.get(tuple(one.key[c] for c in on))
        others = bases[_place(one.key, role)].drop(columns=one.key["subject"])
        if about is None or about["shared_fraction"].isna().all():
            continue
        own = times[:, np.searchsorted(all_seeds, one.seeds)]
        keys.append(one.key)
        exact.append(about["exact"].all())
        curves.append((one.own, one.changes))
        gap = others.reindex(one.seeds).mean(axis=1).to_numpy() - one.base
        gap = -gap if metric.endswith("mae") else gap
        rows.append(_resampled(one, own) | {GAP: _mean(gap, own)} | _known(about, one, own))
    if len(rows) < 3:
        return None
    table = pd.DataFrame(keys)
    task = table.groupby(role.tasks, sort=False).ngroup().to_numpy() if role.tasks else None
    task = np.zeros(len(rows), int) if task is None else task
    values = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    made_of = factors.find(table, role.tasks, values["shared_fraction"][0])
    drawn = np.vstack([np.ones(len(rows)), factors.weights(made_of, len(rows), RESAMPLES)])
    seeds = min(len(changes) for _, changes in curves)
    return Points(
        table,
        task,
        int(task.max()) + 1,
        seeds,
        differences.share(results),
        values,
        drawn,
        all(exact),
        curves,
        made_of,
    )


def _place(key: dict[str, Any], role: differences.Columns) -> tuple:
    return tuple(key[c] for c in (*role.tasks, *role.others))


def _bases(
    answers: Sequence[strengths.Response], role: differences.Columns
) -> dict[tuple, pd.DataFrame]:
    """Per task and other hyperparameters: seeds × encoders at strength 0."""
    found: dict[tuple, dict[str, pd.Series]] = {}
    for one in answers:
        column = pd.Series(one.base, index=one.seeds)
        found.setdefault(_place(one.key, role), {})[one.key["subject"]] = column
    return {place: pd.DataFrame(columns) for place, columns in found.items()}


def _mean(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Mean over seeds with these multiplicities, of what is known: (n,), (b, n) → (b,)."""
    known = np.isfinite(values)
    times = times[:, known]
    with np.errstate(invalid="ignore"):
        return (times @ values[known]) / times.sum(axis=1)


def _resampled(one: strengths.Response, times: np.ndarray) -> dict[str, np.ndarray]:
    """What `strengths.best` finds, of every resample: (resamples,) each."""
    total = times.sum(axis=1)
    absent = total == 0  # every seed that this task has
    means = times @ one.changes / np.where(absent, 1, total)[:, None]
    held = (times * strengths.held_out(one.changes, times)).sum(axis=1)
    found = {
        "best_strength": one.own[np.argmax(means, axis=1)],
        "held_out_gain": held / np.where(absent, 1, total),
        "change_at_max": means[:, one.strongest],
    }
    return {name: np.where(absent, np.nan, values) for name, values in found.items()}


def _known(
    about: pd.DataFrame, one: strengths.Response, times: np.ndarray
) -> dict[str, np.ndarray]:
    names = (*INFORMATION, "shared_fraction_low", "shared_fraction_high")
    if "seed" in about:
        about = about.set_index("seed").reindex(one.seeds)
        found = {name: _mean(about[name].to_numpy(float), times) for name in names}
    else:
        found = {name: np.full(len(times), float(about[name].iloc[0])) for name in names}
    # the solver's last digits must not break ties among encoders that share everything
    return {name: np.round(values, 9) for name, values in found.items()}
