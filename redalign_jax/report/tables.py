"""Tables of the page, as HTML."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from redalign_jax.law import effects
from redalign_jax.report import words
from redalign_jax.report.findings import Findings
from redalign_jax.report.layout import Layout


def html(header: Sequence[str], rows: Sequence[Sequence[str]], names: int, caption: str) -> str:
    """A table in a container that scrolls by itself.

    Args:
      header: texts.
      rows: cells, as HTML.
      names: how many leading columns say what a row is.
      caption: text.
    """
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in header)
    body = "\n".join(
        "<tr>"
        + "".join(f'<th scope="row">{c}</th>' for c in row[:names])
        + "".join(f"<td>{c}</td>" for c in row[names:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<p class="note">{escape(caption)}</p>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def interval(value: float, low: float, high: float, scale: float, digits: int) -> str:
    """A change with its interval and a mark: ▲ above 0, ▼ below 0."""
    shown = words.number(value * scale, digits, True)
    if not np.isfinite(low):
        return shown
    ends = (words.number(v * scale, digits, True) for v in (low, high))
    kind, mark = ("up", "▲") if low > 0 else ("down", "▼") if high < 0 else ("none", "")
    return (
        f'<span class="{kind}"><span class="mark">{mark}</span>{shown}</span> '
        f'<span class="ci">[{", ".join(ends)}]</span>'
    )


def best(results: pd.DataFrame, plan: Layout, found: Findings) -> str:
    """Every task and encoder: where it starts, its best strength, what that brings."""
    keys = [*([plan.axis] if plan.axis else []), *plan.panels, "subject"]
    table, stopped = found.best, found.stopped
    if len(stopped):
        gain = ["held_out_gain", "held_out_gain_low", "held_out_gain_high"]
        table = table.merge(stopped[[*keys, *gain]], on=keys, how="left", suffixes=("", "_early"))
    known = results[results["metric"] == f"bayes_{plan.metric}"]
    if len(known):
        limit = known.groupby(keys, as_index=False)["value"].mean()
        table = table.merge(limit.rename(columns={"value": "limit"}), on=keys, how="left")
    unit = plan.unit
    header = [*(words.short_name(k) for k in keys[:-1]), "encoder", f"{unit.metric} at λ = 0"]
    header += ["best possible"] if len(known) else []
    header += ["λ*", "gain at λ*", "held-out gain"]
    header += ["held-out gain, stopped early"] if len(stopped) else []
    header += ["change at the strongest λ"]
    rows = []
    for row in table.to_dict("records"):
        cells = [escape(words.setting(k, row[k]).split(" = ")[-1]) for k in keys[:-1]]
        cells.append(escape(str(row["subject"])))
        for column in ("base", "limit"):
            if column in row:
                cells.append(words.number(row[column] * unit.scale, unit.digits) + unit.suffix)
        star = words.value(row["strength_star"])
        if row["seeds"] > 1:
            ends = (words.value(row[f"strength_star_{e}"]) for e in ("low", "high"))
            star += f' <span class="ci">[{", ".join(ends)}]</span>'
        cells.append(star)
        for name, early in (
            ("gain", ""),
            ("held_out_gain", ""),
            ("held_out_gain", "_early"),
            ("harm", ""),
        ):
            if f"{name}{early}" in row:
                ends = (row[f"{name}{end}{early}"] for end in ("", "_low", "_high"))
                cells.append(interval(*ends, unit.scale, unit.digits))
        rows.append(cells)
    caption = f"Changes in {unit.change} against λ = 0, with 95 % intervals over seeds"
    return html(header, rows, len(keys), caption)


def directed(results: pd.DataFrame, plan: Layout) -> str:
    """Every setting in which encoders had strengths of their own: what it does to each."""
    role = effects.columns(results)
    own = [c for c in role.strengths if c != "strength"]
    runs = results[results["strength"].isna() | (results["strength"] == 0)]
    curve = effects.curves(runs, plan.metric)
    curve = curve[curve["strength"].isna()]
    keys = [*([plan.axis] if plan.axis else []), *plan.panels, *own]
    rows = []
    for values, group in curve.groupby(keys, sort=False):
        rows_of = {row["subject"]: row for row in group.to_dict("records")}
        cells = [
            escape(words.setting(k, v).split(" = ")[-1]) for k, v in zip(keys, values, strict=True)
        ]
        for encoder in plan.encoders:
            row = rows_of.get(encoder)
            ends = (row[f"change{end}"] for end in ("", "_low", "_high")) if row else ()
            cells.append(interval(*ends, plan.unit.scale, plan.unit.digits) if row else "–")
        rows.append(cells)
    names = [words.short_name(k) for k in keys[: -len(own)]]
    names += [f"λ of {c.removeprefix('strength_')}" for c in own]
    return html(
        [*names, *plan.encoders],
        rows,
        len(keys),
        f"Change of each encoder in {plan.unit.change} against λ = 0 for all",
    )


def diverged(results: pd.DataFrame) -> str:
    """In how many runs an encoder diverged, at every setting where one did."""
    role = effects.columns(results)
    settings = [*role.others, *role.strengths]
    run = [*role.tasks, "seed", *settings]
    runs = results.groupby(run, sort=False, dropna=False)["diverged"].any().reset_index()
    rows = []
    for values, group in runs.groupby(settings, sort=False, dropna=False):
        if group["diverged"].any():
            cells = ["–" if pd.isna(v) else escape(words.value(v)) for v in values]
            rows.append([*cells, f"{int(group['diverged'].sum())} of {len(group)}"])
    header = [words.short_name(c) for c in settings]
    return html([*header, "diverged runs"], rows, len(settings), "Diverged runs by setting")


def pairs(values: dict[str, Any]) -> str:
    """Names and values as a description list."""
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in values.items())
    return f"<dl>{items}</dl>"
