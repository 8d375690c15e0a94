"""The best strengths of everything the report speaks of, each asked of `law` once."""

from typing import NamedTuple

import pandas as pd

from redalign_jax.analysis import strengths
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
    """

    best: pd.DataFrame
    shared: pd.DataFrame
    mean: pd.DataFrame
    stopped: pd.DataFrame
    stopped_mean: pd.DataFrame
    fused: pd.DataFrame


def find(results: pd.DataFrame, plan: Layout) -> Findings:
    """Asks `strengths.best` about the results, their controls and their means."""
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
    )
