"""The figure of docs/atlas.md: change as other datasets predict it, and as it was measured.

python experiments/atlas_figure.py FIGURE.png [--table=RUNS/atlas.parquet]
"""

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from redalign_jax.analysis import atlas  # noqa: E402

PANELS = {"1": "InfoNCE, λ = 1", atlas.POSTERIOR: "posterior mechanism, λ = 1"}
BLUE, ORANGE = "#0072B2", "#D55E00"


def main() -> None:
    """Draws it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figure", type=Path)
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    rows = pd.read_parquet(args.table) if args.table else atlas.table()
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharey=True)
    guesses = atlas.left_out(rows, tuple(PANELS))
    for k, (ax, (arm, title)) in enumerate(zip(axes, PANELS.items(), strict=True)):
        y, se = (rows[f"early_{arm}{end}"].to_numpy(float) for end in ("", "_se"))
        color = BLUE if arm == atlas.POSTERIOR else ORANGE
        marks = {"ms": 3.5, "lw": 0.6, "alpha": 0.7, "color": color}
        ax.errorbar(guesses[:, k], y, 1.96 * se, fmt="o", **marks)
        ends = np.array([guesses[:, k].min(), guesses[:, k].max()])
        ax.plot(ends, ends, "--", color="0.3", lw=1, label="as predicted")
        ax.axhline(0, color="0.3", lw=0.8)
        ax.legend(loc="lower right", frameon=False)
        ax.set(title=title, xlabel="change that the other datasets predict, points")
    axes[0].set_ylabel("measured change in test accuracy, points")
    figure.savefig(args.figure, dpi=150)


if __name__ == "__main__":
    main()
