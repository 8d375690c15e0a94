"""The report of a workdir: `summary.json`, figures, and one page that says what was found."""

from pathlib import Path
from typing import Any

import pandas as pd

from redalign_jax import law, results, workdir
from redalign_jax.errors import UserError
from redalign_jax.report import charts, findings, layout, page, render

COLUMNS = ("seed", "strength", "subject", "metric", "value", "diverged")


def make(folder: str | Path) -> dict[str, Any]:
    """Draws the report of what a workdir holds, without training; the same files every time.

    Writes `summary.json`, `figures/*.svg`, `figures/*.png` and `report.html`, which needs no other
    file.

    Args:
      folder: the workdir, with `config.json` and `results.parquet`; `curves.parquet` is optional.

    Returns:
      The summary, see `law.summarise`.

    Raises:
      UserError: a file of the workdir is missing or cannot be read.
    """
    folder = Path(folder)
    about = workdir.read_config(folder)
    table = _read(folder, results.RESULTS)
    learning = None
    if (folder / f"{results.CURVES}.parquet").exists():
        learning = _read(folder, results.CURVES)
    summary = law.summarise(table)
    plan = layout.layout(table)
    found = findings.find(table, plan)
    figures = charts.all_of(table, learning, about["config"], plan, found)
    drawn = [render.render(chart) for chart in figures]
    html = page.build(about, table, summary, plan, found, drawn)
    try:
        for figure in drawn:
            stem = folder / "figures" / figure.chart.name
            workdir.write(stem.with_suffix(".svg"), _writer(figure.wide))
            workdir.write(stem.with_suffix(".png"), _writer(figure.png))
        workdir.write_json(folder / "summary.json", summary)
        workdir.write(folder / "report.html", _writer(html.encode()))
    except OSError as error:
        raise UserError(f"workdir: {folder} cannot be written: {error.strerror}") from None
    return summary


def _read(folder: Path, name: str) -> pd.DataFrame:
    table = results.read(folder, name)
    for column in COLUMNS:
        if column not in table:
            raise UserError(f"workdir: {folder / name}.parquet has no column {column!r}")
    return table


def _writer(content: bytes) -> Any:
    return lambda path: path.write_bytes(content)
