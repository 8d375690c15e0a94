"""What a sweep brings beside what the same sweep brings with shuffled partners.

A partner whose rows are shuffled says nothing about its pair. What a strength then still changes is
regularisation, or harm; only what is ahead of it is alignment. Everything is paired: the same task,
seed, init, labelled batches. Means are over tasks within a seed first; intervals are 95 % Student
intervals over seeds, each by itself. A diverged run is the worst outcome, see
`differences.settled`.
"""

from typing import Any

import pandas as pd

from redalign_jax.analysis.differences import (
    columns,
    mean_interval,
    quality_metric,
    settled,
    share,
)
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
      `_low` and `_high`. Units of the metric; positive is better. Empty where there is nothing to
      compare, or no strength 0.
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
    found = []
    for subject in subjects:
        for setting in settings:
            pair = pd.DataFrame({"change": true[setting], "shuffled": false[setting]})
            if subject != EVERY:
                pair = pair.xs(subject, level="subject")
            mean = pair.groupby(level="seed").mean()
            mean["alignment"] = mean["change"] - mean["shuffled"]
            row = {"subject": subject, "setting": setting}
            for name in mean:
                value, low, high = mean_interval(mean[name].to_numpy(), share(results))
                row |= {name: value, f"{name}_low": low, f"{name}_high": high}
            found.append(row)
    return found


def comparisons(results: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """`compare` by the last parameters and stopped early; empty without shuffled runs."""
    if SHUFFLED not in results:
        return {}
    metric, _ = quality_metric(results)
    found = {"last": compare(results, metric), "stopped early": compare(results, f"early_{metric}")}
    return {name: rows for name, rows in found.items() if rows}
