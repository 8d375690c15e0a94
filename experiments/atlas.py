"""An atlas: what alignment did to every encoder of many real datasets, beside what was measured.

python experiments/atlas.py --data=DIR --runs=runs/atlas [--datasets=rosmap,mfeat]

DIR holds the `.npz` files that `experiments/peers.py` names. Every pair of modalities of every
dataset, both encoders: 100 labels, or 200 where 100 are fewer than 5 a class, and 400 where the
rows allow it; a fifth of the rows for validation, a fifth for the test, drawn anew by each of 8
seeds; published splits are not used, groups are kept; an MLP of 64, 1,000 steps of 64 labelled
examples and 64 pairs; InfoNCE at τ = .2 and λ = 0 to 10, and the posterior mechanism. The
decomposition is of all labelled rows, it needs at most 64 classes. One workdir per dataset, so the
same command goes on where it stopped. Writes RUNS/atlas.parquet, the table that the package ships
as `redalign_jax/analysis/atlas.parquet`; its columns are described in `analysis/atlas.py`.
"""

import argparse
import logging
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from redalign_jax import config as configs  # noqa: E402
from redalign_jax import sweep  # noqa: E402
from redalign_jax.analysis import differences  # noqa: E402
from redalign_jax.data.sources import arrays, av_digits, mfeat  # noqa: E402
from redalign_jax.errors import UserError  # noqa: E402
from redalign_jax.pid import decomposition  # noqa: E402
from redalign_jax.runtime import results  # noqa: E402

DATASETS = (
    *("rosmap", "leaves100", "mmmo", "cora", "orl", "mfeat", "av_digits", "mosi", "pom"),
    *("dermatology", "vowels", "segment", "adult", "arrhythmia", "watch", "racket"),
    *("ngs", "bbc", "reuters"),
)
STRENGTHS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
POSTERIOR = "posterior"
MOMENTS = {"early": "early_", "last": ""}
MORE, ROWS_FOR_MORE = 400, 750  # labels, and the rows that leave 400 of them for training


def sections(name: str, folder: Path, runs: Path) -> tuple[ConfigDict, ConfigDict]:
    """The `data` section of a dataset's sweep, and of its decomposition."""
    few, more = (100,), (100, MORE)
    if name == "mfeat":
        data, views, labels = mfeat.defaults(), list(mfeat.VIEWS), more
    elif name == "av_digits":
        data, labels = av_digits.defaults(), more
        data.pairing, data.downsample = ("same", "noise", "sum", "unique"), 2
    else:
        data, copy = arrays.defaults(), runs / "data" / f"{name}.npz"
        with np.load(folder / f"{name}.npz") as file:
            held = {key: file[key] for key in file.files if key != "split"}
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            np.savez(copy, **held)
        data.path = str(copy)
        y = held["labels"]
        views = [key for key in held if key not in ("labels", "groups")]
        classes = len(np.unique(y)) if y.dtype.kind in "iu" else 0
        few = (200,) if 5 * classes > 100 else (100,)
        labels = few if len(y) < ROWS_FOR_MORE else (*few, MORE)
    whole = ConfigDict(data.to_dict() | {"labels": (0,)})
    if name != "av_digits":
        data.modalities = tuple(",".join(pair) for pair in combinations(views, 2))
        whole.modalities = (",".join(views),)
    return ConfigDict(data.to_dict() | {"labels": labels, "valid": 0.2, "test": 0.2}), whole


def experiment(data: ConfigDict, seeds: int) -> ConfigDict:
    """The sweep on a dataset."""
    config = configs.base(data)
    config.encoder.hidden_sizes, config.encoder.embed_dim = (64,), (32,)
    config.hyper.strength = STRENGTHS
    config.train.steps, config.train.evaluations, config.train.batch = 1000, 20, 64
    config.sweep.seeds, config.sweep.balanced = seeds, True
    return config


def facts(task: object) -> dict[str, float]:
    """Sizes of a task."""
    return {
        "classes": task.classes,
        "pairs": len(task.train.x[0]),
        "valid": len(task.valid.y),
        "test": len(task.test.y),
    }


def arm(row: object) -> str:
    """What a run was trained with."""
    return POSTERIOR if row.balanced else f"{row.strength:g}"


def at(table: pd.DataFrame, point: dict[str, object]) -> pd.DataFrame:
    """The rows of a point of the task axis."""
    for axis, value in point.items():
        table = table[table[axis] == value]
    return table


def of_sweep(name: str, folder: Path, config: ConfigDict) -> pd.DataFrame:
    """A row per encoder of a finished sweep: own and partner's score, changes, evidence."""
    table, curves = results.read(folder, "results"), results.read(folder, "curves")
    table["arm"] = [arm(row) for row in table.itertuples()]
    curves["arm"] = [arm(row) for row in curves.itertuples()]
    regression = not (table["metric"] == "accuracy").any()
    score = "corr" if regression else "accuracy"
    found = []
    for point, source in configs.points(config):
        task, rows, mine = source(0), at(table, point), at(curves, point)
        about = {"dataset": name, "pairing": point.get("pairing", "")} | facts(task)
        about["labels"] = len(task.train.y)
        share = differences.share(rows)
        wide = {}
        for moment, prefix in MOMENTS.items():
            values = differences.settled(rows, prefix + score)
            wide[moment] = 100 * values.pivot_table(
                index=["subject", "arm"], columns="seed", values="value", dropna=False
            )
        sign, metric = (-1, "valid_mae") if regression else (100, "valid_accuracy")
        valid = sign * mine[mine["metric"] == metric].groupby(["subject", "arm", "seed"])[
            "value"
        ].agg("min" if regression else "max").unstack("seed")
        pair = "|".join(task.modalities)
        like = rows[(rows["subject"] == pair) & (rows["arm"] == "0")].groupby("metric")["value"]
        last = mine[mine["step"] == mine["step"].max()].groupby(["arm", "subject", "metric"])
        last = last["value"].mean()
        for m, subject in enumerate(task.modalities):
            other = task.modalities[1 - m]
            one = about | {"encoder": subject, "partner": other}
            one |= {"dim": int(np.prod(task.train.x[m].shape[1:]))}
            one |= {"partner_dim": int(np.prod(task.train.x[1 - m].shape[1:]))}
            majority = rows[(rows["subject"] == subject) & (rows["metric"] == "majority")]["value"]
            one["majority"] = np.nan if regression else 100 * majority.mean()
            one |= {k: like.mean()[k] for k in ("cka", "mutual_knn")}
            for metric in ("gate", "temperature", f"weight_{other}"):
                one[metric.split("_")[0]] = last[POSTERIOR, subject, metric]
            for moment, scores in wide.items():
                alone = scores.loc[subject, "0"]
                one[f"score_{moment}"] = alone.mean()
                one[f"partner_{moment}"] = scores.loc[other, "0"].mean()
                for a in (*(f"{s:g}" for s in STRENGTHS[1:]), POSTERIOR):
                    change = (scores.loc[subject, a] - alone).dropna().to_numpy()
                    one[f"{moment}_{a}"] = change.mean()
                    one[f"{moment}_{a}_se"] = differences.standard_error(change, share)
            for a in (*(f"{s:g}" for s in STRENGTHS[1:]), POSTERIOR):
                one[f"valid_{a}"] = (valid.loc[subject, a] - valid.loc[subject, "0"]).mean()
            found.append(one)
    return pd.DataFrame(found)


def of_decomposition(table: pd.DataFrame) -> pd.DataFrame:
    """A row per directed encoder: what it and its partner tell, in nats."""
    found = []
    for _, row in table.iterrows():
        for own, other in (("first", "second"), ("second", "first")):
            one = {"encoder": row[own], "partner": row[other], "pairing": row.get("pairing", "")}
            one |= {k: row[k] for k in ("redundancy", "information", "synergy")}
            one |= {"redundancy_fraction": row["redundancy_fraction"]}
            one |= {"own_information": row[f"information_{own}"]}
            one |= {"partner_information": row[f"information_{other}"]}
            one |= {"shared_fraction": row[f"shared_fraction_{own}"]}
            found.append(one)
    return pd.DataFrame(found)


def run(name: str, folder: Path, runs: Path, seeds: int) -> pd.DataFrame:
    """The rows of a dataset; what its workdirs hold already is read."""
    data, whole = sections(name, folder, runs)
    config = experiment(data, seeds)
    sweep.run(config, runs / name, False)
    rows = of_sweep(name, runs / name, config)
    of_all = configs.base(whole)
    of_all.decompose.n_resamples = 0
    try:
        told = decomposition.run(of_all, runs / f"{name}.decomposition", False)
    except UserError as error:
        logging.warning("%s is not decomposed: %s", name, error)
        return rows
    return rows.merge(
        of_decomposition(told), how="left", on=["encoder", "partner", "pairing"], validate="m:1"
    )


def main() -> None:
    """Runs the datasets one after another, and writes the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of the .npz files")
    parser.add_argument("--runs", required=True, type=Path, help="folder of the workdirs")
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    tables = []
    for name in args.datasets.split(","):
        began = time.monotonic()
        tables.append(run(name, args.data, args.runs, args.seeds))
        every = pd.concat(tables, ignore_index=True)
        numbers = every.select_dtypes("float64").columns
        every[numbers] = every[numbers].astype("float32")
        every.to_parquet(args.runs / "atlas.parquet", index=False, compression="zstd")
        print(f"{name}: {len(tables[-1])} encoders, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
