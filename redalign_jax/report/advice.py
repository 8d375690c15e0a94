"""The page of advice, for a reader outside the field."""

from html import escape
from pathlib import Path
from typing import Any

from redalign_jax.advise.decide import ALIGN, ALONE, UNDECIDED
from redalign_jax.report import format, page, tables
from redalign_jax.runtime import workdir

SAYS = {
    ALIGN: "Align it",
    ALONE: "Do not align it",
    UNDECIDED: "Not enough data to tell",
}


def make(folder: Path, about: dict[str, Any], found: dict[str, Any]) -> Path:
    """Writes `advice.html`.

    Args:
      folder: the workdir.
      about: what `config.json` holds.
      found: of `advise.advise`.
    """
    encoders, pilot = found["encoders"], found["pilot"]
    headline = _headline(encoders)
    source = about["config"]["data"].get("source", "experiment")
    body = [
        f'<header><p class="kicker">redalign · advice · {escape(str(source))}</p>'
        f"<h1>{escape(headline)}</h1>"
        "<p>Two encoders are <i>aligned</i> when, beside their task, they are trained to give "
        "paired inputs similar representations. It helps where the inputs say the same about the "
        "label, and costs where each says something of its own.</p></header>",
        *(_encoder(name, row, pilot) for name, row in encoders.items()),
        _todo(folder, found),
        _tried(encoders, pilot),
        _limits(pilot),
    ]
    path = folder / "advice.html"
    html = page.document(headline, body)
    workdir.write(path, lambda p: p.write_text(html))
    return path


def _headline(encoders: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = {}
    for name, row in encoders.items():
        groups.setdefault(row["verdict"], []).append(format.shorten(name, 30))
    if list(groups) == [UNDECIDED]:
        return "The data do not tell whether aligning helps"
    parts = []
    for verdict, says in ((ALIGN, "align {}"), (ALONE, "leave {} alone"), (UNDECIDED, "")):
        names = format.listed(groups.get(verdict, []))
        if names and says:
            parts.append(says.format(names))
        elif names:
            parts.append(f"for {names} the data do not tell")
    return format.capital("; ".join(parts))


def _gain(value: float, ends: list[float], pilot: dict[str, Any]) -> str:
    scale, unit = (100, "points") if pilot["metric"] == "accuracy" else (1, "units of the target")
    low, high = (format.number(v * scale, 1, True) for v in ends)
    return f"{format.number(value * scale, 1, True)} {unit} (95 % interval {low} to {high})"


def _encoder(name: str, row: dict[str, Any], pilot: dict[str, Any]) -> str:
    facts = {"Strength λ": f"{row['strength']:g}"}
    if row["verdict"] == ALIGN:
        near = row["strength_interval"]
        if near[0] < near[1]:
            facts["Strength λ"] += f" (from {near[0]:g} to {near[1]:g} the trials do not differ"
            facts["Strength λ"] += " clearly)"
        gain = _gain(row["expected_gain"], row["expected_gain_interval"], pilot)
        facts["Expected change"] = gain
    reasons = "".join(f"<li>{escape(format.glued(r))}</li>" for r in row["reasons"])
    return (
        f"<section><h2>{escape(name)}: {SAYS[row['verdict']]}</h2>"
        f'{tables.pairs(facts)}<ul class="reasons">{reasons}</ul></section>'
    )


def _todo(folder: Path, found: dict[str, Any]) -> str:
    hyper = found["config"]["hyper"]
    if not any(row["strength"] for row in found["encoders"].values()):
        return (
            "<section><h2>What to do</h2><p>Train without alignment. More labelled examples may "
            "tell more.</p></section>"
        )
    until = hyper["align_fraction"][0]
    parts = [f"Alignment is on for the first {until:.0%} of training and then off."]
    if hyper["false_negative_weight"][0]:
        parts.append("Pairs that probably share their label are not pushed apart.")
    parts.append(f"The temperature of the contrastive loss is {hyper['temperature'][0]:g}.")
    return (
        "<section><h2>What to do</h2><p>" + " ".join(parts) + "</p><pre>"
        "python -m redalign_jax --job=sweep --config=… --workdir=… "
        f"--config.advice={escape(str(folder / 'advice.json'))}</pre>"
        "<p>trains as advised beside no alignment, on the task’s own splits.</p></section>"
    )


def _tried(encoders: dict[str, Any], pilot: dict[str, Any]) -> str:
    if not pilot["folds"]:
        return ""
    scale, digits = (100, 1) if pilot["metric"] == "accuracy" else (1, 3)
    rows = []
    for k, strengths in enumerate(pilot["candidates"]):
        cells = [", ".join(f"{s:g}" for s in strengths)]
        cells += [format.number(pilot["gains"][name][k] * scale, digits, True) for name in encoders]
        rows.append(cells)
    table = tables.html(
        [f"λ of {', '.join(encoders)}", *encoders],
        rows,
        1,
        f"Mean change against no alignment on held-out labelled examples, {pilot['trainings']} "
        f"trainings over {pilot['folds']} folds",
    )
    return f"<section><h2>What was tried</h2>{table}</section>"


def _limits(pilot: dict[str, Any]) -> str:
    said = [
        f"It was found from the {pilot['labelled']} labelled training examples alone, by training "
        "on most of them and judging on the rest. Validation and test examples were not looked at.",
        "It holds for this kind of encoder, this number of labels and this length of training. "
        "With many more labels there is less to gain.",
        "Intervals speak of other examples of the same kind of data, not of other kinds. They hold "
        "for all encoders of this page together; the expected change of a strength that was chosen "
        "is that on examples without a part in the choice.",
    ]
    items = "".join(f"<li>{escape(s)}</li>" for s in said)
    return f"<section><h2>What it cannot tell</h2><ul>{items}</ul></section>"
