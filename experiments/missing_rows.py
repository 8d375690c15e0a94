"""What rows that miss a modality are worth: masked, complete, or dropped.

python experiments/missing_rows.py --json=FILE [--seeds=16] [--objective=posterior]

The second modality loses a share of its training and validation rows at random; test rows have all.
Three arms with the same seeds, inits and test rows, at λ = 0 and λ = 1:

  complete   all rows of both modalities
  masked     the rows as they are: the missing ones train the first encoder alone
  dropped    only the rows that both have

Differences are paired by seed, points of test accuracy, with 95 % t intervals over seeds.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from redalign_jax import data, sweep  # noqa: E402
from redalign_jax.config import base  # noqa: E402
from redalign_jax.data.sources import av_digits, mfeat, redundancy_bits  # noqa: E402
from redalign_jax.task import Split, Task  # noqa: E402

ARMS = ("complete", "masked", "dropped")


def configs(seeds: int, objective: str) -> dict[str, ConfigDict]:
    """The experiments, by name; all training rows have a label."""
    found = {}
    for redundancy in (4, 8):
        own = redundancy_bits.defaults()
        own.redundancy, own.labels, own.pairs = (redundancy,), (300,), (300,)
        own.valid, own.test = 150, 2000
        found[f"redundancy_bits R={redundancy}"] = base(own)
    own = mfeat.defaults()
    own.modalities = ("fou,fac",)
    own.labels = (0,)
    found["mfeat fou,fac"] = base(own)
    found["av_digits"] = base(av_digits.defaults())
    for config in found.values():
        config.encoder.hidden_sizes, config.encoder.embed_dim = (32,), (16,)
        config.hyper.strength = (0.0, 1.0)
        config.alignment.objective = objective
        config.sweep.seeds = seeds
    return found


def lost(split: Split, share: float, rng: np.random.Generator) -> np.ndarray:
    """(2, n) bool: the second modality lacks that share of the rows."""
    n = len(split.y)
    present = np.ones((2, n), bool)
    present[1, rng.permutation(n)[: round(share * n)]] = False
    return present


def arm(task: Task, how: str, share: float, most: int, seed: int) -> Task:
    """The task with `most` training rows, of which some miss the second modality."""
    rng = np.random.default_rng([seed, 5])

    def changed(split: Split, present: np.ndarray) -> Split:
        if how == "dropped":
            rows = present.all(axis=0)
            return Split(tuple(x[rows] for x in split.x), split.y[rows])
        return split._replace(present=present if how == "masked" else None)

    rows = rng.permutation(len(task.train.y))[:most]
    train = Split(tuple(x[rows] for x in task.train.x), task.train.y[rows])
    parts = [changed(split, lost(split, share, rng)) for split in (train, task.valid)]
    test = task.test
    if how == "masked":
        test = test._replace(present=np.ones((2, len(test.y)), bool))
    return replace(task, train=parts[0], valid=parts[1], test=test, groups=None)


def run(config: ConfigDict, how: str, share: float, most: int) -> pd.DataFrame:
    """Accuracies by (strength, subject, metric) and seed."""

    def load(section: ConfigDict, seed: int) -> Task:
        return arm(data.load(section, seed), how, share, most, seed)

    with tempfile.TemporaryDirectory() as folder:
        table = sweep.run(config, folder, progress=False, load=load)
    table = table[table["metric"].isin(["accuracy", "early_accuracy"])]
    return table.pivot_table(
        index=["strength", "subject", "metric"], columns="seed", values="value"
    )


def interval(values: np.ndarray) -> list[float]:
    """Mean and 95 % t interval, in points."""
    mean, error = values.mean(), stats.sem(values)
    half = stats.t.ppf(0.975, len(values) - 1) * error
    return [round(100 * float(v), 2) for v in (mean, mean - half, mean + half)]


def main() -> None:
    """Prints and writes the differences."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--json", required=True)
    flags.add_argument("--seeds", type=int, default=16)
    flags.add_argument("--share", type=float, default=0.3)
    flags.add_argument("--rows", type=int, default=300, help="training rows, of all datasets")
    flags.add_argument("--objective", default="info_nce")
    flags.add_argument("--only", default="", help="part of a dataset's name")
    options = flags.parse_args()
    found = []
    for name, config in configs(options.seeds, options.objective).items():
        if options.only not in name:
            continue
        tables = {how: run(config, how, options.share, options.rows) for how in ARMS}
        masked = tables["masked"]
        for key in masked.index:
            row = {"data": name, **dict(zip(masked.index.names, key, strict=True))}
            for how in ARMS:
                row[how] = round(100 * float(tables[how].loc[key].mean()), 2)
            for how in ("complete", "dropped"):
                change = (masked.loc[key] - tables[how].loc[key]).to_numpy()
                row[f"masked - {how}"] = interval(change)
            found.append(row)
            print(json.dumps(row), flush=True)
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
