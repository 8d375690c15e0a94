"""The best strength and what it brings: along a numeric task axis, or as a map of all encoders."""

from functools import partial

import numpy as np
import pandas as pd

from redalign_jax.analysis import differences
from redalign_jax.report import facets as layouts
from redalign_jax.report import format, heatmap, small_multiples, style
from redalign_jax.report.facets import Layout
from redalign_jax.report.findings import Findings
from redalign_jax.report.render import Chart
from redalign_jax.report.small_multiples import Frame, Line, Panel
from redalign_jax.report.style import Look

MOST_ROWS, MOST_PANELS = 60, 48


def along(plan: Layout, found: Findings) -> Chart:
    """λ*, the held-out gain and the change at the strongest setting against the task axis."""
    best = pd.concat([found.shared, found.mean], ignore_index=True)
    named = dict(zip(plan.encoders, style.unordered(len(plan.encoders)), strict=True))
    named[layouts.MEAN] = style.PLAIN
    ticks = tuple(format.value(s) for s in plan.strengths)
    strongest = f"λ = {format.value(plan.strengths[-1])}"
    if (best["strongest"] < plan.strengths[-1]).any():  # some runs are still under way
        strongest = "the strongest"
    scale = plan.unit.scale
    panels = []
    for title, part in layouts.parts(best, plan.panels):
        groups = [(named[s], rows) for s, rows in part.groupby("subject", sort=False)]
        stars = [_line(rows, plan, look, "best_strength") for look, rows in groups]
        stars = [
            line._replace(**{k: _places(getattr(line, k), plan) for k in ("y", "low", "high")})
            for line in stars
        ]
        gains = [_line(rows, plan, look, "held_out_gain", scale) for look, rows in groups]
        harms = [_line(rows, plan, look, "change_at_max", scale) for look, rows in groups]
        prefix = f"{title} · " if title else ""
        panels += [
            Panel(f"{prefix}best strength", stars, y_label="λ*", y_ticks=ticks),
            Panel(f"{prefix}held-out gain", gains, zero=True, y_label=plan.unit.change),
            Panel(f"{prefix}change at {strongest}", harms, zero=True, y_label=plan.unit.change),
        ]
    axis = format.long_name(plan.axis)
    more = ""
    if len(panels) > MOST_PANELS:
        more = f" The first {MOST_PANELS} of {len(panels)} panels; the table below has all."
        panels = panels[:MOST_PANELS]
    return Chart(
        "best_strength",
        f"The best strength along {axis}",
        "Best strength: λ* with its bootstrap interval. Held-out gain: the "
        f"{plan.unit.change_name} at a λ* that the other seeds chose, with the interval of the "
        "best strength’s true gain. The last: at the strongest λ. Each interval is for itself. "
        f"“{layouts.MEAN}” averages the encoders' curves before λ* is chosen."
        + more
        + format.bits_are_not_information(plan.axis),
        f"Three line charts against {axis}: best strength, held-out gain, change at the strongest.",
        partial(
            small_multiples.draw,
            panels,
            Frame(
                axis,
                x_ticks=tuple(map(format.value, plan.values)),
                height=2.1,
                columns=3,
                shared=False,
            ),
        ),
    )


def _line(rows: pd.DataFrame, plan: Layout, look: Look, column: str, scale: float = 1) -> Line:
    rows = rows.set_index(plan.axis).reindex(plan.values)
    y, low, high = (
        rows[c].to_numpy(float) * scale for c in (column, f"{column}_low", f"{column}_high")
    )
    subject = rows["subject"].dropna().iloc[0]
    return Line(str(subject), look, np.arange(len(rows), dtype=float), y, low, high)


def _places(strengths: np.ndarray, plan: Layout) -> np.ndarray:
    return np.interp(strengths, plan.strengths, np.arange(len(plan.strengths)))


def everyone(results: pd.DataFrame, plan: Layout, found: Findings) -> Chart:
    """A map of task and encoder × λ, with λ* boxed."""
    curve = differences.curves(layouts.symmetric(results), plan.metric)
    sure = differences.widened(curve, int((curve["change"] != 0).sum()))
    curve = curve.assign(change_low=sure["change_low"], change_high=sure["change_high"])
    rows = []
    for title, part in layouts.parts(curve, plan.panels):
        for subject, of_one in part.groupby("subject", sort=False):
            star = found.shared[found.shared["subject"] == subject]
            for key in plan.panels:
                star = star[star[key] == of_one[key].iloc[0]]
            if not len(star):
                continue
            of_one = of_one.set_index("strength").reindex(plan.strengths)
            rows.append(
                heatmap.Row(
                    title,
                    str(subject),
                    *(
                        of_one[c].to_numpy(float) * plan.unit.scale
                        for c in ("change", "change_low", "change_high")
                    ),
                    *(
                        float(_places(star[f"best_strength{end}"].to_numpy(), plan)[0])
                        for end in ("", "_low", "_high")
                    ),
                )
            )
    caption = (
        f"Each cell is the {plan.unit.change_name} ({plan.unit.change}) against λ = 0, averaged "
        "over seeds; bold where its interval, widened to hold for all cells together, excludes 0. "
        "A frame spans the bootstrap interval of λ*, and the underlined cell is λ*."
    )
    if len(rows) > MOST_ROWS:
        caption += f" The first {MOST_ROWS} of {len(rows)} encoders; the table below has all."
        rows = rows[:MOST_ROWS]
    return Chart(
        "best_strength",
        "The best strength of every encoder",
        caption,
        "A table of colours: encoders by alignment strength; its numbers are in the table below.",
        partial(
            heatmap.draw,
            rows,
            tuple(map(format.value, plan.strengths)),
            plan.unit.digits,
            "alignment strength λ",
        ),
    )
