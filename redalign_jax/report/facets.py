"""What of a results table becomes lines, and what becomes panels."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from redalign_jax.analysis import differences
from redalign_jax.report import format

MEAN, FUSION = "mean", "fusion"


class Layout(NamedTuple):
    """The parts a results table plays in the figures.

    Attributes:
      axis: the numeric task axis whose values are lines, None where there is none.
      values: of that axis, in order.
      panels: other task axes and swept hyperparameters; each combination has its own panels.
      encoders: in the order of the table.
      strengths: the symmetric λ, in order.
      metric: of quality.
      unit: of that metric.
      finished: task axes and encoders whose runs can be compared with λ = 0.
      share: of the splits, see `differences.standard_error`.
    """

    axis: str | None
    values: list[float]
    panels: list[str]
    encoders: list[str]
    strengths: list[float]
    metric: str
    unit: format.Unit
    finished: pd.DataFrame
    share: float = 0.0

    @property
    def along(self) -> bool:
        """Whether there is a numeric task axis and nothing else to tell apart."""
        return self.axis is not None and not self.panels


def layout(results: pd.DataFrame) -> Layout:
    """Sorts the columns of a results table into lines and panels."""
    role = differences.columns(results)
    numeric = [c for c in role.tasks if _numeric(results[c])]
    axis = max(numeric, key=lambda c: results[c].nunique(), default=None)
    metric, _ = differences.quality_metric(results)
    of_metric = results[results["metric"] == metric]
    changes = differences.differences(results, metric)
    return Layout(
        axis,
        sorted(results[axis].unique().tolist()) if axis else [],
        [c for c in (*role.tasks, *role.others) if c != axis],
        list(dict.fromkeys(of_metric["subject"])),
        sorted(results["strength"].dropna().unique().tolist()),
        metric,
        format.unit(metric, changes["change"].abs().max()),
        changes[[*role.tasks, *role.others, "subject"]].drop_duplicates(),
        differences.share(results),
    )


def _numeric(column: pd.Series) -> bool:
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return is_number and column.nunique() > 1


def parts(table: pd.DataFrame, keys: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows by the values of `keys`, with a title such as "kar, pix · τ = 0.1"."""
    if not keys:
        yield "", table
        return
    for values, rows in table.groupby(keys, sort=False):
        yield " · ".join(format.setting(k, v) for k, v in zip(keys, values, strict=True)), rows


def symmetric(results: pd.DataFrame) -> pd.DataFrame:
    """The runs whose encoders share one strength, without the columns of their own."""
    own = [c for c in differences.columns(results).strengths if c != "strength"]
    return results[results["strength"].notna()].drop(columns=own)


def relabel(rows: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """`rows` as if they were the quality metric, so that `law` can be asked about them."""
    return rows.assign(metric=differences.quality_metric(results)[0])


def encoder_mean(results: pd.DataFrame) -> pd.DataFrame:
    """The quality of every run with a single strength, averaged over its encoders."""
    rows = differences.settled(symmetric(results), differences.quality_metric(results)[0])
    about = set(differences.columns(results).facts) - {differences.RESPLIT, differences.FIXED}
    keys = [c for c in rows.columns if c not in ("subject", "value", "diverged", *about)]
    mean = rows.groupby(keys, sort=False, as_index=False).agg(value=("value", "mean"))
    mean["diverged"] = False  # settled
    mean.insert(mean.columns.get_loc("metric"), "subject", MEAN)
    return mean


def fusion(results: pd.DataFrame) -> pd.DataFrame:
    """What a linear probe on all embeddings together reaches, relabelled as the quality metric."""
    metric = f"probe_{differences.quality_metric(results)[0]}"
    rows = differences.settled(symmetric(results), metric)
    return relabel(rows[rows["subject"] == FUSION], results)


def early(results: pd.DataFrame) -> pd.DataFrame:
    """The quality of encoders at their best validation step, relabelled as the quality metric.

    A control: whatever stopping early brings, the runs at strength 0 have too.
    """
    rows = differences.settled(results, f"early_{differences.quality_metric(results)[0]}")
    return relabel(rows, results)
