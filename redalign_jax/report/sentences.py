"""What was found, in words: a headline and its reasons, generated from the numbers."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from redalign_jax.analysis import simultaneous, strengths
from redalign_jax.report import format
from redalign_jax.report.facets import Layout
from redalign_jax.report.findings import Findings

FEW = 4  # encoders that a headline can name
Where = Callable[[pd.DataFrame], str]  # rows of an axis → its values in words
# every test of the page counts here, which the answer by validation data does not ask for
STOPPED = "; stopped early, with every test of the page counted"
NOT_STOPPED = f"{STOPPED}, no gain is shown"


class Verdict(NamedTuple):
    """One sentence, and the numbers behind it."""

    headline: str
    reasons: list[str]


def of(plan: Layout, found: Findings, trends: Sequence[dict[str, Any]]) -> Verdict:
    """The verdict on a sweep; undecided where intervals contain 0."""
    if not len(plan.finished):
        return Verdict("Every run diverged: there is nothing to compare", [])
    best = found.best
    if (best["seeds"] < 2).all():
        return Verdict(
            "One seed: changes without intervals, nothing is decided",
            [_largest(best, plan, "gain")],
        )
    if plan.along:
        return _along(plan, found, trends)
    return _counted(plan, found)


def helps(best: pd.DataFrame) -> pd.Series:
    """Rows of `strengths.best` with a gain, by the p-value that counts the whole page."""
    return best["gain_p"] <= simultaneous.LEVEL


def costs(best: pd.DataFrame) -> pd.Series:
    """Rows of `strengths.best` that the strongest setting harms, by the same kind of p-value."""
    return best["change_at_max_p"] <= simultaneous.LEVEL


def _along(plan: Layout, found: Findings, trends: Sequence[dict[str, Any]]) -> Verdict:
    """Along a numeric task axis, averaged over encoders."""
    short = format.short_name(plan.axis)
    best = found.mean.sort_values(plan.axis)

    def places(rows: pd.DataFrame) -> str:
        return where(rows[plan.axis].tolist(), plan.values, short)

    gains = best[helps(best)]
    every = f"every {format.long_name(plan.axis)}"
    if not len(gains):
        headline = f"No gain from alignment is shown at any {format.long_name(plan.axis)}"
    else:
        shown = every if len(gains) == len(plan.values) else places(gains)
        headline = f"Alignment helps at {shown}"
    reasons = []
    trend = trends[0] if trends else None
    if trend:
        first, last = trend["best_strength"][0], trend["best_strength"][-1]
        known = f"{_rank(trend['spearman'])} [{_rank(trend['spearman_low'])}, "
        known += f"{_rank(trend['spearman_high'])}]"
        reasons.append(
            f"Best strength: λ* is {format.value(first)} at {short} = "
            f"{format.value(trend['values'][0])} and {format.value(last)} at {short} = "
            f"{format.value(trend['values'][-1])}; Spearman's rank correlation {known}."
        )
    top = best.loc[best["held_out_gain"].idxmax()]
    shown = f"shown at {places(gains)}" if len(gains) else "nowhere shown to be above 0"
    reasons.append(
        f"Gain: {shown}; largest at {short} = {format.value(top[plan.axis])}, "
        f"{change(top, 'held_out_gain', plan)} (mean over encoders, at a λ* that the other seeds "
        "chose)."
    )
    if len(found.stopped_mean):
        left = found.stopped_mean[helps(found.stopped_mean)].sort_values(plan.axis)
        reasons.append(_stopped_along(plan, left, places))
        left = gains[gains[plan.axis].isin(left[plan.axis])]
        if 0 < len(left) < len(gains):
            headline += f"{STOPPED}, a gain is shown only at {places(left)}"
        elif len(gains) and not len(left):
            headline += NOT_STOPPED
    if trend and trend["spearman_low"] > 0:
        headline += f"; the best strength rises with {short}"
    elif trend and trend["spearman_high"] < 0:
        headline += f"; the best strength falls with {short}"
    worst, harmed = best.loc[best["change_at_max"].idxmin()], best[costs(best)]
    strongest = f"λ = {format.value(plan.strengths[-1])}"
    if (best["strongest"] < plan.strengths[-1]).any():
        strongest = "the strongest λ trained so far"
    if len(harmed):
        reasons.append(
            f"Too strong: {strongest} harms at {places(harmed)}; most at {short} = "
            f"{format.value(worst[plan.axis])}, {change(worst, 'change_at_max', plan)}."
        )
    else:
        reasons.append(f"Too strong: no loss is shown at {strongest}.")
    reasons += _imbalance(found.best, plan)
    if len(found.fused):
        reasons.append(_fused_along(plan, found.fused.sort_values(plan.axis), places))
    return Verdict(headline, reasons)


def _stopped_along(plan: Layout, left: pd.DataFrame, places: Where) -> str:
    found = "no gain is shown"
    if len(left):
        top = left.loc[left["held_out_gain"].idxmax()]
        found = f"a gain is shown at {places(left)}, at most {change(top, 'held_out_gain', plan)}"
    return (
        "Early stopping: with every encoder read at its best validation step, at λ = 0 as well, "
        f"and every test of the page counted, {found}."
    )


def _fused_along(plan: Layout, best: pd.DataFrame, places: Where) -> str:
    gains, harmed = best[helps(best)], best[costs(best)]
    found = f"gains at {places(gains)}" if len(gains) else "is nowhere shown to gain"
    if len(harmed):
        found += f", and loses at λ = {format.value(plan.strengths[-1])} at {places(harmed)}"
    return f"Fused: a linear probe on all embeddings together {found}."


def where(some: list, every: list, name: str) -> str:
    """Values of an axis in words: "R ≥ 5", "R = 0, 3 and 8"."""
    text = [format.value(v) for v in some]
    if len(some) == len(every):
        return f"every {name}"
    if len(some) == 1:
        return f"{name} = {text[0]}"
    first = every.index(some[0])
    if every[first : first + len(some)] == some:
        if first == 0:
            return f"{name} ≤ {text[-1]}"
        if some[-1] == every[-1]:
            return f"{name} ≥ {text[0]}"
        return f"{name} from {text[0]} to {text[-1]}"
    return f"{name} = {format.listed(text)}"


def _counted(plan: Layout, found: Findings) -> Verdict:
    """Over all tasks and encoders."""
    best = found.best
    gains, harmed = best[helps(best)], best[costs(best)]
    named = len(best) <= FEW and best["subject"].nunique() == len(best)
    if not len(gains):
        headline = "No gain from alignment is shown"
        headline += f" for {names(best)}" if named else ""
    elif named and len(gains) < len(best):
        headline = (
            f"Alignment helps {names(gains)} but is not shown to help {names(best[~helps(best)])}"
        )
    elif named:
        headline = f"Alignment helps {names(gains)}"
    else:
        headline = f"Alignment helps in {len(gains)} of {len(best)} cases"
    reasons = [] if named else [f"A case is one encoder of one task; there are {len(best)}."]
    reasons.append(_largest(best, plan, "held_out_gain"))
    reasons += _imbalance(best, plan)
    if len(found.stopped):
        left = int(helps(found.stopped).sum())
        reasons.append(
            "Early stopping: with every encoder read at its best validation step, at λ = 0 as "
            f"well, and every test of the page counted, a gain is shown in {left} of {len(best)}."
        )
        if left < len(gains):
            headline += f"{STOPPED}, {left} of {len(best)}" if left else NOT_STOPPED
    if len(harmed):
        worst = best.loc[best["change_at_max"].idxmin()]
        reasons.append(
            f"Too strong: λ = {format.value(worst['strongest'])} harms {len(harmed)} of "
            f"{len(best)}; most {case(worst, plan)}, {change(worst, 'change_at_max', plan)}."
        )
    else:
        reasons.append("Too strong: no loss is shown at the strongest setting.")
    if len(found.fused):
        reasons.append(_fused(plan, found.fused))
    return Verdict(headline, reasons)


def _fused(plan: Layout, best: pd.DataFrame) -> str:
    gains, harmed = int(helps(best).sum()), int(costs(best).sum())
    who = "Fused: a linear probe on all embeddings together"
    if len(best) > 1:
        return (
            f"{who} gains in {gains} of {len(best)} tasks and loses at the strongest λ in {harmed}."
        )
    found = "gains" if gains else "is not shown to gain"
    return f"{who} {found}; at the strongest λ, {change(best.iloc[0], 'change_at_max', plan)}."


def names(rows: pd.DataFrame) -> str:
    """The encoders of these rows, listed."""
    return format.listed([format.shorten(str(name), 24) for name in rows["subject"]])


def _largest(best: pd.DataFrame, plan: Layout, column: str) -> str:
    top = best.loc[best[column].idxmax()]
    what = "held-out gain" if column == "held_out_gain" else "gain"
    shown = (
        "" if len(best) > 1 or column == "gain" or helps(best).any() else ", not shown to be one"
    )
    return (
        f"The largest {what}{shown}: {case(top, plan)}, {change(top, column, plan)}; "
        f"λ* = {format.value(top['best_strength'])}."
    )


def _imbalance(best: pd.DataFrame, plan: Layout) -> list[str]:
    """A word on encoders that, aligned with nothing, are hardly above the most frequent class."""
    if "majority" not in best:
        return []
    low = best[best["base"] < best["majority"] + strengths.MARGIN]
    if not len(low):
        return []
    worst = low.loc[(low["base"] - low["majority"]).idxmin()]
    names = ("base", "majority", *(["balanced"] if "balanced" in best else []))
    base, majority, *balanced = (
        format.number(worst[n] * plan.unit.scale, plan.unit.digits) + plan.unit.suffix
        for n in names
    )
    more = f" (balanced accuracy {balanced[0]})" if balanced else ""
    return [
        f"Imbalance: in {len(low)} of {len(best)} cases the accuracy at λ = 0 is less than a point "
        f"above that of always naming the most frequent class; {case(worst, plan)} has {base}"
        f"{more}, the most frequent class alone {majority}."
    ]


def case(row: pd.Series, plan: Layout) -> str:
    """An encoder and its task: "kar (labels = 100)"."""
    keys = ([plan.axis] if plan.axis else []) + plan.panels
    task = " · ".join(format.setting(k, row[k]) for k in keys)
    return f"{row['subject']} ({task})" if task else str(row["subject"])


def change(row: pd.Series, column: str, plan: Layout) -> str:
    """A change with its interval: "+1.6 [+1.3, +1.9] points"."""
    value, low, high = (
        format.number(
            row.get(f"{column}{end}", float("nan")) * plan.unit.scale, plan.unit.digits, True
        )
        for end in ("", "_low", "_high")
    )
    interval = "" if low == "–" else f" [{low}, {high}]"
    return f"{value}{interval} {plan.unit.change}"


def _rank(value: float) -> str:
    return format.number(value, 2)
