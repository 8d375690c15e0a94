"""Results whose law is known: how tests plant one."""

import numpy as np
import pandas as pd

STRENGTHS = (0.0, 0.1, 0.3, 1.0, 3.0)


def peaked(peak):
    """(settings,) changes of a curve that is best at place `peak` of the strengths."""
    places = np.arange(len(STRENGTHS))
    return 0.01 * (peak**2 - (places - peak) ** 2) / 4


def results(fractions, seeds=10, noise=0.003, peak=lambda f: 4 * f, seed=0, **columns):
    """A tidy table in which λ* of encoders a and b follows their shared fraction.

    Args:
      fractions: one (of a, of b) per task; the task axis `redundancy` is their place.
      seeds: per task.
      noise: s.d. of every change.
      peak: from a fraction to the place of λ*.
      seed: of the noise.
      columns: further task axes, one value each.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for task, pair in enumerate(fractions):
        for s in range(seeds):
            here = {**columns, "redundancy": task, "seed": s, "pid_redundancy": 0.5}
            for name, f in zip("ab", pair, strict=True):
                here[f"pid_unique_{name}"] = 0.5 / max(f, 1e-3) - 0.5
            here["pid_synergy"] = 0.1
            for name, f in zip("ab", pair, strict=True):
                here[f"shared_fraction_{name}"] = f
            for name, f in zip("ab", pair, strict=True):
                moved = peaked(peak(f)) + noise * rng.standard_normal(len(STRENGTHS))
                start = 0.6 + 0.1 * rng.standard_normal() + (name == "b") * 0.05
                for strength, change in zip(STRENGTHS, moved, strict=True):
                    value = start + change * (strength > 0)
                    run = {"strength": strength, "subject": name, "metric": "accuracy"}
                    rows.append({**here, **run, "value": value, "diverged": False})
    return pd.DataFrame(rows)


def spread(tasks, seed=0):
    """Fractions of two encoders per task, over all of [0, 1]."""
    rng = np.random.default_rng(seed)
    first = np.linspace(0.05, 0.95, tasks)
    return [tuple(np.clip([f, f + 0.1 * rng.standard_normal()], 0.01, 1)) for f in first]


COARSE = (0.0, 0.3, 1.0, 4.0)


def table(
    peak, seeds=12, noise=0.01, axis=range(5), subjects=("a", "b"), seed=0, metric="accuracy"
):
    """Curves that peak, 3 points high, at `peak(axis value)`, and lose 10 points beyond."""
    rng = np.random.default_rng(seed)
    rows = []
    for value in axis:
        for s in range(seeds):
            base = rng.uniform(0.5, 0.8)  # seeds differ much more than strengths do
            for strength in COARSE:
                for subject in subjects:
                    change = 0.03 * (strength == peak(value)) - 0.1 * (strength > peak(value))
                    change = 0.0 if strength == 0 else change + noise * rng.standard_normal()
                    rows.append((value, s, strength, subject, metric, base + change, False))
    names = ["redundancy", "seed", "strength", "subject", "metric", "value", "diverged"]
    return pd.DataFrame(rows, columns=names)


def rising(value):
    return COARSE[1 + min(value // 2, 2)]
