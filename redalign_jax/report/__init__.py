"""The report of a workdir: `summary.json`, figures, and one page that says what was found."""

from pathlib import Path
from typing import Any

import pandas as pd

from redalign_jax import rooms
from redalign_jax.analysis import balanced, conclusions, differences, on_atlas, shuffled
from redalign_jax.data import look
from redalign_jax.errors import UserError
from redalign_jax.fitted import train
from redalign_jax.report import (
    atlas_figure,
    charts,
    control,
    decomposition,
    facets,
    findings,
    law_figure,
    law_text,
    mechanism,
    page,
    reading,
    regime_map,
    render,
    tables,
    told,
)
from redalign_jax.runtime import results, workdir
from redalign_jax.sweep import shards

COLUMNS = ("seed", "strength", "subject", "metric", "value", "diverged")


def make(folder: str | Path) -> dict[str, Any]:
    """Draws the report of what a workdir holds, without training; the same files every time.

    Writes `summary.json`, `figures/*.svg`, `figures/*.png` and `report.html`, which needs no other
    file.

    Args:
      folder: the workdir, with `config.json` and `results.parquet`, `decomposition.parquet` or
        both; `curves.parquet` is optional.

    Returns:
      The summary, see `conclusions.summarise`, and the rows of `decomposition` if there are any.

    Raises:
      UserError: a file of the workdir is missing or cannot be read, or it holds a fit.
    """
    folder = Path(folder)
    about = workdir.read_config(folder)
    about["look"] = workdir.read_lines(folder / look.FILE)
    known = None
    if results.there(folder, results.DECOMPOSITION):
        known = results.read(folder, results.DECOMPOSITION)
        if not shards.any_of(folder) or train.holds(folder):
            return _decomposed(folder, about, known)
    if train.holds(folder):
        raise UserError(
            f"workdir: {folder} holds a fit, one setting with nothing to compare it with; "
            f"--job=fit prints how good it is, {folder / results.RESULTS}.csv has every number, "
            "and --job=sweep into another folder compares strengths"
        )
    every, under_way = _read(folder, results.RESULTS)
    every = _with_shares(every, about["config"]["data"])
    true, _ = shuffled.split(every)
    table, _ = balanced.split(true)
    learning = None
    if under_way or results.there(folder, results.CURVES):
        learning, _ = balanced.split(shuffled.split(_read(folder, results.CURVES)[0])[0])
    summary = conclusions.summarise(table, known) | {"balanced": balanced.comparisons(true)}
    summary["shuffled"] = shuffled.comparisons(every)
    summary["atlas"] = on_atlas.points(true, about["config"])
    summary["under_way"] = under_way
    plan = facets.layout(table)
    found = findings.find(table, plan, learning)
    figures = charts.all_of(table, learning, about["config"], plan, found)
    # a map of regimes goes before their many panels
    names = [] if summary["regimes"] else [chart.name for chart in figures]
    after = names.index("best_strength") + 1 if "best_strength" in names else 0
    found_law = [law_figure.chart(summary["law"], plan), *regime_map.charts(summary["regimes"])]
    figures[after:after] = [chart for chart in found_law if chart]
    beside = atlas_figure.chart(summary["atlas"])
    figures += [beside] if beside else []
    drawn = [render.render(chart) for chart in figures]
    decomposed = ""
    if known is not None:
        picture = render.render(decomposition.chart(known))
        decomposed = decomposition.section(known, len(drawn) + 1, picture)
        summary["decomposition"] = differences.records(known)
    source = about["config"]["data"].get("source", "")
    summary |= told.listed(plan, found, summary["trends"], source)
    html = page.report(
        about,
        summary,
        drawn,
        decomposed,
        said={
            "law": law_text.sentences(summary["law"], plan),
            "regimes": regime_map.sentences(summary["regimes"], summary["regime_overview"]),
        },
        **_sections(about, table, summary, plan, found),
    )
    _write(folder, [*drawn, picture] if decomposed else drawn, summary, html)
    return summary


def _sections(
    about: dict[str, Any],
    results: pd.DataFrame,
    summary: dict[str, Any],
    plan: facets.Layout,
    found: findings.Findings,
) -> dict[str, Any]:
    """The parts of the page that only a sweep has."""
    numbers, regimes, diverged = None, None, None
    if len(plan.finished):
        own = results["strength"].isna().any()
        numbers = {
            "best": tables.best(results, plan, found),
            "directed": tables.directed(results, plan) if own else None,
            "margin": reading.margin(plan),
        }
    if summary["regimes"]:
        regimes = [
            regime_map.overview_table(summary["regime_overview"], plan),
            regime_map.table(summary["regimes"], plan),
        ]
    if summary["diverged"]:
        diverged = {"worst": reading.worst(results), "runs": tables.diverged(results)}
    return {
        "counts": page.counts(summary, results),
        "setup": page.setup(about["config"]),
        "numbers": numbers,
        "mechanism": mechanism.section(summary["balanced"], plan),
        "control": control.section(summary["shuffled"], plan),
        "regimes": regimes,
        "diverged": diverged,
        "reading": reading.section(plan, results),
    }


def _with_shares(table: pd.DataFrame, data: dict[str, Any]) -> pd.DataFrame:
    """A table of an older version, which does not know how its seeds were split, as today's.

    The synthetic task draws fresh rows. A real source is split by `data.test`; where that is no
    share, the split is taken as published, with a quarter of the rows in its test part.
    """
    if differences.RESPLIT in table:
        return table
    test = data.get("test")
    fixed = not (isinstance(test, float) and 0 < test < 1)
    share = (
        0.0 if data.get("source") == "redundancy_bits" else 1 / 3 if fixed else test / (1 - test)
    )
    place = table.columns.get_loc("seed") + 1
    table = table.copy()
    table.insert(place, differences.RESPLIT, share)
    table.insert(place + 1, differences.FIXED, fixed and share > 0)
    return table


def _decomposed(folder: Path, about: dict[str, Any], known: pd.DataFrame) -> dict[str, Any]:
    """The report of a workdir that no sweep has been in: a fit alone compares nothing."""
    picture = render.render(decomposition.chart(known))
    section = decomposition.section(known, 1, picture)
    summary = {"headline": decomposition.headline(known), "findings": []}
    summary["decomposition"] = differences.records(known)
    html = page.report(about, summary, decomposed=section)
    _write(folder, [picture], summary, html)
    return summary


def _write(folder: Path, drawn: list[render.Drawn], summary: dict[str, Any], html: str) -> None:
    render.save(folder, drawn)
    workdir.write_json(folder / "summary.json", summary)
    workdir.write(folder / "report.html", lambda path: path.write_bytes(html.encode()))


def _read(folder: Path, name: str) -> tuple[pd.DataFrame, dict[str, int] | None]:
    table, under_way = shards.read(folder, name)
    for column in COLUMNS:
        if column not in table:
            raise UserError(f"workdir: {folder / name}.parquet has no column {column!r}")
    return table, under_way


rooms.callable_package(__name__)
