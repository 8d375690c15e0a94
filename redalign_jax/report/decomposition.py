"""What the modalities tell about the labels: a figure and a section, or a page of its own."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from redalign_jax.report import format, page, tables
from redalign_jax.report.render import Chart, Drawn
from redalign_jax.report.style import CHARACTER

MOST_ROWS = 60
ROW, BAR = 0.36, 0.5  # inches of a row; the part of it that a bar fills
OUTLINE = [withStroke(linewidth=2.2, foreground="white")]  # whiskers cross dark parts
# told apart in grey as well: dark, light, middle, and hatched
ATOMS = {
    "redundancy": ("redundancy R: in either alone", "#0072b2", ""),
    "unique_first": ("unique U₁: in the first only", "#f0b54d", ""),
    "unique_second": ("unique U₂: in the second only", "#c85a17", ""),
    "synergy": ("synergy S: in both together only", "#d9d9d9", "////"),
}
_INFORMATION = {
    "information_first": "I(X₁;Y)",
    "information_second": "I(X₂;Y)",
    "information": "I(X₁,X₂;Y)",
    "shared_fraction_first": "R / I(X₁;Y)",
    "shared_fraction_second": "R / I(X₂;Y)",
}
_SHORT = {"redundancy": "R", "unique_first": "U₁", "unique_second": "U₂", "synergy": "S"}


class Bar(NamedTuple):
    """One stacked bar: a name, "" where the bar above has it, and (4,) atoms with their ends."""

    name: str
    exact: bool
    atoms: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _axes(table: pd.DataFrame) -> list[str]:
    return list(table.columns[: table.columns.get_loc("first")])


def _name(row: dict[str, Any], axes: list[str], pairs: int) -> str:
    """The point of the task axis, and the pair where that does not say it."""
    pair = f"{row['first']} – {row['second']}"
    point = [format.setting(a.removeprefix("task_"), row[a]) for a in axes]
    point = [p for p in point if p != f"{row['first']}, {row['second']}"]
    return " · ".join([*point, *([pair] if pairs > 1 or not point else [])])


def _bars(table: pd.DataFrame) -> list[Bar]:
    axes = _axes(table)
    pairs = len(table[["first", "second"]].drop_duplicates())
    bars, last = [], None
    for row in table.to_dict("records"):
        name = _name(row, axes, pairs)
        ends = (np.array([row[f"{a}{end}"] for a in ATOMS]) for end in ("", "_low", "_high"))
        bars.append(Bar("" if name == last else name, row["method"] == "exact", *ends))
        last = name
    return bars


def chart(table: pd.DataFrame) -> Chart:
    """Stacked bars of R, U₁, U₂ and S per task and pair, in nats."""
    bars = _bars(table)
    caption = (
        "Every bar is what the two modalities together tell about the labels, in nats, and its "
        "parts. A whisker is the 95 % interval of the part it lies in: where that part would end."
    )
    if any(bar.exact for bar in bars):
        caption += " Thin bars are exact, thick ones estimated from samples."
    if len(bars) > MOST_ROWS:
        caption += f" The first {MOST_ROWS} of {len(bars)} rows; the table below has all."
        bars = bars[:MOST_ROWS]
    return Chart(
        "decomposition",
        "What the modalities tell about the labels",
        caption,
        "Stacked bars of redundancy, unique information and synergy; the table below has them.",
        partial(draw, bars),
    )


def draw(bars: list[Bar], width: float) -> Figure:
    """Bars from top to bottom; an exact one right below the estimate it belongs to."""
    limit = 26 if width > 5 else 14
    names = [format.shorten(bar.name, limit) for bar in bars]
    left = CHARACTER * max(map(len, names)) + 0.15
    places, y = [], 0.0
    for i, bar in enumerate(bars):
        y += (1.0 if bar.name else 0.48) if i else 0.0
        places.append(y)
    columns = 2 if width > 5 else 1
    legend = 0.17 * (len(ATOMS) // columns) + 0.1
    height, bottom = (y + 1) * ROW, 0.42
    total = height + bottom + legend
    figure = Figure(figsize=(width, total))
    ax = figure.add_axes(
        (left / width, bottom / total, (width - left - 0.12) / width, height / total)
    )
    for bar, place in zip(bars, places, strict=True):
        thick = BAR * (0.45 if bar.exact else 1)
        start = 0.0
        for k, ((_, colour, hatch), value) in enumerate(
            zip(ATOMS.values(), bar.atoms, strict=True)
        ):
            ax.barh(
                place,
                value,
                thick,
                start,
                color=colour,
                hatch=hatch,
                edgecolor="#777777" if hatch else "white",
                linewidth=0.4,
            )
            if not bar.exact and np.isfinite(bar.low[k]):
                # each at a height of its own: neighbours overlap
                at = place + BAR * (k - 1.5) / 5
                ax.plot(
                    [start + bar.low[k], start + bar.high[k]],
                    [at, at],
                    color="#111111",
                    linewidth=1.0,
                    solid_capstyle="butt",
                    marker="|",
                    markersize=3.2,
                    markeredgewidth=0.9,
                    path_effects=OUTLINE,
                )
            start += value
    ax.set_ylim(y + 0.5, -0.5)
    ends = [bar.atoms[:k].sum() + h for bar in bars for k, h in enumerate(bar.high)]
    reach = [bar.atoms.sum() for bar in bars] + [e for e in ends if np.isfinite(e)]
    ax.set_xlim(0, 1.03 * max(reach) or 1)
    shown = [(p, n) for p, n in zip(places, names, strict=True) if n]
    ax.set_yticks([p for p, _ in shown], [n for _, n in shown])
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.grid(True, axis="x")
    ax.set_xlabel("information about the label (nats)")
    entries = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="#777777", linewidth=0.4, label=name)
        for name, colour, hatch in ATOMS.values()
    ]
    figure.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(0.02, 1.0),
        ncols=columns,
        borderaxespad=0,
    )
    return figure


def _cell(row: dict[str, Any], name: str) -> tables.Cell:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    shown = format.number(value, 3)
    if row["method"] == "exact" or not np.isfinite(low):
        return tables.Cell(shown)
    if value == 0:
        return tables.Cell("", f"below {max(high, 0.001):.3f}")
    return tables.Cell(shown, tables.ends(low, high, 3, sign=False))


def numbers(table: pd.DataFrame) -> tables.Table:
    """Every number of the decomposition with its interval."""
    axes = _axes(table)
    pairs = len(table[["first", "second"]].drop_duplicates())
    names = _SHORT | _INFORMATION
    rows = [
        [
            _name(row, axes, pairs),
            row["method"],
            *(_cell(row, name) for name in names),
            f"{row['examples']:,}" if row["examples"] else "–",
        ]
        for row in table.to_dict("records")
    ]
    header = ["task", "method", *names.values(), "examples"]
    return tables.Table(header, rows, 2, "Information about the labels in nats, 95 % intervals")


def headline(table: pd.DataFrame) -> str:
    """The decomposition in one sentence, of the pairs in which anything was told from noise."""
    best = table[table["method"] == "exact"] if (table["method"] == "exact").any() else table
    exact = (best["method"] == "exact").all()
    if not exact and best["information_low"].isna().all():
        return "What the modalities tell about the labels, without intervals"
    found = best[best["information_low"] > 0]
    if not len(found):
        return "Nothing was found in these modalities about the labels that is above the noise"
    share = found["redundancy"] / found["information"]
    low, high = (f"{100 * v:.0f}" for v in (share.min(), share.max()))
    part = f"{low} %" if low == high else f"{low} to {high} %"
    if len(found) == 1 and not exact and "redundancy_fraction_low" in found:
        ends = (found[f"redundancy_fraction_{end}"].iloc[0] for end in ("low", "high"))
        part += " (95 % interval {:.0f} to {:.0f})".format(*(100 * v for v in ends))
    said = f"Of what two modalities tell about the labels, {part} is in either alone"
    if len(found) < len(best):
        said += f"; in {len(best) - len(found)} of {len(best)} cases nothing is above the noise"
    return said


def section(table: pd.DataFrame, number: int, drawn: Drawn) -> Markup:
    """The section of a page.

    Args:
      table: the decomposition.
      number: of its figure.
      drawn: the figure.
    """
    terms = {
        "R": "Redundancy: what either modality tells about the label by itself. This is what "
        "alignment can strengthen.",
        "U₁, U₂": "Unique information: what only that modality tells. Strong alignment asks its "
        "encoder to give this up.",
        "S": "Synergy: what only the two together tell. No encoder of one modality has it, and "
        "aligning them does not bring it.",
        "R / I(X;Y)": "The shared fraction of a modality: how much of what it tells the other "
        "tells too.",
    }
    limits = [
        "Definition: BROJA (Bertschinger et al. 2014), natural logarithms; R + U₁ + U₂ + S is "
        "I(X₁,X₂;Y).",
    ]
    if (table["method"] == "estimate").any():
        limits += [
            "An estimate knows what its classifiers found: informations tend to be too low, "
            "more so with few examples.",
            "Synergy is the least certain number here, a difference of terms that are estimated in "
            "two ways: small values say little.",
            "Intervals are for new examples of the same kind. Where a part is 0, less than the "
            "bound cannot be told from nothing; a share of what may be nothing is not known.",
        ]
    if table["binned"].any():
        limits.append(
            f"The target is a number: it was cut into {table['classes'].max()} quantile bins, and "
            "everything here is about the bin."
        )
    if "task_redundancy" in table:
        limits.append(
            "The task's R counts relevant bits that both modalities see. R = 0 is not zero "
            "redundancy: unrelated bits that move the label alike tell some of the same about it."
        )
    made = numbers(table)
    return page.fill(
        "decomposition", number=number, drawn=drawn, numbers=made, parts=terms, limits=limits
    )
