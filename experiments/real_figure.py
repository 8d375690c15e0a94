"""The law figure with real data: what encoders gain against what their partners share."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from redalign_jax.report import render, style

CALLED = {
    "redundancy": "synthetic, R = 0 … 8",
    "mfeat": "mfeat, 15 pairs",
    "av_cnn": "digits, CNN",
    "av_cnn_long": "digits, CNN, longer",
    "av_mlp": "digits, MLP",
    "av_narrow": "digits, narrow MLP",
    "av_three": "digits, three modalities",
}
QUIET = ("redundancy", "mfeat")
STRENGTHS = (0, 0.1, 0.3, 1, 3, 10)
WIDEST = 0.5  # interval of a shared fraction that is drawn
OUTCOMES = {
    "best_strength": "best strength λ*",
    "held_out_gain": "held-out gain, points",
    "change_at_max": "change at the strongest λ, points",
    "balanced": "balanced mechanism, points",
}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One panel per outcome; classification only, as errors have other units."""
    rows = [r for r in rows if _known(r.get("shared")) and r["scale"] == 100]
    if not rows:
        return
    names = [name for name in CALLED if any(r["experiment"] == name for r in rows)]
    looked = dict(
        zip([n for n in names if n not in QUIET], style.unordered(len(names)), strict=False)
    )
    with matplotlib.rc_context(style.STYLE):
        figure = Figure(figsize=(render.WIDE, 5.0), layout="constrained")
        for ax, outcome in zip(figure.subplots(2, 2).flat, OUTCOMES, strict=True):
            for name in names:
                own = [r for r in rows if r["experiment"] == name]
                _points(ax, own, outcome, looked.get(name), name)
            if outcome == "best_strength":
                ax.set_yscale("symlog", linthresh=0.1, linscale=0.5)
                ax.set_yticks(STRENGTHS, [f"{s:g}" for s in STRENGTHS])
                ax.minorticks_off()
            else:
                ax.axhline(0, color="#555555", linewidth=0.9, zorder=1)
            ax.set_xlim(-0.04, 1.04)
            ax.set_xlabel("shared fraction R / I(X;Y)")
            ax.set_ylabel(OUTCOMES[outcome])
        handles = [_entry(name, looked.get(name)) for name in names]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        render.laid_out(figure).savefig(path, dpi=render.DPI, metadata={"Software": None})


def _known(shared: dict[str, Any] | None) -> bool:
    """Whether the shared fraction is a number: of an encoder that knows nothing it is none."""
    if shared is None or shared["shared_fraction"] is None:
        return False
    low, high = shared["shared_fraction_low"], shared["shared_fraction_high"]
    return low is None or high - low < WIDEST


def _style(look: style.Look | None, name: str) -> dict[str, Any]:
    if look is None:
        marker = "." if name == "redundancy" else "+"
        return {"color": "#999999", "marker": marker, "markersize": 5, "linestyle": "none"}
    return {
        "color": look.colour,
        "marker": look.marker,
        "markersize": 4.5,
        "linestyle": "none",
        "markerfacecolor": look.colour if look.filled else "white",
        "markeredgewidth": 0.9,
    }


def _points(
    ax: Axes, rows: list[dict[str, Any]], outcome: str, look: style.Look | None, name: str
) -> None:
    for row in rows:
        source, field = (row["balanced"], "change") if outcome == "balanced" else (row, outcome)
        if source is None:
            continue
        x, x_low, x_high = (row["shared"][f"shared_fraction{end}"] for end in ("", "_low", "_high"))
        scale = 1 if outcome == "best_strength" else 100
        y, low, high = (
            np.nan if (v := source[f"{field}{end}"]) is None else scale * v
            for end in ("", "_low", "_high")
        )
        if look is not None:
            bars = {"color": look.colour, "linewidth": 0.8, "alpha": 0.7, "zorder": 3}
            ax.plot([x, x], [low, high], **bars)
            if x_low is not None:
                ax.plot([x_low, x_high], [y, y], **bars)
        ax.plot(x, y, zorder=4 if look else 2, **_style(look, name))


def _entry(name: str, look: style.Look | None) -> Line2D:
    return Line2D([], [], label=CALLED.get(name, name), **_style(look, name))
