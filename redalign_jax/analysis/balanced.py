"""What the balanced mechanism brings, against every fixed strength of the same sweep.

Everything is paired: the same task, seed, init and batches. Means are over all tasks and encoders
within a seed first, the same ones in every seed; intervals are 95 % Student intervals over seeds,
each by itself, and speak of new seeds of these tasks. What is `shown` is so for everything that
is compared at once, see `shown`. A diverged run is the worst outcome, see `differences.settled`.
"""

from typing import Any

import numpy as np
import pandas as pd

from redalign_jax.analysis import shown
from redalign_jax.analysis.differences import columns, quality_metric, settled, share
from redalign_jax.runtime.results import BALANCED


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The grid's rows of a results or curves table, without the column, and those of the mechanism.

    The second is empty where the sweep had no balanced runs.
    """
    if BALANCED not in table:
        return table, table.iloc[:0]
    own, rows = table[BALANCED], table.drop(columns=BALANCED)
    return rows[~own].reset_index(drop=True), rows[own].reset_index(drop=True)


def _cells(results: pd.DataFrame, metric: str, fused: bool) -> tuple[pd.DataFrame, pd.Series, int]:
    """`metric` per (task, subject, seed): a column per fixed strength, and the mechanism's.

    Tasks and encoders, seeds, and strengths that the sweep has not trained everywhere yet are left
    out, so that every mean is over the same cells: first seeds that no task has whole, then tasks
    and encoders that lack a seed. Last, how many of those were left out.
    """
    role = columns(results.drop(columns=BALANCED))
    own = results[BALANCED].to_numpy(bool)
    # together: the worst of an encoder is the worst of either
    rows = settled(results.drop(columns=BALANCED).assign(_own=own), metric)
    rows = rows[(rows["subject"] == "fusion") == fused]
    keys = [*role.tasks, "subject", "seed"]
    mechanism = rows[rows["_own"]].set_index(keys)["value"]
    fixed = rows[~rows["_own"]]
    for name in role.others:
        fixed = fixed[fixed[name] == results.loc[~own, name].iloc[0]]
    grid = fixed.pivot_table(index=keys, columns="strength", values="value")
    both = grid.dropna().index.intersection(mechanism.dropna().index)
    seeds = both.get_level_values("seed").unique()
    groups = pd.Series(1, both).groupby(level=keys[:-1]).transform("size")
    whole = both[(groups == len(seeds)).to_numpy()]
    every = grid.index.droplevel("seed").nunique()
    lost = every - (whole.droplevel("seed").nunique() if len(whole) else 0)
    sign = -1 if metric.endswith("mae") else 1
    return sign * grid.loc[whole], sign * mechanism.loc[whole], lost


def compare(results: pd.DataFrame, metric: str, fused: bool = False) -> dict[str, Any] | None:
    """The balanced mechanism against the grid's symmetric strengths.

    Args:
      results: the tidy table; where other hyperparameters were swept, their first values count.
      metric: of the encoders, e.g. "accuracy", "early_accuracy"; more is better, but for *mae.
      fused: of the subject "fusion" instead.

    Returns:
      None where there is nothing to compare, else
      "overall": per fixed strength, and "balanced" and "best for each encoder" (of the grid, for
        each task and encoder chosen on the *other* seeds): `change` from strength 0 with interval,
        `worst`, the lowest mean change of any task and encoder, and `advantage` of the balanced
        mechanism over it with interval; the best λ of the sample is a choice that flatters it;
      "encoders": per task and encoder, `base`, and `change` of the balanced mechanism with
        interval, `best_strength` of the grid, and `shortfall`, the best strength's held-out change
        minus the mechanism's, with interval;
      "left_out": how many tasks and encoders do not have every run yet.
      Units of the metric; positive is better.
    """
    if BALANCED not in results:
        return None
    grid, mechanism, lost = _cells(results, metric, fused)
    common = share(results)
    if not len(grid) or 0.0 not in grid:
        return None
    keys = [name for name in grid.index.names if name != "seed"]
    change = grid.sub(grid[0.0], axis=0)
    options = {float(s): change[s] for s in change}
    options["balanced"] = mechanism - grid[0.0]
    held_out, cells = [], []
    for key, rows in change.groupby(level=keys, sort=False):
        values = rows.to_numpy()
        others = values.sum(axis=0) - values
        chosen = pd.Series(values[np.arange(len(values)), np.argmax(others, axis=1)], rows.index)
        held_out.append(chosen)
        own = options["balanced"].loc[rows.index]
        key = key if isinstance(key, tuple) else (key,)
        cells.append(
            dict(zip(keys, key, strict=True))
            | {"base": float(grid.loc[rows.index, 0.0].mean())}
            | shown.interval("change", own.to_numpy(), common)
            | {"best_strength": float(rows.columns[np.argmax(values.mean(axis=0))])}
            | shown.interval("shortfall", (chosen - own).to_numpy(), common)
        )
    options["best for each encoder"] = pd.concat(held_out).loc[change.index]

    def by_seed(values: pd.Series) -> np.ndarray:
        return values.groupby(level="seed").mean().to_numpy()

    overall = [
        {"setting": name}
        | shown.interval("change", by_seed(values), common)
        | {"worst": float(values.groupby(level=keys).mean().min())}
        | shown.interval("advantage", by_seed(options["balanced"] - values), common)
        for name, values in options.items()
    ]
    return {"overall": overall, "encoders": cells, "left_out": lost}


def comparisons(results: pd.DataFrame) -> dict[str, Any]:
    """`compare` by the last parameters, stopped early, and fused; empty without balanced runs.

    Every number with an interval, `change` for instance, also has `change_shown`: 1 above 0, −1
    below, 0 not shown, of which at most 5 % of pages have one that is wrong (Holm 1979).
    """
    metric, _ = quality_metric(results)
    found = {
        "last": compare(results, metric),
        "stopped early": compare(results, f"early_{metric}"),
        "fusion": compare(results, f"probe_{metric}", fused=True),
    }
    found = {name: table for name, table in found.items() if table}
    rows = [row for one in found.values() for part in ("overall", "encoders") for row in one[part]]
    shown.mark(rows)
    return found
