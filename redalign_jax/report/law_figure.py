"""The law as a figure: λ*, gain and harm of every encoder against the information it shares."""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from redalign_jax.report import format, style
from redalign_jax.report.facets import Layout
from redalign_jax.report.render import Chart
from redalign_jax.report.style import Look

X_LABEL = "shared fraction R / I(X;Y)"
FEW = 12  # points whose intervals can all be drawn at full strength
PANEL = 2.0  # inches, the least width of three in a row
NAMES = {
    "best_strength": "best strength λ*",
    "held_out_gain": "held-out gain",
    "change_at_max": "change at the strongest λ",
}
SHORT = {
    "best_strength": "Best strength",
    "held_out_gain": "Held-out gain",
    "change_at_max": "At the strongest λ",
}


def chart(laws: list[dict[str, Any]], plan: Layout) -> Chart | None:
    """One column per outcome, one row for the last step and one for early stopping."""
    if not laws:
        return None
    caption = (
        "Each point is one encoder of one task: how much of what it knows about the label its "
        "partner knows too, against the strength that serves it best, the gain there (at a λ* that "
        f"other seeds chose) and the change at the strongest λ, in {plan.unit.change}. Bars are "
        "95 % intervals over seeds, each by itself. Line and band: the monotone curve of least "
        f"squares and where 95 % of {_redrawn(laws[0])} put it, point by point; whether anything "
        "is shown, the text says. ρ is Spearman’s correlation."
    )
    if len(laws) > 1:
        caption += " Stopped early: every encoder is read at its best validation step."
    return Chart(
        "law",
        "The law: how much to align, by what is shared",
        caption + _bits(laws[0]["points"], plan),
        f"Scatter charts of {', '.join(NAMES.values())} against the {X_LABEL}, with fitted curves.",
        partial(draw, laws, plan),
    )


def _redrawn(law: dict[str, Any]) -> str:
    """What the band is over."""
    return "resamples of seeds and tasks" if len(law["resampled"]) > 1 else "resamples of seeds"


def _bits(points: list[dict[str, Any]], plan: Layout) -> str:
    """That no shared bits are not no shared information, with the numbers that say so."""
    least = [p["shared_fraction"] for p in points if plan.axis == "redundancy" and not p[plan.axis]]
    if not least:
        return ""
    low, high = (format.number(v, 2) for v in (min(least), max(least)))
    return (
        " Here R is in nats; that of the task axis counts shared bits: where it is 0, the shared "
        f"fraction is {low if low == high else f'{low} to {high}'}."
    )


def draw(laws: list[dict[str, Any]], plan: Layout, width: float) -> Figure:
    """Outcomes side by side where there is room, else one below the other."""
    across = width >= 3 * PANEL
    shape = (len(laws), len(NAMES)) if across else (len(NAMES), len(laws))
    encoders = list(dict.fromkeys(p["subject"] for p in laws[0]["points"]))
    named = dict(zip(encoders, style.unordered(len(encoders)), strict=True))
    columns = max(1, int(width / (0.6 + style.CHARACTER * max(map(len, encoders)))))
    legend = 0.17 * -(-len(encoders) // columns) + 0.1
    figure = Figure(figsize=(width, 1.95 * shape[0] + legend), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04, hspace=0.03, wspace=0.03)
    grid = figure.subplots(*shape, squeeze=False, sharex=True)
    for i, law in enumerate(laws):
        for j, outcome in enumerate(NAMES):
            ax = grid[i, j] if across else grid[j, i]
            _panel(ax, law, outcome, plan, named)
            rho = next(
                r["spearman"]
                for r in law["relations"]
                if r["outcome"] == outcome and r["predictor"] == "shared_fraction"
            )
            stopped = law["metric"].startswith("early_")
            number = f"ρ = {format.number(rho, 2)}"
            if stopped and not across:
                ax.set_title(f"Stopped early\n{number}")
            else:
                ax.set_title(f"{SHORT[outcome]}\n{'stopped early, ' * stopped}{number}")
    for ax in grid[-1]:
        ax.set_xlabel(X_LABEL if across else "shared fraction")
    entries = [_entry(name, look) for name, look in named.items()]
    figure.legend(handles=entries, loc="outside lower center", ncols=columns)
    return figure


def _panel(
    ax: Axes, law: dict[str, Any], outcome: str, plan: Layout, named: dict[str, Look]
) -> None:
    fit = next(f for f in law["fits"] if f["outcome"] == outcome)
    curve = [_shown(fit[k], outcome, plan) for k in ("value", "low", "high")]
    at = np.asarray(fit["shared_fraction"])
    ax.fill_between(at, curve[1], curve[2], color="#dddddd", linewidth=0, zorder=1)
    ax.plot(at, curve[0], color="#555555", linewidth=1.2, zorder=2)
    soft = 0.75 if len(law["points"]) <= FEW else 0.4
    for point in law["points"]:
        look = named[point["subject"]]
        x, x_low, x_high = (point[f"shared_fraction{end}"] for end in ("", "_low", "_high"))
        y, y_low, y_high = (
            float(
                _shown([np.nan if (v := point[f"{outcome}{end}"]) is None else v], outcome, plan)[0]
            )
            for end in ("", "_low", "_high")
        )
        ax.plot([x, x], [y_low, y_high], color=look.colour, linewidth=0.8, alpha=soft, zorder=3)
        if x_low is not None and x_high is not None:
            ax.plot([x_low, x_high], [y, y], color=look.colour, linewidth=0.8, alpha=soft, zorder=3)
        ax.plot(x, y, zorder=4, **_marker(look))
    if outcome == "best_strength":
        places = range(len(plan.strengths))
        ax.set_yticks(places, [format.value(s) for s in plan.strengths])
        ax.set_ylim(-0.5, len(plan.strengths) - 0.5)
        ax.set_ylabel("λ*")
    else:
        ax.axhline(0, color="#555555", linewidth=0.9, zorder=1)
        ax.set_ylabel(plan.unit.change)
    ax.xaxis.get_major_locator().set_params(nbins=4)


def _shown(values: Any, outcome: str, plan: Layout) -> np.ndarray:
    """λ as its place among the strengths that were swept, changes in the units of the page."""
    values = np.asarray(values, float)
    if outcome == "best_strength":
        return np.interp(values, plan.strengths, np.arange(len(plan.strengths)))
    return values * plan.unit.scale


def _marker(look: Look) -> dict[str, Any]:
    return {
        "color": look.colour,
        "marker": look.marker,
        "linestyle": "none",
        "markersize": 4,
        "markerfacecolor": look.colour if look.filled else "white",
        "markeredgewidth": 0.9,
    }


def _entry(name: str, look: Look) -> Line2D:
    return Line2D([], [], label=format.shorten(name, 28), **_marker(look))
