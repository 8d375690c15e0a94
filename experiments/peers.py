"""Mechanisms side by side on real data: what each changes for every encoder, and with partners
that were shuffled.

python experiments/peers.py --data=DIR [--datasets=rosmap,mfeat] [--seeds=8] [--steps=1000]

DIR holds `.npz` files as `data.sources.arrays` reads them. 100 labels, or 200 where 100 are fewer
than 5 a class; an MLP of 64 per modality; change in accuracy, or for a regression in Pearson's r,
against training alone, in points, paired by split, init and batches. Settings are those named here
for every dataset, none is tuned. Intervals are 95 % Student intervals over datasets; a dataset
counts once, with the mean of its encoders. In the control pairs are of rows that do not belong
together, in training and where posteriors are weighed: what an arm changes then is no alignment.
"""

import argparse
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array
from ml_collections import ConfigDict
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from redalign_jax import alignment, data  # noqa: E402
from redalign_jax import config as configs  # noqa: E402
from redalign_jax.alignment import posterior  # noqa: E402
from redalign_jax.data.sources import arrays, mfeat  # noqa: E402
from redalign_jax.runtime import devices  # noqa: E402
from redalign_jax.sweep import grid  # noqa: E402
from redalign_jax.task import Task  # noqa: E402
from redalign_jax.training import model as models  # noqa: E402
from redalign_jax.training.data import Data, Order  # noqa: E402
from redalign_jax.training.flat import layout  # noqa: E402
from redalign_jax.training.loop import TrainSpec, segment  # noqa: E402
from redalign_jax.training.start import State, start  # noqa: E402
from redalign_jax.training.validate import heads  # noqa: E402

# Name → its modalities; "" for all. Development data first.
DATASETS = {
    "mmmo": "audio,vision",
    "rosmap": "mrna,methylation",
    "leaves100": "",
    "mfeat": "fou,mor",
    "orl": "gist,lbp",
    "cora": "",
    "ngs": "terms1,terms2",
    "bbc": "segment1,segment2",
    "reuters": "language1,language2",
    # looked at once, with everything frozen
    "mosi": "text,audio",
    "pom": "",
    "dermatology": "",
    "vowels": "",
    "segment": "",
    "adult": "",
    "arrhythmia": "widths,amplitudes",
    "watch": "",
    "racket": "",
}
# The setting before posteriors: aligned hard and softly (τ = 1) for half of training, pairs of one
# class no negatives; then let go.
FIRST_HALF = {
    "strength": 16.0,
    "temperature": 1.0,
    "align_fraction": 0.5,
    "false_negative_weight": 1.0,
}
CONFIDENT = 0.95  # least probability of a pseudo-label
# Arms: objective → name → hyperparameters. Posteriors have no aligned share: it numbers peers.
ARMS = {
    "info_nce": {
        "none": {"strength": 0.0},
        "InfoNCE": {"strength": 1.0, "temperature": 0.2},
        "contrast, first half": FIRST_HALF,
    },
    configs.BALANCED_OBJECTIVE: {
        "posterior": configs.BALANCED,
        "mutual learning": configs.BALANCED | {"aligned_share": 0.1},
        "own pseudo-labels": configs.BALANCED | {"aligned_share": 0.2},
    },
}


def ordered(task: Task, seed: int, shuffled: bool) -> Data:
    """The task's arrays, with an order of partners in any case."""
    found = grid.arrays(task, seed)
    if shuffled:
        return found
    own = (np.broadcast_to(np.arange(o.shape[1], dtype=np.int32), o.shape) for o in found.order)
    return found._replace(order=Order(*own))


def targets(eta: Array, evidence: posterior.Evidence, classes: int) -> tuple[Array, Array]:
    """What peers of the posterior teach: E[S] (2, M, D, n), and how much each pair counts.

    Mutual learning (Zhang et al. 2018): the partners' mean posterior. Pseudo-labels (Lee 2013): the
    class that the encoder itself is sure of, without a partner; none in a regression.
    """
    count = len(eta)
    said = posterior.moments(eta, classes)
    others = (jnp.sum(said, axis=0) - said) / max(count - 1, 1)
    every = jnp.ones((count, eta.shape[-1]))
    if not classes:
        none = jnp.zeros_like(every)
        return jnp.stack([others] * 2), jnp.stack([every, none])
    labels = jax.nn.one_hot(jnp.argmax(said, axis=1), classes, axis=1)
    return jnp.stack([others, labels]), jnp.stack([every, jnp.max(said, axis=1) >= CONFIDENT])


def peer_losses(  # stands in for models._posterior_losses, whose arguments it has
    model: models.ModelSpec,
    params: models.Params,
    hyper: models.Hyper,
    embeddings: tuple[Array, ...],
    on: Array,
    axis: str | None,
    diverged: Array | None,
    evidence: posterior.Evidence,
    present: Array | None = None,
) -> Array:
    """(pairs,) losses of the arm that the aligned share numbers: 1 for the posterior itself."""
    assert present is None, "these data have all rows"
    outputs = jnp.stack(models.predict(model, params, embeddings))
    apart = models._apart(model, outputs, axis)
    apart = apart if diverged is None else apart | diverged
    own = posterior.losses(outputs, evidence, model.classes, apart)
    eta = jax.vmap(posterior.natural, (0, 0, None))(outputs, evidence.variance, model.classes)
    taught, counted = targets(jax.lax.stop_gradient(eta), evidence, model.classes)
    peers = posterior.log_loss(eta, taught, model.classes) * counted
    peers = jnp.mean(peers, axis=-1) * jnp.sqrt(evidence.variance)
    arm = jnp.round(10 * hyper.aligned_share).astype(int)
    losses = jnp.where(arm == 10, own, peers[jnp.clip(arm - 1, 0, 1)])
    felt = hyper.strength * jnp.where(arm == 10, evidence.gate, 1) * on
    losses = alignment.scale_gradient(jnp.where(apart, 0, losses), 2 * felt)
    first, second = np.array(alignment.pairs(len(losses)), int).reshape(-1, 2).T
    return (losses[first] + losses[second]) / 2


def configured(name: str, folder: str, copies: str, steps: int) -> ConfigDict:
    """The experiment on one dataset, split anew by every seed; `copies` is a folder for that."""
    source = (mfeat if name == "mfeat" else arrays).defaults()
    values = {"labels": 100, "valid": 0.2, "modalities": DATASETS.get(name, "")}
    if name != "mfeat":
        with np.load(Path(folder) / f"{name}.npz") as file:
            held = {k: file[k] for k in file.files if k != "split"}
        y, path = held["labels"], Path(copies) / f"{name}.npz"
        np.savez(path, **held)
        classes = len(np.unique(y)) if y.dtype.kind in "iu" else 0
        values |= {"path": str(path), "labels": 200 if 5 * classes > 100 else 100}
    config = configs.base(ConfigDict(source.to_dict() | values))
    config.encoder.hidden_sizes, config.encoder.embed_dim = (64,), (32,)
    config.train.steps, config.train.evaluations, config.train.batch = steps, 20, 64
    return config


def trained(
    model: models.ModelSpec, plan: TrainSpec, hypers: models.Hyper, datas: Data, seeds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Test outputs of every task (axis 0) under every setting, last and best, and who diverged."""

    def one(hyper: models.Hyper, task: Data, seed: Array) -> tuple[Array, Array, Array]:
        key = jax.random.key(seed)

        def body(state: State, first: Array) -> tuple[State, None]:
            return segment(model, plan, hyper, key, task, state, first)[0], None

        firsts = jnp.arange(0, plan.steps, plan.steps // plan.evaluations)
        state, _ = jax.lax.scan(body, start(model, hyper, key, task), firsts)
        read = layout(model, task.train.x)
        last, early = (
            jnp.stack(heads(model, read.unravel(p), task.test)) for p in (state.params, state.best)
        )
        return last, early, state.diverged

    over = jax.vmap(jax.vmap(one, (0, None, None)), (None, 0, 0))
    return jax.tree.map(np.asarray, jax.jit(over)(hypers, datas, seeds))


def score(output: np.ndarray, y: np.ndarray, classes: int) -> float:
    """Accuracy, or Pearson's r, in points."""
    if classes:
        return 100 * float(np.mean(output.argmax(-1) == y))
    return 100 * float(np.corrcoef(output, y)[0, 1]) if output.std() else 0.0


def run(name: str, folder: str, seeds: int, controls: int, steps: int) -> pd.DataFrame:
    """Every arm on one dataset: a row per arm, control, seed, encoder and moment."""
    with tempfile.TemporaryDirectory() as copies:
        config = configured(name, folder, copies, steps)
        tasks = [data.load(config.data, seed) for seed in range(seeds)]
    hyper = {field: values[0] for field, values in config.hyper.items()}
    which = [(seed, False) for seed in range(seeds)] + [(seed, True) for seed in range(controls)]
    datas = [ordered(tasks[seed], seed, shuffled) for seed, shuffled in which]
    datas = jax.tree.map(lambda *a: np.stack(a), *datas)
    numbers = np.array([seed for seed, _ in which], np.uint32)
    classes, rows = tasks[0].classes, []
    batch, _, _ = grid.fitted(config, grid.arrays(tasks[0]))
    plan = TrainSpec(steps, batch, config.train.evaluations)
    for objective, arms in ARMS.items():
        config.alignment.objective = objective
        settings = [hyper | own for own in arms.values()]
        if not classes:
            settings = [s | {"false_negative_weight": 0.0} for s in settings]
        config.hyper.false_negative_weight = tuple({s["false_negative_weight"] for s in settings})
        model = grid.build_model(config, tasks[0], config.encoder.embed_dim[0])
        hypers = grid.hyper_arrays(settings, len(tasks[0].modalities))
        with mock.patch.object(models, "_posterior_losses", peer_losses):
            last, early, diverged = trained(model, plan, hypers, datas, numbers)
        for (r, (seed, shuffled)), (a, arm), (m, who) in product(
            enumerate(which), enumerate(arms), enumerate(tasks[0].modalities)
        ):
            for moment, outputs in (("last", last), ("early", early)):
                value = score(outputs[r, a, m], tasks[seed].test.y, classes)
                lost = diverged[r, a, m]
                own = {"dataset": name, "subject": who, "moment": moment, "control": shuffled}
                rows.append(own | {"arm": arm, "seed": seed, "value": np.nan if lost else value})
    return pd.DataFrame(rows)


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Points per dataset, encoder, arm, control and moment, a column per seed."""
    key = ["dataset", "subject", "moment", "control", "arm"]
    wide = table.pivot_table(index=key, columns="seed", values="value", dropna=False)
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
    parser.add_argument("--datasets", default="mmmo,rosmap")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--controls", type=int, default=4, help="seeds with shuffled partners")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--csv", help="where the values of every run are kept")
    args = parser.parse_args()
    devices.prepare()
    tables = []
    for name in args.datasets.split(","):
        began = time.monotonic()
        tables.append(run(name, args.data, args.seeds, args.controls, args.steps))
        every = pd.concat(tables, ignore_index=True)
        if args.csv:
            every.to_csv(args.csv, index=False)
        change = changes(every)
        print(f"\n{name}, {time.monotonic() - began:.0f} s\n{said(change)}", flush=True)
    print(change.mean(axis=1).unstack(["arm", "control"]).round(2).to_string())


if __name__ == "__main__":
    main()
