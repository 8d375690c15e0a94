"""The page of advice, for a reader outside the field."""

from pathlib import Path
from typing import Any

from redalign_jax.advise import explain
from redalign_jax.advise.decide import ALIGN_CONTRAST, ALIGN_POSTERIORS, LEAVE, OPEN, SAME
from redalign_jax.data import look
from redalign_jax.report import advice_figures, format, page, render, tables
from redalign_jax.runtime import workdir

SAYS = {
    ALIGN_POSTERIORS: "Let it learn from its partner’s posterior",
    ALIGN_CONTRAST: "Align it by contrast",
    LEAVE: "Leave it alone",
    SAME: "Aligned or not makes no difference",
    OPEN: "Not enough data to tell",
}


def make(folder: Path, about: dict[str, Any], found: dict[str, Any]) -> Path:
    """Writes `advice.html` and its figures.

    Args:
      folder: the workdir.
      about: what `config.json` holds.
      found: of `advise.advise`.
    """
    encoders, trials = found["encoders"], found["trials"]
    drawn = [render.render(chart) for chart in advice_figures.charts(found)]
    render.save(folder, drawn)
    html = page.fill(
        "advice",
        title=_headline(encoders),
        source=about["config"]["data"].get("source", "experiment"),
        data=page.data({"look": workdir.read_lines(folder / look.FILE)}),
        encoders={name: _encoder(row, trials) for name, row in encoders.items()},
        todo=explain.todo(found) if any(row["strength"] for row in encoders.values()) else None,
        path=folder / "advice.json",
        pictures=drawn,
        tried=_tried(trials) if trials["repeats"] else None,
        labelled=trials["labelled"],
        prior=bool(trials["repeats"] and trials["prior"]),
    )
    path = folder / "advice.html"
    workdir.write(path, lambda p: p.write_bytes(html.encode()))
    return path


def _headline(encoders: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = {}
    for name, row in encoders.items():
        groups.setdefault(row["verdict"], []).append(format.shorten(name, 30))
    if list(groups) == [OPEN]:
        return "The data do not tell whether aligning helps"
    parts = []
    for verdict, says in (
        (ALIGN_POSTERIORS, "let {} learn from posteriors"),
        (ALIGN_CONTRAST, "align {}"),
        (LEAVE, "leave {} alone"),
        (SAME, "for {} it makes no difference"),
        (OPEN, "for {} the data do not tell"),
    ):
        if verdict in groups:
            parts.append(says.format(format.listed(groups[verdict])))
    return format.capital("; ".join(parts))


def _encoder(row: dict[str, Any], trials: dict[str, Any]) -> dict[str, Any]:
    facts = {"Strength λ": f"{row['strength']:g}"}
    if trials["repeats"]:
        unit = trials["unit"]
        change = f"{explain.ends(row['expected_change'], unit)} {unit['name']}"
        facts[f"Expected change by {row['arm']}"] = change.replace("-", "−")
        most = explain.number(row["regret"], unit, False)
        facts["Another choice is better by at most"] = f"{most} {unit['name']} (95 %)"
    return {"says": SAYS[row["verdict"]], "facts": facts, "reasons": row["reasons"]}


def _tried(trials: dict[str, Any]) -> tables.Table:
    unit, rows = trials["unit"], []
    header = ["encoder", "way to align", "measured here"]
    header += ["other datasets"] if trials["prior"] else []
    balanced = trials.get("balanced_changes")
    header += ["balanced accuracy"] if balanced else []
    for name, changes in trials["changes"].items():
        for k, arm in enumerate(trials["arms"]):
            cells = [name, arm, explain.ends(changes[k], unit)]
            if trials["prior"]:
                cells.append(explain.ends(trials["prior"][name][k], unit))
            if balanced:
                cells.append(explain.number(balanced[name][k], unit))
            rows.append([cell.replace("-", "−") if i > 1 else cell for i, cell in enumerate(cells)])
    return tables.Table(
        header,
        rows,
        2,
        f"Change against no alignment, {unit['name']}: {trials['trainings']} trainings over "
        f"{trials['folds']} folds of the labelled examples, {trials['repeats']} times",
    )
