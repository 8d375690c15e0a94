"""The table and the figure of docs/balanced.md from the runs of experiments/peers.py.

python experiments/peers_figure.py RUNS.csv FIGURE.png

An encoder's interval is a 95 % Student interval over seeds that split the same rows again and
again, widened for that (Nadeau and Bengio 2003); a mean's is over datasets, each of which counts
once, with the mean of its encoders.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from scipy import stats

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

from peers import ARMS, changes  # noqa: E402

from redalign_jax.analysis.differences import mean_interval  # noqa: E402

SHARE = 0.25  # n_test / (N − n_test) of splits with a fifth of the rows in the test part
OWN = "posterior"
NAMES = [arm for arms in ARMS.values() for arm in arms if arm != "none"]


def each(change: pd.DataFrame) -> pd.DataFrame:
    """Mean and interval of every encoder, arm, control and moment."""
    rows = [mean_interval(v[np.isfinite(v)], SHARE) for v in change.to_numpy()]
    return pd.DataFrame(rows, change.index, ["mean", "low", "high"])


def over_datasets(values: pd.Series) -> str:
    """Mean over datasets with its interval."""
    means = values.groupby(level="dataset").mean()
    half = stats.t.ppf(0.975, len(means) - 1) * means.sem()
    return f"{means.mean():+.1f} [{means.mean() - half:+.1f}, {means.mean() + half:+.1f}]"


def table(found: pd.DataFrame) -> str:
    """A row per arm and moment."""
    lines = [
        "| | | mean | worst | below −1 | beyond noise | shuffled | posterior ahead by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for moment, said in (("early", "stopped early"), ("last", "last step")):
        at = found.xs(moment, level="moment")
        own = at.xs((False, OWN), level=("control", "arm"))["mean"]
        for arm in NAMES:
            rows = at.xs((False, arm), level=("control", "arm"))
            control = at.xs((True, arm), level=("control", "arm"))["mean"]
            ahead = "" if arm == OWN else over_datasets(own - rows["mean"])
            lines.append(
                f"| {arm} | {said} | {over_datasets(rows['mean'])} | {rows['mean'].min():+.1f} "
                f"| {(rows['mean'] < -1).sum()} of {len(rows)} | {(rows['high'] < -1).sum()} "
                f"| {over_datasets(control)} | {ahead} |"
            )
    return "\n".join(lines)


def draw(found: pd.DataFrame, path: str) -> None:
    """Change per encoder for each arm, sorted, with intervals; shuffled partners beside it."""
    at = found.xs("early", level="moment")
    figure, axes = plt.subplots(1, len(NAMES), figsize=(2.4 * len(NAMES), 3.8), sharey=True)
    for axis, arm in zip(axes, NAMES, strict=True):
        for control, colour, label in (
            (True, "0.65", "shuffled partners"),
            (False, "#1b5e9e", "true partners"),
        ):
            rows = at.xs((control, arm), level=("control", "arm")).sort_values("mean")
            place = np.arange(len(rows)) + 0.35 * control
            axis.vlines(place, rows["low"], rows["high"], color=colour, lw=1)
            axis.plot(place, rows["mean"], "o", ms=3, color=colour, label=label)
        axis.axhline(0, color="black", lw=0.6)
        axis.set_title("posterior (balanced)" if arm == OWN else arm, fontsize=9)
        axis.set_xticks([])
        axis.set_xlabel("encoders, sorted", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(-25, 25)
    axes[0].set_ylabel("change, points, stopped early")
    axes[0].legend(fontsize=7, frameon=False, loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Prints the table, every encoder's numbers, and draws."""
    found = each(changes(pd.read_csv(sys.argv[1])))
    print(table(found))
    early = found.xs("early", level="moment")
    print(early["mean"].unstack(["control", "arm"]).round(1).to_string())
    draw(found, sys.argv[2])


if __name__ == "__main__":
    main()
