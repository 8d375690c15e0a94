"""The decomposition of whole tasks: its table, its page, and how it shares a workdir."""

import json

import jax
import numpy as np
import pandas as pd
import pytest
from helpers.commands import command, refused
from helpers.exact import exact
from helpers.small import experiment
from helpers.tables import decomposed
from ml_collections import ConfigDict

from redalign_jax import report, sweep
from redalign_jax.config import base
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.pid import decomposition

pytestmark = pytest.mark.slow

FAST = {
    "folds": 3,
    "ensemble_size": 1,
    "hidden_sizes": (8,),
    "steps": 50,
    "clusters": 8,
    "n_resamples": 2,
}
ATOMS = ["redundancy", "unique_first", "unique_second", "synergy"]


def fast(config: ConfigDict, **changes) -> ConfigDict:
    config.decompose.update(FAST | changes)
    return config


def own(tmp_path, labels, **more) -> ConfigDict:
    """Arrays of which `loud` knows a bit well, `noisy` a little, and `deaf` not at all."""
    rng = np.random.default_rng(0)
    bit = rng.permutation(600) % 2  # as many of each: the median lies between
    path = tmp_path / "mine.npz"
    np.savez(
        path,
        loud=(bit + 0.1 * rng.standard_normal(600))[:, None],
        noisy=(bit + 0.8 * rng.standard_normal(600))[:, None],
        deaf=rng.standard_normal((600, 1)),
        labels=labels(bit, rng),
    )
    config = base(arrays.defaults())
    config.data.path = str(path)
    return fast(config, **more)


def test_three_modalities_from_the_shell(tmp_path):
    config = own(tmp_path, lambda bit, _: np.array(["cat", "dog"])[bit])
    out = tmp_path / "out"
    done = command(
        "--job=decompose",
        "--config=configs/arrays.py",
        f"--config.data.path={config.data.path}",
        f"--workdir={out}",
        *(f"--config.decompose.{name}={value}" for name, value in FAST.items()),
    )
    assert done.returncode == 0, done.stderr
    assert str(out / "report.html") in done.stdout
    table = pd.read_parquet(out / "decomposition.parquet")
    pd.testing.assert_frame_equal(table, pd.read_csv(out / "decomposition.csv"))
    pairs = [("loud", "noisy"), ("loud", "deaf"), ("noisy", "deaf")]
    assert list(zip(table["first"], table["second"], strict=True)) == pairs
    assert set(table["examples"]) == {600} and set(table["classes"]) == {2}
    assert set(table["method"]) == {"estimate"} and not table["binned"].any()
    for name in decomposition.NUMBERS:
        value = table[name].dropna()
        low, high = (table[f"{name}_{end}"][value.index] for end in ("low", "high"))
        assert (low <= value).all() and (value <= high).all() and (low < high).all()
    assert (table[ATOMS].sum(axis=1) <= np.log(2) + 1e-6).all()
    loud_noisy, loud_deaf, _ = table.to_dict("records")
    assert loud_noisy["information_first"] == pytest.approx(np.log(2), abs=0.05)
    assert loud_noisy["shared_fraction_second"] > 0.8  # loud knows all that noisy knows
    assert loud_deaf["redundancy"] < 0.05 < 0.6 < loud_deaf["unique_first"]
    page = (out / "report.html").read_text()
    assert 'id="decomposition"' in page and 'id="atoms"' in page and "loud – noisy" in page
    assert (out / "figures" / "decomposition.svg").exists()
    assert len(json.loads((out / "summary.json").read_text())["decomposition"]) == 3


def test_a_regression_is_binned_and_says_so(tmp_path):
    config = own(tmp_path, lambda bit, rng: bit + 0.3 * rng.random(600), bins=2)
    config.data.modalities = ("loud,deaf", "noisy,deaf")
    table = decomposition.run(config, tmp_path / "out")
    assert list(table["modalities"]) == ["loud,deaf", "noisy,deaf"]
    assert table["binned"].all() and set(table["classes"]) == {2}
    assert table["unique_first"][0] > 0.6 > table["unique_first"][1]
    report.make(tmp_path / "out")
    assert "cut into 2 quantile bins" in (tmp_path / "out" / "report.html").read_text()


def test_a_sweep_and_a_decomposition_share_a_workdir(tmp_path):
    config = fast(experiment())
    table = decomposition.run(config, tmp_path)
    assert list(table["task_redundancy"]) == [0, 0, 8, 8]
    assert list(table["method"]) == ["estimate", "exact"] * 2
    assert list(table["examples"]) == [64 + 50 + 100, 0] * 2
    for _, row in table[table["method"] == "exact"].iterrows():
        facts = exact(row["task_redundancy"], 0.05, 0)
        assert row["redundancy"] == row["redundancy_low"] == facts["pid_redundancy"]
        assert row["information"] == pytest.approx(row[ATOMS].sum())
        assert row["shared_fraction_second"] == facts["shared_fraction_x2"]
    summary = report.make(tmp_path)
    assert "best" not in summary
    alone = (tmp_path / "report.html").read_text()
    assert "not zero redundancy" in alone.replace("\u00a0", " ")
    assert 'id="numbers"' not in alone

    # what only the other job reads may differ
    sweep.run(fast(experiment(hyper__strength=(0.0, 2.0)), folds=4), tmp_path)
    assert {"best", "decomposition"} <= set(report.make(tmp_path))
    both = (tmp_path / "report.html").read_text()
    assert all(f'id="{name}"' in both for name in ("numbers", "decomposition", "atoms"))
    held = json.loads((tmp_path / "config.json").read_text())["config"]
    assert held["decompose"]["folds"] == 3 and held["hyper"]["strength"] == [0.0, 2.0]

    # the same again is read; other options are computed anew; the sweep stays as it was
    before = (tmp_path / "decomposition.parquet").stat().st_mtime_ns
    again = decomposition.run(config, tmp_path)
    pd.testing.assert_frame_equal(again, table)
    assert (tmp_path / "decomposition.parquet").stat().st_mtime_ns == before
    other = decomposition.run(fast(experiment(), learning_rate=0.05), tmp_path)
    assert (other["redundancy"] != table["redundancy"]).any()
    held = json.loads((tmp_path / "config.json").read_text())["config"]
    assert held["decompose"]["learning_rate"] == 0.05 and held["hyper"]["strength"] == [0.0, 2.0]
    with pytest.raises(UserError, match="hyper.strength was"):
        sweep.run(fast(experiment()), tmp_path)
    with pytest.raises(UserError, match="data.test was 100, now 101"):
        decomposition.run(fast(experiment(data__test=101)), tmp_path)


def test_refusals(tmp_path):
    out = tmp_path / "out"
    job = ("--job=decompose", "--config=configs/redundancy.py", f"--workdir={out}")
    refused(command(*job, "--config.decompose.folds=1"), "decompose.folds: 1")
    with pytest.raises(UserError, match=r"decompose.bins: 1 .* at least 2"):
        decomposition.run(fast(experiment(), bins=1), out)
    assert not out.exists()
    rare = own(tmp_path, lambda bit, _: np.where(np.arange(600) < 5, 2, bit), folds=6)
    with pytest.raises(UserError, match="5 examples, below 6 folds"):
        decomposition.run(rare, out)
    with pytest.raises(UserError, match="clusters: 2 is below 3 classes"):
        decomposition.run(fast(rare, folds=3, clusters=2), out)
    assert not out.exists()


def test_the_headline_says_nothing_below_the_noise():
    headline = report.decomposition.headline
    found = decomposed()
    assert headline(found) == (
        "Of what two modalities tell about the labels, 75 % (95 % interval 70 to 80) is in either "
        "alone"
    )
    noise = decomposed(redundancy=1e-4, information=1e-4, information_low=0.0)
    assert "above the noise" in headline(noise) and "%" not in headline(noise)
    both = pd.concat([found, noise], ignore_index=True)
    assert headline(both).endswith("is in either alone; in 1 of 2 cases nothing is above the noise")
    assert "without intervals" in headline(decomposed(information_low=np.nan))
    exact = decomposed(method="exact", information_low=0.4)
    assert headline(exact).endswith(", 75 % is in either alone")
    cells = report.decomposition.numbers(found).rows[0]
    assert any(cell.ends == "below 0.050" for cell in cells[2:-1])


def test_the_unit_of_a_target_does_not_matter_and_progress_is_told(tmp_path, capsys):
    rng = np.random.default_rng(0)
    bit = np.arange(600) % 2
    x = bit[:, None] + rng.standard_normal((600, 1)), rng.standard_normal((600, 1))
    y = bit + 0.3 * rng.random(600)
    options = fast(experiment(), bins=2, n_resamples=0).decompose
    key, done = jax.random.key(0), []
    one = decomposition.estimates(("a", "b"), x, y, key, options, advance=done.append)
    for other in (1e9 * y + 1e9, 1e-9 * y - 5e-9):
        assert repr(decomposition.estimates(("a", "b"), x, other, key, options)) == repr(one)
    assert sum(done) == 3 * 3 * 50  # classifiers of two inputs and both, 3 folds, 50 steps

    config = fast(experiment(data__redundancy=(8,)), n_resamples=0)
    decomposition.run(config, tmp_path)
    said = capsys.readouterr().err
    assert "9 runs, 450 run-steps" in said and "done after" in said


def test_a_text_is_what_its_words_say_not_their_numbers():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    text = rng.integers(3, 40, (400, 6)).astype(np.int32)
    text[:, 4:] = 0
    text[np.arange(400), rng.integers(0, 4, 400)] = np.where(y, 1, 2)  # a word of its class
    noise = rng.standard_normal((400, 2)).astype(np.float32)
    config = fast(experiment(), steps=200)
    (row,) = decomposition.estimates(
        ("text", "noise"), (text, noise), y, jax.random.key(0), config.decompose
    )
    assert row["unique_first"] > 0.8 * np.log(2)
    assert row["information_first"] > 0.8 * np.log(2)


def test_a_pair_is_decomposed_on_the_rows_that_both_have(tmp_path):
    """As if there were no others; with three modalities every pair on its own."""
    config = own(tmp_path, lambda bit, _: bit, n_resamples=0)
    task = single(config)
    x, y, _, _ = decomposition.labelled(task)
    rng = np.random.default_rng(1)
    present = rng.random((3, len(y))) < 0.7
    key, done = jax.random.key(0), []
    garbage = [np.where(own[:, None], one, 1e9) for one, own in zip(x, present, strict=True)]
    rows = decomposition.estimates(
        task.modalities, garbage, y, key, config.decompose, None, done.append, present
    )
    assert sum(done) == decomposition.work(3, True, config.decompose.to_dict())[0]
    for row, (a, b) in zip(rows, ((0, 1), (0, 2), (1, 2)), strict=True):
        both = present[a] & present[b]
        names = task.modalities[a], task.modalities[b]
        (want,) = decomposition.estimates(
            names, (x[a][both], x[b][both]), y[both], key, config.decompose
        )
        assert repr(row) == repr(want) and row["examples"] == both.sum()


def test_a_file_with_missing_rows_is_decomposed_and_too_few_are_named(tmp_path):
    config = own(tmp_path, lambda bit, _: bit, n_resamples=0)
    held = dict(np.load(tmp_path / "mine.npz"))
    held["noisy"][:200] = np.nan
    held["deaf"][300:] = np.nan
    np.savez(tmp_path / "mine.npz", **held)
    found = decomposition.run(config, tmp_path / "out", progress=False)
    assert found["examples"].tolist() == [400, 300, 100]
    held["deaf"][204:] = np.nan
    np.savez(tmp_path / "mine.npz", **held)
    with pytest.raises(UserError, match="4 labelled rows that have both noisy and deaf: y: class"):
        decomposition.run(config, tmp_path / "few", progress=False)
    assert not (tmp_path / "few" / "decomposition.parquet").exists()


def single(config):
    section = {n: v[0] if isinstance(v, tuple) else v for n, v in config.data.items()}
    return arrays.load(ConfigDict(section), 0)
