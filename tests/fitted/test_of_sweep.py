"""A sweep that keeps its encoders: a model per task and setting, that of the best seed."""

import json

import numpy as np
import pytest

import redalign_jax as ra
from redalign_jax.errors import UserError
from redalign_jax.runtime import preemption
from redalign_jax.sweep import block

RNG = np.random.default_rng(0)
Y = np.array(["owl", "cat", "emu"])[np.arange(120) % 3]
SIGNAL = np.eye(3)[np.arange(120) % 3]
X = {name: SIGNAL @ RNG.normal(size=(3, 5)) + RNG.normal(size=(120, 5)) for name in ("a", "b", "c")}
PART = np.array(["train"] * 60 + ["valid"] * 30 + ["test"] * 30)
SMALL = {
    "train": {"steps": 20, "evaluations": 4, "batch": 32},
    "encoder": {"embed_dim": 4, "hidden_sizes": (8,)},
    "measure": {"neighbours": 5},
    "hyper__learning_rate": 0.03,
    "sweep": {"keep": "best", "balanced": True, "shuffled": True},
    "progress": False,
}
STRENGTH = [0, 0.5, {"a": 2, "b": 0, "c": 0}]
NAMES = ["balanced=yes", "strength=0.0", "strength=0.5", "strength_a=2.0,strength_b=0.0"]


def swept(folder, **more):
    return ra.sweep(
        ra.arrays(X, Y, split=PART), strength=STRENGTH, seeds=3, workdir=folder, **(SMALL | more)
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "out"
    return folder, swept(folder).table


@pytest.mark.slow
def test_every_setting_leaves_the_encoders_of_its_best_seed(home):
    folder, table = home
    found = json.loads((folder / "models" / "models.json").read_text())["models"]
    assert [name.removesuffix(",strength_c=0.0") for name in found] == NAMES
    test = PART == "test"
    for name in found:
        model = ra.load(folder / "models" / name)
        rows = table[~table["shuffled"] & (table["balanced"] == (name == "balanced=yes"))]
        if name != "balanced=yes":
            told = dict(part.split("=") for part in name.split(","))
            for column, value in told.items():
                rows = rows[rows[column] == float(value)]
        rows = rows.set_index(["subject", "metric", "seed"])["value"].sort_index()
        valid = np.mean([r["valid_of_seeds"] for r in model.about["encoders"].values()], axis=0)
        assert model.about["seed"] == valid.argmax()
        for one in X:
            want = rows[one, "early_accuracy"]
            assert model.about["encoders"][one]["test_of_seeds"] == want.tolist()
            score = model.score(one, X[one][test], Y[test])
            assert score == pytest.approx(want[model.about["seed"]], abs=1e-6)
        hyper = model.about["config"]["hyper"]
        objective = model.about["config"]["alignment"]["objective"]
        assert (objective == "posterior") == (name == "balanced=yes")
        assert all(len(values) == 1 for values in hyper.values())
    assert not (folder / "models" / "encoders").exists()


@pytest.mark.slow
def test_a_sweep_that_was_stopped_goes_on_and_keeps_all(home, tmp_path, monkeypatch):
    folder, table = home
    advance, calls = block.advance, []

    def stopped(*args):
        calls.append(1)
        if len(calls) > 5:
            raise preemption.Stopped("now")
        return advance(*args)

    monkeypatch.setattr(block, "advance", stopped)
    with pytest.raises(preemption.Stopped):
        swept(tmp_path / "out")
    monkeypatch.setattr(block, "advance", advance)
    swept(tmp_path / "out")
    for path in sorted((folder / "models").glob("*/*.safetensors")):
        again = tmp_path / "out" / path.relative_to(folder)
        assert again.read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_what_was_not_kept_cannot_be_had_later(home, tmp_path):
    more = {"sweep": {"balanced": False}, "train__steps": 4}
    swept(tmp_path / "out", **more)
    assert not (tmp_path / "out" / "models").exists()
    with pytest.raises(UserError, match="were not kept in .*; name another folder"):
        swept(tmp_path / "out", sweep={"keep": "best"}, train__steps=4)
    with pytest.raises(UserError, match="sweep.keep"):
        swept(tmp_path / "no", sweep={"keep": "all"})
