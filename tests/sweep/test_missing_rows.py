"""Whole jobs on data of which some rows miss a modality."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.small import experiment

from redalign_jax import sweep
from redalign_jax.config import base
from redalign_jax.data import notes
from redalign_jax.data.sources import arrays
from redalign_jax.fitted import train

pytestmark = pytest.mark.slow
N = 300


def config(path, holes, modalities=2, **changes):
    """A file of rows that share a core; all modalities but the first miss a share `holes`."""
    rng = np.random.default_rng(0)
    core = rng.normal(size=(N, 4))
    y = np.argmax(core[:, :3], axis=1)
    x = {
        name: np.concatenate([core, rng.normal(size=(N, 3))], axis=1) for name in "abc"[:modalities]
    }
    for name in list(x)[1:]:
        x[name][rng.random(N) < holes] = np.nan
    np.savez(path, **x, labels=y)
    small = experiment(**changes)
    made = base(arrays.defaults())
    made.data.path = str(path)
    for name in ("encoder", "train", "sweep", "measure"):
        made[name] = small[name]
    made.hyper.strength = (0.0, 2.0)
    return made


def test_a_sweep_runs_whole_and_says_the_counts(tmp_path, caplog):
    notes.forget()
    made = config(tmp_path / "some.npz", 0.3, sweep__balanced=True)
    results = sweep.run(made, tmp_path / "some", progress=False)
    held = np.load(tmp_path / "some.npz")["b"]
    count = int(np.isnan(held).all(axis=1).sum())
    assert f"rows that miss a modality: b {count} of {N}" in caplog.text
    assert results["value"].notna().all() and not results["diverged"].any()
    complete = config(tmp_path / "all.npz", 0.0)
    whole = sweep.run(complete, tmp_path / "all", progress=False)
    # what has all its rows, and is aligned with nothing, is what it would be anyway
    where = ["seed", "strength", "subject", "metric"]
    one, other = (
        t[(t["strength"] == 0) & (t["subject"] == "a")].set_index(where)["value"]
        for t in (results[~results["balanced"]], whole)
    )
    pd.testing.assert_series_equal(one, other, rtol=1e-4)
    curves = pd.read_parquet(tmp_path / "some" / "curves.parquet")
    assert curves["value"].notna().all()


def test_three_modalities_an_interrupted_sweep_and_a_split_batch(tmp_path):
    """Batches shared by devices have their masks; a second run reads what the first has kept."""
    made = config(tmp_path / "x.npz", 0.3, 3, train__batch=32)
    one = sweep.run(made, tmp_path / "one", progress=False)
    assert one["value"].notna().all()
    again = sweep.run(made, tmp_path / "one", progress=False)
    pd.testing.assert_frame_equal(one, again)
    split = config(tmp_path / "x.npz", 0.3, 3, train__batch=32, sweep__batch_shards=2)
    sweep.run(split, tmp_path / "two", progress=False)
    whole, parts = (pd.read_parquet(tmp_path / n / "curves.parquet") for n in ("one", "two"))
    loss = whole["metric"].str.endswith("loss")
    np.testing.assert_allclose(parts[loss]["value"], whole[loss]["value"], rtol=1e-4, atol=1e-5)


def test_a_fit_keeps_encoders_that_read_whole_rows(tmp_path):
    made = config(tmp_path / "x.npz", 0.3, train__steps=400)
    made.hyper.strength = (2.0,)
    model = train.fit(made, tmp_path / "fit", progress=False)
    held = np.load(tmp_path / "x.npz")
    rows = ~np.isnan(held["b"]).all(axis=1)
    found = model.predict("b", held["b"][rows])
    assert (found == held["labels"][rows]).mean() > 0.7
    about = json.loads((tmp_path / "fit" / "model" / "model.json").read_text())
    assert "present" not in json.dumps(about)
