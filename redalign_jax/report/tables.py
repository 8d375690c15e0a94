"""Tables of the page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from redalign_jax.analysis import conclusions, differences, simultaneous
from redalign_jax.report import format
from redalign_jax.report.facets import Layout
from redalign_jax.report.findings import Findings


class Cell(NamedTuple):
    """A number of a table, its interval, and a mark (class, sign); None leaves no room for one."""

    text: str
    ends: str = ""
    mark: tuple[str, str] | None = None


class Table(NamedTuple):
    """A table of the page.

    Attributes:
      header: a name per column.
      rows: texts or cells.
      names: how many leading columns say what a row is.
      caption: text.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    names: int
    caption: str


UP, DOWN, NONE = ("up", "▲"), ("down", "▼"), ("none", "")
MARKS = {1: UP, -1: DOWN, 0: NONE}  # of `analysis.shown`


def interval(
    value: float,
    low: float,
    high: float,
    scale: float,
    digits: int,
    mark: tuple[str, str] | None = None,
) -> Cell:
    """A change with its interval and a mark: ▲ above 0, ▼ below 0, unless `mark` says which."""
    shown = format.number(value * scale, digits, True)
    if not np.isfinite(low):
        return Cell(shown)
    mark = mark or (UP if low > 0 else DOWN if high < 0 else NONE)
    return Cell(shown, ends(low * scale, high * scale, digits), mark)


def shown(row: dict[str, Any], name: str, unit: format.Unit) -> Cell:
    """A number, its own interval, and a mark where it is shown among all of its section.

    Args:
      row: of `analysis.shown`; what is not known is NaN, or None.
      name: of the number.
      unit: of the page.
    """
    mark = MARKS[row[f"{name}_shown"]]
    numbers = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    numbers = (float("nan") if number is None else number for number in numbers)
    return interval(*numbers, unit.scale, unit.digits, mark)._replace(mark=mark)


def ends(low: float, high: float, digits: int, sign: bool = True) -> str:
    """An interval: "[+1.2, +5.0]"."""
    return f"[{format.number(low, digits, sign)}, {format.number(high, digits, sign)}]"


def best(results: pd.DataFrame, plan: Layout, found: Findings) -> Table:
    """Every task and encoder: where it starts, its best strength, what that brings."""
    keys = [*([plan.axis] if plan.axis else []), *plan.panels, "subject"]
    table, stopped = found.best, found.stopped
    if len(stopped):
        gain = ["held_out_gain", "held_out_gain_low", "held_out_gain_high", "gain_p"]
        table = table.merge(stopped[[*keys, *gain]], on=keys, how="left", suffixes=("", "_early"))
    known = results[results["metric"] == f"bayes_{plan.metric}"]
    if len(known):
        limit = known.groupby(keys, as_index=False)["value"].mean()
        table = table.merge(limit.rename(columns={"value": "limit"}), on=keys, how="left")
    unit = plan.unit
    header = [*(format.short_name(k) for k in keys[:-1]), "encoder", f"{unit.metric} at λ = 0"]
    header += ["best possible"] if len(known) else []
    beside = {"majority": "most frequent class alone", "balanced": "balanced accuracy at λ = 0"}
    beside = {name: title for name, title in beside.items() if name in table}
    header += beside.values()
    header += ["λ*", "held-out gain", "p"]
    header += ["held-out gain, stopped early", "p, stopped early"] if len(stopped) else []
    header += ["change at the strongest λ", "p of it", "verdict"]
    rows = []
    for row in table.to_dict("records"):
        cells = [format.setting(k, row[k]).split(" = ")[-1] for k in keys[:-1]]
        cells.append(str(row["subject"]))
        for column in ("base", "limit", *beside):
            if column in row:
                cells.append(format.number(row[column] * unit.scale, unit.digits) + unit.suffix)
        near = (format.value(row[f"best_strength_{e}"]) for e in ("low", "high"))
        near = f"[{', '.join(near)}]" if row["seeds"] > 1 else ""
        cells.append(Cell(format.value(row["best_strength"]), near))
        for name, p, early, kind in (
            ("held_out_gain", "gain_p", "", UP),
            ("held_out_gain", "gain_p", "_early", UP),
            ("change_at_max", "change_at_max_p", "", DOWN),
        ):
            if f"{name}{early}" in row:
                numbers = (row[f"{name}{end}{early}"] for end in ("", "_low", "_high"))
                kind = kind if row[f"{p}{early}"] <= simultaneous.LEVEL else NONE
                cells.append(interval(*numbers, unit.scale, unit.digits, kind))
                cells.append(conclusions.p_value(row[f"{p}{early}"]))
        rows.append([*cells, row["verdict"]])
    caption = (
        f"Changes in {unit.change} against λ = 0, each with its 95 % interval over seeds; p counts "
        "everything that this page asks"
    )
    return Table(header, rows, len(keys), caption)


def directed(results: pd.DataFrame, plan: Layout) -> Table:
    """Every setting in which encoders had strengths of their own: what it does to each."""
    role = differences.columns(results)
    own = [c for c in role.strengths if c != "strength"]
    runs = results[results["strength"].isna() | (results["strength"] == 0)]
    curve = differences.curves(runs, plan.metric)
    curve = curve[curve["strength"].isna()]
    sure = differences.widened(curve, len(curve))
    curve = curve.assign(sure_low=sure["change_low"], sure_high=sure["change_high"])
    keys = [*([plan.axis] if plan.axis else []), *plan.panels, *own]
    rows = []
    for values, group in curve.groupby(keys, sort=False):
        rows_of = {row["subject"]: row for row in group.to_dict("records")}
        cells = [format.setting(k, v).split(" = ")[-1] for k, v in zip(keys, values, strict=True)]
        for encoder in plan.encoders:
            row = rows_of.get(encoder)
            if not row:
                cells.append("–")
                continue
            numbers = (row[f"change{end}"] for end in ("", "_low", "_high"))
            kind = UP if row["sure_low"] > 0 else DOWN if row["sure_high"] < 0 else NONE
            cells.append(interval(*numbers, plan.unit.scale, plan.unit.digits, kind))
        rows.append(cells)
    names = [format.short_name(k) for k in keys[: -len(own)]]
    names += [f"λ of {c.removeprefix('strength_')}" for c in own]
    return Table(
        [*names, *plan.encoders],
        rows,
        len(keys),
        f"Change of each encoder in {plan.unit.change} against λ = 0 for all; marked where the "
        "interval, widened to hold for the whole table, excludes 0",
    )


def diverged(results: pd.DataFrame) -> Table:
    """In how many runs an encoder diverged, at every setting where one did."""
    role = differences.columns(results)
    settings = [*role.others, *role.strengths]
    by = [*role.tasks, "seed", *settings]
    runs = results.groupby(by, sort=False, dropna=False)["diverged"].any()
    rows = []
    for values, group in runs.groupby(settings, sort=False, dropna=False):
        if group.any():
            cells = ["–" if pd.isna(v) else format.value(v) for v in values]
            rows.append([*cells, f"{int(group.sum())} of {len(group)}"])
    header = [format.short_name(c) for c in settings]
    return Table([*header, "diverged runs"], rows, len(settings), "Diverged runs by setting")
