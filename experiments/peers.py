"""Mechanisms side by side on real data: what each changes for every encoder, and with a partner
that was shuffled.

python experiments/peers.py --data=DIR [--datasets=rosmap,mfeat] [--seeds=8] [--steps=1000]

DIR holds `.npz` files as `data.arrays` reads them. Two modalities a dataset, 100 labels, an MLP of
64 each; change in accuracy, or for a regression in Pearson's r, against training alone, in points,
paired by split, init and batches. Settings are those named here for every dataset, none is tuned.
Intervals are 95 % Student intervals over datasets; a dataset counts once, with the mean of its
encoders. In the control the rows of an encoder's partner are permuted in every split, so that the
partner knows nothing: what an arm changes beside it is no alignment.
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from redalign_jax import config as configs  # noqa: E402
from redalign_jax import data, sweep  # noqa: E402
from redalign_jax.data.sources import arrays, mfeat  # noqa: E402
from redalign_jax.runtime import devices  # noqa: E402
from redalign_jax.sweep import grid  # noqa: E402
from redalign_jax.task import Split, Task  # noqa: E402

# Development data: name → the two modalities.
DATASETS = {
    "mmmo": "audio,vision",
    "rosmap": "mrna,methylation",
    "leaves100": "",
    "mfeat": "fou,mor",
    "orl": "gist,lbp",
    "cora": "",
    "ngs": "",
    "bbc": "",
    "reuters": "",
}
# Arms: objective → name → hyperparameters.
ARMS = {
    "info_nce": {
        "none": {"strength": 0.0},
        "InfoNCE": {"strength": 1.0, "temperature": 0.2},
        "contrast, first half": configs.ADVISED,
    },
    configs.BALANCED_OBJECTIVE: {"posterior": configs.BALANCED},
}


@dataclass(frozen=True)
class Cell:
    """One task of an arm, as `grid.Cell`; `shuffled` names the encoder whose partners are."""

    place: int
    columns: dict
    task: Task
    seed: int

    def load(self) -> Task:
        """The task."""
        return self.task


def configured(name: str, folder: str, steps: int) -> ConfigDict:
    """The experiment on one dataset."""
    source = (mfeat if name == "mfeat" else arrays).defaults()
    values = {"labels": 100, "valid": 0.2, "modalities": DATASETS[name]}
    if name != "mfeat":
        path = Path(folder) / f"{name}.npz"
        with np.load(path) as file:
            views = [k for k in file.files if k not in ("labels", "split", "groups")]
        values |= {"path": str(path), "modalities": DATASETS[name] or ",".join(views[:2])}
    source = ConfigDict(source.to_dict() | values)
    config = configs.base(source)
    config.encoder.hidden_sizes, config.encoder.embed_dim = (64,), (32,)
    config.train.steps, config.train.evaluations = steps, 20
    return config


def shuffled(task: Task, keep: int, seed: int) -> Task:
    """`task` with the rows of all modalities but number `keep` permuted within every split."""
    rng = np.random.default_rng(seed)

    def of(split: Split) -> Split:
        x = (a if m == keep else a[rng.permutation(len(a))] for m, a in enumerate(split.x))
        return Split(tuple(x), split.y)

    return replace(task, train=of(task.train), valid=of(task.valid), test=of(task.test))


def run(name: str, folder: str, seeds: int, steps: int) -> pd.DataFrame:
    """Every arm on one dataset: rows of the results with `arm` and `shuffled`."""
    config = configured(name, folder, steps)
    tasks = [data.load(config.data, seed) for seed in range(seeds)]
    config.train.batch = min(128, len(tasks[0].train.x[0]))
    hyper = {field: values[0] for field, values in config.hyper.items()}
    cells = []
    for seed, task in enumerate(tasks):
        alone = [(m, shuffled(task, k, seed)) for k, m in enumerate(task.modalities)]
        for which, own in [("", task), *alone]:
            cells.append(Cell(len(cells), {"shuffled": which, "seed": seed}, own, seed))
    tables = []
    for objective, arms in ARMS.items():
        config.alignment.objective = objective
        settings = [hyper | own for own in arms.values()]
        if not tasks[0].classes:
            settings = [s | {"false_negative_weight": 0.0} for s in settings]
        config.hyper.false_negative_weight = tuple({s["false_negative_weight"] for s in settings})
        model = grid.build_model(config, tasks[0], config.encoder.embed_dim[0])
        config.hyper.false_negative_weight = (0.0,)
        table = sweep.train(config, grid.Group(model, grid.arrays(tasks[0]), cells), settings)
        number = table["place"] % len(settings)
        tables.append(table.assign(arm=np.array(list(arms))[number]))
    return pd.concat(tables, ignore_index=True).assign(dataset=name)


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Points per dataset, encoder, arm, control and moment, a column per seed."""
    kinds = {"accuracy": "last", "early_accuracy": "early", "corr": "last", "early_corr": "early"}
    rows = table[table["metric"].isin(kinds) & (table["subject"] != "fusion")]
    rows = rows.assign(
        moment=rows["metric"].map(kinds), value=100 * rows["value"].where(~rows["diverged"])
    )
    own = rows["shuffled"].isin(["", "fusion"]) | (rows["shuffled"] == rows["subject"])
    rows = rows[own].assign(control=rows["shuffled"] != "")
    key = ["dataset", "subject", "moment", "control", "arm"]
    wide = rows.pivot_table(index=key, columns="seed", values="value", dropna=False)
    base = wide.xs("none", level="arm").xs(False, level="control")
    rest = wide.drop(index="none", level="arm")
    change = rest - base.reindex(rest.index.droplevel(["control", "arm"])).to_numpy()
    return change.dropna(how="all")


def said(change: pd.DataFrame) -> str:
    """Mean with its interval over datasets, worst encoder, and how many lose a point."""
    means = change.mean(axis=1)
    lines = ["| arm | | mean | worst | below −1 | of |", "| --- | --- | --- | --- | --- | --- |"]
    for (arm, control, moment), each in means.groupby(level=["arm", "control", "moment"]):
        of_data = each.groupby(level="dataset").mean()
        half = np.inf
        if len(of_data) > 1:
            half = stats.t.ppf(0.975, len(of_data) - 1) * of_data.sem()
        who = f"{'shuffled, ' if control else ''}{'stopped early' if moment == 'early' else 'last'}"
        lines.append(
            f"| {arm} | {who} | {of_data.mean():+.2f} ± {half:.2f} | {each.min():+.2f} "
            f"| {(each < -1).sum()} | {len(each)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the datasets one after another and prints the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the .npz files")
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--csv", help="where the changes of every encoder are kept")
    args = parser.parse_args()
    devices.prepare()
    tables = []
    for name in args.datasets.split(","):
        began = time.monotonic()
        tables.append(run(name, args.data, args.seeds, args.steps))
        change = changes(pd.concat(tables, ignore_index=True))
        if args.csv:
            change.to_csv(args.csv)
        print(f"\n{name}, {time.monotonic() - began:.0f} s\n{said(change)}", flush=True)
    print(change.mean(axis=1).unstack(["arm", "control"]).round(2).to_string())


if __name__ == "__main__":
    main()
