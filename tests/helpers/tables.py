"""Results as a sweep writes them, of every kind that a page must be able to show."""

import itertools
import json

import numpy as np
import pandas as pd
from helpers import planted

from redalign_jax.analysis import differences
from redalign_jax.pid.decomposition import NUMBERS

NAN = float("nan")
MEASURES = ("cka", "unbiased_cka", "svcca", "mutual_knn", "cknna")
CONFIG = {
    "data": {"source": "arrays", "test": 200, "labels": [100]},
    "hyper": {"strength": [0.0, 0.3, 1.0], "temperature": [0.2]},
    "encoder": {"hidden_sizes": [8], "embed_dim": 4},
    "alignment": {"objective": "info_nce", "projection": []},
    "train": {"steps": 100, "batch": 32},
    "sweep": {"first_seed": 0},
    "measure": {"neighbours": 10, "examples": 512},
}
NASTY = ("<script>alert('x')</script> & $x_1$ of the left microphone", 'b"><b>')


def symmetric(*values, **others):
    return tuple({"strength": float(v), **others} for v in values)


THREE = symmetric(0, 0.3, 1)


def helps(task, encoder, setting):
    """A change that grows with λ."""
    return 0.02 * setting["strength"]


def with_redundancy(task, encoder, setting):
    """A change that helps at λ = 1 and, but for the largest R, harms at λ = 4."""
    strength = setting["strength"]
    if task["redundancy"] == 8:
        return 0.01 * strength
    return 0.02 if strength < 2 else -0.3


def table(
    tasks=({},),
    modalities=("a", "b"),
    settings=THREE,
    seeds=4,
    metric="accuracy",
    change=helps,
    early=lambda *_: 0.0,
    noise=0.001,
):
    """A tidy table as a sweep writes it, with changes that are known up to noise.

    Settings hold `strength` (NaN where encoders have their own, as `strength_<modality>`) and
    other hyperparameters; `change` and `early` are functions of task, encoder and setting.
    """
    rng = np.random.default_rng(0)
    rows = []
    for task, seed in itertools.product(tasks, range(seeds)):
        names = task["modalities"].split(",") if "modalities" in task else modalities
        start = {name: 0.6 + 0.1 * rng.standard_normal() for name in names}
        for setting in settings:
            run = {**task, "seed": seed, **setting}
            off = not any(v for k, v in setting.items() if k.startswith("strength") and v == v)
            sign = -1 if metric == "mae" else 1

            def add(subject, name, value, run=run):
                rows.append({**run, "subject": subject, "metric": name, "value": value})

            for name in names:
                for prefix, of in (("", change), ("early_", early)):
                    moved = 0 if off else of(task, name, setting) + noise * rng.standard_normal()
                    add(name, prefix + metric, start[name] + sign * moved)
            add("fusion", f"probe_{metric}", 0.7 + noise * rng.standard_normal())
            for pair in itertools.combinations(names, 2):
                for measure in MEASURES:
                    add("|".join(pair), measure, rng.uniform())
    return pd.DataFrame(rows).assign(diverged=False)


def learning(results):
    """Learning curves of the runs of a table."""
    metric, _ = differences.quality_metric(results)
    rows = results[results["metric"] == metric].assign(metric=f"valid_{metric}")
    parts = [rows.assign(step=step, value=rows["value"] * step / 100) for step in (50, 100)]
    curves = pd.concat(parts, ignore_index=True)
    names = [c for c in curves.columns if c != "step"]
    names.insert(names.index("subject"), "step")
    return curves[names]


VIEWS = ("fac", "fou", "kar", "mor", "pix", "zer")
OWN = [
    {"strength": s, "strength_vision": v, "strength_text": t, "strength_audio": a}
    for s, v, t, a in [(0, 0, 0, 0), (1, 1, 1, 1), (NAN, 1, 0, 0), (NAN, 0, 3, 2)]
]
KINDS = {
    "arrays": lambda: table(),
    "regression": lambda: table(metric="mae", seeds=3),
    "strengths of their own": lambda: table(
        modalities=("vision", "text", "audio"),
        settings=OWN,
        change=lambda task, encoder, setting: 0.02 * setting[f"strength_{encoder}"],
    ),
    "one seed": lambda: table(seeds=1),
    "two seeds": lambda: table(seeds=2),
    "temperature": lambda: table(
        settings=[s for t in (0.1, 0.5) for s in symmetric(0, 1, temperature=t)]
    ),
    "redundancy": lambda: table(
        tasks=[{"redundancy": r} for r in (0, 2, 4, 8)],
        settings=symmetric(0, 0.3, 1, 4),
        change=with_redundancy,
    ),
    "several axes": lambda: table(
        tasks=[{"redundancy": r, "depth": d} for r in (0, 4, 8) for d in (0, 2)],
        settings=symmetric(0, 1),
        seeds=2,
    ),
    "many pairs": lambda: table(
        tasks=[{"modalities": ",".join(p)} for p in itertools.combinations(VIEWS, 2)],
        settings=symmetric(0, 1),
        seeds=2,
    ),
    "many strengths": lambda: table(settings=symmetric(*np.arange(0, 3, 0.125)), seeds=2),
    "nasty names": lambda: table(modalities=NASTY),
    "one modality": lambda: table(modalities=("a",)).query("subject != 'fusion'"),
    "some diverged": lambda: (lambda t: t.assign(diverged=(t["strength"] == 1) & (t["seed"] < 3)))(
        table()
    ),
    "a task diverged": lambda: (lambda t: t.assign(diverged=t["redundancy"] == 4))(
        table(tasks=[{"redundancy": r} for r in (0, 4, 8)], seeds=6)
    ),
    "all diverged": lambda: table().assign(diverged=True),
}


KINDS |= {
    "law": lambda: planted.results(planted.spread(6), seeds=4),
    "law of two axes": lambda: pd.concat(
        [planted.results(planted.spread(3), seeds=3, labels=n, embedding=4) for n in (50, 500)]
        + [planted.results(planted.spread(3), seeds=3, labels=n, embedding=9) for n in (50, 500)],
        ignore_index=True,
    ),
}


def beside():
    """A grid, the balanced mechanism beside it, and both again with shuffled partners."""
    grid = table(settings=[*symmetric(0, 1), {"strength": 16.0}])
    grid.insert(grid.columns.get_loc("strength") + 1, "balanced", grid["strength"] == 16)
    both = [grid.assign(shuffled=of) for of in (False, True)]
    both = pd.concat(both, ignore_index=True)
    return both[["shuffled", *grid.columns]]


def write(folder, results, curves=None):
    folder.mkdir(exist_ok=True)
    about = {"config": CONFIG, "command": "python -m redalign_jax --x=<b>", "git": None}
    (folder / "config.json").write_text(json.dumps(about))
    results.to_parquet(folder / "results.parquet")
    if curves is not None:
        curves.to_parquet(folder / "curves.parquet")
    return folder


def decomposed(**changes) -> pd.DataFrame:
    """A table of one pair: R 0.3, U₁ 0.1 of I 0.4 nats, and what `changes` says otherwise."""
    values = {
        "redundancy": 0.3,
        "unique_first": 0.1,
        "information": 0.4,
        "redundancy_fraction": 0.75,
    }
    row = {"first": "a", "second": "b", "method": "estimate", "examples": 500, "binned": False}
    for name in NUMBERS:
        value = values.get(name, 0.0)
        row |= {name: value, f"{name}_low": max(value - 0.05, 0), f"{name}_high": value + 0.05}
    return pd.DataFrame([row | changes])


def advised(names=("vision", "text", "audio"), scale=1.0):
    """What advice finds: one encoder to align, one open, one to leave alone."""
    verdicts = ("align posteriors", "cannot tell", "leave alone")
    arms = ["contrast at λ = 1", "posterior"]
    encoders = {}
    for k, (name, verdict) in enumerate(zip(names, verdicts, strict=True)):
        encoders[name] = {
            "verdict": verdict,
            "arm": "posterior",
            "strength": float(k == 0),
            "expected_change": [3.0 - 2 * k, 1.0 - 2 * k, 5.0 - 2 * k],
            "regret": 0.8,
            "hangs_on_prior": k == 0,
            "labels_needed": 60 if k == 1 else None,
            "reasons": [f"What {name} tells, its partner tells too: not a heading."],
        }
    unit = {"name": "points of accuracy", "scale": scale, "digits": 1}
    trials = {"labelled": 100, "units": 100, "enough": True, "unit": unit, "arms": arms}
    trials |= {"repeats": 2, "trainings": 48, "folds": 8, "judged": 96, "seconds": 50.0}
    trials["changes"] = {n: [[0.5, -3.0, 4.0], [2.5, -0.5, 5.5]] for n in names}
    trials["prior"] = {n: [[-0.5, -4.0, 3.0], [2.0, -2.0, 6.0]] for n in names}
    trials["gate"] = dict.fromkeys(names, 0.6)
    trials["balanced_changes"] = {n: [0.2, 2.1] for n in names}
    config = {"modalities": list(names), "alignment": {"objective": "posterior"}}
    config["hyper"] = {"strength": [[0.0] * 3, [1.0, 0.0, 0.0]], "temperature": [0.2]}
    config["hyper"] |= {"align_fraction": [1.0], "false_negative_weight": [0.0]}
    return {"encoders": encoders, "pid": [], "trials": trials, "config": config}
