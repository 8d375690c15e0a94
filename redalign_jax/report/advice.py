"""The page of advice, for a reader outside the field."""

from pathlib import Path
from typing import Any

from redalign_jax.advise.decide import ALIGN, ALONE, UNDECIDED
from redalign_jax.data import look
from redalign_jax.report import advice_figures, format, page, render, tables
from redalign_jax.runtime import workdir

SAYS = {
    ALIGN: "Align it",
    ALONE: "Do not align it",
    UNDECIDED: "Not enough data to tell",
}


def make(folder: Path, about: dict[str, Any], found: dict[str, Any]) -> Path:
    """Writes `advice.html` and its figures.

    Args:
      folder: the workdir.
      about: what `config.json` holds.
      found: of `advise.advise`.
    """
    encoders, pilot = found["encoders"], found["pilot"]
    drawn = [render.render(chart) for chart in advice_figures.charts(found)]
    render.save(folder, drawn)
    html = page.fill(
        "advice",
        title=_headline(encoders),
        source=about["config"]["data"].get("source", "experiment"),
        data=page.data({"look": workdir.read_lines(folder / look.FILE)}),
        encoders={name: _encoder(row, pilot) for name, row in encoders.items()},
        todo=_todo(found),
        path=folder / "advice.json",
        expected=[one for one in drawn if one.chart.name == "expected_change"],
        pictures=[one for one in drawn if one.chart.name == "tried"],
        tried=_tried(encoders, pilot) if pilot["folds"] else None,
        labelled=pilot["labelled"],
    )
    path = folder / "advice.html"
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


def _encoder(row: dict[str, Any], pilot: dict[str, Any]) -> dict[str, Any]:
    facts = {"Strength λ": f"{row['strength']:g}"}
    if row["verdict"] == ALIGN:
        near = row["strength_interval"]
        if near[0] < near[1]:
            facts["Strength λ"] += f" (from {near[0]:g} to {near[1]:g} the trials do not differ"
            facts["Strength λ"] += " clearly)"
        gain = _gain(row["expected_gain"], row["expected_gain_interval"], pilot)
        facts["Expected change"] = gain
    return {"says": SAYS[row["verdict"]], "facts": facts, "reasons": row["reasons"]}


def _todo(found: dict[str, Any]) -> list[str]:
    """What to train, as sentences; none where nothing is to be aligned."""
    if not any(row["strength"] for row in found["encoders"].values()):
        return []
    hyper = {name: values[0] for name, values in found["config"]["hyper"].items()}
    said = [f"Alignment is on for the first {hyper['align_fraction']:.0%} of training, then off."]
    if hyper["false_negative_weight"]:
        said.append("Pairs that probably share their label are not pushed apart.")
    return [*said, f"The temperature of the contrastive loss is {hyper['temperature']:g}."]


def _tried(encoders: dict[str, Any], pilot: dict[str, Any]) -> tables.Table:
    scale, digits = (100, 1) if pilot["metric"] == "accuracy" else (1, 3)
    rows = []
    for k, strengths in enumerate(pilot["candidates"]):
        cells = [", ".join(f"{s:g}" for s in strengths)]
        gains = (pilot["gains"][name][k] for name in encoders)
        # one that diverged has none
        cells += ["–" if g is None else format.number(g * scale, digits, True) for g in gains]
        rows.append(cells)
    return tables.Table(
        [f"λ of {', '.join(encoders)}", *encoders],
        rows,
        1,
        f"Mean change against no alignment on held-out labelled examples, {pilot['trainings']} "
        f"trainings over {pilot['folds']} folds",
    )
