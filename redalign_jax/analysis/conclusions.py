"""What `summary.json` holds, and its shortest form for a terminal."""

from typing import Any

import numpy as np
import pandas as pd

from redalign_jax.analysis import across, differences, regimes, strengths
from redalign_jax.analysis.trend import trend


def summarise(results: pd.DataFrame, decomposition: pd.DataFrame | None = None) -> dict[str, Any]:
    """Everything `summary.json` holds.

    Args:
      results: the tidy table.
      decomposition: of the tasks' information, see `information.of_encoders`; None where it was not
        estimated.

    Returns:
      Counts, `speaks_of`, `best`, `best_early`, `curves`, `similarity`, `trends`, `law`, `regimes`
      and `regime_overview`; the last three are empty where nothing is known about information.
    """
    role = differences.columns(results)
    metric, _ = differences.quality_metric(results)
    run = [*role.tasks, "seed", *role.others, *role.strengths]
    runs = results.groupby(run, sort=False, dropna=False)["diverged"].any()
    measured = set(results["metric"])
    trends = [trend(results, axis) for axis in role.tasks]
    early = f"early_{metric}"
    by_regime = regimes.regimes(results, decomposition)
    return {
        "metric": metric,
        "runs": len(runs),
        "diverged": int(runs.sum()),
        "seeds": int(results["seed"].nunique()),
        "speaks_of": speaks_of(results),
        "best": differences.records(strengths.best(results)),
        "best_early": differences.records(strengths.best(results, early))
        if early in measured
        else [],
        "curves": differences.records(differences.curves(results, metric)),
        "similarity": {
            name: differences.records(differences.curves(results, name))
            for name in differences.SIMILARITIES
            if name in measured
        },
        "trends": [t for t in trends if t],
        "law": across.laws(results, decomposition),
        "regimes": by_regime,
        "regime_overview": regimes.overview(by_regime),
    }


def short_table(summary: dict[str, Any]) -> str:
    """`best` as text for a terminal; accuracies in points, errors in their units."""
    scale, unit, form = 1, "units of the target", ".3g"
    if summary["metric"] == "accuracy":
        scale, unit, form = 100, "points", ".1f"
    shown = {
        "best_strength": "best",
        "held_out_gain": "held-out gain",
        "change_at_max": "at strongest",
    }
    rows = summary["best"]
    beside = [name for name in ("majority", "balanced") if rows and rows[0].get(name) is not None]
    lines = []
    for row in rows:
        task = {
            k: v for k, v in row.items() if k not in _BEST and not k.endswith(("_low", "_high"))
        }
        cells = [str(v) for v in task.values()]
        cells += [
            "" if row[name] is None else f"{row[name] * scale:{form}}" for name in ("base", *beside)
        ]
        for name in shown:
            factor = 1 if name == "best_strength" else scale
            digits = "g" if name == "best_strength" else f"+{form}"
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            value = f"{row[name] * factor:{digits}}"
            if low is not None:
                value += f" [{low * factor:{digits}}, {high * factor:{digits}}]"
            cells.append(value)
            if name in _P:
                cells.append(p_value(row[_P[name]]))
        cells.append(row["verdict"])
        head = [part for name, title in shown.items() for part in (title, "p")[: 1 + (name in _P)]]
        header = [*task, "at 0", *beside, *head, "verdict"]
        lines.append(cells)
    if not lines:
        return "every run diverged: nothing to compare"
    rows = [header, *lines]
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    table = "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
    )
    counted = ", counted as the worst outcome" if summary["diverged"] else ""
    return (
        f"{table}\n{summary['metric']}, gain and harm in {unit} against strength 0; "
        f"95 % intervals, each for itself, over {summary['seeds']} seeds: {summary['speaks_of']}\n"
        "p: of no gain, of no loss; all verdicts of the report together are wrong with 5 %; "
        f"{summary['diverged']} of {summary['runs']} runs diverged{counted}"
    )


def speaks_of(results: pd.DataFrame) -> str:
    """What intervals over these seeds speak of; see `Task.resplit` and `Task.fixed_test`."""
    if not differences.share(results):
        return "new draws of these tasks, not other datasets"
    if differences.FIXED in results and results[differences.FIXED].any():
        return "new seeds on the published split, not new rows or other datasets"
    return "new splits of rows like these, not other datasets"


def p_value(p: float | None) -> str:
    """A p-value as text: ".032", "<.001", "1"; "–" where there is none."""
    if p is None or not np.isfinite(p):
        return "–"
    if p < 0.001:
        return "<.001"
    return f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


_P = {"held_out_gain": "gain_p", "change_at_max": "change_at_max_p"}
_BEST = (
    "seeds",
    "resplit",
    "base",
    "majority",
    "balanced",
    "gain_p",
    "change_at_max_p",
    "neither_p",
    "best_strength",
    "strength_one_se",
    "strongest",
    "gain",
    "held_out_gain",
    "change_at_max",
    "verdict",
)
