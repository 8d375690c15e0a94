"""From results to conclusions: curves of paired differences, the best strength, gain and harm.

Everything is a difference to the same task, seed, init and batches at strength 0, so that what the
seeds have in common cancels. Intervals are 95 % over seeds. Diverged runs are left out.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from redalign_jax.errors import UserError

LEVEL = 0.95
RESAMPLES = 2000
SIMILARITIES = ("cka", "unbiased_cka", "svcca", "mutual_knn", "cknna")


class Columns(NamedTuple):
    """What the columns of a results table are.

    Attributes:
      tasks: task axes, without the seed.
      strengths: `strength`, and `strength_<modality>` where encoders had their own.
      others: other swept hyperparameters.
    """

    tasks: list[str]
    strengths: list[str]
    others: list[str]


def columns(results: pd.DataFrame) -> Columns:
    """Sorts the columns of a results table by their role; the table's order tells them apart."""
    names = list(results.columns)
    seed = names.index("seed")
    hyper = names[seed + 1 : names.index("subject")]
    strengths = [c for c in hyper if c == "strength" or c.startswith("strength_")]
    return Columns(names[:seed], strengths, [c for c in hyper if c not in strengths])


def quality_metric(results: pd.DataFrame) -> tuple[str, int]:
    """The metric that curves are drawn of, and +1 if more of it is better, else −1."""
    return ("accuracy", 1) if (results["metric"] == "accuracy").any() else ("mae", -1)


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % Student interval; the interval of one value is NaN.

    Shapes: (n,) → mean, low, high.
    """
    n = len(values)
    mean = float(np.mean(values)) if n else np.nan
    if n < 2:
        return mean, np.nan, np.nan
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return mean, float(mean - half), float(mean + half)


def differences(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """`metric` of every run minus that of the same run at strength 0, as column `change`.

    Positive is better for the quality metrics: a mean absolute error changes sign.

    Args:
      results: the tidy table.
      metric: any of its metrics.

    Returns:
      The rows of that metric with `base` (the value at strength 0) and `change`; rows of diverged
      runs, and those whose baseline diverged, are left out.

    Raises:
      UserError: strength 0 was not swept.
    """
    role = columns(results)
    rows = results[(results["metric"] == metric) & ~results["diverged"]]
    if not (results["strength"] == 0).any():
        raise UserError("hyper.strength: curves are differences to strength 0, which was not swept")
    same = [*role.tasks, "seed", *role.others, "subject"]
    base = rows[rows["strength"] == 0][[*same, "value"]].rename(columns={"value": "base"})
    sign = -1 if metric.endswith("mae") else 1
    rows = rows.merge(base, on=same, how="inner")
    return rows.assign(change=sign * (rows["value"] - rows["base"]))


def curves(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean and 95 % interval over seeds of `metric` and of its change from strength 0.

    Returns:
      One row per task × subject × setting: `seeds`, `value`, `value_low`, `value_high`, `change`,
      `change_low`, `change_high`.
    """
    role = columns(results)
    rows = differences(results, metric)
    keys = [*role.tasks, "subject", *role.others, *role.strengths]
    found = []
    for key, group in rows.groupby(keys, sort=False, dropna=False):
        row = dict(zip(keys, key, strict=True)) | {"seeds": len(group)}
        for name in ("value", "change"):
            row[name], row[f"{name}_low"], row[f"{name}_high"] = mean_interval(
                group[name].to_numpy()
            )
        found.append(row)
    return pd.DataFrame(found)


def _changes(rows: pd.DataFrame, settings: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """The settings, and (seeds, settings) changes without gaps.

    Settings that half of the seeds or more miss are left out, then the seeds that miss a setting;
    if every seed misses one, the settings that a seed misses.
    """
    table = rows.pivot_table(index="seed", columns=settings, values="change", dropna=False)
    table = table.dropna(axis="columns", thresh=len(table) // 2 + 1)
    whole = table.dropna(axis="index")
    if not len(whole):
        whole = table.dropna(axis="columns")
    return whole.columns.to_frame(index=False), whole.to_numpy()


def _held_out(changes: np.ndarray) -> np.ndarray:
    """Each seed's change at the setting that the *other* seeds find best: (seeds,)."""
    others = changes.sum(axis=0) - changes
    return changes[np.arange(len(changes)), np.argmax(others, axis=1)]


def _resampled_means(changes: np.ndarray) -> np.ndarray:
    """(resamples, settings) means over seeds drawn with replacement, the same draws every time."""
    seeds = len(changes)
    weights = (
        np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
        / seeds
    )
    return weights @ changes


def best(results: pd.DataFrame) -> pd.DataFrame:
    """Per task and encoder: the best strength, what it gains, and what the strongest costs.

    λ* is the setting of the largest mean change; its interval is a percentile bootstrap over
    seeds. `gain` is the mean change at λ*: the maximum of noisy means, so it flatters;
    `held_out_gain` chooses λ* for every seed on the other seeds and does not. `harm` is the mean
    change at the strongest setting. Strengths of encoder m are those *it* feels.

    Returns:
      One row per task × encoder × other hyperparameters; changes have the metric's units.
    """
    role = columns(results)
    metric, _ = quality_metric(results)
    keys = [*role.tasks, "subject", *role.others]
    found = []
    for key, group in differences(results, metric).groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True))
        settings, changes = _changes(group, role.strengths)
        if not len(changes):
            continue
        own = settings.get(f"strength_{row['subject']}", settings["strength"]).to_numpy()
        star = int(np.argmax(changes.mean(axis=0)))
        resampled = own[np.argmax(_resampled_means(changes), axis=1)]
        if len(changes) > 1:  # ends are settings that were swept
            ends = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
        else:
            ends = (np.nan, np.nan)
        # of the settings that are strongest for this encoder, the strongest for all
        strongest = int(np.lexsort((settings.sum(axis=1, skipna=True), own))[-1])
        row |= {
            "seeds": len(changes),
            "base": float(group.groupby("seed")["base"].first().mean()),
            "strength_star": float(own[star]),
            "strength_star_low": float(ends[0]),
            "strength_star_high": float(ends[1]),
            "strongest": float(own[strongest]),
        }
        for name, values in (
            ("gain", changes[:, star]),
            ("held_out_gain", _held_out(changes)),
            ("harm", changes[:, strongest]),
        ):
            row[name], row[f"{name}_low"], row[f"{name}_high"] = mean_interval(values)
        found.append(row)
    return pd.DataFrame(found)


def trend(results: pd.DataFrame, axis: str) -> dict[str, Any] | None:
    """Does the best strength move along a numeric task axis?

    λ* of the curve averaged over encoders and seeds, at every value of the axis, and Spearman's
    rank correlation of the two, with a percentile bootstrap over seeds.

    Returns:
      {"axis", "values", "strength_star", "spearman", "spearman_low", "spearman_high"}; None where
      the axis is not numeric, has fewer than three values, or encoders had their own strengths.
    """
    metric, _ = quality_metric(results)
    role = columns(results)
    if len(role.strengths) > 1 or role.others or len(role.tasks) > 1:
        return None
    if not pd.api.types.is_numeric_dtype(results[axis]) or results[axis].nunique() < 3:
        return None
    rows = differences(results, metric)
    mean = rows.groupby([axis, "seed", "strength"], as_index=False)["change"].mean()
    observed, resampled, values = [], [], []
    for value in np.sort(mean[axis].unique()):
        settings, changes = _changes(mean[mean[axis] == value], ["strength"])
        if not len(changes):
            continue
        values.append(value.item())
        strengths = settings["strength"].to_numpy()
        observed.append(strengths[np.argmax(changes.mean(axis=0))])
        resampled.append(strengths[np.argmax(_resampled_means(changes), axis=1)])
    if len(values) < 3:
        return None

    def spearman(stars: np.ndarray) -> float:
        # a constant λ* has no rank correlation: no trend
        return 0.0 if len(set(stars)) == 1 else float(stats.spearmanr(values, stars).statistic)

    boot = [spearman(stars) for stars in np.array(resampled).T]
    return {
        "axis": axis,
        "values": values,
        "strength_star": [float(s) for s in observed],
        "spearman": spearman(np.array(observed)),
        "spearman_low": float(np.quantile(boot, (1 - LEVEL) / 2)),
        "spearman_high": float(np.quantile(boot, (1 + LEVEL) / 2)),
    }


def summarise(results: pd.DataFrame) -> dict[str, Any]:
    """Everything `summary.json` holds: counts, curves, best strengths, similarity, trend."""
    role = columns(results)
    metric, _ = quality_metric(results)
    runs = results.drop_duplicates([*role.tasks, "seed", *role.others, *role.strengths])
    measured = set(results["metric"])
    trends = [trend(results, axis) for axis in role.tasks]
    return {
        "metric": metric,
        "runs": len(runs),
        "diverged": int(runs["diverged"].sum()),
        "seeds": int(results["seed"].nunique()),
        "best": _records(best(results)),
        "curves": _records(curves(results, metric)),
        "similarity": {
            name: _records(curves(results, name)) for name in SIMILARITIES if name in measured
        },
        "trends": [t for t in trends if t],
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain dictionaries; NaN, which JSON does not know, becomes None."""
    rows = table.astype(object).where(table.notna(), None)
    return [
        {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
        for row in rows.to_dict("records")
    ]


def short_table(summary: dict[str, Any]) -> str:
    """`best` as text for a terminal; accuracies in points, errors in their units."""
    scale, unit = (100, "points") if summary["metric"] == "accuracy" else (1, "units of the target")
    shown = {
        "strength_star": "best",
        "gain": "gain",
        "harm": "at strongest",
    }
    lines = []
    for row in summary["best"]:
        task = {
            k: v for k, v in row.items() if k not in _BEST and not k.endswith(("_low", "_high"))
        }
        cells = [str(v) for v in task.values()] + [f"{row['base'] * scale:.1f}"]
        for name in shown:
            factor = 1 if name == "strength_star" else scale
            digits = "g" if name == "strength_star" else "+.1f"
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            value = f"{row[name] * factor:{digits}}"
            if low is not None:
                value += f" [{low * factor:{digits}}, {high * factor:{digits}}]"
            cells.append(value)
        header = [*task, "at 0", *shown.values()]
        lines.append(cells)
    if not lines:
        return "every run diverged: nothing to compare"
    rows = [header, *lines]
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    table = "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
    )
    return (
        f"{table}\n{summary['metric']}, gain and harm in {unit} against strength 0; "
        f"95 % intervals over seeds ({summary['seeds']}); {summary['diverged']} of "
        f"{summary['runs']} runs diverged"
    )


_BEST = ("seeds", "base", "strength_star", "strongest", "gain", "held_out_gain", "harm")
