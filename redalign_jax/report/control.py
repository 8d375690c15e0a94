"""The grid beside itself with shuffled partners: a section of the page, and lines of a terminal."""

from typing import Any

from markupsafe import Markup

from redalign_jax.analysis.shuffled import EVERY
from redalign_jax.report import format, page, tables
from redalign_jax.report.facets import Layout

READ = {"last": "After the last step", "stopped early": "Stopped early"}
COLUMNS = ("change", "shuffled", "alignment")


def _name(setting: float | str) -> str:
    return setting if isinstance(setting, str) else f"λ = {format.value(setting)}"


def section(comparisons: dict[str, list[dict[str, Any]]], plan: Layout) -> Markup:
    """The section, empty where the sweep had no shuffled runs."""
    if not comparisons:
        return Markup()
    made = [_table(name, rows, plan) for name, rows in comparisons.items()]
    return page.fill("control", tables=made)


def _table(name: str, rows: list[dict[str, Any]], plan: Layout) -> tables.Table:
    cells = [
        [str(row["subject"]), _name(row["setting"])]
        + [tables.shown(row, column, plan.unit) for column in COLUMNS]
        for row in rows
    ]
    header = ["encoder", "setting", "change", "the same, shuffled partners", "true ahead by"]
    caption = f"{READ[name]}: {plan.unit.change} against λ = 0 of the same partners"
    return tables.Table(header, cells, 2, caption)


def lines(comparisons: dict[str, list[dict[str, Any]]], scale: float) -> str:
    """A line per setting, mean over encoders after the last step; empty without shuffled runs."""
    rows = [row for row in comparisons.get("last", []) if row["subject"] == EVERY]
    if not rows:
        return ""
    said = [
        "change, the same with shuffled partners, true ahead by (last step, all encoders; 95 % "
        "intervals, each for itself; ▲ ▼ hold for all that the page compares):"
    ]
    for row in rows:
        numbers = (
            f"{tables.MARKS[row[f'{c}_shown']][1]}{scale * row[c]:+.1f} "
            f"[{scale * row[c + '_low']:+.1f}, {scale * row[c + '_high']:+.1f}]"
            for c in COLUMNS
        )
        said.append(f"  {_name(row['setting'])}: {'  '.join(numbers)}")
    return "\n".join(said)
