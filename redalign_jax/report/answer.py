"""The answer as one would choose it, in words: λ and the last step by validation data."""

import pandas as pd

from redalign_jax.report import format
from redalign_jax.report.facets import Layout
from redalign_jax.report.findings import Findings
from redalign_jax.report.sentences import FEW, Verdict, case, change, names, where

HOW = (
    "As one would choose it: the λ of the best mean validation score, every encoder read at its "
    "best validation step, at λ = 0 as well. Intervals hold for every strength and encoder at once."
)
LEAD = "Chosen on validation data, alignment"


def of(plan: Layout, found: Findings) -> Verdict | None:
    """The answer; None where nothing is known of validation data, or only one seed."""
    rows = found.chosen
    if not len(rows) or (rows["seeds"] < 2).all():
        return None
    gains, losses = rows[rows["change_low"] > 0], rows[rows["change_high"] < 0]
    if plan.along:
        short, every = format.short_name(plan.axis), format.long_name(plan.axis)

        def places(some: pd.DataFrame) -> str:
            return where(sorted(some[plan.axis]), plan.values, short)

        said = f"helps at {places(gains)}" if len(gains) else f"is not shown to help at any {every}"
        costs = f"at {places(losses)}" if len(losses) else ""
    elif len(rows) <= FEW and rows["subject"].nunique() == len(rows):
        others = rows.drop(gains.index)
        said = f"helps {names(gains)}" if len(gains) else f"is not shown to help {names(rows)}"
        if len(gains) and len(others):
            said += f" but is not shown to help {names(others)}"
        costs = names(losses) if len(losses) else ""
    else:
        said = f"helps in {len(gains)} of {len(rows)} cases"
        costs = f"in {len(losses)}" if len(losses) else ""
    headline = f"{LEAD} {said}" + (f", and costs {costs}" if costs else "")
    return Verdict(headline, [HOW, *_numbers(rows, plan)])


def _numbers(rows: pd.DataFrame, plan: Layout) -> list[str]:
    """The changes at the strengths chosen; of many those that are shown, the largest, the least."""
    aligned = rows[rows["strength"] > 0]
    every, none = len(aligned), len(rows) - len(aligned)
    if every > 2 * FEW:
        shown = aligned[(aligned["change_low"] > 0) | (aligned["change_high"] < 0)]
        first = shown["change"].abs().nlargest(FEW).index
        ends = [aligned["change"].idxmax(), aligned["change"].idxmin()]
        aligned = aligned.loc[list(dict.fromkeys([*first, *ends]))]
    said = [
        f"{_who(row, plan)}: {change(row, 'change', plan)} at λ = {format.value(row['strength'])}."
        for _, row in aligned.iterrows()
    ]
    if none:
        said.append(f"No alignment: λ = 0 is chosen in {none} of {len(rows)}.")
    if every > len(aligned):
        others = every - len(aligned)
        said.append(f"The others: {others} changes lie between the largest and the least.")
    return said


def _who(row: pd.Series, plan: Layout) -> str:
    return format.setting(plan.axis, row[plan.axis]) if plan.along else case(row, plan)
