"""The law in words: its numbers, and when not to believe them."""

from typing import Any

import numpy as np

from redalign_jax.analysis import factors
from redalign_jax.analysis.across import ALPHA
from redalign_jax.report import format
from redalign_jax.report.facets import Layout
from redalign_jax.report.law_figure import NAMES


def sentences(laws: list[dict[str, Any]], plan: Layout) -> list[str]:
    """What the law says of these results, as "Name: sentence"."""
    said = []
    for law in laws:
        stopped = law["metric"].startswith("early_")
        lead = "Stopped early" if stopped else "The law"
        star = _relation(law, "best_strength")
        said.append(
            f"{lead}: over {len(law['points'])} encoders of {law['tasks']} tasks, {_does(star)} "
            f"({_about(law, star)}). The gain "
            f"{_follows(law, 'held_out_gain')}; the change at the strongest λ "
            f"{_follows(law, 'change_at_max')}."
        )
        said.append(_ends(law, plan, f"{lead}, from least to most shared"))
        said += _together(law, f"{lead}, beside the accuracy gap")
    if laws:
        said.append(_doubt(laws[0]))
    return said


def _relation(law: dict[str, Any], outcome: str, predictor: str = "shared_fraction") -> dict:
    return next(
        r for r in law["relations"] if r["outcome"] == outcome and r["predictor"] == predictor
    )


def _sampled(law: dict[str, Any]) -> bool:
    """Whether tasks were drawn: only then is anything known of others."""
    return len(law["resampled"]) > 1


def _rho(law: dict[str, Any], row: dict[str, Any]) -> str:
    """ρ with its interval over new tasks, where there is one."""
    value, low, high = (format.number(row[f"spearman{end}"], 2) for end in ("", "_low", "_high"))
    return f"ρ = {value} [{low}, {high}]" if _sampled(law) else f"ρ = {value}"


def _about(law: dict[str, Any], row: dict[str, Any]) -> str:
    """The correlation, for new tasks like these and for new seeds of these."""
    low, high = (format.number(row[f"these_tasks_{end}"], 2) for end in ("low", "high"))
    these = f"[{low}, {high}] over new seeds of these very tasks"
    found = f"Spearman’s {_rho(law, row)}"
    return f"{found} over new tasks like these; {these}" if _sampled(law) else f"{found}, {these}"


def _does(row: dict[str, Any]) -> str:
    if row["spearman_low"] > 0:
        return "the best strength rises with the shared fraction"
    if row["spearman_high"] < 0:
        return "the best strength falls with the shared fraction"
    return "the best strength is not shown to follow the shared fraction"


def _follows(law: dict[str, Any], outcome: str) -> str:
    row = _relation(law, outcome)
    verb = "is not shown to follow it"
    if row["spearman_low"] > 0:
        verb = "rises with it"
    elif row["spearman_high"] < 0:
        verb = "falls with it"
    return f"{verb} ({_rho(law, row)})"


def _ends(law: dict[str, Any], plan: Layout, lead: str) -> str:
    """The points with the least and the most shared information, by task."""
    rows = sorted(law["points"], key=lambda p: p["shared_fraction"])
    third = max(1, len(rows) // 3)
    parts = []
    for name, some in (("least", rows[:third]), ("most", rows[-third:])):
        fraction = np.mean([p["shared_fraction"] for p in some])
        star = np.median([p["best_strength"] for p in some])
        gain, harm = (
            format.number(np.mean([p[k] for p in some]) * plan.unit.scale, plan.unit.digits, True)
            for k in ("held_out_gain", "change_at_max")
        )
        helped = sum(p["verdict"] == "helps" for p in some)
        parts.append(
            f"the third that shares {name} (on average {format.number(fraction, 2)}) has a median "
            f"λ* of {format.value(float(star))}, a held-out gain of {gain} and a change at the "
            f"strongest λ of {harm} {plan.unit.change}, and alignment is shown to help {helped} of "
            f"{len(some)}"
        )
    return f"{lead}, as observed: {'; '.join(parts)}."


def _together(law: dict[str, Any], lead: str) -> list[str]:
    parts = []
    for row in law["together"]:
        if row["shared_fraction"] is None:
            continue
        slopes = []
        for name, what in (("shared_fraction", "shared fraction"), ("accuracy_gap", "gap")):
            value, low, high = (format.number(row[f"{name}{e}"], 2) for e in ("", "_low", "_high"))
            slopes.append(f"{what} {value}" + (f" [{low}, {high}]" if _sampled(law) else ""))
        parts.append(f"{NAMES[row['outcome']]}: {', '.join(slopes)}")
    if not parts:  # too few encoders for two slopes
        return []
    return [
        f"{lead}: slopes of ranks when both explain at once, the gap being how much better the "
        f"partner is at λ = 0. {format.capital('; '.join(parts))}."
    ]


def _doubt(law: dict[str, Any]) -> str:
    known = "exact" if law["exact"] else "estimated, and a biased estimate moves every point alike"
    made_of = [
        f"{count} {'views' if name == factors.VIEWS else f'values of {format.long_name(name)}'}"
        for name, count in law["exchanged"].items()
    ]
    drawn = [
        text
        for text, name in zip(made_of, law["exchanged"], strict=True)
        if name in law["resampled"]
    ]
    if drawn:
        speaks = (
            f"Intervals are over seeds and {format.listed(drawn)}, drawn with replacement: they "
            "speak of new tasks like these, not of other datasets or architectures."
        )
    else:
        few = f"{format.listed(made_of)} are" if made_of else "one task is"
        speaks = (
            f"Intervals are over seeds, and speak of these tasks alone: {few} too few to show a "
            "law for others."
        )
    edge = sum(p["best_strength"] == p["strongest"] for p in law["points"])
    same = ""
    if law["constant"] > ALPHA:
        same = " λ* is not shown to differ between these encoders at all."
    return (
        "When not to believe it: a correlation is not a cause, and whatever moves with the shared "
        f"fraction here may be what counts. The information is {known}. {speaks} “Rises”, “falls” "
        "and slopes whose interval excludes 0 hold against every exchange of those, at 5 % for all "
        f"that is said here together.{same} "
        f"In {edge} of {len(law['points'])} points λ* is the largest strength that was swept. "
        "Other encoders, widths, numbers of labels: see the regimes, or sweep them."
    )
