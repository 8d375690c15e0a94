"""An advice in plain words."""

from typing import Any

from redalign_jax.advise.decide import BAND, DECIDED, LEAVE, OPEN, SAME

LIMIT = f"{BAND:g} points"


def number(value: float, unit: dict[str, Any], sign: bool = True) -> str:
    """A change in the user's units."""
    return f"{value * unit['scale']:{'+' if sign else ''}.{unit['digits']}f}"


def ends(values: list[float] | tuple[float, ...], unit: dict[str, Any]) -> str:
    """A change with its interval, (mean, low, high)."""
    mean, low, high = (number(v, unit) for v in values)
    return f"{mean} [{low}, {high}]"


def of(name: str, row: dict[str, Any], trials: dict[str, Any], pid: list[dict[str, Any]]) -> list:
    """The reasons for an encoder's verdict, one sentence each."""
    if not trials["repeats"]:
        return [_untried(trials), *_shares_of(name, pid)]
    unit, said = trials["unit"], []
    k = trials["arms"].index(row["arm"])
    said.append(
        f"On {trials['judged']} labelled examples that were held out, {row['arm']} changed it by "
        f"{ends(trials['changes'][name][k], unit)} {unit['name']}."
    )
    if trials["prior"]:
        said.append(
            "On other datasets, encoders like this one changed by "
            f"{ends(trials['prior'][name][k], unit)}; both together say "
            f"{ends(row['expected_change'], unit)}."
        )
    if row["hangs_on_prior"]:
        said.append("The verdict hangs on those other datasets: these examples alone are too few.")
    if row["verdict"] in DECIDED:
        said.append(
            "Any other choice that was tried is better by at most "
            f"{number(row['regret'], unit, False)} {unit['name']}, at 95 %."
        )
    elif row["labels_needed"]:
        said.append(f"About {row['labels_needed']} more labelled examples would settle it.")
    if trials["gate"] is not None:
        said.append(_gate(trials["gate"][name]))
    return [*said, *_shares_of(name, pid)]


def _gate(gate: float) -> str:
    if gate < 0.01:
        return "The validation examples do not show that its partner's posterior tells it anything."
    return f"By the validation examples its partner's posterior is worth following to {gate:.0%}."


def _untried(trials: dict[str, Any]) -> str:
    labelled = trials["labelled"]
    if not trials["enough"]:
        count = f"{labelled} labelled training examples"
        if trials["units"] < labelled:
            count += f" in {trials['units']} groups that belong together"
        return (
            f"There are {count}, too few to try alignment on held-out ones. Nothing about these "
            "data was measured."
        )
    return "The time was too short for one round of trials; advise.minutes gives more."


def text(found: dict[str, Any]) -> str:
    """An advice as lines for a terminal: all that is needed to follow it.

    Args:
      found: of `advise.advise`.
    """
    trials = found["trials"]
    lines = [_line(name, row, trials) for name, row in found["encoders"].items()]
    return "\n".join([*lines, f"what to do: {todo(found)}"])


def todo(found: dict[str, Any]) -> str:
    """What to train, in one sentence."""
    strengths = {name: row["strength"] for name, row in found["encoders"].items()}
    if not any(strengths.values()):
        return "train without alignment, λ = 0"
    each = ", ".join(f"{v:g} for {name}" for name, v in strengths.items())
    objective = found["config"]["alignment"]["objective"]
    hyper = found["config"]["hyper"]
    how = "" if objective == "posterior" else f", temperature {hyper['temperature'][0]:g}"
    return f"objective {objective}{how}, constant strength λ = {each}"


def _line(name: str, row: dict[str, Any], trials: dict[str, Any]) -> str:
    """Verdict, strength and expected change of one encoder, or why there is none."""
    said = f"{name}: {row['verdict']}, λ = {row['strength']:g}"
    if not trials["repeats"]:
        return f"{said}. {row['reasons'][0]}"
    unit = trials["unit"]
    change = f"{ends(row['expected_change'], unit)} {unit['name']}"
    if row["strength"]:
        said += f"; expected change {change}"
    elif row["verdict"] == SAME:
        said += f"; no way that was tried changes it by more than {LIMIT}"
    elif row["verdict"] == LEAVE:
        said += f"; {row['arm']} would change it by {change}"
    elif row["verdict"] == OPEN:
        said += f"; {row['arm']} would change it by {change}, that is not enough to tell"
        if row["labels_needed"]:
            said += f"; about {row['labels_needed']} more labels would"
    return said + (" (hangs on other datasets)" if row["hangs_on_prior"] else "")


def _shares_of(name: str, pid: list[dict[str, Any]]) -> list[str]:
    return [_shares(pair, name) for pair in pid if name in (pair["first"], pair["second"])]


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
