"""Why an encoder gets its verdict, in plain words."""

import math
from typing import Any

from redalign_jax.advise.decide import ALIGN, ALONE, Choice, Estimate
from redalign_jax.data.task import Task


def of(task: Task, choice: Choice | None, k: int, information: list[dict[str, Any]]) -> list[str]:
    """The reasons for encoder `k`'s verdict.

    Args:
      task: the task.
      choice: of the pilot, None where there were too few labels for one.
      k: number of the modality.
      information: of `decomposition.estimates`.
    """
    name = task.modalities[k]
    said = [_tried(task, choice, k)]
    said += [_shares(pair, name) for pair in information if name in (pair["first"], pair["second"])]
    return said


def _gain(task: Task, found: Estimate) -> str:
    if task.classes:
        mean, low, high = (f"{100 * v:+.1f}" for v in (found.mean, found.low, found.high))
        return f"{mean} points of accuracy (95 % interval {low} to {high})"
    mean, low, high = (f"{v:+.3g}" for v in (found.mean, found.low, found.high))
    return f"{mean} in mean absolute error, more is better (95 % interval {low} to {high})"


def _tried(task: Task, choice: Choice | None, k: int) -> str:
    if choice is None:
        return (
            f"There are {len(task.train.y)} labelled training examples, too few to try alignment "
            "on held-out ones. The strength is the one that suits most data; nothing about these "
            "data was measured."
        )
    verdict, refused = choice.verdicts[k], choice.refused[k]
    if not math.isfinite((refused or choice.gains[k]).error):
        return (
            "The time allowed trials on too few parts of the labelled examples to judge; "
            "advise.minutes gives them more. The strength is the one that suits most data."
        )
    if verdict == ALONE and refused and refused.high >= 0:
        return (
            f"Aligned, it did no better on labelled examples that were held out "
            f"({_gain(task, refused)}), and its partners know next to nothing of what it tells "
            "about the label."
        )
    if verdict == ALONE and refused:
        return (
            f"Aligned, it did worse on labelled examples that were held out: "
            f"{_gain(task, refused)}. Its partners may still be aligned to it."
        )
    if refused:
        return (
            f"On labelled examples that were held out, alignment changed it by "
            f"{_gain(task, refused)}: probably for the worse, but {len(task.train.y)} labelled "
            "examples are too few to be sure."
        )
    tried = _gain(task, choice.gains[k])
    if verdict == ALIGN:
        return f"Aligned, it did better on labelled examples that were held out: {tried}."
    return (
        f"On labelled examples that were held out, alignment changed it by {tried}: with "
        f"{len(task.train.y)} labelled examples that is not enough to tell. The strength given is "
        "the best guess, not a finding."
    )


def _shares(pair: dict[str, Any], name: str) -> str:
    side, other = ("first", "second") if pair["first"] == name else ("second", "first")
    share, low, high = (pair[f"shared_fraction_{side}{end}"] for end in ("", "_low", "_high"))
    if share is None:
        return (
            f"It tells next to nothing about the label, so there is nothing to share with "
            f"{pair[other]}."
        )
    kind = "most" if low > 0.5 else "less than half" if high < 0.5 else "some"
    return (
        f"Of what it tells about the label, {share:.0%} (95 % interval {low:.0%} to {high:.0%}) "
        f"{pair[other]} tells too: {kind} of it is shared."
    )
