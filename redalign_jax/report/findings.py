"""What was found: tables of best strengths, each asked of `analysis` once."""

from typing import NamedTuple

import pandas as pd

from redalign_jax.analysis import chosen, strengths
from redalign_jax.report import facets as layouts
from redalign_jax.report.facets import Layout


class Findings(NamedTuple):
    """Tables of `strengths.best`, empty where there is nothing to ask.

    Attributes:
      best: of every task and encoder.
      shared: the same among settings in which all encoders share a strength.
      mean: of the encoders' mean curve, where there is a numeric task axis.
      stopped: of encoders read at their best validation step.
      stopped_mean: of the mean of those.
      fused: of a probe on all embeddings.
      chosen: by validation data, see `chosen.by_validation`; empty without learning curves. Of the
        encoders' mean where there is a numeric task axis and no other.
    """

    best: pd.DataFrame
    shared: pd.DataFrame
    mean: pd.DataFrame
    stopped: pd.DataFrame
    stopped_mean: pd.DataFrame
    fused: pd.DataFrame
    chosen: pd.DataFrame


def find(results: pd.DataFrame, plan: Layout, curves: pd.DataFrame | None = None) -> Findings:
    """Asks `analysis` about the results, their controls and their means.

    Args:
      results: the tidy table.
      plan: of its figures.
      curves: the learning curves, where they are known.
    """
    nothing = pd.DataFrame()
    stopped, fused = layouts.early(results), layouts.fusion(results)
    best = strengths.best(results)
    directed = results["strength"].isna().any()
    tables = strengths.families(results)

    def ask(rows: pd.DataFrame) -> pd.DataFrame:
        return strengths.best(rows, tables=tables)

    return Findings(
        best,
        ask(layouts.symmetric(results)) if directed else best,
        ask(layouts.encoder_mean(results)) if plan.axis else nothing,
        ask(stopped) if len(stopped) else nothing,
        ask(layouts.encoder_mean(stopped)) if plan.axis and len(stopped) else nothing,
        ask(fused) if len(fused) else nothing,
        nothing if curves is None else _chosen(stopped, curves, plan),
    )


def _chosen(stopped: pd.DataFrame, curves: pd.DataFrame, plan: Layout) -> pd.DataFrame:
    if not len(stopped) or not len(plan.finished):
        return pd.DataFrame()
    scores = chosen.scores(layouts.symmetric(curves), plan.metric)
    rows = layouts.symmetric(stopped)
    if plan.along:
        rows = layouts.encoder_mean(stopped)
        keys = [c for c in scores if c not in ("subject", "value")]
        scores = scores.groupby(keys, sort=False, as_index=False)["value"].mean()
        scores = scores.assign(subject=layouts.MEAN)
    return chosen.by_validation(rows, plan.metric, scores)
