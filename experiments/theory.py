"""Does the solvable model of docs/theory.md know the best strength of trained encoders?

python experiments/theory.py --runs=runs/theory              # trains, prints, draws
python experiments/theory.py --runs=runs/theory --only=linear
python experiments/theory.py --runs=runs/theory --collect    # table and figure of what is finished

Sweeps of `gaussian_views`; what is finished is not run again.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import pandas as pd
from ml_collections import ConfigDict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

import redalign_jax as ra  # noqa: E402
from experiments import theory_figure, theory_table  # noqa: E402
from redalign_jax.config import base  # noqa: E402
from redalign_jax.data.sources import gaussian_views  # noqa: E402

STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)


def linear() -> ConfigDict:
    """Linear encoders over ρ × labels × noise × width."""
    data = gaussian_views.defaults()
    data.labels, data.noise = (50, 100, 250), (0.5, 0.8)
    data.pairs, data.valid = (1000,), 200
    config = base(data)
    config.encoder.hidden_sizes, config.encoder.embed_dim = (), (2, 4, 8)
    config.hyper.strength = STRENGTHS
    config.train.batch, config.train.evaluations, config.sweep.seeds = 64, 5, 8
    config.measure.examples, config.measure.neighbours = 32, 5
    return config


def mlp() -> ConfigDict:
    """Encoders with a hidden layer, as elsewhere in this package, on fewer cells."""
    config = linear()
    config.data.labels, config.data.noise = (50, 250), (0.5,)
    config.encoder.hidden_sizes, config.encoder.embed_dim = (32,), (4,)
    return config


def fresh() -> ConfigDict:
    """Other views, another temperature: looked at once, when all that predicts was written."""
    data = gaussian_views.defaults()
    data.inputs, data.common, data.correlation = 24, 6, (0.7,)
    data.labels, data.noise, data.pairs, data.valid = (60, 150), (0.5, 0.7), (1000,), 200
    config = base(data)
    config.encoder, config.train = linear().encoder, linear().train
    config.measure, config.sweep = linear().measure, linear().sweep
    config.encoder.embed_dim, config.hyper.temperature = (3, 6), (0.4,)
    config.hyper.strength = (0.0, *(0.1 * 2**k for k in range(9)))
    return config


def shuffled() -> ConfigDict:
    """The same with partners of other rows: what is left is no alignment."""
    config = linear()
    config.data.labels, config.data.noise = (100,), (0.5,)
    config.encoder.embed_dim, config.sweep.shuffled = (4,), True
    return config


def more() -> ConfigDict:
    """More seeds of `linear`, where embeddings are no wider than what is shared."""
    config = linear()
    config.encoder.embed_dim, config.sweep.first_seed = (2, 4), 8
    return config


MOMENTS = {"last step": "mae", "stopped early": "early_mae"}
SWEEPS = {"linear": linear, "more": more, "mlp": mlp, "fresh": fresh, "shuffled": shuffled}


def main() -> None:
    """Trains, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", default="", choices=("", *SWEEPS))
    parser.add_argument("--collect", action="store_true", help="train nothing")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "theory.png")
    flags = parser.parse_args()
    names = (flags.only,) if flags.only else tuple(SWEEPS)
    if not flags.collect:
        for name in names:
            ra.sweep(SWEEPS[name](), workdir=flags.runs / name)
    found = {name: theory_table.read(flags.runs / name) for name in names}
    if {"linear", "more"} <= set(found):
        found["linear"] = pd.concat([found["linear"], found.pop("more")])
    if "shuffled" in found:
        print(theory_table.control(found.pop("shuffled")), end="\n\n")
    tables = {}
    print(theory_table.HEAD)
    for (name, runs), (words, metric) in product(found.items(), MOMENTS.items()):
        config = SWEEPS[name]()
        table = theory_table.collect(config, runs, metric)
        table.drop(columns=theory_table.CURVES).to_csv(flags.runs / f"{name}.{metric}.csv")
        where = config.data.common, config.data.inputs
        print("\n".join(theory_table.summary(f"{name}, {words}", table, *where)), flush=True)
        tables.setdefault(name, table)
    if "linear" in tables and "fresh" in tables:
        theory_figure.draw({n: (SWEEPS[n]().data, t) for n, t in tables.items()}, flags.figure)


if __name__ == "__main__":
    main()
