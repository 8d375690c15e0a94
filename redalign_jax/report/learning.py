"""Learning curves at λ = 0, at the best strength and at the strongest, where they differ most."""

from functools import partial

import numpy as np
import pandas as pd

from redalign_jax.analysis import differences
from redalign_jax.report import facets as layouts
from redalign_jax.report import format, small_multiples
from redalign_jax.report.facets import Layout
from redalign_jax.report.findings import Findings
from redalign_jax.report.render import Chart
from redalign_jax.report.small_multiples import Frame, Line, Panel
from redalign_jax.report.style import Look

NONE = Look("#111111", "o", (0, (4, 2)), False)
BEST = Look("#0072b2", "s", "-")
STRONGEST = Look("#d55e00", "D", (0, (1.2, 1.2)))


def chart(curves: pd.DataFrame, plan: Layout, found: Findings) -> Chart | None:
    """Validation quality against training step, for a few telling tasks."""
    metric = f"valid_{plan.metric}"
    curves = layouts.symmetric(curves[(curves["metric"] == metric) & ~curves["diverged"]])
    panels = []
    for row in _telling(found.mean if plan.axis else found.shared, plan):
        keys = [*([plan.axis] if plan.axis else []), *plan.panels]
        keys += [] if row["subject"] == layouts.MEAN else ["subject"]
        rows = curves
        for key in keys:
            rows = rows[rows[key] == row[key]]
        shown = {
            row["best_strength"]: ("λ*", BEST),  # unless it is one of the others
            0.0: ("λ = 0", NONE),
            plan.strengths[-1]: (f"λ = {format.value(plan.strengths[-1])}", STRONGEST),
        }
        drawn = [_line(rows, plan, strength, *how) for strength, how in shown.items()]
        title = " · ".join(
            str(row[k]) if k == "subject" else format.setting(k, row[k]) for k in keys
        )
        title += f" (λ* = {format.value(row['best_strength'])})"
        panels.append(Panel(title, [line for line in drawn if len(line.x) > 1]))
    panels = [panel for panel in panels if panel.lines]
    if not panels:
        return None
    who = "averaged over encoders, " if plan.axis else ""
    return Chart(
        "learning",
        "How they learn",
        f"Validation {plan.unit.metric} during training, {who}with 95 % intervals over the seeds "
        "whose run did not diverge. "
        + (
            f"{format.capital(format.long_name(plan.axis))} at its least, middle and largest."
            if plan.axis
            else "The encoders with the largest held-out gain and with the largest harm."
        ),
        f"Line charts of validation {plan.unit.metric} against training step. Panels: "
        f"{'; '.join(panel.title for panel in panels)}.",
        partial(
            small_multiples.draw,
            panels,
            Frame(
                "training step",
                f"validation {plan.unit.metric}"
                + (f" ({plan.unit.suffix.strip()})" if plan.unit.suffix else ""),
                panel=1.8,
                height=1.95,
            ),
        ),
    )


def _telling(best: pd.DataFrame, plan: Layout) -> list[dict]:
    """Rows of `best`: the ends and the middle of the axis, or most gain and most harm."""
    if plan.axis:
        first = best
        for key in plan.panels:
            first = first[first[key] == first[key].iloc[0]]
        places = sorted({0, (len(first) - 1) // 2, len(first) - 1})
        return first.sort_values(plan.axis).iloc[places].to_dict("records")
    chosen = [best["held_out_gain"].idxmax(), best["change_at_max"].idxmin()]
    return best.loc[list(dict.fromkeys(chosen))].to_dict("records")


def _line(rows: pd.DataFrame, plan: Layout, strength: float, label: str, look: Look) -> Line:
    rows = rows[rows["strength"] == strength]
    by_seed = rows.pivot_table(index="step", columns="seed", values="value")  # mean over encoders
    found = [
        differences.mean_interval(values[np.isfinite(values)], plan.share)
        for values in by_seed.to_numpy()
    ]
    y, low, high = (
        (np.array(part) * plan.unit.scale for part in zip(*found, strict=True))
        if found
        else [np.zeros(0)] * 3
    )
    return Line(label, look, by_seed.index.to_numpy(float), y, low, high)
