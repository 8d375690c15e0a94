"""The picture of an advice: what every way to align is expected to do to every encoder."""

from functools import partial
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from redalign_jax.advise.decide import BAND
from redalign_jax.report import format, style
from redalign_jax.report.render import Chart

ROW = 0.3  # inches, of a way to align
MARKERS = ("o", "D", "s", "^")


class Row(NamedTuple):
    """A way to align one encoder, in the unit shown.

    Attributes:
      name: of the way.
      measured: mean, low and high on held-out examples.
      prior: of other datasets, None for nothing.
      chosen: what is expected of it, measured and known together, where it is the way that all
        encoders share; else None.
    """

    name: str
    measured: tuple[float, float, float]
    prior: tuple[float, float, float] | None
    chosen: tuple[float, float, float] | None


def charts(found: dict[str, Any]) -> list[Chart]:
    """Of what `advise.advise` found; none where nothing was tried."""
    trials = found["trials"]
    if not trials["repeats"]:
        return []
    unit, every = trials["unit"], {}

    def scaled(values: list[float]) -> tuple[float, float, float]:
        return tuple(v * unit["scale"] for v in values)

    for name, changes in trials["changes"].items():
        encoder = found["encoders"][name]
        every[name] = [
            Row(
                arm,
                scaled(changes[k]),
                scaled(trials["prior"][name][k]) if trials["prior"] else None,
                scaled(encoder["expected_change"]) if arm == encoder["arm"] else None,
            )
            for k, arm in enumerate(trials["arms"])
        ]
    said = []
    for name, rows in every.items():
        for row in rows:
            mean, low, high = (format.number(v, unit["digits"], True) for v in row.measured)
            said.append(f"{name}, {row.name}: {mean}, {low} to {high}")
    others = " Grey: what the same did to encoders like it on other datasets." * bool(
        trials["prior"]
    )
    return [
        Chart(
            "expected_change",
            "What to expect of every encoder",
            "Change against no alignment, each with its 95 % interval. Thin: measured on labelled "
            f"examples that were held out.{others} Thick: what is expected of the way that all "
            "encoders share, by all that is known. Inside the band a change makes no difference.",
            f"Points with intervals of the change {unit['name']}. {'; '.join(said)}.",
            partial(draw, every, f"change {unit['name']}", BAND * unit["scale"]),
        )
    ]


def draw(every: dict[str, list[Row]], x_label: str, band: float, width: float) -> Figure:
    """A panel per encoder, a row per way to align."""
    count = sum(map(len, every.values()))
    figure = Figure(figsize=(width, ROW * count + 0.4 * len(every) + 0.6), layout="constrained")
    panels = figure.subplots(len(every), sharex=True, squeeze=False)[:, 0]
    limit = 22 if width > 5 else 13
    for ax, (name, rows) in zip(panels, every.items(), strict=True):
        ax.axvspan(-band, band, color="#eeeeee", zorder=0)
        ax.axvline(0, color="#555555", linewidth=0.9, zorder=1)
        for place, row in enumerate(rows):
            colour = style.COLOURS[place % len(style.COLOURS)]
            if row.prior:
                mean, low, high = row.prior
                ax.hlines(place + 0.22, low, high, color="#888888", linewidth=1)
                ax.plot(mean, place + 0.22, color="#888888", marker="|", markersize=6)
            mean, low, high = row.measured
            ax.hlines(place, low, high, color=colour, linewidth=1)
            ax.plot(mean, place, color=colour, marker=MARKERS[place % len(MARKERS)], markersize=4)
            if row.chosen:
                mean, low, high = row.chosen
                ax.hlines(place - 0.22, low, high, color=style.dark(colour), linewidth=3)
                ax.plot(mean, place - 0.22, color=style.dark(colour), marker="o", markersize=6)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_yticks(range(len(rows)), [format.shorten(row.name, limit) for row in rows])
        ax.tick_params(axis="y", length=0)
        ax.grid(False, axis="y")
        ax.grid(True, axis="x")
        ax.set_title(format.shorten(name, 2 * limit), loc="left")
    panels[-1].set_xlabel(x_label)
    return figure
