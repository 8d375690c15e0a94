"""Is the advice any good? Against the best strength in hindsight, on tasks drawn at random.

python experiments/advice.py --tasks=synthetic --json=FILE    # 40 tasks; R and seed are random
python experiments/advice.py --tasks=digits --json=FILE       # 15 pairs of views, 100 labels

Advice is computed from labelled training examples alone (the decomposition, which only explains it,
is left out). Then every strength of the grid and every strength that could have been advised is
trained on the whole training split with several inits and read on the test split. Per encoder:

  regret     accuracy at the best symmetric λ of the grid, in hindsight, minus that at the advised
             strengths; the best of many is too good by chance, so this is an upper bound
  coverage   how often the stated 95 % interval of the gain holds the realised one
  separation align at λ = 1 where the linear diagnosis of separation.py says so, else λ = 0
"""

import argparse
import json
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from configs import mfeat as digits  # noqa: E402
from experiments import separation  # noqa: E402
from redalign_jax import data, sweep  # noqa: E402
from redalign_jax.advise import cross_validate, decide  # noqa: E402
from redalign_jax.config import base  # noqa: E402
from redalign_jax.data.sources import mfeat, redundancy_bits  # noqa: E402
from redalign_jax.runtime import devices  # noqa: E402
from redalign_jax.sweep import grid  # noqa: E402
from redalign_jax.task import Task  # noqa: E402

GRID = (0.0, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0)


def tasks(kind: str, count: int, seed: int) -> list[tuple[str, ConfigDict, int]]:
    """(name, config, seed) of every task."""
    rng = np.random.default_rng(seed)
    found = []
    if kind == "synthetic":
        for _ in range(count):
            redundancy, own = int(rng.integers(0, 9)), int(rng.integers(1000, 100_000))
            fields = redundancy_bits.defaults()
            fields.redundancy = (redundancy,)
            found.append((f"R={redundancy} seed={own}", base(fields), own))
        return found
    for pair in list(combinations(mfeat.VIEWS, 2))[:count]:
        config = digits.get_config()
        config.data.modalities = (",".join(pair),)
        found.append((",".join(pair), config, int(rng.integers(1000, 100_000))))
    return found


def realised(config: ConfigDict, task: Task, own: ConfigDict, inits: int) -> dict[str, np.ndarray]:
    """Test accuracy per encoder: (grid strengths, then candidates), mean over inits."""
    plain = {name: values[0] for name, values in config.hyper.items()}
    mechanism = {name: values[0] for name, values in own.hyper.items()}
    settings = [plain | {"strength": s} for s in GRID]
    settings += [mechanism | {"strength": s} for s in cross_validate.candidates(task.modalities)]
    size = own.encoder.embed_dim[0]
    cells = [grid.Cell(k, {"seed": k}, lambda seed: task, 10_000 + k, size) for k in range(inits)]
    model = grid.build_model(own, task, size)
    table = sweep.train(own, grid.Group(model, grid.arrays(task), cells), settings)
    table["setting"] = table["place"] % len(settings)
    rows = table[table["metric"] == "accuracy"]
    mean = rows.groupby(["subject", "setting"])["value"].mean().unstack()
    return {name: mean.loc[name].to_numpy() for name in task.modalities}


def judge(name: str, config: ConfigDict, seed: int, minutes: float, inits: int) -> list[dict]:
    """One row per encoder."""
    config.sweep.first_seed = seed
    point = ConfigDict({k: v[0] if isinstance(v, tuple) else v for k, v in config.data.items()})
    task = data.load(point, seed)
    own = cross_validate.configured(config, task)
    began = time.perf_counter()
    trials = cross_validate.run(own, task, minutes, seed)
    seconds = time.perf_counter() - began
    labelled = len(task.train.y) - len(task.train.y) % cross_validate.FOLDS
    choice = decide.choose(cross_validate.gains(trials, "accuracy"), task.modalities, labelled)
    options = cross_validate.candidates(task.modalities)
    flat = [np.asarray(x, np.float64).reshape(len(x), -1) for x in task.train.x]
    delta = separation.ratio(*flat, task.train.y)
    accuracy = realised(config, task, own, inits)
    rows = []
    for k, modality in enumerate(task.modalities):
        of_grid, of_options = np.split(accuracy[modality], [len(GRID)])
        # strengths that the pilot did not try as such: the encoder's own trial
        exact = choice.strengths if choice.strengths in options else options[choice.candidate]
        got = of_options[options.index(exact)]
        rows.append(
            {
                "task": name,
                "encoder": modality,
                "verdict": choice.verdicts[k],
                "strength": choice.strengths[k],
                "gain": choice.gains[k].mean,
                "low": choice.gains[k].low,
                "high": choice.gains[k].high,
                "accuracy": got,
                "best": of_grid.max(),
                "balanced": of_options[options.index((16.0,) * len(task.modalities))],
                "separation": of_grid[GRID.index(1.0 if delta > 1 else 0.0)],
                "ratio": delta,
                "seconds": seconds,
                **{f"fixed {s:g}": of_grid[i] for i, s in enumerate(GRID)},
            }
        )
    return rows


def summary(table: pd.DataFrame) -> dict:
    """Mean and worst regret of every policy, in points, and what the intervals are worth."""
    fixed = [c for c in table if c.startswith("fixed ")]
    single = table[fixed].mean().idxmax()
    policies = {
        "advice": table["accuracy"],
        "balanced, unasked": table["balanced"],
        "always 0": table["fixed 0"],
        "always 1": table["fixed 1"],
        f"best single, {single}": table[single],
        "separation ratio": table["separation"],
    }
    regret = {
        name: {
            "mean": float(100 * (table["best"] - got).mean()),
            "worst": float(100 * (table["best"] - got).max()),
        }
        for name, got in policies.items()
    }
    gain = table["accuracy"] - table["fixed 0"]
    told = table["verdict"] == decide.ALIGN
    inside = (gain >= table["low"]) & (gain <= table["high"])
    return {
        "encoders": len(table),
        "regret": regret,
        "coverage": float(inside[told].mean()),
        "gain": float(100 * gain.mean()),
        "verdicts": table["verdict"].value_counts().to_dict(),
        "seconds": float(table["seconds"].median()),
    }


def main() -> None:
    """Runs, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", choices=("synthetic", "digits"), required=True)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--inits", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    flags = parser.parse_args()
    devices.prepare()
    rows = []
    for name, config, seed in tasks(flags.tasks, flags.count, flags.seed):
        rows += judge(name, config, seed, flags.minutes, flags.inits)
        last = rows[-1]
        print(f"{name}: {last['verdict']}, {last['seconds']:.0f} s", flush=True)
        found = {"summary": summary(pd.DataFrame(rows)), "rows": rows}
        flags.json.write_text(json.dumps(found, indent=1, default=float) + "\n")
    print(json.dumps(found["summary"], indent=1))


if __name__ == "__main__":
    main()
