"""fit: one setting, several seeds, the best kept; as accurate as the sweep, and as hard to kill."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers.commands import ROOT, command, refused

import redalign_jax as ra
from redalign_jax.errors import UserError
from redalign_jax.fitted import files, kept, train
from redalign_jax.runtime import preemption
from redalign_jax.sweep import block

RNG = np.random.default_rng(0)
Y = np.array(["owl", "cat", "emu"])[np.arange(120) % 3]
SIGNAL = np.eye(3)[np.arange(120) % 3]
X = {
    "a": 50 + 5 * (SIGNAL @ RNG.normal(size=(3, 5)) + RNG.normal(size=(120, 5))),
    "b": SIGNAL @ RNG.normal(size=(3, 4)) + RNG.normal(size=(120, 4)),
}
PART = np.array(["train"] * 60 + ["valid"] * 30 + ["test"] * 30)
SMALL = {
    "train": {"steps": 40, "evaluations": 8, "batch": 32},
    "encoder": {"embed_dim": 4, "hidden_sizes": (8,)},
    "alignment": {"projection": ()},
    "measure": {"neighbours": 5},
    "hyper__learning_rate": 0.03,
    "progress": False,
}
LAMBDA = {"a": 2, "b": 0.5}


def data(**more):
    return ra.arrays(X, Y, split=PART, **more)


def fit(folder, setting=LAMBDA, **more):
    return ra.fit(data(), setting, seeds=3, workdir=folder, **(SMALL | more))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("fit") / "out"


@pytest.fixture(scope="module")
def model(home):
    return fit(home)


@pytest.mark.slow
def test_it_is_as_accurate_as_the_sweeps_run_of_the_same_setting_and_seed(model):
    """Every seed's test and validation score; and the kept one's from raw rows, class by class."""
    swept = ra.sweep(data(), strength=[0, LAMBDA], seeds=3, **SMALL)
    table = swept.table[swept.table["strength_a"] == 2].set_index(["subject", "metric", "seed"])
    curves = swept.curves[swept.curves["strength_a"] == 2]
    test = PART == "test"
    for name, row in model.about["encoders"].items():
        want = table["value"][name]
        assert row["test_of_seeds"] == want["early_accuracy"].tolist()
        valid = curves[(curves["subject"] == name) & (curves["metric"] == "valid_accuracy")]
        assert row["valid_of_seeds"] == valid.groupby("seed")["value"].max().tolist()
        seed = model.about["seed"]
        assert row["step"] == want["best_step", seed]
        score = model.score(name, X[name][test], Y[test])
        assert score == pytest.approx(want["early_accuracy", seed], abs=1e-6) and score > 0.4
        p = model.predict_proba(name, X[name])
        np.testing.assert_array_equal(model.class_names[p.argmax(1)], model.predict(name, X[name]))
    means = np.mean([row["valid_of_seeds"] for row in model.about["encoders"].values()], axis=0)
    assert model.about["seed"] == means.argmax()
    assert model.class_names.tolist() == ["cat", "emu", "owl"]
    assert {row["step"] for row in model.about["encoders"].values()} != {40}  # some stopped early


@pytest.mark.slow
def test_a_fit_has_no_report_and_one_line_says_so(home, model, tmp_path):
    """Also where its one strength is 0, of which a page could be drawn that compares nothing."""
    alone = tmp_path / "alone"
    fit(alone, 0)
    for folder in (home, alone):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        with pytest.raises(UserError, match="holds a fit, .* --job=sweep into another") as error:
            ra.report(folder)
        assert "\n" not in str(error.value)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    refused(command("--job=report", f"--workdir={home}"), f"{home} holds a fit")


@pytest.mark.slow
def test_a_fit_writes_event_files(home, model, tmp_path):
    """A folder per seed; those of a fit that has ended are written from its tables."""
    folder = tmp_path / "copy"
    shutil.copytree(home, folder)
    fit(folder, log__tensorboard=True)
    names = {path.parent.name for path in folder.glob("tensorboard/*/*tfevents*")}
    assert len(names) == 3 and {name.split("seed=")[1][0] for name in names} == set("012")


@pytest.mark.slow
def test_the_mechanism_is_that_of_a_sweep():
    more = SMALL | {"alignment": {"projection": (3,), "schedule": "linear_warmup"}}
    model = ra.fit(data(), "balanced", seeds=2, **more)
    table = ra.sweep(data(), strength=[0], seeds=2, sweep__balanced=True, **more).table
    table = table[table["balanced"]].set_index(["subject", "metric", "seed"])["value"].sort_index()
    for name, row in model.about["encoders"].items():
        assert row["test_of_seeds"] == table[name, "early_accuracy"].tolist()
    assert model.about["config"]["alignment"]["objective"] == "posterior"


def test_the_best_seed_is_that_of_all_its_encoders_together():
    lost = -np.inf
    assert train.best(np.array([[0.9, 0.2], [0.7, 0.6], [0.6, 0.7], [lost, 1.0]])) == 1
    assert train.best(np.array([[-3.0, -9.0], [-4.0, -7.0]])) == 1  # errors, of a regression
    with pytest.raises(ra.UserError, match="diverged with every seed"):
        train.best(np.array([[lost, 0.5], [0.5, lost]]))


@pytest.mark.slow
def test_the_summary_says_the_spread(model):
    said = train.summary(model).splitlines()
    assert said[0] == "strength 2 for a, 0.5 for b"
    assert said[1] == f"seed {model.about['seed']} of 3 is kept, the best by validation"
    row = model.about["encoders"]["a"]
    low, high = 100 * min(row["test_of_seeds"]), 100 * max(row["test_of_seeds"])
    assert f"(seeds {low:.1f} % to {high:.1f} %), stopped at step {row['step']}" in said[2]


@pytest.mark.slow
def test_a_finished_one_is_read_and_another_setting_refused(model, home, monkeypatch):
    monkeypatch.setattr(block, "advance", None)
    assert repr(fit(home)) == repr(model)
    np.testing.assert_array_equal(fit(home).embed("a", X["a"]), model.embed("a", X["a"]))
    with pytest.raises(ra.UserError, match="holds another experiment: hyper.strength was"):
        fit(home, 1)
    assert {p.name for p in home.iterdir()} >= {"model", "results.parquet", "config.json"}
    assert not (home / kept.FOLDER).exists()


KILLED = """
import os, signal, sys
sys.path.insert(0, "tests")
from pathlib import Path
from redalign_jax.sweep import block
import importlib.util
spec = importlib.util.spec_from_file_location("test_fit", "tests/fitted/test_fit.py")
tests = importlib.util.module_from_spec(spec); spec.loader.exec_module(tests)
advance, done = block.advance, 0
def counted(part, inputs, carry):
    global done
    after, done = advance(part, inputs, carry), done + 1
    if done == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return after
block.advance = counted
tests.fit(Path(sys.argv[1]), sweep__checkpoint_seconds=0.0, sweep__runs_per_device=1)
"""


@pytest.mark.slow
def test_a_killed_one_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    """Killed in its second block: what is kept of the first is used, the second goes on."""
    for kills, at in enumerate((11, 3)):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, tmp_path / "killed", str(at)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert len(list((tmp_path / "killed" / kept.FOLDER).iterdir())) == 2, kills
    trained, advance = [], block.advance
    monkeypatch.setattr(block, "advance", lambda *a: (trained.append(1), advance(*a))[1])
    slow = {"sweep__checkpoint_seconds": 0.0, "sweep__runs_per_device": 1}
    again = fit(tmp_path / "killed", **slow)
    # each life ends before its third segment is saved, and maybe while its second is being
    assert 4 <= len(trained) <= 6
    whole = fit(tmp_path / "whole", **slow)
    for name, left in files._tensors(whole).items():
        np.testing.assert_array_equal(files._tensors(again)[name], left)
    assert again.about["encoders"] == whole.about["encoders"]


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_stopped_before_the_model_is_written_nothing_is_trained_again(tmp_path, model, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    assert not (tmp_path / "model").exists()
    monkeypatch.setattr(block, "advance", None)
    np.testing.assert_array_equal(fit(tmp_path).embed("a", X["a"]), model.embed("a", X["a"]))


@pytest.mark.slow
def test_results_without_encoders_are_one_line(tmp_path, monkeypatch):
    fit(tmp_path)
    for path in (tmp_path / "model").iterdir():
        path.unlink()
    with pytest.raises(ra.UserError, match="these results were not kept in .*; name another"):
        fit(tmp_path)


@pytest.mark.slow
def test_sigterm_says_that_all_is_saved(tmp_path, monkeypatch):
    advance = block.advance

    def asked(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return advance(*arguments)

    monkeypatch.setattr(block, "advance", asked)
    with pytest.raises(preemption.Stopped):
        fit(tmp_path)


def test_every_way_to_name_a_setting(tmp_path, monkeypatch):
    """What is trained, without training it."""
    found = []
    monkeypatch.setattr(train, "fit", lambda config, *_: found.append(config))
    hyper = {"temperature": [1.0], "align_fraction": [0.5], "false_negative_weight": [1.0]}
    advised = {"config": {"modalities": [], "hyper": hyper | {"strength": [[0, 0], [16, 0]]}}}
    (tmp_path / "advice.json").write_text(json.dumps(advised))
    (tmp_path / "alone").mkdir()
    alone = {"config": {"modalities": [], "hyper": hyper | {"strength": [[0, 0]]}}}
    (tmp_path / "alone" / "advice.json").write_text(json.dumps(alone))
    for setting in (
        2,
        (2, 0.5),
        {"b": 0.5, "a": 2},
        tmp_path / "advice.json",
        str(tmp_path / "alone" / "advice.json"),
        "balanced",
    ):
        ra.fit(data(), setting)
    ra.fit(data(), strength=0.3)
    assert [c.hyper.strength for c in found] == [
        (2.0,),
        ((2.0, 0.5),),
        ((2.0, 0.5),),
        ((16.0, 0.0),),
        ((0.0, 0.0),),
        (1.0,),
        (0.3,),
    ]
    assert found[3].hyper.align_fraction == (0.5,) and found[0].hyper.align_fraction == (1.0,)
    assert found[5].alignment.objective == "posterior" and found[5].sweep.seeds == 5
    assert found[0].alignment.objective == "info_nce"
    ra.fit("mfeat", {"pix": 3, "kar": 1}, data__modalities="kar,pix")
    assert found[-1].hyper.strength == ((1.0, 3.0),) and found[-1].data.labels == (0,)
    ra.fit("mfeat", data__modalities="kar,pix")
    assert found[-1].alignment.objective == "posterior" and not found[-1].sweep.balanced
    ra.fit("mfeat", data__modalities="kar,pix", hyper__strength=1)
    assert found[-1].hyper.strength == (1.0,) and not found[-1].sweep.balanced
    ra.fit("mfeat", 1, data__labels=50, data__modalities="kar,pix")
    assert found[-1].data.labels == (50,)
    ra.fit(data(n_labels=[9, 30]), 1)
    assert found[-1].data.labels == (0,)


@pytest.mark.parametrize(
    ("setting", "fields", "message"),
    [
        (None, {}, "hyper.strength: several values; fit trains one setting; name one"),
        ([1, 2, 3], {}, "hyper.strength: .* is not one number per modality"),
        (-1, {}, "hyper.strength: -1 must be finite, at least 0"),
        ({"a": 1}, {}, "not one λ each for a, b"),
        ("strong", {}, "advice: strong cannot be read"),
        (1, {"strength": 2}, "not both"),
        (1, {"hyper__temperature": (1, 2)}, "hyper.temperature: several values"),
        (1, {"encoder__embed_dim": (4, 8)}, "encoder.embed_dim: several values"),
        (1, {"train__stepz": 2}, "unknown config field: train.stepz"),
        (1, {"seeds": 0}, "sweep.seeds"),
    ],
)
def test_a_setting_that_is_none_is_one_line(setting, fields, message, tmp_path):
    with pytest.raises(ra.UserError, match=message) as error:
        ra.fit(data(), setting, workdir=tmp_path / "new", **fields)
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_regression_with_missing_labels_keeps_its_units(tmp_path):
    y = 1e4 + 300 * (X["b"] @ [1.0, -1, 2, 0.5])
    y[::7] = np.nan
    regression = ra.arrays(X, y)
    model = ra.fit(regression, 0, seeds=2, **SMALL)
    known = np.isfinite(y)
    assert model.score("b", X["b"][known], y[known]) > 0.5
    row = model.about["encoders"]["b"]
    assert row["metric"] == "mae" and 30 < row["valid"] == min(row["valid_of_seeds"]) < 1e3
    assert np.abs(model.predict("b", X["b"][known]) - y[known]).mean() < 600
    assert model.class_names is None and model.about["pairs"] > model.about["labelled"]["train"]


@pytest.mark.slow
def test_the_command_writes_a_model_to_load(tmp_path):
    np.savez(tmp_path / "mine.npz", **X, labels=Y, split=PART)
    fields = ("train.steps=20", "train.evaluations=2", "train.batch=32", "sweep.seeds=2")
    flags = [f"--config.{field}" for field in (*fields, f"data.path={tmp_path / 'mine.npz'}")]
    job = ("--job=fit", "--config=arrays", f"--workdir={tmp_path / 'out'}", *flags)
    done = command(*job, "--config.hyper.strength=1", "--config.encoder.hidden_sizes=8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"model: {tmp_path / 'out' / 'model'}"
    assert "seed" in done.stdout and "validation" in done.stdout
    model = ra.load(tmp_path / "out" / "model")
    assert model.score("a", X["a"], Y) > 0.4
    assert set(model.about["data"]) == {"a", "b", "labels", "split"}
    refused(
        command(*job[:2], f"--workdir={tmp_path / 'new'}", *flags), "hyper.strength: several values"
    )
    assert not (tmp_path / "new").exists()
