"""A sweep equals its runs, whatever its shape; bad input stops before compute is spent."""

import json

import jax
import numpy as np
import pandas as pd
import pytest
from helpers.exact import exact
from helpers.small import experiment

from redalign_jax import report, sweep
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.measures.evaluate import EvalSpec
from redalign_jax.runtime import devices, processes
from redalign_jax.sweep import block, grid, program
from redalign_jax.sweep.shape import Shape, cut
from redalign_jax.training import batches
from redalign_jax.training.loop import TrainSpec
from redalign_jax.training.start import start

pytestmark = pytest.mark.slow

RUN = ["redundancy", "seed", "strength", "subject", "metric"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    return folder, sweep.run(experiment(), folder)


def curves(folder, **keep):
    """Values of the curves by run, step and metric; `keep` fills in or selects columns."""
    table = pd.read_parquet(folder / "curves.parquet")
    for column, value in keep.items():
        table = (
            table[table[column] == value] if column in table else table.assign(**{column: value})
        )
    return table.set_index([*RUN, "step"])["value"]


def assert_same_losses(alone, reference, rtol=1e-4):
    alone = alone[alone.index.get_level_values("metric").str.endswith("loss")]
    assert len(alone) % (20 * 3) == 0  # steps; two task losses and one of alignment
    np.testing.assert_allclose(alone, curves(reference)[alone.index], rtol=rtol)


def test_the_table_is_tidy_and_complete(reference):
    folder, table = reference
    runs, metrics = 2 * 2 * 3, 10 * 2 + 6 + 2 + 4  # encoders, pair, fusion, Bayes accuracies
    assert len(table) == runs * metrics
    assert not table.duplicated(RUN).any()
    facts = list(exact(0, 0.05, 0))
    seeds = ["resplit", "fixed_test"]
    assert list(table.columns) == [*RUN[:2], *facts, *seeds, *RUN[2:], "value", "diverged"]
    assert not table[seeds].any(axis=None)  # every seed draws rows of its own
    for (redundancy, seed), rows in table.groupby(["redundancy", "seed"]):
        known = exact(redundancy, 0.05, seed)
        assert (rows[facts] == pd.Series(known)).all(axis=None)
    assert table["value"].notna().all()
    assert not table["diverged"].any()
    accuracy = table[table["metric"].isin(["accuracy", "probe_accuracy", "early_accuracy"])]
    assert accuracy["value"].between(0, 1).all()
    bayes = table[(table["metric"] == "bayes_accuracy") & (table["redundancy"] == 8)]
    both = bayes.groupby(["seed", "subject"])["value"].first().unstack()
    np.testing.assert_allclose(both["x1"], both["x1|x2"])
    about = json.loads((folder / "config.json").read_text())
    assert about["config"]["train"]["steps"] == 20
    assert about["versions"]["jax"] == jax.__version__
    csv = (folder / "results.csv").read_text().splitlines()
    assert len(csv) == len(table) + 1


def test_a_run_alone_is_the_run_in_the_sweep(reference, tmp_path):
    one = experiment(data__redundancy=(8,), hyper__strength=(4.0,), sweep__seeds=1)
    one.sweep.first_seed = 1
    sweep.run(one, tmp_path)
    assert_same_losses(curves(tmp_path, redundancy=8, strength=4.0), reference[0])


def test_sizes_of_the_embedding_are_an_axis(reference, tmp_path):
    both = experiment(encoder__embed_dim=(4, 6), data__redundancy=(8,))
    table = sweep.run(both, tmp_path / "both")
    assert list(table.columns[:2]) == ["embed_dim", "seed"]
    assert table.groupby("embed_dim").size().nunique() == 1
    alone = curves(tmp_path / "both", embed_dim=4, redundancy=8)
    alone = alone[alone.index.get_level_values("metric").str.endswith("loss")]
    np.testing.assert_allclose(alone, curves(reference[0])[alone.index], rtol=1e-4)
    with pytest.raises(UserError, match=r"encoder\.embed_dim: a value stands twice"):
        sweep.run(experiment(encoder__embed_dim=(4, 4)), tmp_path / "twice")
    with pytest.raises(UserError, match=r"encoder\.embed_dim: 0"):
        sweep.run(experiment(encoder__embed_dim=(0,)), tmp_path / "none")


@pytest.mark.parametrize(("count", "chunk"), [(1, 1), (2, 5)])
def test_devices_and_chunks_do_not_matter(reference, tmp_path, monkeypatch, count, chunk):
    found = jax.devices()[:count]
    monkeypatch.setattr(jax, "devices", lambda: found)
    sweep.run(experiment(sweep__runs_per_device=chunk), tmp_path)
    assert_same_losses(curves(tmp_path), reference[0])


def test_a_diverging_run_does_not_disturb_its_neighbours(reference, tmp_path):
    config = experiment(hyper__strength=(0.0, 1.0, 1e6), hyper__learning_rate=(3e-3, 1e3))
    table = sweep.run(config, tmp_path)
    assert table[table["learning_rate"] == 1e3]["diverged"].all()
    fine = table[(table["learning_rate"] == 3e-3) & (table["strength"] < 2)]
    assert not fine["diverged"].any()
    for strength in (0.0, 1.0):
        assert_same_losses(curves(tmp_path, learning_rate=3e-3, strength=strength), reference[0])


def test_init_and_batches_are_exactly_shared():
    """Bit for bit: in a block, in a block of another shape, and alone."""
    config = experiment()
    group = grid.groups(config)[0]
    plan, settings = TrainSpec(20, 32, 20), EvalSpec(40, 5, 64)
    one = grid.hyper_arrays([{**_plain(config), "strength": 1.0}], 2)

    def started(shape):
        block = program.compile_block(
            group.model, plan, settings, devices.mesh(), shape, group.example
        )
        hyper = jax.tree.map(lambda a: np.broadcast_to(a, (*shape[:2], *a.shape[1:])), one)
        data = jax.tree.map(lambda a: np.stack([a] * shape.rows), group.example)
        return block.start(hyper, np.arange(5, 5 + shape.rows, dtype=np.uint32), data)

    states = [started(Shape(2, 3)), started(Shape(4, 1))]
    np.testing.assert_array_equal(states[0].params[:2, 0], states[1].params[:2, 0])
    np.testing.assert_array_equal(states[0].params[:, 0], states[0].params[:, 2])
    alone = start(group.model, jax.tree.map(lambda a: a[0], one), jax.random.key(6), group.example)
    np.testing.assert_array_equal(states[0].params[1, 0], alone.params)
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda k: batches.indices(k, 64, 20, 3, 5))(keys)
    np.testing.assert_array_equal(together[1], batches.indices(keys[1], 64, 20, 3, 5))


def _plain(config):
    return {name: values[0] for name, values in config.hyper.items()}


@pytest.mark.parametrize("least", [0, 1, 2])
def test_what_a_block_trains_on_is_on_the_devices_before(least, tmp_path, monkeypatch):
    """The number of the step, the seeds, the strengths: left on the host they would be copied in
    every segment, in silence."""
    place = processes.place

    def left(sharding, array):
        return array if array.ndim == least else place(sharding, array)

    monkeypatch.setattr(processes, "place", left)
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        sweep.run(experiment(), tmp_path, progress=False)


@pytest.mark.parametrize("devices_", [1, 2, 8])
@pytest.mark.parametrize(("tasks", "settings"), [(1, 1), (1, 100), (9, 7), (144, 7), (3, 1000)])
def test_blocks_cover_the_grid_with_little_waste(tasks, settings, devices_):
    shape = cut(tasks, settings, devices_, 24)
    assert shape.rows % devices_ == 0
    assert shape.settings <= settings
    assert shape.rows * shape.settings <= 24 * devices_
    rows = tasks * -(-settings // shape.settings)
    blocks = -(-rows // shape.rows)
    covered = blocks * shape.rows * shape.settings
    assert tasks * settings <= covered <= 1.5 * tasks * settings + 24 * devices_


def test_a_finished_workdir_is_read_and_another_experiment_refused(reference, monkeypatch):
    folder, table = reference
    monkeypatch.setattr(block, "train", None)  # training would fail
    again = sweep.run(experiment(), folder)
    assert again.equals(table)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(UserError, match=r"train\.batch was 32, now 16"):
        sweep.run(experiment(train__batch=16), folder)
    assert before == {p: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyper__strength": (0.0, -1.0)}, r"hyper\.strength: -1"),
        ({"hyper__strength": ((0.0, 1.0, 2.0),)}, r"hyper\.strength: .*one number per modality"),
        ({"hyper__strength": (float("nan"),)}, r"hyper\.strength: nan"),
        ({"hyper__strength": ()}, r"hyper\.strength: no value"),
        ({"hyper__strength": (1.0, 1.0)}, r"hyper\.strength: a value stands twice"),
        ({"hyper__temperature": (0.2, 0.0)}, r"hyper\.temperature: 0 must be .* above 0"),
        ({"hyper__aligned_share": (1.5,)}, r"hyper\.aligned_share: 1\.5"),
        ({"train__batch": 1}, r"train\.batch: 1 must be at least 2"),
        ({"train__evaluations": 7}, r"train\.evaluations: 7 does not divide"),
        ({"data__labels": (3,)}, r"data\.labels: 3 is below the 4 classes"),
        ({"data__labels": (64,), "data__pairs": (50,)}, r"data\.labels: 64 is above"),
        ({"data__redundancy": (9,)}, r"data\.redundancy: 9"),
        ({"data__source": "nowhere"}, r"data\.source: 'nowhere'"),
        ({"alignment__objective": "clip"}, r"alignment\.objective: 'clip'"),
        ({"alignment__schedule": "step"}, r"alignment\.schedule: 'step'"),
        ({"encoder__hidden_sizes": (8, 0)}, r"encoder\.hidden_sizes: 0"),
        ({"measure__neighbours": 40}, r"measure\.neighbours: 40"),
        ({"sweep__seeds": 0}, r"sweep\.seeds: 0"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_written(changes, message, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        sweep.run(experiment(**changes), tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_an_unwritable_workdir_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"workdir: .*file.* cannot be written"):
        sweep.run(experiment(), tmp_path / "file" / "run")


def test_three_modalities_and_a_regression(tmp_path):
    rng = np.random.default_rng(0)
    target = rng.standard_normal(120)
    views = {
        name: (np.outer(target, rng.standard_normal(d)) + rng.standard_normal((120, d)))
        for name, d in (("audio", 5), ("text", 3), ("vision", 4))
    }
    np.savez(tmp_path / "mine.npz", **views, labels=2 * target + 1)
    config = experiment(
        hyper__strength=((0.0, 0.0, 0.0), (2.0, 0.0, 1.0)),
        hyper__learning_rate=(3e-2,),
        sweep__seeds=1,
        measure__examples=20,
    )
    with config.unlocked():
        config.data = arrays.defaults()
    config.data.path, config.data.labels = str(tmp_path / "mine.npz"), (50,)
    table = sweep.run(config, tmp_path / "out")
    pairs = {"audio|text", "audio|vision", "text|vision"}
    assert set(table["subject"]) == {*views, *pairs, "fusion"}
    assert {"mae", "corr", "sign_accuracy", "probe_mae", "early_mae"} <= set(table["metric"])
    assert table["value"].notna().all()
    assert (table[table["metric"] == "probe_corr"]["value"] > 0.5).all()
    assert set(table["strength_audio"]) == {0.0, 2.0}
    curve = pd.read_parquet(tmp_path / "out" / "curves.parquet")
    loss = curve[curve["metric"] == "task_loss"]
    still = loss[loss["subject"] == "text"].groupby(["strength_audio", "step"])["value"].sum()
    np.testing.assert_allclose(still[2.0], still[0.0], rtol=1e-5)  # text feels no alignment
    assert report.make(tmp_path / "out")["metric"] == "mae"
