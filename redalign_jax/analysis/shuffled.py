"""What a sweep brings beside what the same sweep brings with shuffled partners.

A partner whose rows are shuffled says nothing about its pair. What a strength then still changes is
regularisation, or harm; only what is ahead of it is alignment. Everything is paired: the same task,
seed, init, labelled batches. Means are over tasks within a seed first; intervals are 95 % Student
intervals over seeds, each by itself; what is `shown` is so for everything that is compared at once,
see `shown`. A diverged run is the worst outcome, see `differences.settled`.
"""

from typing import Any

import pandas as pd

from redalign_jax.analysis import shown
from redalign_jax.analysis.differences import columns, quality_metric, settled, share
from redalign_jax.runtime.results import BALANCED, SHUFFLED

EVERY = "all"  # the mean over encoders


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of true pairs of a results or curves table, without the column, and the others."""
    if SHUFFLED not in table:
        return table, table.iloc[:0]
    own, rows = table[SHUFFLED].to_numpy(bool), table.drop(columns=SHUFFLED)
    return rows[~own].reset_index(drop=True), rows[own].reset_index(drop=True)


def compare(results: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Changes from strength 0 with true and with shuffled partners, and how far they are apart.

    Args:
      results: the tidy table; where other hyperparameters were swept, their first values count.
      metric: of the encoders; more is better, but for *mae.

    Returns:
      A row per encoder, and for `EVERY` of them, and setting, a symmetric strength above 0 or
      "balanced": `change`, `shuffled` and `alignment`, the first minus the second, each with
      `_low` and `_high`, and a p value for `shown.mark`. Units of the metric; positive is better.
      Empty where there is nothing to compare, or no strength 0.
    """
    if SHUFFLED not in results:
        return []
    flags = [name for name in (BALANCED, SHUFFLED) if name in results]
    plain = results.drop(columns=flags)
    role = columns(plain)
    marked = plain.assign(**{f"_{name}": results[name].to_numpy(bool) for name in flags})
    rows = settled(marked, metric)
    rows = rows[rows["subject"] != "fusion"]
    mechanism = rows[f"_{BALANCED}"] if BALANCED in flags else pd.Series(False, rows.index)
    for name in role.others:
        rows = rows[mechanism[rows.index] | (rows[name] == plain[name].iloc[0])]
    rows = rows.assign(_setting=rows["strength"].where(~mechanism[rows.index], "balanced"))
    keys = [*role.tasks, "subject", "seed"]
    wide = rows.dropna(subset="_setting").pivot_table(
        index=keys, columns=[f"_{SHUFFLED}", "_setting"], values="value", sort=False
    )
    settings = [s for s in wide[False] if s != 0] if False in wide and True in wide else []
    settings = [s for s in settings if s in wide[True]]
    if 0.0 not in wide.get(False, ()) or 0.0 not in wide[True]:
        return []
    wide = (-1 if metric.endswith("mae") else 1) * wide.dropna()
    true, false = (wide[k].sub(wide[k][0.0], axis=0) for k in (False, True))
    subjects = [EVERY, *wide.index.get_level_values("subject").unique()]
    found, related = [], share(results)
    for subject in subjects:
        own = {"change": true, "shuffled": false}
        if subject != EVERY:
            own = {name: rows.xs(subject, level="subject") for name, rows in own.items()}
        mean = {name: rows.groupby(level="seed").mean() for name, rows in own.items()}
        mean["alignment"] = mean["change"] - mean["shuffled"]
        for setting in settings:
            row = {"subject": subject, "setting": setting}
            for name, values in mean.items():
                row |= shown.interval(name, values[setting].to_numpy(), related)
            found.append(row)
    return found


def comparisons(results: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """`compare` by the last parameters and stopped early; empty without shuffled runs.

    Every number with an interval, `alignment` for instance, also has `alignment_shown`: 1 above 0,
    −1 below, 0 not shown, of which at most 5 % of pages have one that is wrong.
    """
    if SHUFFLED not in results:
        return {}
    metric, _ = quality_metric(results)
    found = {"last": compare(results, metric), "stopped early": compare(results, f"early_{metric}")}
    shown.mark([row for rows in found.values() for row in rows])
    return {name: rows for name, rows in found.items() if rows}
