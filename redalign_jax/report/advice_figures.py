"""Pictures of an advice: what is expected of every encoder, and what was tried."""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from redalign_jax.advise.decide import ALIGN, ALONE, UNDECIDED
from redalign_jax.report import format, small_multiples, style
from redalign_jax.report.render import Chart
from redalign_jax.report.small_multiples import Frame, Line, Panel

ROW = 0.34  # inches, of an encoder
# told apart by colour, by marker and by the word beside it
LOOKS = {
    ALIGN: (style.COLOURS[0], "o", "align"),
    ALONE: (style.COLOURS[1], "D", "leave alone"),
    UNDECIDED: (style.COLOURS[-1], "s", "undecided"),
}


def charts(found: dict[str, Any]) -> list[Chart]:
    """Of what `advise.advise` found; none where nothing was tried."""
    pilot = found["pilot"]
    if not pilot["folds"]:
        return []
    known = [g for gains in pilot["gains"].values() for g in gains if g is not None]
    unit = format.unit(pilot["metric"], max(map(abs, known), default=0.0))
    return [c for c in (_expected(found, unit), _tried(pilot, unit)) if c]


def _axis(unit: format.Unit) -> str:
    return f"{unit.change_name} ({unit.change}), more is better"


def _expected(found: dict[str, Any], unit: format.Unit) -> Chart | None:
    rows = [
        (name, found["encoders"][name]["verdict"], *(v * unit.scale for v in numbers))
        for name, numbers in found["pilot"]["measured"].items()
        if numbers
    ]
    if not rows:
        return None
    said = []
    for name, verdict, *ends in rows:
        mean, low, high = (format.number(v, unit.digits, True) for v in ends)
        said.append(f"{name}, {LOOKS[verdict][2]}: {mean} {unit.change}, {low} to {high}")
    return Chart(
        "expected_change",
        "What to expect of every encoder",
        "Change against no alignment on labelled examples that were held out, with the 95 % "
        "interval that holds for all encoders together: of the advised strength, and where nothing "
        "is advised, of what alignment was tried. An encoder is aligned only where the whole "
        "interval is above 0.",
        f"Points with intervals. {'; '.join(said)}.",
        partial(draw, rows, _axis(unit)),
    )


def draw(rows: list[tuple[str, str, float, float, float]], x_label: str, width: float) -> Figure:
    """A point and its interval per encoder, from top to bottom."""
    figure = Figure(figsize=(width, ROW * len(rows) + 0.6), layout="constrained")
    ax = figure.subplots()
    ax.axvline(0, color="#555555", linewidth=0.9, zorder=1)
    for place, (_, verdict, mean, low, high) in enumerate(rows):
        colour, marker, word = LOOKS[verdict]
        ax.hlines(place, low, high, color=colour, linewidth=1.6)
        ax.plot(mean, place, color=colour, marker=marker, markersize=6)
        across = ax.get_yaxis_transform()
        ax.text(1.01, place, word, transform=across, va="center", color=style.dark(colour))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    limit = 24 if width > 5 else 12
    ax.set_yticks(range(len(rows)), [format.shorten(row[0], limit) for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.grid(True, axis="x")
    ax.set_xlabel(x_label)
    return figure


def _tried(pilot: dict[str, Any], unit: format.Unit) -> Chart:
    shared = [k for k, s in enumerate(pilot["candidates"]) if len(set(s)) == 1]
    ticks = tuple(format.value(pilot["candidates"][k][0]) for k in shared)
    (look,) = style.unordered(1)
    panels, said = [], []
    for name, gains in pilot["gains"].items():
        ends = pilot["gain_intervals"][name]
        numbers = (
            np.array([(gains[k], *(ends[k] or (None, None))) for k in shared], float) * unit.scale
        )
        line = Line("change", look, np.arange(len(shared), dtype=float), *numbers.T)
        panels.append(Panel(name, [line], zero=True))
        shown = ", ".join(
            f"{format.number(v, unit.digits, True)} at {tick}"
            for tick, v in zip(ticks, numbers[:, 0], strict=True)
        )
        said.append(f"{name}: {shown}")
    return Chart(
        "tried",
        "What was tried",
        "Change of each encoder against no alignment on held-out labelled examples, by the "
        "strength λ that all encoders shared. Bars are 95 % intervals that hold for all trials "
        "together. The table also has the trials in which one encoder was left alone.",
        f"Line charts of the {_axis(unit)}, by λ. {'; '.join(said)}.",
        partial(
            small_multiples.draw,
            panels,
            Frame("alignment strength λ", f"{unit.change_name}\n({unit.change})", ticks),
        ),
    )
