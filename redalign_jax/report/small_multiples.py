"""Small multiples of lines with intervals: the panels, and how they are drawn at a width."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from redalign_jax.report import style
from redalign_jax.report.format import shorten
from redalign_jax.report.style import CHARACTER, TOGETHER, Look, fitting

TITLE = 0.08  # inches, a character
ROW = 0.17  # inches, of a legend
DIRECT = 3.0  # inches, a panel from which on lines carry their names
LOPSIDED = 5.0  # losses this many times the gains get a logarithmic scale


class Line(NamedTuple):
    """One line: its name and look, and (n,) points with intervals, NaN where there is none."""

    label: str
    look: Look
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Panel(NamedTuple):
    """One pair of axes.

    Attributes:
      title: above it.
      lines: what it shows.
      zero: draw a line at 0.
      chance: a height to compare with, dashed.
      y_label: where panels differ in what they show.
      y_ticks: names of the places 0, 1, … on the vertical axis.
    """

    title: str
    lines: list[Line]
    zero: bool = False
    chance: float | None = None
    y_label: str = ""
    y_ticks: tuple[str, ...] = ()


class Frame(NamedTuple):
    """What the panels of a figure have in common.

    Attributes:
      x_label: of the horizontal axis.
      y_label: of the vertical axis, "" where panels have their own.
      x_ticks: names of the places 0, 1, … on the horizontal axis; none for a numeric axis.
      legend: title of the legend.
      prefix: before a line's name where the line itself carries it.
      panel: inches, the least width of a panel.
      columns: panels in a row, at most.
      height: inches, of a panel.
      shared: one vertical scale for all panels.
    """

    x_label: str
    y_label: str = ""
    x_ticks: tuple[str, ...] = ()
    legend: str = ""
    prefix: str = ""
    panel: float = 1.7
    columns: int = 4
    height: float = 1.85
    shared: bool = True


def draw(panels: Sequence[Panel], frame: Frame, width: float) -> Figure:
    """Panels in reading order, as many in a row as the width allows, and one legend."""
    most = max(1, min(len(panels), frame.columns, int(width / frame.panel)))
    rows = math.ceil(len(panels) / most)
    columns = math.ceil(len(panels) / rows)
    entries = _entries(panels)
    direct = width / columns >= DIRECT and 1 < len(entries) <= 12
    if direct or len(entries) < 2:
        entries = []
    inside = rows * columns > len(panels) and len(entries) <= 9
    legend_columns = max(1, min(len(entries), int(width / _entry_width(entries))))
    below = 0.0
    if entries and not inside:
        below = ROW * (math.ceil(len(entries) / legend_columns) + bool(frame.legend)) + 0.1
    figure = Figure(figsize=(width, rows * frame.height + 0.3 + below), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, hspace=0.03, wspace=0.03)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=frame.shared, sharex=True)
    limits = _limits(panels)
    for i, ax in enumerate(grid.flat):
        if i >= len(panels):
            ax.set_axis_off()
            continue
        _panel(
            ax, panels[i], frame, width / columns, limits if frame.shared else _limits([panels[i]])
        )
        last = i + columns >= len(panels)
        ax.tick_params(labelbottom=last, labelleft=not frame.shared or i % columns == 0)
        if last:
            ax.set_xlabel(frame.x_label)
        if i % columns == 0 and frame.y_label:
            ax.set_ylabel(frame.y_label)
        if direct:
            _name_lines(ax, panels[i], frame)
    if entries:
        legend = {"handles": entries, "title": frame.legend or None, "alignment": "left"}
        if inside:
            grid.flat[-1].legend(**legend, loc="upper left", borderaxespad=0)
        else:
            figure.legend(**legend, loc="outside lower center", ncols=legend_columns)
    return figure


def draw_on(ax: Axes, panel: Panel, frame: Frame) -> None:
    """One panel on axes that are there already, with its legend."""
    _panel(ax, panel, frame, ax.get_figure().get_figwidth(), _limits([panel]))
    ax.set_xlabel(frame.x_label)
    if frame.y_label:
        ax.set_ylabel(frame.y_label)
    ax.legend(handles=_entries([panel]), title=frame.legend or None)


def _panel(ax: Axes, panel: Panel, frame: Frame, width: float, limits: tuple[float, float]) -> None:
    limit = max(8, int((width - 0.35) / TITLE))
    lines = [panel.title] if len(panel.title) <= limit else panel.title.split(" · ")
    ax.set_title("\n".join(shorten(line, limit) for line in lines))
    if panel.y_ticks:
        ax.set_yticks(range(len(panel.y_ticks)), panel.y_ticks)
        ax.set_ylim(-0.4, len(panel.y_ticks) - 0.6)
    else:
        _scale(ax, *limits)
    if panel.y_label:
        ax.set_ylabel(panel.y_label)
    for height, how in ((0.0 if panel.zero else None, {}), (panel.chance, {"dashes": (3, 2)})):
        if height is not None:
            ax.axhline(height, color="#555555", linewidth=0.9, zorder=1, **how)
    step = min(0.045, 0.4 / max(1, len(panel.lines)))
    for i, line in enumerate(panel.lines):
        # neighbours step aside a little, so that their intervals can be told apart
        aside = step * (i - (len(panel.lines) - 1) / 2) if frame.x_ticks else 0.0
        known = np.isfinite(line.low)
        x, colour = line.x + aside, line.look.colour
        ax.vlines(x[known], line.low[known], line.high[known], color=colour, linewidth=1)
        ax.plot(x, line.y, zorder=3, **_drawn(line.look))
    if frame.x_ticks:
        ax.set_xlim(-0.35, len(frame.x_ticks) - 0.65)
        shown = fitting(frame.x_ticks, width - 0.45)
        ax.set_xticks(shown, [frame.x_ticks[i] for i in shown])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4))


def _name_lines(ax: Axes, panel: Panel, frame: Frame) -> None:
    """Writes names at the right ends of lines, apart from each other."""
    ends = []
    for line in panel.lines:
        known = np.flatnonzero(np.isfinite(line.y))
        if len(known):
            end = ax.transLimits.transform(ax.transScale.transform((0, line.y[known[-1]])))[1]
            ends.append((float(end), line))
    ends.sort(key=lambda e: e[0])
    gap = 0.145 / (frame.height - 0.4)
    places: list[float] = []
    for end, _ in ends:
        places.append(max(end, places[-1] + gap) if places else end)
    over = places[-1] - max(1.0, ends[-1][0]) if places else 0.0
    for i in reversed(range(len(places))):  # what was pushed out at the top is pushed back
        highest = places[i] - over if i == len(places) - 1 else places[i + 1] - gap
        places[i] = min(places[i], highest)
    for place, (_, line) in zip(places, ends, strict=True):
        ax.annotate(
            frame.prefix + shorten(line.label, 16),
            (1.01, place),
            xycoords="axes fraction",
            va="center",
            color=style.dark(line.look.colour),
        )


def _drawn(look: Look) -> dict[str, Any]:
    return {
        "color": look.colour,
        "linestyle": look.dash,
        "marker": look.marker,
        "markersize": 5 if look.marker == "*" else 3.6,
        "markerfacecolor": look.colour if look.filled else "white",
        "markeredgewidth": 0.9,
    }


def _entries(panels: Sequence[Panel]) -> list[Line2D]:
    every = {line.label: line for panel in panels for line in panel.lines}
    last = sorted(every.values(), key=lambda line: line.look == TOGETHER)
    return [Line2D([], [], label=shorten(line.label, 28), **_drawn(line.look)) for line in last]


def _entry_width(entries: Sequence[Line2D]) -> float:
    return 0.55 + CHARACTER * max((len(e.get_label()) for e in entries), default=1)


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """The least and the largest finite number shown; 0, 1 where there is none."""
    parts = [[*line.y, *line.low, *line.high] for panel in panels for line in panel.lines]
    parts += [[0.0] for panel in panels if panel.zero]
    parts += [[panel.chance] for panel in panels if panel.chance is not None]
    values = np.array([v for part in parts for v in part if math.isfinite(v)])
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _scale(ax: Axes, low: float, high: float) -> None:
    """A linear axis; where losses dwarf gains, one that is logarithmic below minus the gains."""
    if not (low < 0 < high and -low > LOPSIDED * high):
        room = 0.06 * (high - low or 1)
        ax.set_ylim(low - room, high + room)
        return
    edge = _nice(high)
    bottom = low * 1.2
    ax.set_yscale("symlog", linthresh=edge, linscale=1.2)
    ax.yaxis.set_minor_locator(NullLocator())
    beyond = [-s * 10.0**k for k in range(-9, 10) for s in (1, 2, 5)]
    ticks = [-edge, -edge / 2, 0, edge / 2, edge]
    ticks += [t for t in beyond if bottom < t < -1.9 * edge]
    ax.set_yticks(ticks, [f"{t:+g}".replace("-", "−") if t else "0" for t in ticks])
    ax.set_ylim(bottom, edge * 1.08)
    ax.axhspan(bottom, -edge, color="#f4f4f4", zorder=0, linewidth=0)
    across = ax.get_yaxis_transform()
    ax.text(0.02, -edge * 1.04, "log scale", transform=across, va="top", color="#666666")


def _nice(value: float) -> float:
    """The least round number that is not below `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(s * power for s in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15) if s * power >= value * 0.999)
