"""The report: what it says, that it says it of any results, and that it needs nothing else."""

import itertools

import numpy as np
import pandas as pd

CONFIG = {
    "data": {"source": "arrays", "test": 200, "labels": [100]},
    "hyper": {"strength": [0.0, 0.3, 1.0], "temperature": [0.2]},
    "encoder": {"widths": [8], "embedding": 4},
    "alignment": {"objective": "info_nce", "projection": []},
    "train": {"steps": 100, "batch": 32},
    "measure": {"neighbours": 10, "examples": 512},
}


def quadratic(best):
    """A change that is largest at `best`, and what it is there."""
    return lambda strength: 0.02 - 0.02 * (strength - best) ** 2 / max(best, 0.5)


def table(
    tasks=({},),
    modalities=("a", "b"),
    settings=({"strength": 0.0}, {"strength": 0.3}, {"strength": 1.0}),
    seeds=4,
    metric="accuracy",
    change=lambda task, encoder, setting: 0.01 * setting["strength"],
    noise=0.002,
):
    """A tidy table as a sweep writes it, with changes that are known.

    A setting holds `strength` (NaN where encoders have their own, as `strength_<modality>`) and
    other hyperparameters.
    """
    rng = np.random.default_rng(0)
    rows = []
    for task, seed in itertools.product(tasks, range(seeds)):
        names = task["modalities"].split(",") if "modalities" in task else modalities
        start = {name: 0.6 + 0.1 * rng.standard_normal() for name in names}
        for setting in settings:
            run = {**task, "seed": seed, **setting}
            zero = not any(v for k, v in setting.items() if k.startswith("strength") and v == v)
            for name in names:
                moved = 0 if zero else change(task, name, setting) + noise * rng.standard_normal()
                value = start[name] + (moved if metric == "accuracy" else -moved)
                early = start[name] + 0.001 * rng.standard_normal()
                for what, number in ((metric, value), (f"early_{metric}", early)):
                    rows.append({**run, "subject": name, "metric": what, "value": number})
            probe = 0.7 + 0.01 * rng.standard_normal()
            rows.append({**run, "subject": "fusion", "metric": f"probe_{metric}", "value": probe})
            for pair in itertools.combinations(names, 2):
                for measure in ("cka", "unbiased_cka", "svcca", "mutual_knn", "cknna"):
                    alike = rng.uniform()
                    rows.append(
                        {**run, "subject": "|".join(pair), "metric": measure, "value": alike}
                    )
    return pd.DataFrame(rows).assign(diverged=False)
