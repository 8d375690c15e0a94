"""What alignment did to every run: paired differences to strength 0, and their intervals.

Everything is a difference to the same task, seed, init and batches at strength 0, so that what the
seeds have in common cancels. Intervals are 95 % over seeds; those of means are Student's t, which
at 10 seeds covers 95 %, where a percentile bootstrap covers 90 %. Where seeds are splits of the
same rows, they are wider: see `standard_error`. A diverged run is the worst outcome, not a missing
one: see `settled`.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from redalign_jax.errors import UserError

LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
SIMILARITIES = ("cka", "unbiased_cka", "svcca", "mutual_knn", "cknna")
RESPLIT, FIXED = "resplit", "fixed_test"  # columns; see `Task.resplit` and `Task.fixed_test`
FACTS = ("pid_", "shared_fraction_", RESPLIT, FIXED)
MAJORITY = "majority"  # metric: the accuracy of a constant, the most frequent class


class Columns(NamedTuple):
    """What the columns of a results table are.

    Attributes:
      tasks: task axes, without the seed.
      facts: what is known exactly about the task of every seed; see `Task.facts`.
      strengths: `strength`, and `strength_<modality>` where encoders had their own.
      others: other swept hyperparameters.
    """

    tasks: list[str]
    facts: list[str]
    strengths: list[str]
    others: list[str]


def columns(results: pd.DataFrame) -> Columns:
    """Sorts the columns of a results table by their role; the table's order tells them apart."""
    names = list(results.columns)
    seed = names.index("seed")
    hyper = names[seed + 1 : names.index("subject")]
    facts = [c for c in hyper if c.startswith(FACTS)]
    strengths = [c for c in hyper if c == "strength" or c.startswith("strength_")]
    others = [c for c in hyper if c not in facts and c not in strengths]
    return Columns(names[:seed], facts, strengths, others)


def quality_metric(results: pd.DataFrame) -> tuple[str, int]:
    """The metric that curves are drawn of, and +1 if more of it is better, else −1."""
    return ("accuracy", 1) if (results["metric"] == "accuracy").any() else ("mae", -1)


def share(rows: pd.DataFrame) -> float:
    """n_test / (N − n_test) of the splits behind these rows; 0 where seeds are fresh draws."""
    return float(rows[RESPLIT].max()) if RESPLIT in rows and len(rows) else 0.0


def standard_error(values: np.ndarray, share: float = 0.0) -> np.ndarray:
    """Standard error of means over seeds.

        s.e.² = s² (1/J + n_test/(N − n_test))

    The second term is for seeds that split the same N rows again and again, whose test and training
    sets overlap (Nadeau and Bengio 2003, Machine Learning 52:239); independent seeds have none.
    Where all J values are equal, by the rounding of small test sets for instance, s is taken as
    half that value: a step that large leaves as much open.

    Shapes: (J, ...) → (...).
    """
    mean, spread = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
    spread = np.where(spread > 1e-7 * np.abs(mean), spread, np.abs(mean) / 2)
    return spread * np.sqrt(1 / len(values) + share)


def mean_interval(values: np.ndarray, share: float = 0.0) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % Student interval; the interval of one value is NaN.

    Shapes: (n,) → mean, low, high; `share` as in `standard_error`.
    """
    n = len(values)
    mean = float(np.mean(values)) if n else np.nan
    if n < 2:
        return mean, np.nan, np.nan
    half = special.stdtrit(n - 1, TAILS[1]) * standard_error(values, share)
    return mean, float(mean - half), float(mean + half)


def settled(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a metric, with diverged runs as the worst outcome.

    A diverged encoder is worth no more than a constant prediction, nor than the worst run of the
    same task and encoder that did not diverge. Of an accuracy that is the majority's share of the
    test split, 0 where the table does not hold it: a bound. Of an error, the largest of the
    encoder's own: the true one may be larger. What is no quality, a similarity for instance, has no
    worst value, and its diverged rows are left out; so is an encoder of which no run is left.
    """
    rows = results[results["metric"] == metric]
    lost = rows["diverged"].to_numpy(bool)
    if not lost.any():
        return rows
    sign = -1 if metric.endswith("mae") else 1
    if sign > 0 and not metric.endswith("accuracy"):
        return rows[~lost]
    role = columns(results)
    who = [*role.tasks, "subject"]
    fine = (sign * rows["value"]).where(~lost & rows["value"].notna())
    worst = fine.groupby([rows[c] for c in who]).transform("min")
    if sign > 0:
        worst = np.minimum(worst, _majority(results, rows, [*role.tasks, "seed"]))
    rows = rows.assign(value=np.where(lost, sign * worst, rows["value"]), diverged=False)
    return rows[rows["value"].notna()]


def _majority(results: pd.DataFrame, rows: pd.DataFrame, on: list[str]) -> np.ndarray:
    """The majority's share in the test split of every row, 0 where it is not known."""
    known = results[results["metric"] == MAJORITY].groupby(on)["value"].first()
    if not len(known):
        return np.zeros(len(rows))
    places = pd.MultiIndex.from_frame(rows[on]) if on[1:] else pd.Index(rows[on[0]])
    return known.reindex(places).fillna(0).to_numpy()


def differences(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """`metric` of every run minus that of the same run at strength 0, as column `change`.

    Positive is better for the quality metrics: a mean absolute error changes sign.

    Args:
      results: the tidy table.
      metric: any of its metrics.

    Returns:
      The rows of that metric, see `settled`, with `base` (the value at strength 0) and `change`.

    Raises:
      UserError: strength 0 was not swept.
    """
    role = columns(results)
    if not (results["strength"] == 0).any():
        raise UserError("hyper.strength: curves are differences to strength 0, which was not swept")
    rows = settled(results, metric)
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
                group[name].to_numpy(), share(group)
            )
        found.append(row)
    return pd.DataFrame(found)


def widened(curve: pd.DataFrame, count: int) -> pd.DataFrame:
    """Rows of `curves` whose intervals of `change` hold for `count` together (Bonferroni)."""
    freedom = curve["seeds"] - 1
    more = special.stdtrit(freedom, TAILS[0] / max(count, 1)) / special.stdtrit(freedom, TAILS[0])
    low, high = (
        curve["change"] + more * (curve[f"change_{end}"] - curve["change"])
        for end in ("low", "high")
    )
    return curve.assign(change_low=low, change_high=high)


def matrix(rows: pd.DataFrame, settings: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The changes of one task and encoder without gaps: the settings, and seeds × settings.

    What is missing has not been trained yet. Settings that half of the seeds or more miss are left
    out, then the seeds that miss a setting; if every seed misses one, the settings that a seed
    misses.
    """
    table = rows.pivot_table(index="seed", columns=settings, values="change", dropna=False)
    table = table.dropna(axis="columns", thresh=len(table) // 2 + 1)
    whole = table.dropna(axis="index")
    if not len(whole):
        whole = table.dropna(axis="columns")
    return whole.columns.to_frame(index=False), whole


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain dictionaries; NaN, which JSON does not know, becomes None."""
    rows = table.astype(object).where(table.notna(), None)
    return [
        {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
        for row in rows.to_dict("records")
    ]
