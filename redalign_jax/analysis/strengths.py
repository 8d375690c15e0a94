"""The best strength of every task and encoder: what it gains, and what the strongest costs.

Verdicts are for a whole page: `simultaneous` says how.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from redalign_jax.analysis import differences, simultaneous

RESAMPLES = 2000
MARGIN = 0.01  # one point of accuracy, or one hundredth of the error: too little to matter


class Response(NamedTuple):
    """How one encoder of one task answers to alignment.

    Attributes:
      key: task axes, `subject` and other swept hyperparameters.
      own: (settings,) the strength that this encoder feels.
      strongest: the setting that is strongest for it and, among those, for all.
      seeds: (seeds,) which.
      changes: (seeds, settings) from strength 0, without gaps.
      base: (seeds,) the metric at strength 0.
      share: of the splits, see `differences.standard_error`.
    """

    key: dict[str, Any]
    own: np.ndarray
    strongest: int
    seeds: np.ndarray
    changes: np.ndarray
    base: np.ndarray
    share: float = 0.0


def responses(results: pd.DataFrame, metric: str) -> Iterator[Response]:
    """Every task and encoder that has runs to compare, in the order of the table."""
    role = differences.columns(results)
    keys = list(_keys(results))
    for values, rows in differences.differences(results, metric).groupby(keys, sort=False):
        key = dict(zip(keys, values, strict=True))
        settings, changes = differences.matrix(rows, role.strengths)
        if not len(changes):
            continue
        own = settings.get(f"strength_{key['subject']}", settings["strength"]).to_numpy()
        strongest = int(np.lexsort((settings.sum(axis=1, skipna=True), own))[-1])
        base = rows.groupby("seed")["base"].first().loc[changes.index]
        seeds, share = changes.index.to_numpy(), differences.share(rows)
        yield Response(key, own, strongest, seeds, changes.to_numpy(), base.to_numpy(), share)


@lru_cache(maxsize=16)
def draws(seeds: int, count: int) -> np.ndarray:
    """How often each seed is drawn in a resample, the same every time: (count, seeds)."""
    return np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), size=count)


def held_out(changes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Each seed's change at the setting that the *other* seeds find best.

    Args:
      changes: (seeds, settings).
      times: (resamples, seeds) how often each seed is there; none of its copies is another seed.

    Returns:
      (resamples, seeds).
    """
    others = (times @ changes)[:, None] - times[..., None] * changes
    return changes[np.arange(len(changes)), np.argmax(others, axis=-1)]


def resampled_means(changes: np.ndarray, share: float) -> np.ndarray:
    """Bootstrap means, as wide as `differences.standard_error`: (J, settings) → (resamples, …)."""
    mean = changes.mean(axis=0)
    drawn = draws(len(changes), RESAMPLES) @ changes / len(changes)
    return mean + np.sqrt(1 + len(changes) * share) * (drawn - mean)


def families(results: pd.DataFrame) -> int:
    """How many tables of verdicts a page of these results has; each is a family of `holm`.

    Encoders after the last step, stopped early, fused; along a numeric task axis, means over
    encoders as well.
    """
    quality, _ = differences.quality_metric(results)
    measured = set(results["metric"])
    read = 1 + (f"early_{quality}" in measured)
    fused = (results["subject"] == "fusion") & (results["metric"] == f"probe_{quality}")
    numeric = any(
        pd.api.types.is_numeric_dtype(results[axis]) and results[axis].nunique() > 1
        for axis in differences.columns(results).tasks
    )
    return read * (1 + numeric) + bool(fused.any())


def best(
    results: pd.DataFrame, metric: str | None = None, tables: int | None = None
) -> pd.DataFrame:
    """Per task and encoder: the best strength, what it gains, and what the strongest costs.

    λ* is the setting of the largest mean change; its interval is a percentile bootstrap over
    seeds. `strength_one_se` is the smallest strength whose mean change is within one standard
    error, that of λ*, of the largest. `gain` is the mean change at λ*: the maximum of noisy means,
    so it flatters and has no interval; `held_out_gain` chooses λ* for every seed on the other seeds
    and does not. Its interval is that of the best strength's true gain, from `simultaneous.gain`.
    `harm` is the mean change at the strongest setting. Strengths of encoder m are those *it* feels.

    `verdict`, by the p-values of its own row, all of them for the whole page, the first that holds:
      helps: `gain_p` ≤ .05, some strength gains, and the held-out gain is above 0.
      hurts: `change_at_max_p` ≤ .05, the strongest costs; no strength is shown to gain.
      neither: `neither_p` ≤ .05, no strength gains `MARGIN` (of the error at strength 0, for a
        regression), and the strongest neither gains nor costs as much.
      undecided: everything else, and a single seed.

    Args:
      results: the tidy table.
      metric: of the encoders; None is `differences.quality_metric`, `early_accuracy` or `early_mae`
        the same read at the best validation step.
      tables: of verdicts on the page that these are on; None counts them, `families`.

    Returns:
      One row per task × encoder × other hyperparameters; changes have the metric's units. Beside an
      accuracy, where they were measured: `balanced`, the balanced accuracy at strength 0, and
      `majority`, the accuracy of the most frequent class alone.
    """
    metric = metric or differences.quality_metric(results)[0]
    found = judged(list(responses(results, metric)), metric, tables or families(results))
    if not len(found):
        return found
    return found.merge(_beside(results, metric), on=list(_keys(results)), how="left")


def judged(answers: Sequence[Response], metric: str, tables: int) -> pd.DataFrame:
    """Rows and verdicts of `best`, of encoders that one page judges together."""
    found = pd.DataFrame([_row(one, metric) for one in answers])
    for name in ("gain_p", "change_at_max_p", "neither_p") if answers else ():
        found[name] = simultaneous.holm(found[name].to_numpy(float), tables)
    return found.assign(verdict=[_verdict(row) for row in found.to_dict("records")])


def _keys(results: pd.DataFrame) -> tuple[str, ...]:
    role = differences.columns(results)
    return (*role.tasks, "subject", *role.others)


def _beside(results: pd.DataFrame, metric: str) -> pd.DataFrame:
    """What an accuracy has to be read beside: `balanced` and `majority`, as far as measured."""
    keys = list(_keys(results))
    found = results[keys].drop_duplicates()
    names = {"balanced": metric.replace("accuracy", "balanced_accuracy")}
    names["majority"] = differences.MAJORITY
    for column, name in names.items():
        rows = results[(results["metric"] == name) & (results["strength"] == 0)]
        if name != metric and len(rows):
            rows = differences.settled(results, name) if column == "balanced" else rows
            rows = rows[rows["strength"] == 0].groupby(keys, as_index=False)["value"].mean()
            found = found.merge(rows.rename(columns={"value": column}), on=keys, how="left")
    return found


def _row(one: Response, metric: str) -> dict[str, Any]:
    """What `best` says of one encoder, with p-values of its own, one-sided."""
    changes, mean = one.changes, one.changes.mean(axis=0)
    star, harm = int(np.argmax(mean)), changes[:, one.strongest]
    base = float(one.base.mean())
    margin = MARGIN * (base if metric.endswith("mae") else 1)
    ends, slack = (np.nan, np.nan), 0.0
    if len(changes) > 1:
        means = resampled_means(changes, one.share)
        # ends are settings that were swept
        ends = np.quantile(
            one.own[np.argmax(means, axis=1)], differences.TAILS, method="inverted_cdf"
        )
        slack = float(differences.standard_error(changes[:, star], one.share))
    gain = simultaneous.gain(changes, one.share, margin)
    held = float(held_out(changes, np.ones((1, len(changes)))).mean())
    row = one.key | {
        "seeds": len(changes),
        differences.RESPLIT: one.share,
        "base": base,
        "best_strength": float(one.own[star]),
        "best_strength_low": float(ends[0]),
        "best_strength_high": float(ends[1]),
        "strength_one_se": float(one.own[mean >= mean[star] - slack].min()),
        "strongest": float(one.own[one.strongest]),
        "gain": float(mean[star]),
        "held_out_gain": held,
        "held_out_gain_low": np.minimum(gain.low, held),  # NaN stays
        "held_out_gain_high": np.maximum(gain.high, held),
        "gain_p": gain.p if held > 0 or np.isnan(gain.p) else 1.0,  # no gain without one held out
    }
    row["change_at_max"], row["change_at_max_low"], row["change_at_max_high"] = (
        differences.mean_interval(harm, one.share)
    )
    costs = simultaneous.below(harm, one.share)
    much = simultaneous.below(-harm, one.share, margin)  # p of a cost of the margin or more
    return row | {"change_at_max_p": costs, "neither_p": max(gain.small, much)}


def _verdict(row: dict[str, Any]) -> str:
    for name, verdict in (
        ("gain_p", "helps"),
        ("change_at_max_p", "hurts"),
        ("neither_p", "neither"),
    ):
        if row[name] <= simultaneous.LEVEL:
            return verdict
    return "undecided"
