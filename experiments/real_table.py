"""What the workdirs of `real.py` say, one row per task and encoder, as Markdown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from redalign_jax.analysis import balanced, differences, information, strengths
from redalign_jax.runtime import results

ENDS = ("", "_low", "_high")
ATOMS = ("redundancy", "unique_first", "unique_second", "synergy")
LONG = ("redundancy", "mfeat")  # too many rows for a table


def collect(runs: Path, names: list[str]) -> list[dict[str, Any]]:
    """One row per experiment × task × encoder whose sweep is finished."""
    return [
        row
        for name in names
        if (runs / name / f"{results.RESULTS}.parquet").exists()
        for row in _rows(runs, name)
    ]


def _rows(runs: Path, name: str) -> list[dict[str, Any]]:
    every = results.read(runs / name, results.RESULTS)
    grid, _ = balanced.split(every)
    metric, _ = differences.quality_metric(grid)
    axes = differences.columns(grid).tasks
    known = None
    if (runs / name / f"{results.DECOMPOSITION}.parquet").exists():
        known = results.read(runs / name, results.DECOMPOSITION)
    about = _mean_over_seeds(information.of_encoders(grid, known), axes)
    fixed = differences.curves(grid, metric)
    mechanism = _mechanism(every)
    fused = grid[grid["subject"] == "fusion"]
    fused = strengths.best(fused, f"probe_{metric}", strengths.families(grid))
    rows = []
    for early, best in (
        (strengths.best(grid, f"early_{metric}"), strengths.best(grid)),
        (None, fused),
    ):
        for row in differences.records(best):
            task = {axis: row[axis] for axis in axes}
            key = (*task.values(), row["subject"])
            row |= {"experiment": name, "task": ", ".join(map(str, task.values()))}
            row["scale"] = 100 if metric == "accuracy" else 1
            row["balanced"] = mechanism.get(key)
            if early is not None:
                row["early"] = _at(early, task | {"subject": row["subject"]})
                row["shared"] = _at(about, task | {"subject": key[-1]})
                row["advice"] = _advice(runs, name, row["task"], key[-1])
                row["fixed"] = _where(fixed, task | {"subject": key[-1]})["change"].tolist()
            rows.append(row)
    return rows


def _mean_over_seeds(about: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    on = [c for c in (*axes, "subject") if c in about]
    return about.groupby(on, as_index=False)[list(information.COLUMNS)].mean()


def _where(table: pd.DataFrame, where: dict[str, Any]) -> pd.DataFrame:
    for column in where.keys() & set(table):
        table = table[table[column] == where[column]]
    return table


def _at(table: pd.DataFrame, where: dict[str, Any]) -> dict[str, Any] | None:
    found = _where(table, where)
    return differences.records(found)[0] if len(found) == 1 else None


def _mechanism(every: pd.DataFrame) -> dict[tuple, dict[str, Any]]:
    """By task and subject, what the balanced mechanism changed."""
    metric, _ = differences.quality_metric(every)
    found = {}
    for of, fused in ((metric, False), (f"probe_{metric}", True)):
        table = balanced.compare(every, of, fused=fused) or {"encoders": []}
        axes = differences.columns(every).tasks
        for row in table["encoders"]:
            subject = "fusion" if fused else row["subject"]
            found[(*(row[axis] for axis in axes), subject)] = row
    return found


def _advice(runs: Path, name: str, task: str, encoder: str) -> dict[str, Any] | None:
    """The verdict, and what following it changed."""
    advice = runs / f"{name}.advice.{task or 'all'}" / "advice.json"
    advised = runs / f"{name}.advised.{task or 'all'}"
    if not advice.exists():
        return None
    said = json.loads(advice.read_text())["encoders"][encoder]
    if (advised / f"{results.RESULTS}.parquet").exists():
        best = strengths.best(results.read(advised, results.RESULTS))
        row = _at(best, {"subject": encoder})
        said |= {f"change{end}": row[f"harm{end}"] for end in ENDS}
    return said


def _interval(row: dict[str, Any] | None, name: str, scale: float, digits: int, plus: bool) -> str:
    if row is None or row.get(name) is None:
        return ""
    value, low, high = (row.get(f"{name}{end}") for end in ENDS)
    mark = "+" if plus else ""
    shown = f"{value * scale:{mark}.{digits}f}"
    if low is not None and high is not None:
        shown += f" [{low * scale:.{digits}f}, {high * scale:.{digits}f}]"
    return shown.replace("-", "−")


def information_table(runs: Path, names: list[str]) -> str:
    """The decomposition of every task and pair, nats."""
    lines = ["| experiment | task | pair | R | U₁ | U₂ | S |", "|" + " --- |" * 7]
    for name in names:
        path = runs / name / f"{results.DECOMPOSITION}.parquet"
        if name in LONG or not path.exists():
            continue
        table = results.read(runs / name, results.DECOMPOSITION)
        axes = list(table.columns[: table.columns.get_loc("first")])
        for row in differences.records(table):
            task = ", ".join(str(row[axis]) for axis in axes)
            atoms = [_interval(row, atom, 1, 2, False) for atom in ATOMS]
            lines.append(
                f"| {name} | {task} | {row['first']}, {row['second']} | {' | '.join(atoms)} |"
            )
    return "\n".join(lines)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of all encoders, then lines of means and of regrets per experiment."""
    head = (
        "| experiment | task | encoder | λ = 0 | λ\\* | held-out gain | stopped early |"
        " strongest λ | balanced | advice | as advised |"
    )
    lines = [head, "|" + " --- |" * 11]
    for row in rows:
        if row["experiment"] in LONG:
            continue
        scale, digits = row["scale"], 1 if row["scale"] == 100 else 3
        said = row.get("advice")
        cells = [
            row["experiment"],
            row["task"],
            row["subject"],
            f"{row['base'] * scale:.{digits}f}",
            f"{row['best_strength']:g}",
            _interval(row, "held_out_gain", scale, digits, True),
            _interval(row.get("early"), "held_out_gain", scale, digits, True),
            _interval(row, "change_at_max", scale, digits, True),
            _interval(row["balanced"], "change", scale, digits, True),
            f"{said['verdict']}, {said['strength']:g}" if said else "",
            _interval(said, "change", scale, digits, True),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_means(rows), "", *_regrets(rows)])


def _means(rows: list[dict[str, Any]]) -> list[str]:
    """Per experiment the mean changes of its encoders, and the worst."""
    lines = [
        "| experiment | encoders | held-out gain | strongest λ | balanced | worst balanced |"
        " as advised | worst as advised |",
        "|" + " --- |" * 8,
    ]
    encoders = [row for row in rows if row["subject"] != "fusion"]
    for name in dict.fromkeys(row["experiment"] for row in encoders):
        own = [row for row in encoders if row["experiment"] == name]
        scale, digits = own[0]["scale"], 1 if own[0]["scale"] == 100 else 3
        columns = [
            [row["held_out_gain"] for row in own],
            [row["change_at_max"] for row in own],
            [row["balanced"]["change"] for row in own if row["balanced"]],
            [row["advice"]["change"] for row in own if "change" in (row.get("advice") or {})],
        ]
        cells = []
        for k, values in enumerate(columns):
            shown = [np.mean(values), np.min(values)] if values else []
            shown = [f"{v * scale:+.{digits}f}".replace("-", "−") for v in shown] or ["", ""]
            cells += shown if k > 1 else shown[:1]
        lines.append(f"| {name} | {len(own)} | " + " | ".join(cells) + " |")
    return lines


def _regrets(rows: list[dict[str, Any]]) -> list[str]:
    """Per experiment, mean (worst) distance to the best fixed λ of each encoder in hindsight."""
    lines = ["| regret | advice | always 0 | the best single λ |", "|" + " --- |" * 4]
    told = [row for row in rows if "change" in (row.get("advice") or {})]
    for name in dict.fromkeys(row["experiment"] for row in told):
        own = [row for row in told if row["experiment"] == name]
        fixed = np.array([row["fixed"] for row in own])
        single = fixed[:, fixed.mean(axis=0).argmax()]
        got = [np.array([row["advice"]["change"] for row in own]), np.zeros(len(own)), single]
        regrets = [(fixed.max(axis=1) - change) * own[0]["scale"] for change in got]
        cells = [f"{r.mean():.1f} ({r.max():.1f})" for r in regrets]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines
