"""The law, regime by regime: where it is strong, where it vanishes, where it turns.

A regime is a combination of everything else that varies: labels, size of the embedding, label
noise, any swept hyperparameter. Within one, a single task axis moves the information. A map has
many regimes, so intervals of ρ hold for all of them at once: 95 % of maps have no false mark.
"""

from typing import Any

import numpy as np
import pandas as pd

from redalign_jax.analysis import across, correlation, differences, information
from redalign_jax.analysis.points import OUTCOMES, Points, points

STRONG = 0.5
LAWS = ("strong", "weak", "not shown", "turned")


def information_axis(results: pd.DataFrame, decomposition: pd.DataFrame | None) -> str | None:
    """The task axis that explains most of the variance of the shared fraction."""
    role = differences.columns(results)
    known = information.of_encoders(results, decomposition)
    axes = [c for c in role.tasks if c in known and results[c].nunique() > 1]
    if not axes or not len(known):
        return None

    def explained(axis: str) -> float:
        return float(known.groupby(axis)["shared_fraction"].transform("mean").var())

    return max(axes, key=explained)


def verdict(low: float, high: float) -> str:
    """strong: the interval is above `STRONG`; weak: above 0; turned: below 0; else not shown."""
    if low > STRONG:
        return "strong"
    if low > 0:
        return "weak"
    return "turned" if high < 0 else "not shown"


def regimes(
    results: pd.DataFrame, decomposition: pd.DataFrame | None = None
) -> list[dict[str, Any]]:
    """The law within every regime; empty where there is only one.

    Tasks of a regime are the few levels of one axis, not a sample of tasks: intervals are over
    seeds alone, and speak of new seeds at these levels. Those of ρ hold for all rows at once
    (Bonferroni), and 0 is inside where λ* is not shown to differ within the regime; with few seeds
    they are wide.

    Returns:
      Per regime and metric: the columns that define it, `metric`, `points`; for each outcome of
      `points.OUTCOMES`, Spearman's correlation with the shared fraction, `<outcome>_spearman`, and
      its mean over the encoders of the least and of the most shared task as `<outcome>_least` and
      `<outcome>_most`, each with a 95 % interval of its own; `law`, the verdict on λ*; `family`,
      the number of rows.
    """
    axis = information_axis(results, decomposition)
    if axis is None:
        return []
    role = differences.columns(results)
    keys = [c for c in (*role.tasks, *role.others) if c != axis]
    if not keys:
        return []
    measured = set(results["metric"])
    quality = differences.quality_metric(results)[0]
    found = []
    for values, rows in results.groupby(keys, sort=True):
        for metric in (quality, f"early_{quality}"):
            some = points(rows, metric, decomposition) if metric in measured else None
            if some is None:
                continue
            found.append((dict(zip(keys, values, strict=True)) | {"metric": metric}, some))
    rows = [row | _within(some, len(found)) for row, some in found]
    return differences.records(pd.DataFrame(rows)) if rows else []


def overview(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `regimes` by every value of every axis: how often the law is strong, and the means.

    Returns:
      {"axis", "value", "metric", "regimes", "strong", "weak", "not_shown", "turned", and means of
      "spearman" (of λ*), "gain_most", "change_at_max_least"}.
    """
    table = pd.DataFrame(rows)
    found = []
    for axis in table.columns[: list(table).index("metric")] if rows else []:
        for (value, metric), part in table.groupby([axis, "metric"]):
            counts = part["law"].value_counts()
            found.append(
                {"axis": axis, "value": value, "metric": metric, "regimes": len(part)}
                | {name.replace(" ", "_"): int(counts.get(name, 0)) for name in LAWS}
                | {
                    "spearman": part["best_strength_spearman"].mean(),
                    "gain_most": part["held_out_gain_most"].mean(),
                    "change_at_max_least": part["change_at_max_least"].mean(),
                }
            )
    return differences.records(pd.DataFrame(found)) if found else []


def _within(found: Points, family: int) -> dict[str, Any]:
    found = found._replace(times=np.ones_like(found.times))
    sample, count = across.sample(found), len(found.keys)
    row: dict[str, Any] = {"points": count, "family": family}
    fraction = found.values["shared_fraction"][0]
    level = np.bincount(found.task, fraction) / np.bincount(found.task)
    ends = {"least": int(np.argmin(level)), "most": int(np.argmax(level))}
    row |= {f"shared_fraction_{end}": float(level[task]) for end, task in ends.items()}
    alpha = (1 - differences.LEVEL) / family
    differs = correlation.constant(found.curves, found.share) <= alpha
    for outcome in OUTCOMES:
        name = f"{outcome}_spearman"
        rho = sample.correlation(outcome, "shared_fraction")
        values = np.nan_to_num(found.values[outcome])
        kept = correlation.reliability(values, found.seeds, found.share)
        row |= correlation.interval(name, rho, count, found.seeds, kept, 1 - alpha, found.share)
        if outcome == "best_strength" and not differs:
            row = correlation.with_zero(name, row)
        for end, task in ends.items():
            mean = found.values[outcome][:, found.task == task].mean(axis=1)
            row |= across.centred(f"{outcome}_{end}", mean, found.seeds, found.share)
    row["law"] = verdict(row["best_strength_spearman_low"], row["best_strength_spearman_high"])
    return row
