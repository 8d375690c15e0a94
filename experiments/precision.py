"""What training with bfloat16 products does to accuracies and best strengths, on a CPU.

python experiments/precision.py [--seeds=8] [--configs=redundancy,mfeat] [--pairs=5] [--json=FILE]

A TPU multiplies float32 matrices as bfloat16 unless told otherwise (`train.precision`). Here its
rounding is emulated: both operands of every product whose precision is left open lose all but 7
bits of mantissa, and products are added up in float32. Each sweep runs twice from the same seeds,
with rounded products and with `train.precision=highest`. What is measured is never rounded.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jax.interpreters import mlir
from ml_collections import ConfigDict
from scipy.stats import t

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from redalign_jax import config_files, sweep  # noqa: E402

MANTISSA, EXPONENT = 7, 8  # bits of bfloat16
METRICS = {"accuracy": "last step", "early_accuracy": "stopped early"}


def round_products() -> None:
    """From here on, what compiles for a CPU rounds the operands of products of open precision."""
    dot = jax.lax.dot_general_p
    plain = mlir._platform_specific_lowerings["cpu"][dot]

    def rounded(context: Any, left: Any, right: Any, *, precision: Any, **how: Any) -> Any:
        open_ = precision is None or set(precision) == {jax.lax.Precision.DEFAULT}
        if not open_ or any(a.dtype != np.float32 for a in context.avals_in):
            rule = plain.rule if hasattr(plain, "rule") else plain
            return rule(context, left, right, precision=precision, **how)

        def coarse(*operands: jax.Array) -> jax.Array:
            few = [jax.lax.reduce_precision(a, EXPONENT, MANTISSA) for a in operands]
            return dot.bind(*few, precision=(jax.lax.Precision.HIGHEST,) * 2, **how)

        return mlir.lower_fun(coarse, multiple_results=False)(context, left, right)

    mlir.register_lowering(dot, rounded, platform="cpu")


def check_rounding() -> None:
    """Fails unless open products are rounded, and products of full precision are not."""
    x = jax.random.normal(jax.random.key(0), (64, 64))
    exact = np.asarray(x, np.float64) @ np.asarray(x, np.float64)
    for precision, low, high in ((None, 1e-3, 1e-1), ("highest", 0, 1e-4)):
        got = jax.jit(lambda a, p=precision: jax.numpy.matmul(a, a, precision=p))(x)
        assert low < np.abs(got - exact).max() < high, precision


def experiment(name: str, seeds: int, pairs: int) -> ConfigDict:
    """A published sweep with fewer seeds, without the balanced mechanism."""
    config = config_files.load(name)
    config.sweep.seeds, config.sweep.balanced = seeds, False
    if name == "mfeat":
        config.data.modalities = config.data.modalities[:pairs]
    return config


def both(config: ConfigDict) -> pd.DataFrame:
    """The results of the two sweeps, told apart by the column `precision`."""
    tables = []
    for precision in ("default", "highest"):
        config.train.precision = precision
        with tempfile.TemporaryDirectory() as folder:
            tables.append(sweep.run(config, folder).assign(precision=precision))
    return pd.concat(tables, ignore_index=True)


def compare(table: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Rounded minus exact, in points, and the strengths that are best by the mean of all seeds."""
    rows = table[(table["metric"] == metric) & ~table["subject"].str.contains(r"\|")]
    rows = rows[rows["subject"] != "fusion"]
    axes = [c for c in ("modalities", "redundancy") if c in rows]
    cells = rows.pivot_table(
        index=[*axes, "subject", "strength"], columns=["precision", "seed"], values="value"
    )
    change = 100 * (cells["default"] - cells["highest"])
    of_seed = change.mean()
    half = t.ppf(0.975, len(of_seed) - 1) * of_seed.std(ddof=1) / len(of_seed) ** 0.5
    means = {p: cells[p].mean(axis=1).unstack("strength") for p in ("default", "highest")}
    best = {p: m.idxmax(axis=1) for p, m in means.items()}
    cost = [
        100 * (row.max() - row[best["default"][key]]) for key, row in means["highest"].iterrows()
    ]
    found = {
        "cells": len(cells),
        "mean change": [of_seed.mean(), of_seed.mean() - half, of_seed.mean() + half],
        "largest change of a cell": change.mean(axis=1).abs().max(),
        "spread of a seed": change.std(axis=1).mean(),
        "encoders": len(best["default"]),
        "same λ*": int((best["default"] == best["highest"]).sum()),
        "points lost by the other λ*": max(cost),
    }
    if "redundancy" in axes:
        for p, strengths in best.items():
            levels = strengths.groupby("redundancy").mean()
            found[f"Spearman of R and λ*, {p}"] = levels.corr(
                pd.Series(levels.index, levels.index), method="spearman"
            )
    return found


def main() -> None:
    """Runs and prints all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--configs", default="redundancy,mfeat")
    parser.add_argument("--pairs", type=int, default=5, help="of mfeat's views, 15 at most")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    flags = parser.parse_args()
    round_products()
    check_rounding()
    found = {}
    for name in flags.configs.split(","):
        table = both(experiment(name, flags.seeds, flags.pairs))
        found[name] = {metric: compare(table, metric) for metric in METRICS}
        for metric, when in METRICS.items():
            print(f"{name}, {when}:", json.dumps(found[name][metric], default=float), flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(found, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()
