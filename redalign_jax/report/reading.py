"""How to read the page: a section of it."""

from typing import Any

import pandas as pd

from redalign_jax.analysis import conclusions, differences, strengths
from redalign_jax.report import format
from redalign_jax.report.facets import Layout


def section(plan: Layout, results: pd.DataFrame) -> dict[str, Any]:
    """Terms, what intervals and p-values allow for and speak of, and limits."""
    unit = plan.unit
    terms = {
        "λ": "The alignment strength: encoders are trained on task loss + λ · alignment loss. At 0 "
        "each is trained alone.",
        "Change": f"The {unit.metric} of a run minus that of the same task, seed, initial weights "
        f"and batches at λ = 0, in {unit.change}. "
        + ("" if unit.scale == 100 else "The sign is turned: more is better. ")
        + "What seeds have in common cancels.",
        "λ*": "The strength with the largest mean change; 0 is among the choices.",
        "Held-out gain": "The mean change where every seed is read at the λ* that the other seeds "
        "choose; the best of several noisy means would flatter itself. Its interval is that of the "
        "best strength’s true gain, 0 being among the choices: it allows for the search over λ.",
        "Stopped early": "Every run is read at the step of its best validation score, at λ = 0 as "
        "well.",
        "Change at the strongest": "The mean change at the largest λ of the sweep.",
        "Interval": "95 %, over seeds: Student's t for means, a percentile bootstrap for λ*. Each "
        "is for itself: of many, some exclude 0 by chance alone." + _resplit(results),
        "p": "How often chance alone would bring such a gain (the largest t over all λ), or such a "
        "loss at the strongest λ, somewhere among the encoders of the table (Holm), times 2 for "
        f"the two directions{_tables(results)}. If alignment changed nothing"
        + (" on these test rows" if _fixed(results) else "")
        + ", the page would show any ▲ or ▼ at all with probability 5 % at most.",
        "Speaks of": f"{format.capital(conclusions.speaks_of(results))}: seeds differ in "
        f"{_differ(results)}.",
    }
    if (results["metric"] == f"bayes_{plan.metric}").any():
        terms["Best possible"] = "The accuracy of the exact Bayes classifier from that modality."
    limits = [
        "λ* is chosen on the test split; the held-out gain is read on other seeds of it, and p "
        "allows for the choice.",
        "Other datasets, encoders, sizes and numbers of labels: every number is about these.",
        "Best strengths are points of the grid that was swept; where λ* is its largest, more may "
        "be better.",
    ]
    if plan.axis == "redundancy":
        limits.append(
            "R counts the relevant bits that both modalities see, not information: R = 0 is not "
            "zero redundancy in nats."
        )
    return {"terms": terms, "limits": limits}


def margin(plan: Layout) -> str:
    """What is too little to matter."""
    if plan.unit.scale == 100:
        return f"{strengths.MARGIN * 100:g} {plan.unit.change.removesuffix('s')}"
    return f"{strengths.MARGIN:.0%} of the error at λ = 0".replace("%", " %")


def worst(results: pd.DataFrame) -> str:
    """What diverged encoders count as; see `differences.settled`."""
    if differences.quality_metric(results)[1] < 0:
        return "the largest error of the same task and encoder"
    if (results["metric"] == differences.MAJORITY).any():
        return "the accuracy of the most frequent class alone"
    return "an accuracy of 0"


def _resplit(results: pd.DataFrame) -> str:
    """What the splits do to intervals; nothing where seeds are independent."""
    share = differences.share(results)
    if not share:
        return ""
    how, more = "split the same rows again", ""
    if _fixed(results):
        how = "have the same test rows"
        more = " What is peculiar to these rows is in every number, and no interval holds it."
    return (
        f" Seeds {how}, so they are not independent: standard errors are s·√(1/J + "
        f"{format.number(share, 2)}) for J seeds, the second number being n_test / (N − n_test)."
        + more
    )


def _tables(results: pd.DataFrame) -> str:
    count = strengths.families(results)
    return f" and {count} for the tables of the page" if count > 1 else ""


def _fixed(results: pd.DataFrame) -> bool:
    return differences.FIXED in results and bool(results[differences.FIXED].any())


def _differ(results: pd.DataFrame) -> str:
    if not differences.share(results):
        return "the rows drawn for them, the initial weights and the batches"
    if _fixed(results):
        return "the labelled rows, the initial weights and the batches, not in the test rows"
    return "how the same rows are split, the initial weights and the batches"
