"""A map of numbers that are better above 0, with intervals; the best of a row can be framed."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from redalign_jax.report.format import number, shorten
from redalign_jax.report.style import CHARACTER, fitting

ROW, CELL = 0.2, 0.85  # inches, a row and the widest cell
GAP = 0.35  # rows, between tasks


class Row(NamedTuple):
    """One encoder of one task; places are column numbers, (columns,) changes in shown units.

    Without `star`, nothing is framed.
    """

    task: str
    encoder: str
    change: np.ndarray
    low: np.ndarray
    high: np.ndarray
    star: float = np.nan
    star_low: float = np.nan
    star_high: float = np.nan


def draw(
    rows: Sequence[Row], columns: Sequence[str], digits: int, x_label: str, width: float
) -> Figure:
    """Blue is better, orange worse; numbers and weight say the same in black and white."""
    names = [
        (shorten(row.task, 24) if i == 0 or row.task != rows[i - 1].task else "", row.encoder)
        for i, row in enumerate(rows)
    ]
    longest = [max(len(shorten(n[k], 24)) for n in names) for k in (0, 1)]
    left = CHARACTER * sum(longest) + 0.25
    places = np.zeros(len(rows))
    for i in range(1, len(rows)):
        places[i] = places[i - 1] + 1 + GAP * (rows[i].task != rows[i - 1].task)
    height = (places[-1] + 1) * ROW
    top, bottom = 0.08, 0.45
    total = height + top + bottom
    figure = Figure(figsize=(width, total))
    cell = min(CELL, (width - left - 0.2) / len(columns))
    across = cell * len(columns)
    ax = figure.add_axes((left / width, bottom / total, across / width, height / total))
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(places[-1] + 0.5, -0.5)
    written = cell > CHARACTER * 4
    every = np.concatenate([row.change[np.isfinite(row.change)] for row in rows])
    most = float(np.quantile(np.abs(every), 0.95)) or 1.0
    for row, place in zip(rows, places, strict=True):
        _row(ax, row, place, most, digits if cell > CHARACTER * (4 + digits) else 0, written)
    for (task, encoder), place in zip(names, places, strict=True):
        y = ax.get_yaxis_transform()
        x = -0.08 / across
        ax.text(x, place, shorten(encoder, 24), transform=y, ha="right", va="center")
        x -= (CHARACTER * longest[1] + 0.1) / across
        ax.text(x, place, task, transform=y, ha="right", va="center", weight="bold")
    shown = fitting(columns, across)
    ax.set_xticks(shown, [columns[i] for i in shown])
    ax.set_yticks([])
    ax.set_xlabel(x_label)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def _row(ax: Axes, row: Row, place: float, most: float, digits: int, written: bool) -> None:
    colours = matplotlib.colormaps["PuOr"]
    for x, change in enumerate(row.change):
        if not np.isfinite(change):
            ax.text(x, place, "–", ha="center", va="center", color="#777777")
            continue
        colour = colours(0.5 + 0.22 * float(np.clip(change / most, -1, 1)))
        ax.add_patch(Rectangle((x - 0.5, place - 0.5), 1, 1, facecolor=colour, edgecolor="white"))
        if not written:
            continue
        sure = row.low[x] > 0 or row.high[x] < 0
        ax.text(
            x,
            place,
            number(change, digits, True),
            ha="center",
            va="center",
            color="#111111" if sure else "#333333",  # 4.5:1 on the darkest cell
            weight="bold" if sure else "normal",
        )
    if not np.isfinite(row.star):
        return
    ax.add_patch(
        Rectangle(
            (row.star_low - 0.47, place - 0.45),
            row.star_high - row.star_low + 0.94,
            0.9,
            fill=False,
            edgecolor="#111111",
            linewidth=0.9,
        )
    )
    ax.plot([row.star - 0.3, row.star + 0.3], [place + 0.36] * 2, color="#111111", linewidth=1.6)
