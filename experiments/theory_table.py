"""What was measured beside what the solvable model predicts, per cell of experiments/theory.py."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from redalign_jax.analysis import theory
from redalign_jax.analysis.theory import View

CURVES = ["strengths", "curve", "curve_predicted", "curve_error"]
CELL = ["labels", "noise", "embed_dim", "shared"]
RESAMPLES = 1000


def measured(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Risk (squared error of a normal residual, π/2 · MAE²) by cell and seed × strength."""
    rows = table[table["metric"] == metric].rename(columns={"value": "risk"})
    rows = rows.assign(risk=math.pi / 2 * rows["risk"] ** 2)
    keys = [c for c in CELL if c in rows]
    mean = rows.groupby([*keys, "seed", "strength"])["risk"].mean()  # of both encoders
    return mean.unstack("strength")


def view_of(config: ConfigDict, cell: dict[str, float], labels: float) -> View:
    """The model's view of a cell. An embedding narrower than what is shared holds any of it."""
    width, common = int(cell["embed_dim"]), config.data.common
    held = min(1.0, width / common)
    explained = 1 - cell["noise"]
    aligned = min(width, common)
    return View(
        config.data.inputs, aligned, explained, cell["shared"] * held, cell["noise"], labels
    )


def effective_labels(alone: float, noise: float, inputs: int) -> float:
    """The n at which least squares has the risk `alone`, σ² (n − 1) / (n − p − 1)."""
    excess = alone / noise
    return ((inputs + 1) * excess - 1) / (excess - 1)


def unit(config: ConfigDict, view: View) -> float:
    """h at λ = 1."""
    r, tau = config.data.correlation[0], config.hyper.temperature[0]
    return theory.of_info_nce(1, tau, view.aligned, r, math.sqrt(view.noise))


def predicted(config: ConfigDict, view: View, strengths: np.ndarray) -> tuple[float, np.ndarray]:
    """λ* and the risk at every strength, for twins."""
    scale = unit(config, view)
    risks = [theory.fit(view, scale * s, twins=True).risk for s in strengths]
    return theory.best(view, twins=True).penalty / scale, np.array(risks)


def clipped(strength: float, strengths: np.ndarray) -> float:
    """λ* as the grid can show it: 0 and all below the least are the least, all above the most."""
    return float(np.clip(strength, strengths[1], strengths[-1]))


def lowest(strengths: np.ndarray, mean: np.ndarray) -> float:
    """λ* of a curve: the least, moved to the foot of a parabola in log λ where neighbours allow."""
    k = int(mean.argmin())
    if k < 2 or k == len(mean) - 1:
        return float(strengths[k])
    x, y = np.log(strengths[k - 1 : k + 2]), mean[k - 1 : k + 2]
    curve = np.polyfit(x - x[1], y, 2)
    return float(strengths[k] * math.exp(-curve[1] / (2 * curve[0])))


def row(config: ConfigDict, cell: dict[str, float], runs: pd.DataFrame) -> dict[str, float]:
    """One cell.

    Returns:
      The cell; `best`, measured λ*, with 95 % of its resamples over seeds; `predicted` from the
      risk at λ = 0 (`prior` from labels alone: an absolute loss is worth 2n/π); `ratio` of
      predicted to measured, both as the grid can show them; `regret`, of the risk at λ = 0, by
      taking the predicted λ; `gain`, the same of the best; `error`, the rms relative error of the
      predicted risks at λ > 0.
    """
    strengths, risks = runs.columns.to_numpy(float), runs.to_numpy()
    mean = risks.mean(axis=0)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(risks), (RESAMPLES, len(risks)))
    stars = [lowest(strengths, curve) for curve in risks[drawn].mean(axis=1)]
    labels = effective_labels(mean[0], cell["noise"], config.data.inputs)
    best, curve = predicted(config, view_of(config, cell, labels), strengths)
    few = max(cell["labels"] * 2 / math.pi, config.data.inputs + 1.5)
    view = view_of(config, cell, few)
    prior = theory.best(view, twins=True).penalty / unit(config, view)
    star = lowest(strengths, mean)
    taken, found = (clipped(s, strengths) for s in (best, star))
    level = np.interp(math.log(taken), np.log(strengths[1:]), mean[1:])
    level = mean[0] if best == 0 else level
    return cell | {
        "best": star,
        "best_low": float(np.quantile(stars, 0.025)),
        "best_high": float(np.quantile(stars, 0.975)),
        "predicted": float(best),
        "prior": float(prior),
        "ratio": taken / found,
        "ratio_prior": clipped(prior, strengths) / found,
        "regret": float(level / mean[0] - mean.min() / mean[0]),
        "gain": float(1 - mean.min() / mean[0]),
        "error": float(np.sqrt(np.mean((curve[1:] / mean[1:] - 1) ** 2))),
        "effective_labels": float(labels),
        "strengths": strengths.tolist(),
        "curve": mean.tolist(),
        "curve_predicted": curve.tolist(),
        "curve_error": (risks.std(axis=0, ddof=1) / math.sqrt(len(risks))).tolist(),
    }


def collect(config: ConfigDict, table: pd.DataFrame, metric: str = "mae") -> pd.DataFrame:
    """A row per cell, see `row`."""
    runs = measured(table, metric)
    alone = {
        c: config.encoder.embed_dim[0] if c == "embed_dim" else config.data[c][0] for c in CELL
    }
    rows = []
    keys = [name for name in runs.index.names if name != "seed"]
    for values, part in runs.groupby(level=keys):
        cell = alone | dict(zip(keys, values, strict=True))
        rows.append(row(config, cell, part))
    return pd.DataFrame(rows)


def control(table: pd.DataFrame) -> str:
    """Change of the risk at each λ in %, with true and with shuffled partners; ± standard error."""
    keys = ["shuffled", "shared"]
    rows = table[table["metric"] == "mae"].assign(risk=lambda t: math.pi / 2 * t["value"] ** 2)
    risks = rows.groupby([*keys, "seed", "strength"])["risk"].mean().unstack("strength")
    change = 100 * (risks.div(risks[0.0], axis=0) - 1).drop(columns=0.0)
    mean, error = change.groupby(keys).mean(), change.groupby(keys).sem()
    lines = ["| partners | ρ | " + " | ".join(f"λ = {s:g}" for s in change) + " |"]
    lines.append("| --- " * (2 + change.shape[1]) + "|")
    for key, values in mean.iterrows():
        cells = [f"{v:+.1f} ± {e:.1f}" for v, e in zip(values, error.loc[key], strict=True)]
        lines.append(f"| {'shuffled' if key[0] else 'true'} | {key[1]:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def hits(table: pd.DataFrame, ratio: str = "ratio") -> pd.Series:
    """Whether the predicted λ* is within a factor of two of the measured one."""
    return np.abs(np.log2(table[ratio])) <= 1 + 1e-9


def resolved(table: pd.DataFrame) -> pd.Series:
    """Whether seeds tell λ* to a factor of four; at the ends of the grid, as far as it goes."""
    ends = [
        [
            clipped(v, np.array(s))
            for v, s in zip(table[f"best_{end}"], table["strengths"], strict=True)
        ]
        for end in ("low", "high")
    ]
    return pd.Series(np.divide(ends[1], ends[0]) <= 4 * (1 + 1e-9), table.index)


def summary(name: str, table: pd.DataFrame, common: int, inputs: int) -> list[str]:
    """Rows of the table of docs/theory.md: by width, and by side of ρ = K / p."""
    lines = []
    wide, rich = table["embed_dim"] > common, table["shared"] > common / inputs
    for words, part in (
        ("d ≤ K, ρ > K/p", table[~wide & rich]),
        ("d ≤ K, ρ ≤ K/p", table[~wide & ~rich]),
        ("d > K", table[wide]),
    ):
        if not len(part):
            continue
        clear = part[resolved(part)]
        near = part["predicted"] >= part["best_low"] / 2
        near &= part["predicted"].clip(upper=part["strengths"].str[-1]) <= part["best_high"] * 2
        lines.append(
            f"| {name} | {words} | {hits(part).sum()} of {len(part)} "
            f"| {hits(clear).sum()} of {len(clear)} | {near.sum()} of {len(part)} "
            f"| {hits(part, 'ratio_prior').sum()} of {len(part)} | {part['gain'].mean():.1%} "
            f"| {part['regret'].mean():.1%} | {part['regret'].max():.1%} "
            f"| {part['error'].mean():.1%} |"
        )
    return lines


HEAD = (
    "| sweep | cells | λ* within 2× | where seeds tell λ* to 4× | within 2× of its interval "
    "| from labels alone | gain | regret | worst | risks off by |\n" + "| --- " * 10 + "|"
)


def read(folder: Path) -> pd.DataFrame:
    """The results of a finished sweep."""
    return pd.read_parquet(folder / "results.parquet")
