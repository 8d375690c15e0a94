"""The figure of docs/theory.md, see experiments/theory.py."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axis import Axis  # noqa: E402
from matplotlib.colors import ListedColormap  # noqa: E402
from matplotlib.ticker import FuncFormatter  # noqa: E402

from experiments.theory_table import clipped, hits  # noqa: E402
from redalign_jax.report.style import COLOURS, MARKERS, STYLE  # noqa: E402

Sweeps = dict[str, tuple[ConfigDict, pd.DataFrame]]
GROUPS = ("d ≤ K, ρ > K/p", "d ≤ K, ρ ≤ K/p", "d > K")


def group(data: ConfigDict, table: pd.DataFrame) -> np.ndarray:
    """Which of GROUPS every cell is of."""
    poor = table["shared"] <= data.common / data.inputs
    return np.where(table["embed_dim"] > data.common, 2, np.where(poor, 1, 0))


def draw(sweeps: Sweeps, path: Path) -> None:
    """λ* predicted and measured, risk curves, and a map of where the prediction holds."""
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(10.4, 9.2), layout="constrained")
        _against(axes[0, 0], *sweeps["linear"], "linear encoders, p = 16, K = 4, r = .9, τ = .2")
        _against(axes[0, 1], *sweeps["fresh"], "fresh views, p = 24, K = 6, r = .7, τ = .4")
        _curves(axes[1, 0], sweeps["linear"][1])
        _map(axes[1, 1], *sweeps["linear"])
        figure.savefig(path, dpi=130)
        plt.close(figure)


def _against(axis: plt.Axes, data: ConfigDict, table: pd.DataFrame, title: str) -> None:
    which = group(data, table)
    strengths = np.array(table["strengths"].iloc[0])
    ends = strengths[1], strengths[-1]
    span = np.array([ends[0] / 1.6, ends[1] * 1.6])
    axis.fill_between(span, span / 2, span * 2, color="#e8e8e8", lw=0, zorder=0)
    axis.plot(span, span, color="#777777", lw=0.8, zorder=1)
    rng = np.random.default_rng(0)
    for k in range(len(GROUPS)):
        rows = table[which == k]
        if not len(rows):
            continue
        # a few per cent aside, so that cells at the ends can be counted
        x = [clipped(v, strengths) for v in rows["predicted"]] * np.exp(
            rng.normal(0, 0.05, len(rows))
        )
        y = np.array([clipped(v, strengths) for v in rows["best"]])
        low, high = (
            np.array([clipped(v, strengths) for v in rows[f"best_{end}"]])
            for end in ("low", "high")
        )
        axis.vlines(x, np.minimum(low, y), np.maximum(high, y), color=COLOURS[k], lw=0.7, alpha=0.6)
        shown = {"color": COLOURS[k], "marker": MARKERS[k], "ls": "none", "ms": 4.5}
        axis.plot(x, y, label=f"{GROUPS[k]}: {hits(rows).sum()} of {len(rows)}", **shown)
    axis.set(xscale="log", yscale="log", xlim=span, ylim=span, title=title)
    _plain(axis.xaxis)
    _plain(axis.yaxis)
    axis.set_xlabel("λ* predicted; at the ends: there or beyond (0 at the left)")
    axis.set_ylabel("λ* measured; bars: 95 % of resampled seeds")
    axis.legend(
        title="within a factor of 2 (grey)",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=3,
    )


def _plain(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def _curves(axis: plt.Axes, table: pd.DataFrame) -> None:
    rows = table[(table["labels"] == 100) & (table["noise"] == 0.5) & (table["embed_dim"] == 4)]
    for k, (_, one) in enumerate(rows.iterrows()):
        x = np.array(one["strengths"])
        x[0] = x[1] / 2  # λ = 0 stands here
        axis.plot(x, one["curve_predicted"], color=COLOURS[k])
        error = 2 * np.array(one["curve_error"])
        shown = {"color": COLOURS[k], "marker": MARKERS[k], "ls": "none", "ms": 4, "lw": 0.8}
        axis.errorbar(x, one["curve"], error, label=f"ρ = {one['shared']:g}", **shown)
    axis.set(xscale="log", xlabel="λ (leftmost: 0)", ylabel="squared error on new rows")
    _plain(axis.xaxis)
    axis.set_title(
        "n = 100, σ² = .5, d = K = 4; lines: the model\npoints: trained, ± 2 standard errors"
    )
    axis.legend()


def _map(axis: plt.Axes, data: ConfigDict, table: pd.DataFrame) -> None:
    table = table.assign(off=np.log2(table["ratio"]))
    grid = table.pivot_table("off", ["embed_dim", "noise", "labels"], "shared")
    shown = np.digitize(grid, [-1.001, 1.001])
    colours = ListedColormap(["#56b4e9", "#f2f2f2", "#e69f00"])
    axis.imshow(shown, cmap=colours, vmin=0, vmax=2, aspect="auto")
    for (i, j), value in np.ndenumerate(grid.to_numpy()):
        text = "ok" if abs(value) <= 1.001 else f"{2**value:.2g}×"
        axis.text(j, i, text, ha="center", va="center", fontsize=7)
    axis.set_xticks(range(grid.shape[1]), [f"{v:g}" for v in grid.columns])
    names = [f"d={int(d)}, σ²={s:g}, n={int(n)}" for d, s, n in grid.index]
    axis.set_yticks(range(len(names)), names)
    border = np.searchsorted(grid.columns, data.common / data.inputs) - 0.5
    axis.axvline(border, color="black", lw=1, ls="--")
    axis.grid(visible=False)
    axis.set_xlabel("ρ; dashed: K/p")
    axis.set_title("λ* predicted over measured, p = 16, K = 4\nblue: too low; orange: too high")
