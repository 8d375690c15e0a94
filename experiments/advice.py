"""Is the advice any good? On real datasets whose outcome is known from many splits.

python experiments/advice.py --data=DIR --runs=DIR --table=ATLAS [--minutes=2] [--null]

For one pair of every dataset of the atlas, `experiments/atlas.py`, advice is asked on a fresh
split, with an atlas from which this dataset was taken out. What following it brings is then read
in the atlas: the mean change over 8 other splits, stopped early, of test accuracy. Per encoder, in
points:

  regret   the best of leaving alone, contrast at the two strengths tried, and posteriors, in
           hindsight, minus what was advised; the best of noisy means is too good, an upper bound
  wrong    a decided verdict whose regret is above 2, or an alignment that loses more than 1

--null=split permutes the second modality's rows within each split, so that it says nothing of the
first: verdicts on the first are counted, what any of them would bring is not known. (The second
trains on labels that are not its own.) --null=class permutes labelled rows within each class and
split, and pairs without a label at random: the validation split praises a partner that is wrong
where it teaches. Regressions are left out: the atlas has two.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from experiments import atlas as making  # noqa: E402
from experiments.peers import DATASETS as PAIRS  # noqa: E402
from redalign_jax import advise, data  # noqa: E402
from redalign_jax.advise import arms, decide  # noqa: E402
from redalign_jax.analysis import atlas  # noqa: E402
from redalign_jax.task import Split, Task  # noqa: E402

SEED = 1000  # of the split that is advised on
LARGE = 2.0


def configured(name: str, labels: int, folder: Path, runs: Path) -> ConfigDict:
    """The experiment of the atlas on one pair of a dataset."""
    section, _ = making.sections(name, folder, runs)
    section.labels = (labels,)
    if name == "av_digits":
        section.pairing = ("same",)
    else:
        pair = PAIRS[name]
        section.modalities = (pair or section.modalities[0],)
    config = making.experiment(section, 8)
    config.sweep.first_seed = SEED
    return config


def unpaired(task: Task, seed: int, null: str) -> Task:
    """The task with the second modality's rows permuted, see above."""
    rng = np.random.default_rng(seed)

    def mixed(split: Split) -> Split:
        order, labelled = np.arange(len(split.x[0])), len(split.y)
        kept = [np.flatnonzero(split.y == c) for c in np.unique(split.y)] if null == "class" else []
        for rows in kept:
            order[rows] = rng.permutation(rows)
        rest = order[labelled * bool(kept) :]
        rest[:] = rng.permutation(rest)
        return split._replace(x=(split.x[0], split.x[1][order]))

    return replace(task, train=mixed(task.train), valid=mixed(task.valid), test=mixed(task.test))


def ask(config: ConfigDict, folder: Path, rows: pd.DataFrame, null: str) -> dict:
    """The advice, by an atlas of these rows."""

    def load(section: ConfigDict, seed: int) -> Task:
        task = data.load(section, seed)
        return unpaired(task, seed, null) if null else task

    with mock.patch.object(atlas, "table", lambda: rows):
        return advise.advise(config, folder, False, load)


def judge(name: str, labels: int, found: dict, rows: pd.DataFrame) -> list[dict]:
    """One row per encoder: what was advised, and what everything brings."""
    trials, judged = found["trials"], []
    pairing = "same" if name == "av_digits" else ""
    here = rows[(rows["dataset"] == name) & (rows["pairing"] == pairing)]
    here = here[here["labels"] == labels]
    names = list(found["encoders"])
    for encoder, row in found["encoders"].items():
        (partner,) = set(names) - {encoder}
        own = here[(here["encoder"] == encoder) & (here["partner"] == partner)]
        if len(own) != 1:
            raise SystemExit(f"{name}: {encoder} beside {partner} is not in the table")
        own = own.iloc[0]
        brings = {"alone": 0.0} | {f"{s:g}": own[f"early_{s:g}"] for s in arms.STRENGTHS}
        brings["posterior"] = own["early_posterior"]
        keys = list(brings)
        taken = "alone"
        if row["strength"]:
            taken = keys[1 + trials["arms"].index(row["arm"])]
        measured = (
            [0.0] + [c[0] for c in trials["changes"][encoder]] if trials["repeats"] else [0.0]
        )
        judged.append(
            {
                "dataset": name,
                "labels": labels,
                "encoder": encoder,
                "verdict": row["verdict"],
                "prior": row["hangs_on_prior"],
                "seconds": trials["seconds"],
                "best": max(brings.values()),
                "advice": brings[taken],
                "always none": 0.0,
                "always posteriors": brings["posterior"],
                "always contrast at 1": brings["1"],
                "best on held-out examples": brings[keys[int(np.argmax(measured))]],
            }
        )
    return judged


def said(table: pd.DataFrame) -> str:
    """Verdicts, and the regret of every policy, datasets counted as one."""
    decided = table["verdict"].isin(decide.DECIDED)
    counts = table["verdict"].value_counts().to_dict()
    lines = [f"{len(table)} encoders: {counts}; {decided.mean():.0%} decided"]
    lines.append(f"{int(table['prior'].sum())} verdicts hang on other datasets")
    regret = table["best"] - table["advice"]
    wrong = decided & ((regret > LARGE) | (table["advice"] < -1))
    lines.append(f"wrong: {int(wrong.sum())} of {int(decided.sum())} decided")
    lines += ["", "| policy | mean regret | worst | mean change |", "| --- | --- | --- | --- |"]
    for policy in table.columns[table.columns.get_loc("advice") :]:
        each = (table["best"] - table[policy]).groupby(table["dataset"]).mean()
        change = table[policy].groupby(table["dataset"]).mean().mean()
        worst = (table["best"] - table[policy]).max()
        half = 1.96 * each.sem()
        lines.append(f"| {policy} | {each.mean():.2f} ± {half:.2f} | {worst:.1f} | {change:+.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Asks, judges, prints after each dataset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument("--table", required=True, type=Path, help="the atlas, parquet")
    parser.add_argument("--datasets", default="")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--null", default="", choices=("", "split", "class"))
    args = parser.parse_args()
    rows = pd.read_parquet(args.table)
    names = args.datasets.split(",") if args.datasets else rows["dataset"].unique()
    args.runs.mkdir(parents=True, exist_ok=True)
    judged: list[dict] = []
    for name in names:
        if not rows.loc[rows["dataset"] == name, "classes"].any():
            continue
        labels = int(rows.loc[rows["dataset"] == name, "labels"].min())
        config = configured(name, labels, args.data, args.runs)
        config.advise.minutes = args.minutes
        folder = args.runs / f"{name}{args.null and '.' + args.null}"
        began = time.monotonic()
        if (folder / "advice.json").exists():
            found = json.loads((folder / "advice.json").read_text())
        else:
            found = ask(config, folder, rows[rows["dataset"] != name], args.null)
        judged += judge(name, labels, found, rows)
        verdicts = {n: row["verdict"] for n, row in found["encoders"].items()}
        print(f"{name}, {time.monotonic() - began:.0f} s: {verdicts}", flush=True)
    table = pd.DataFrame(judged)
    table.to_csv(args.runs / f"judged{args.null and '.' + args.null}.csv", index=False)
    print(said(table))


if __name__ == "__main__":
    main()
