"""The balanced mechanism against every fixed strength: a section of the page."""

from typing import Any

from markupsafe import Markup

from redalign_jax.config import BALANCED, BALANCED_OBJECTIVE
from redalign_jax.report import format, page, tables
from redalign_jax.report.facets import Layout

READ = {
    "last": "Encoders after the last step",
    "stopped early": "Encoders stopped early, the fixed strengths as well",
    "fusion": "A linear probe on all embeddings together",
}
LEADS = {"last": "On average", "stopped early": "Stopped early, as is all it is compared with,"}
_ENDS = ("", "_low", "_high")
_SHOWN = {1: "shown to be above 0", 0: "not shown to differ from 0", -1: "shown to be below 0"}


def section(comparisons: dict[str, Any], plan: Layout) -> Markup:
    """The section, empty where the sweep had no balanced runs."""
    if not comparisons:
        return Markup()
    return page.fill(
        "mechanism",
        what="Encoders learn from each other's posteriors of the label, on pairs with and without "
        "labels, each partner weighed by what it adds on the validation split, and only as far as "
        f"that gain is sure (objective “{BALANCED_OBJECTIVE}”, λ = {BALANCED['strength']:g}). "
        "Nothing about it is chosen by hand for these data.",
        said=_said(comparisons, plan),
        overall=[_overall(table, plan, READ[name]) for name, table in comparisons.items()],
        encoders=_encoders(comparisons["last"], plan),
    )


def _said(comparisons: dict[str, Any], plan: Layout) -> list[str]:
    unit = plan.unit
    said = []
    for read, lead in LEADS.items():
        if read not in comparisons:
            continue
        rows = {row["setting"]: row for row in comparisons[read]["overall"]}
        fixed = [row for name, row in rows.items() if isinstance(name, float)]
        best, own = max(fixed, key=lambda row: row["change"]), rows["balanced"]
        change, ahead = (
            "{} [{}, {}]".format(
                *(format.number(row[f"{name}{e}"] * unit.scale, unit.digits, True) for e in _ENDS)
            )
            for row, name in ((own, "change"), (best, "advantage"))
        )
        worst = format.number(own["worst"] * unit.scale, unit.digits, True)
        star = format.value(best["setting"])
        said.append(
            f"{lead} the {unit.change_name} is {change} {unit.change} against λ = 0 "
            f"({_SHOWN[own['change_shown']]}), and {ahead} against the single λ that is best here, "
            f"{star} ({_SHOWN[best['advantage_shown']]}); the lowest mean of any encoder is "
            f"{worst}."
        )
    said.append(
        "Intervals are 95 % over seeds, each by itself, and speak of new seeds of these tasks; "
        "what is shown, and every ▲ and ▼, is so for all numbers of this section at once."
    )
    lost = comparisons["last"]["left_out"] if "last" in comparisons else 0
    if lost:
        said.append(f"{lost} encoders of tasks whose runs are not all there are left out.")
    return said


def _overall(table: dict[str, Any], plan: Layout, title: str) -> tables.Table:
    rows = []
    for row in table["overall"]:
        name = row["setting"]
        rows.append(
            [
                f"λ = {format.value(name)}" if isinstance(name, float) else name,
                tables.shown(row, "change", plan.unit),
                format.number(row["worst"] * plan.unit.scale, plan.unit.digits, True),
                "" if name == "balanced" else tables.shown(row, "advantage", plan.unit),
            ]
        )
    header = ["setting", "mean change", "worst of all", "balanced is ahead by"]
    caption = (
        f"{title}: {plan.unit.change} against λ = 0, mean over tasks and encoders, 95 % intervals "
        "over seeds; “best for each encoder” is chosen on the other seeds"
    )
    return tables.Table(header, rows, 1, caption)


def _encoders(table: dict[str, Any], plan: Layout) -> tables.Table:
    keys = [*([plan.axis] if plan.axis else []), *plan.panels]
    keys = [k for k in keys if k in table["encoders"][0]]
    rows = []
    for row in table["encoders"]:
        cells = [format.setting(k, row[k]).split(" = ")[-1] for k in keys]
        cells.append(str(row["subject"]))
        cells.append(
            format.number(row["base"] * plan.unit.scale, plan.unit.digits) + plan.unit.suffix
        )
        cells += [tables.shown(row, "change", plan.unit), format.value(row["best_strength"])]
        rows.append([*cells, tables.shown(row, "shortfall", plan.unit)])
    header = [*(format.short_name(k) for k in keys), "encoder", f"{plan.unit.metric} at λ = 0"]
    header += ["balanced changes it by", "its best fixed λ", "which is better by"]
    caption = f"In {plan.unit.change}; the best fixed λ is read at seeds it was not chosen on"
    return tables.Table(header, rows, len(keys) + 1, caption)
