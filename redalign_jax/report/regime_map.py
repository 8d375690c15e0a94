"""Where the law holds: a map of regimes, its table, and its sentences."""

from functools import partial
from typing import Any

import pandas as pd

from redalign_jax.analysis import regimes
from redalign_jax.report import format, heatmap, tables
from redalign_jax.report.facets import Layout
from redalign_jax.report.heatmap import Row
from redalign_jax.report.render import Chart

MOST = 60  # rows of a map


def charts(rows: list[dict[str, Any]]) -> list[Chart]:
    """One map per metric: Spearman's ρ of λ* and the shared fraction in every regime."""
    if not rows:
        return []
    table = pd.DataFrame(rows)
    return [
        _chart(part, _keys(table), str(metric).startswith("early_"))
        for metric, part in table.groupby("metric", sort=False)
    ]


def _keys(table: pd.DataFrame) -> list[str]:
    return list(table.columns[: list(table).index("metric")])


def _chart(table: pd.DataFrame, keys: list[str], stopped: bool) -> Chart:
    *down, across = keys
    values = sorted(table[across].unique())
    shown = []
    for place, part in table.groupby(down, sort=True) if down else [((), table)]:
        part = part.set_index(across).reindex(values)
        names = [format.setting(k, v) for k, v in zip(down, place, strict=True)]
        numbers = (
            part[f"best_strength_spearman{end}"].to_numpy(float) for end in ("", "_low", "_high")
        )
        shown.append(Row(names[0] if names[1:] else "", " · ".join(names[1:] or names), *numbers))
    caption = (
        "Each cell is Spearman’s correlation of the best strength with the shared fraction within "
        "one regime; bold where it is shown to be above or below 0, for new seeds at these levels: "
        "of maps without a law, 95 % have nothing bold. Violet: above 0. Orange: below."
    )
    if len(shown) > MOST:
        caption += f" The first {MOST} of {len(shown)} rows; the table below has all."
        shown = shown[:MOST]
    name = format.long_name(across)
    return Chart(
        "regimes_early" if stopped else "regimes",
        "Where the law holds" + (", stopped early" if stopped else ""),
        caption + (" Encoders are read at their best validation step." if stopped else ""),
        f"A table of colours: {', '.join(map(format.long_name, down))} by {name}.",
        partial(heatmap.draw, shown, tuple(map(format.value, values)), 2, name),
    )


def sentences(rows: list[dict[str, Any]], overview: list[dict[str, Any]]) -> list[str]:
    """Where the law is strong, vanishes and turns."""
    if not rows:
        return []
    table = pd.DataFrame(rows)
    said = []
    for metric, part in table.groupby("metric", sort=False):
        lead = "Stopped early" if str(metric).startswith("early_") else "Regimes"
        counts = part["law"].value_counts()
        found = ", ".join(f"{name} in {int(counts.get(name, 0))}" for name in regimes.LAWS)
        said.append(
            f"{lead}: of {len(part)}, the law is {found}. Strong is an interval of ρ above "
            f"{regimes.STRONG:g}, weak one above 0, turned one below 0, where intervals hold for "
            f"all {int(part['family'].max())} at once and λ* is shown to differ. They speak of new "
            "seeds at these levels, not of other tasks; not shown is not absent."
        )
        for axis in _keys(table):
            mine = [o for o in overview if o["axis"] == axis and o["metric"] == metric]
            parts = [
                f"{row['strong'] + row['weak']} of {row['regimes']} at {format.value(row['value'])}"
                + (f" (turned in {row['turned']})" if row["turned"] else "")
                for row in mine
            ]
            said.append(f"{lead}, by {format.long_name(axis)}: shown in {', '.join(parts)}.")
    return said


def overview_table(overview: list[dict[str, Any]], plan: Layout) -> tables.Table:
    """Every value of every axis, over the other axes."""
    header = ["axis", "value", "read", "law is shown in", "turned in", "mean ρ of λ*"]
    header += ["held-out gain, most shared", "change at the strongest λ, least shared"]
    body = []
    for row in overview:
        gain, harm = (
            format.number(row[k] * plan.unit.scale, plan.unit.digits, True)
            for k in ("gain_most", "change_at_max_least")
        )
        shown = f"{row['strong'] + row['weak']} of {row['regimes']}"
        read = "stopped early" if row["metric"].startswith("early_") else "at the end"
        cells = [format.long_name(row["axis"]), format.value(row["value"]), read]
        body.append(
            [*cells, shown, str(row["turned"]), format.number(row["spearman"], 2), gain, harm]
        )
    caption = f"Means over the regimes of one value; changes in {plan.unit.change} against λ = 0"
    return tables.Table(header, body, 3, caption)


def table(rows: list[dict[str, Any]], plan: Layout) -> tables.Table:
    """Every regime: ρ, and what alignment does where least and where most is shared."""
    frame = pd.DataFrame(rows)
    keys = _keys(frame)
    header = [*(format.short_name(k) for k in keys), "read", "ρ of λ*", "law"]
    header += [
        f"{what}, {end} shared"
        for end in ("least", "most")
        for what in ("λ*", "held-out gain", "change at the strongest λ")
    ]
    body = []
    for row in rows:
        cells = [format.value(row[k]) for k in keys]
        cells.append("stopped early" if row["metric"].startswith("early_") else "at the end")
        cells.append(_interval(row, "best_strength_spearman", 1, 2))
        cells.append(row["law"])
        for end in ("least", "most"):
            cells.append(format.value(round(row[f"best_strength_{end}"], 3)))
            for outcome in ("held_out_gain", "change_at_max"):
                cells.append(_plain(row, f"{outcome}_{end}", plan))
        body.append(cells)
    caption = (
        f"Every regime; changes in {plan.unit.change} against λ = 0. Intervals are over seeds: "
        "those of ρ hold for all rows at once, the others are 95 %, each by itself"
    )
    return tables.Table(header, body, len(keys) + 1, caption)


def _interval(row: dict[str, Any], name: str, scale: float, digits: int) -> tables.Cell:
    numbers = (
        float("nan") if row[f"{name}{e}"] is None else row[f"{name}{e}"]
        for e in ("", "_low", "_high")
    )
    return tables.interval(*numbers, scale, digits)


def _plain(row: dict[str, Any], name: str, plan: Layout) -> tables.Cell:
    """A change and its interval without a mark: by itself none of many is a finding."""
    value, low, high = (row[f"{name}{e}"] for e in ("", "_low", "_high"))
    scale, digits = plan.unit.scale, plan.unit.digits
    ends = tables.ends(*(v if v is None else v * scale for v in (low, high)), digits)
    return tables.Cell(format.number(value * scale, digits, True), ends)
