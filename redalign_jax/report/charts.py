"""The figures of a report, in reading order."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from redalign_jax.analysis import differences
from redalign_jax.report import facets as layouts
from redalign_jax.report import format, learning, outcome, small_multiples, style
from redalign_jax.report.facets import Layout
from redalign_jax.report.findings import Findings
from redalign_jax.report.render import Chart
from redalign_jax.report.small_multiples import Frame, Line, Panel
from redalign_jax.report.style import Look

STRENGTH = "alignment strength λ"
MOST = 48  # panels of a figure
MEASURES = {
    "cka": "CKA",
    "unbiased_cka": "unbiased CKA",
    "svcca": "SVCCA",
    "mutual_knn": "mutual k-NN",
    "cknna": "CKNNA",
}


def all_of(
    results: pd.DataFrame,
    curves: pd.DataFrame | None,
    config: dict[str, Any],
    plan: Layout,
    found: Findings,
) -> list[Chart]:
    """Every figure that these tables can fill."""
    if not len(plan.finished):
        return []
    drawn = [
        change(results, plan),
        encoders(results, plan) if plan.axis else None,
        outcome.along(plan, found) if plan.axis else outcome.everyone(results, plan, found),
        similarity(results, plan, config),
        learning.chart(curves, plan, found) if curves is not None else None,
    ]
    return [chart for chart in drawn if chart]


def change(results: pd.DataFrame, plan: Layout) -> Chart:
    """The change in quality against λ: the answer in one figure."""
    unit, metric = plan.unit, plan.metric
    if plan.axis:
        mean = differences.curves(layouts.encoder_mean(results), metric)
        panels = [
            Panel(title, _along(rows, plan), zero=True)
            for title, rows in layouts.parts(mean, plan.panels)
        ]
        what = f"One line per {format.long_name(plan.axis)}, averaged over the encoders."
    else:
        every = differences.curves(layouts.symmetric(results), metric)
        fused = layouts.fusion(results)
        if len(fused):  # a single modality has none
            every = pd.concat([every, differences.curves(fused, metric)], ignore_index=True)
        panels = [
            Panel(title, _per_encoder(rows, plan), zero=True)
            for title, rows in layouts.parts(every, plan.panels)
        ]
        what = f"One line per encoder; “{layouts.FUSION}” is a linear probe on all embeddings."
    large = len(panels) == 1
    return _multiples(
        "change",
        f"What alignment does to {unit.metric}",
        f"{what} Vertical bars are 95 % intervals over seeds of the difference to λ = 0, each for "
        "itself; what all of them say together is in the table. Above the zero line is better. "
        "Strengths are spaced evenly, not to scale." + format.bits_are_not_information(plan.axis),
        panels,
        Frame(
            STRENGTH,
            f"{unit.change_name}\n({unit.change})",
            _ticks(plan),
            format.long_name(plan.axis) if plan.axis else "",
            f"{format.short_name(plan.axis)} = " if plan.axis else "",
            height=3.5 if large else 1.85,
        ),
    )


def encoders(results: pd.DataFrame, plan: Layout) -> Chart:
    """Every encoder, and two controls, along a numeric task axis."""
    stopped, fused = layouts.early(results), layouts.fusion(results)
    tables = [layouts.symmetric(results)]
    what = "The same for each encoder's own head"
    if len(stopped):
        tables.append(layouts.encoder_mean(stopped).assign(subject="stopped early"))
        what += (
            "; “stopped early”, averaged over encoders, each read at the step of its best "
            "validation score, at λ = 0 as well"
        )
    if len(fused):
        tables.append(fused)
        what += f"; “{layouts.FUSION}”, a linear probe on all embeddings together"
    every = pd.concat([differences.curves(t, plan.metric) for t in tables], ignore_index=True)
    panels = [
        Panel(_title(format.shorten(str(subject), 30), title), _along(rows, plan), zero=True)
        for title, part in layouts.parts(every, plan.panels)
        for subject, rows in part.groupby("subject", sort=False)
    ]
    return _multiples(
        "encoders",
        "Encoder by encoder, stopped early, and fused",
        f"{what}. Each against itself at λ = 0.",
        panels,
        Frame(
            STRENGTH,
            f"{plan.unit.change_name}\n({plan.unit.change})",
            _ticks(plan),
            format.long_name(plan.axis),
            height=2.3,
        ),
    )


def similarity(results: pd.DataFrame, plan: Layout, config: dict[str, Any]) -> Chart | None:
    """How alike the encoders' embeddings become."""
    measured = [m for m in differences.SIMILARITIES if (results["metric"] == m).any()]
    runs = layouts.symmetric(results)
    every = pd.concat(
        [differences.curves(runs, m).assign(measure=m) for m in measured] or [pd.DataFrame()],
        ignore_index=True,
    )
    if not len(every):
        return None
    several = every["subject"].nunique() > 1
    chance = _chance(config)
    panels = []
    for title, part in layouts.parts(every, plan.panels):
        for pair, of_pair in part.groupby("subject", sort=False):
            name = _title(str(pair).replace("|", " – ") if several else "", title)
            if several and title == str(pair).replace("|", ", "):
                name = title
            if plan.axis:
                for measure, rows in of_pair.groupby("measure", sort=False):
                    level = chance if measure == "mutual_knn" else None
                    shown = _along(rows, plan, "value", 1)
                    panels.append(Panel(_title(MEASURES[measure], name), shown, chance=level))
            else:
                shown = [
                    _line(rows, plan, MEASURES[measure], look, "value", 1)
                    for look, (measure, rows) in zip(
                        style.unordered(len(measured)),
                        of_pair.groupby("measure", sort=False),
                        strict=False,
                    )
                ]
                panels.append(Panel(name, shown, chance=chance))
    dashed = f"Dashed: mutual k-NN of unrelated embeddings, {chance:.3f}. " if chance else ""
    return _multiples(
        "similarity",
        "How alike the embeddings become",
        "Similarity of the encoders' embeddings of the same test examples. " + dashed + "Measures "
        "differ in scale: compare within one. Embeddings that look alike need not serve the task.",
        panels,
        Frame(
            STRENGTH,
            "similarity",
            _ticks(plan),
            format.long_name(plan.axis) if plan.axis else "",
            height=3.0 if len(panels) == 1 else 1.85,
        ),
    )


def _chance(config: dict[str, Any]) -> float | None:
    """Mutual k-NN of independent embeddings, k/(n−1); None where n is not in the config."""
    test = config["data"].get("test")
    if not isinstance(test, int) or "measure" not in config:
        return None  # a fraction of a number that only the data know
    measure = config["measure"]
    return measure["neighbours"] / (min(measure["examples"], test) - 1)


def _multiples(name: str, title: str, caption: str, panels: Sequence[Panel], frame: Frame) -> Chart:
    if len(panels) > MOST:
        caption += f" The first {MOST} of {len(panels)} panels; summary.json has all numbers."
        panels = panels[:MOST]
    if frame.legend:
        alt = f"Line chart against {frame.x_label}, a line per {frame.legend}."
    else:
        alt = f"Line chart against {frame.x_label}."
    names = [panel.title for panel in panels if panel.title]
    if names:
        alt += f" Panels: {'; '.join(names)}."
    return Chart(name, title, caption, alt, partial(small_multiples.draw, panels, frame))


def _title(*names: str) -> str:
    return " · ".join(n for n in names if n)


def _ticks(plan: Layout) -> tuple[str, ...]:
    return tuple(format.value(s) for s in plan.strengths)


def _line(
    rows: pd.DataFrame, plan: Layout, label: str, look: Look, column: str, scale: float
) -> Line:
    rows = rows.set_index("strength").reindex(plan.strengths)
    y, low, high = (
        rows[c].to_numpy(float) * scale for c in (column, f"{column}_low", f"{column}_high")
    )
    return Line(label, look, np.arange(len(rows), dtype=float), y, low, high)


def _along(
    curve: pd.DataFrame, plan: Layout, column: str = "change", scale: float | None = None
) -> list[Line]:
    """A line per value of the task axis."""
    scale = plan.unit.scale if scale is None else scale
    return [
        _line(rows, plan, format.value(value), look, column, scale)
        for value, look in zip(plan.values, style.ordered(len(plan.values)), strict=True)
        if len(rows := curve[curve[plan.axis] == value])
    ]


def _per_encoder(curve: pd.DataFrame, plan: Layout) -> list[Line]:
    """A line per encoder, the same look in every panel, and one for the fusion."""
    named = dict(zip(plan.encoders, style.unordered(len(plan.encoders)), strict=True))
    return [
        _line(
            rows, plan, str(subject), named.get(subject, style.TOGETHER), "change", plan.unit.scale
        )
        for subject, rows in curve.groupby("subject", sort=False)
    ]
