"""What `summary.json` holds, and its shortest form for a terminal."""

from typing import Any

import pandas as pd

from redalign_jax.law import across, effects, regimes, strengths


def summarise(results: pd.DataFrame, decomposition: pd.DataFrame | None = None) -> dict[str, Any]:
    """Everything `summary.json` holds.

    Args:
      results: the tidy table.
      decomposition: of the tasks' information, see `information.of_encoders`; None where it was not
        estimated.

    Returns:
      Counts, `best`, `best_early`, `curves`, `similarity`, `trends`, `law`, `regimes` and
      `regime_overview`; the last three are empty where nothing is known about information.
    """
    role = effects.columns(results)
    metric, _ = effects.quality_metric(results)
    run = [*role.tasks, "seed", *role.others, *role.strengths]
    diverged = results.groupby(run, dropna=False)["diverged"].any()
    measured = set(results["metric"])
    trends = [strengths.trend(results, axis) for axis in role.tasks]
    early = f"early_{metric}"
    by_regime = regimes.regimes(results, decomposition)
    return {
        "metric": metric,
        "runs": len(diverged),
        "diverged": int(diverged.sum()),
        "seeds": int(results["seed"].nunique()),
        "best": effects.records(strengths.best(results)),
        "best_early": effects.records(strengths.best(results, early)) if early in measured else [],
        "curves": effects.records(effects.curves(results, metric)),
        "similarity": {
            name: effects.records(effects.curves(results, name))
            for name in effects.SIMILARITIES
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
        "strength_star": "best",
        "gain": "gain",
        "harm": "at strongest",
    }
    lines = []
    for row in summary["best"]:
        task = {
            k: v for k, v in row.items() if k not in _BEST and not k.endswith(("_low", "_high"))
        }
        cells = [str(v) for v in task.values()] + [f"{row['base'] * scale:{form}}"]
        for name in shown:
            factor = 1 if name == "strength_star" else scale
            digits = "g" if name == "strength_star" else f"+{form}"
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            value = f"{row[name] * factor:{digits}}"
            if low is not None:
                value += f" [{low * factor:{digits}}, {high * factor:{digits}}]"
            cells.append(value)
        cells.append(row["verdict"])
        header = [*task, "at 0", *shown.values(), "verdict"]
        lines.append(cells)
    if not lines:
        return "every run diverged: nothing to compare"
    rows = [header, *lines]
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    table = "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
    )
    return (
        f"{table}\n{summary['metric']}, gain and harm in {unit} against strength 0; "
        f"95 % intervals over seeds ({summary['seeds']}); {summary['diverged']} of "
        f"{summary['runs']} runs diverged"
    )


_BEST = (
    "seeds",
    "base",
    "strength_star",
    "strength_one_se",
    "strongest",
    "gain",
    "held_out_gain",
    "harm",
    "verdict",
)
