"""Why an encoder gets its verdict, in plain words."""

import math
from typing import Any

from redalign_jax.advise import cross_validate
from redalign_jax.advise.decide import ALIGN, ALONE, UNDECIDED, Choice, Estimate
from redalign_jax.task import Task


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


def text(found: dict[str, Any]) -> str:
    """An advice as lines for a terminal: all that is needed to follow it.

    Args:
      found: of `advise.advise`.
    """
    lines = [_line(name, row, found["pilot"]) for name, row in found["encoders"].items()]
    hyper = {name: values[0] for name, values in found["config"]["hyper"].items()}
    if not any(row["strength"] for row in found["encoders"].values()):
        return "\n".join([*lines, "what to do: train without alignment, λ = 0"])
    until = f"the first {hyper['align_fraction']:.0%} of training, then off"
    lines.append(
        f"schedule: alignment is on for {until} (hyper.align_fraction={hyper['align_fraction']:g})"
    )
    lines.append(f"temperature: {hyper['temperature']:g} (hyper.temperature)")
    if hyper["false_negative_weight"]:
        apart = "pairs that share their label are not pushed apart"
        lines.append(
            f"negatives: {apart} (hyper.false_negative_weight={hyper['false_negative_weight']:g})"
        )
    return "\n".join(lines)


def _line(name: str, row: dict[str, Any], pilot: dict[str, Any]) -> str:
    """Verdict, strength and expected change of one encoder, and its first reason."""
    said = f"{name}: {row['verdict']}, λ = {row['strength']:g}"
    if row["verdict"] != ALIGN:
        return f"{said}. {row['reasons'][0]}"
    low, high = row["strength_interval"]
    near = f" ({low:g} to {high:g} do not differ clearly)" if low < high else ""
    change = _change(
        pilot["metric"] == "accuracy", row["expected_gain"], *row["expected_gain_interval"]
    )
    return f"{said}{near}; expected change {change}"


def _gain(task: Task, found: Estimate) -> str:
    return _change(bool(task.classes), found.mean, found.low, found.high)


def _change(classes: bool, *values: float) -> str:
    """A change with its interval, (mean, low, high)."""
    if classes:
        mean, low, high = (f"{100 * v:+.1f}" for v in values)
        return f"{mean} points of accuracy (95 % interval {low} to {high})"
    mean, low, high = (f"{v:+.3g}" for v in values)
    return f"{mean} in mean absolute error, more is better (95 % interval {low} to {high})"


def _tried(task: Task, choice: Choice | None, k: int) -> str:
    labelled = len(task.train.y)
    if choice is None:
        count = f"{labelled} labelled training examples"
        if task.groups is not None and cross_validate.units(task) < labelled:
            count += f" in {cross_validate.units(task)} groups that belong together"
        return (
            f"There are {count}, too few to try alignment on held-out ones. Nothing about these "
            "data was measured."
        )
    verdict, found = choice.verdicts[k], choice.gains[k]
    without, aligned = choice.diverged[k]
    if without:
        return (
            f"Training without alignment diverged on {without} of {cross_validate.FOLDS} parts of "
            "the labelled examples, so nothing can be compared with it; a lower "
            "hyper.learning_rate may help."
        )
    if aligned and verdict == UNDECIDED:
        return (
            f"Aligned, training diverged on {aligned} of {cross_validate.FOLDS} parts of the "
            "labelled examples."
        )
    if not math.isfinite(found.error):
        return (
            "The time allowed trials on too few parts of the labelled examples to judge; "
            "advise.minutes gives them more."
        )
    tried = _gain(task, found)
    if verdict == ALONE:
        return (
            f"Aligned, it did worse on labelled examples that were held out: {tried}. Its partners "
            "may still be aligned to it."
        )
    if verdict == ALIGN:
        return f"Aligned, it did better on labelled examples that were held out: {tried}."
    return (
        f"On labelled examples that were held out, alignment changed it by {tried}: with "
        f"{labelled} labelled examples that is not enough to tell."
    )


def _shares(pair: dict[str, Any], name: str) -> str:
    side, other = ("first", "second") if pair["first"] == name else ("second", "first")
    share, low, high = (pair[f"shared_fraction_{side}{end}"] for end in ("", "_low", "_high"))
    known = pair[f"information_{side}_low"]
    if share is None or (known is not None and known <= 0):
        most = pair[f"information_{side}_high"]
        bound = "" if most is None else f" (at most {most:.2g} nats)"
        return (
            f"Beside {pair[other]}, nothing that it tells about the label was told from noise"
            f"{bound}, so what they share is not known."
        )
    if low is None:
        return f"Of what it tells about the label, {share:.0%} {pair[other]} tells too."
    said = f"Of what it tells about the label, {share:.0%} (95 % interval {low:.0%} to {high:.0%})"
    if low > 0.5:
        kind = "most of it is shared"
    elif high < 0.5:
        kind = "less than half of it is shared"
    else:
        kind = "some of it is shared" if low > 0 else "whether any of it is shared is not known"
    return f"{said} {pair[other]} tells too: {kind}."
