"""A sweep's encoders among those of the atlas: is what alignment did here usual?"""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redalign_jax.analysis import atlas, on_atlas
from redalign_jax.report import format, style
from redalign_jax.report.render import Chart

TITLES = {on_atlas.CONTRAST: "contrast, λ = 1", atlas.POSTERIOR: "posterior mechanism"}
MOST_NAMED = 6  # encoders of one task, that get a marker of their own
GREY = "#9a9a9a"


def chart(points: list[dict[str, Any]]) -> Chart | None:
    """Change against the partner's lead; a panel per way to align that this sweep has.

    Args:
      points: of `on_atlas.points`.
    """
    if not points:
        return None
    arms = [arm for arm in TITLES if any(p["arm"] == arm for p in points)]
    rows, said = _classified(), []
    for arm in arms:
        here = [p["change"] for p in points if p["arm"] == arm]
        there = rows[f"early_{arm}"]
        below = np.mean(there.to_numpy()[:, None] < np.array(here)[None])
        said.append(
            f"{TITLES[arm]}: {format.number(np.mean(here), 1, True)} points here, mean of "
            f"{len(here)}, more than for {round(100 * below)} % of the atlas’ encoders"
        )
    return Chart(
        "atlas",
        "Beside encoders of other data",
        f"Grey: the atlas, small encoders of {rows['dataset'].nunique()} public datasets with "
        "classes, each beside a partner. In colour: the encoders of this sweep. How much more "
        "accurate the best partner is at λ = 0, against what alignment changes, both stopped "
        "early, in points; bars are 95 % intervals over seeds, each by itself. Encoders and "
        "numbers of labels differ from the "
        f"atlas’: a picture, not a test. Means: {'; '.join(said)}.",
        "Scatter charts of the change by alignment against the partner's lead, encoders of this "
        f"sweep among those of other datasets. {'. '.join(said)}.",
        partial(draw, points, arms),
    )


def draw(points: list[dict[str, Any]], arms: list[str], width: float) -> Figure:
    """Panels side by side where there is room, else one below the other."""
    across = width > 5
    shape = (1, len(arms)) if across else (len(arms), 1)
    figure = Figure(figsize=(width, 2.7 * shape[0] + 0.3), layout="constrained")
    panels = figure.subplots(*shape, squeeze=False, sharex=True, sharey=True).ravel()
    names = list(dict.fromkeys(p["subject"] for p in points))
    named = len([p for p in points if p["arm"] == arms[0]]) <= MOST_NAMED
    looks = style.unordered(len(names)) if named else [style.unordered(1)[0]] * len(names)
    rows = _classified()
    for ax, arm in zip(panels, arms, strict=True):
        lead = rows["partner_early"] - rows["score_early"]
        ax.plot(lead, rows[f"early_{arm}"], "o", color=GREY, markersize=2, alpha=0.6, zorder=1)
        ax.axhline(0, color="#555555", linewidth=0.9, zorder=2)
        for name, look in zip(names, looks, strict=True):
            own = [p for p in points if p["arm"] == arm and p["subject"] == name]
            _marks(ax, own, look, format.shorten(name, 24) if named else None)
        ax.set(title=TITLES[arm], xlabel="the partner is ahead by, points")
        ax.grid(True, axis="x")
    if not named:
        _marks(panels[-1], [], looks[0], f"{len(points) // len(arms)} encoders of this sweep")
    panels[-1].plot([], [], "o", color=GREY, markersize=2, label="the atlas")
    for ax in panels if not across else panels[:1]:
        ax.set_ylabel("change, points")
    handles, labels = panels[-1].get_legend_handles_labels()
    columns = max(1, int(width / (0.5 + style.CHARACTER * max(map(len, labels)))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    return figure


def _classified() -> pd.DataFrame:
    """The atlas without regressions."""
    rows = atlas.table()
    return rows[rows["classes"] > 0]


def _marks(ax: Axes, own: list[dict[str, Any]], look: style.Look, label: str | None) -> None:
    x, y = (np.array([p[k] for p in own], float) for k in ("lead", "change"))
    low, high = (np.array([p[f"change_{e}"] for p in own], float) for e in ("low", "high"))
    ax.vlines(x, low, high, color=look.colour, linewidth=0.9, zorder=3)
    face = look.colour if look.filled else "white"
    marks = {"color": look.colour, "markerfacecolor": face, "markersize": 5, "zorder": 4}
    ax.plot(x, y, linestyle="", marker=look.marker, label=label, **marks)
