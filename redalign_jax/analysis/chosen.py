"""What alignment brings at the strength that validation data choose, as one would choose it."""

import numpy as np
import pandas as pd

from redalign_jax.analysis import differences


def scores(curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The best validation score of every run along training, as column `value`; more is better.

    Args:
      curves: the learning curves, tidy.
      metric: of quality; `valid_<metric>` is read.
    """
    rows = curves[curves["metric"] == f"valid_{metric}"]
    sign = -1 if metric.endswith("mae") else 1
    rows = rows.assign(value=np.where(rows["diverged"], -np.inf, sign * rows["value"]))
    role = differences.columns(rows)  # `step` counts as one of the others
    run = [
        *role.tasks,
        "seed",
        *(c for c in role.others if c != "step"),
        *role.strengths,
        "subject",
    ]
    return rows.groupby(run, sort=False, dropna=False, as_index=False)["value"].max()


def by_validation(results: pd.DataFrame, metric: str, found: pd.DataFrame) -> pd.DataFrame:
    """The change on the test split at the strength with the best mean validation score.

        λ̂ = argmax_λ Σ_j (v_j(λ) − v_j(0)),   mean and interval of q_j(λ̂) − q_j(0)

    Of equals the weakest is taken. The interval holds for every strength and row at once
    (Bonferroni), so that it holds for a strength chosen among them by whatever rule.

    Args:
      results: the tidy table, of settings in which encoders share a strength.
      metric: q, read on the test split.
      found: v, of `scores`, with the same subjects.

    Returns:
      One row per task × encoder × other hyperparameters: `strength`, `seeds`, `change`,
      `change_low`, `change_high`; NaN ends with one seed.
    """
    role = differences.columns(results)
    keys = [*role.tasks, "subject", *role.others]
    same = [*keys, "seed"]
    base = found[found["strength"] == 0][[*same, "value"]]
    ahead = found.merge(base, on=same, suffixes=("", "_base"))
    with np.errstate(invalid="ignore"):  # diverged at 0 as well: no score
        ahead["ahead"] = ahead["value"] - ahead["value_base"]
    ahead = ahead.groupby([*keys, "strength"], sort=False, as_index=False)["ahead"].mean()
    curve = differences.curves(results, metric)
    if not len(curve):
        return curve
    curve = differences.widened(curve, int((curve["strength"] > 0).sum()))
    both = curve.merge(ahead, on=[*keys, "strength"]).sort_values("strength", kind="stable")
    best = both.fillna({"ahead": -np.inf}).groupby(keys, sort=False)["ahead"].idxmax()
    columns = [*keys, "strength", "seeds", "change", "change_low", "change_high"]
    return both.loc[best, columns].reset_index(drop=True)
