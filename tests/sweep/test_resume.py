"""A sweep that is killed, stopped, starved or moved loses nothing that it had saved."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from helpers.killed import config

from redalign_jax import report, sweep
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.runtime import preemption, results, workdir
from redalign_jax.sweep import block, checkpoint, shards

pytestmark = pytest.mark.slow

SEGMENTS = 20
TABLES = ("results.parquet", "curves.parquet", "results.csv", "curves.csv")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    sweep.run(config(), folder)
    return folder


def assert_identical(folder, undisturbed):
    for name in TABLES:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name
    left = {path.name for path in folder.iterdir()}
    assert left == {*TABLES, results.SUMS, "config.json", ".lock"}


class After:
    """Does something at the end of the `count`-th segment from now on, however many follow."""

    def __init__(self, monkeypatch, count, act):
        self.trained, advance = 0, block.advance

        def counted(part, inputs, carry):
            after = advance(part, inputs, carry)
            self.trained += 1
            if self.trained == count:
                act()
            return after

        monkeypatch.setattr(block, "advance", counted)


def stop_after(monkeypatch, folder, segments, **changes):
    """SIGTERM during segment number `segments`: the workdir of a sweep that stopped in time."""
    with monkeypatch.context() as patch:
        count = After(patch, segments, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(preemption.Stopped):
            sweep.run(config(**changes), folder)
    assert count.trained == segments  # it stops at the end of that very segment


def test_kills_lose_a_segment_each_and_change_nothing(tmp_path):
    tests = Path(__file__).parents[1]

    def lives(name, kills):
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        done = subprocess.run(
            [sys.executable, "-m", "helpers.killed", tmp_path / name, str(kills), "0"],
            env={**os.environ, **cache, "PYTHONPATH": f"{tests}:{tests.parent}"},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout) == {"killed": kills, "status": 0}
        assert "cannot be read" not in done.stderr  # a kill tears nothing
        return len((tmp_path / f"{name}.log").read_text().splitlines())

    needed = lives("whole", 0)
    trained = lives("killed", 4)
    assert needed <= trained <= needed + 4
    assert_identical(tmp_path / "killed", tmp_path / "whole")


def test_sigterm_saves_and_the_same_call_goes_on(undisturbed, tmp_path, monkeypatch):
    stop_after(
        monkeypatch, tmp_path, SEGMENTS + 7, sweep__checkpoint_seconds=1e9
    )  # never by the clock
    again = After(monkeypatch, -1, None)
    sweep.run(config(), tmp_path)
    assert again.trained == 6 * SEGMENTS - SEGMENTS - 7
    assert_identical(tmp_path, undisturbed)


def test_what_posteriors_were_found_to_be_worth_is_kept(tmp_path, monkeypatch):
    changes = {"alignment__objective": "posterior", "hyper__learning_rate": (1e-2,)}
    changes |= {"hyper__strength": (0.0, 1.0), "train__steps": 100, "data__redundancy": (0,)}
    sweep.run(config(**changes), tmp_path / "whole")
    stop_after(monkeypatch, tmp_path / "stopped", SEGMENTS + 13, **changes)
    sweep.run(config(**changes), tmp_path / "stopped")
    assert_identical(tmp_path / "stopped", tmp_path / "whole")
    curves = pd.read_parquet(tmp_path / "whole" / "curves.parquet")
    assert curves.loc[curves["metric"] == "gate", "value"].max() > 0.3


def test_a_modality_alone_is_saved_without_its_pairs(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=160)
    views = {name: rng.standard_normal((160, 5)) + y[:, None] for name in "ab"}
    np.savez(tmp_path / "two.npz", labels=y, **views)
    own = config(alignment__objective="posterior", hyper__strength=(0.0,), train__batch=16)
    with own.unlocked():
        own.data = arrays.defaults()
    own.data.path, own.data.modalities = str(tmp_path / "two.npz"), ("a",)
    own.measure.examples = 20
    sweep.run(own, tmp_path / "whole")
    with monkeypatch.context() as patch:
        After(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(preemption.Stopped):
            sweep.run(own, tmp_path / "stopped")
    again = After(monkeypatch, -1, None)
    sweep.run(own, tmp_path / "stopped")
    assert again.trained == SEGMENTS - 7
    assert_identical(tmp_path / "stopped", tmp_path / "whole")


def damage(number: Path, how: str):
    files = sorted(p for p in number.rglob("*") if p.is_file() and p.stat().st_size)
    if how == "gone":
        shutil.rmtree(number / "carry")
    for path in files if how in ("cut", "flipped") else []:
        content = bytearray(path.read_bytes())
        if how == "cut":
            content = content[: len(content) // 2]
        elif path.parent.name == "d":  # the numbers themselves
            content[len(content) // 2] ^= 16
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_torn_checkpoint_falls_back_to_the_one_before(
    undisturbed, tmp_path, monkeypatch, caplog, how
):
    stop_after(monkeypatch, tmp_path, 7)
    kept = sorted((tmp_path / checkpoint.FOLDER).iterdir(), key=lambda p: int(p.name))
    assert len(kept) == 2
    damage(kept[-1], how)
    again = After(monkeypatch, -1, None)
    sweep.run(config(), tmp_path)
    assert again.trained == 6 * SEGMENTS - 6  # one more than was left
    assert "the one before is taken" in caplog.text
    assert_identical(tmp_path, undisturbed)


def test_without_any_readable_checkpoint_the_block_starts_over(
    undisturbed, tmp_path, monkeypatch, caplog
):
    stop_after(monkeypatch, tmp_path, SEGMENTS + 7)
    for number in (tmp_path / checkpoint.FOLDER).iterdir():
        damage(number, "cut")
    torn = next((tmp_path / shards.FOLDER).glob("*.results.parquet"))
    torn.write_bytes(torn.read_bytes()[:-100])
    again = After(monkeypatch, -1, None)
    sweep.run(config(), tmp_path)
    assert again.trained == 6 * SEGMENTS
    assert_identical(tmp_path, undisturbed)


def test_another_number_of_devices_goes_on_and_says_so(undisturbed, tmp_path, monkeypatch, caplog):
    stop_after(monkeypatch, tmp_path, SEGMENTS + 7)
    one = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: one)
    again = After(monkeypatch, -1, None)
    sweep.run(config(), tmp_path)
    assert again.trained == 6 * SEGMENTS - SEGMENTS - 7  # not even the block in progress is lost
    assert "begun on 2" in caplog.text
    assert "not be bit-identical" in caplog.text
    one, two = (pd.read_parquet(f / "curves.parquet") for f in (tmp_path, undisturbed))
    assert one.drop(columns="value").equals(two.drop(columns="value"))
    loss = one["metric"].str.endswith("loss")
    np.testing.assert_allclose(one[loss]["value"], two[loss]["value"], rtol=1e-4)


def test_another_chunk_by_hand_is_taken(undisturbed, tmp_path, monkeypatch, caplog):
    stop_after(monkeypatch, tmp_path, SEGMENTS + 7)
    sizes, advance = set(), block.advance

    def sized(part, inputs, carry):
        sizes.add(part.columns.size)
        return advance(part, inputs, carry)

    monkeypatch.setattr(block, "advance", sized)
    sweep.run(config(sweep__runs_per_device=3), tmp_path)
    assert sizes == {6}  # two devices
    assert "not be bit-identical" in caplog.text
    one, two = (pd.read_parquet(f / "curves.parquet") for f in (tmp_path, undisturbed))
    assert one.drop(columns="value").equals(two.drop(columns="value"))


def test_a_full_disk_is_one_line_and_the_last_state_stays(undisturbed, tmp_path, monkeypatch):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        # every write beyond 100 bytes of a file fails from here on
        After(patch, 7, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard)))
        try:
            with pytest.raises(UserError, match="workdir: .* cannot be written") as caught:
                sweep.run(config(), tmp_path, progress=False)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).endswith("File too large")
    again = After(monkeypatch, -1, None)
    sweep.run(config(), tmp_path)
    assert again.trained <= 6 * SEGMENTS - 5
    assert_identical(tmp_path, undisturbed)


def test_out_of_memory_halves(undisturbed, tmp_path, monkeypatch, caplog):
    advance = block.advance

    def hungry(part, inputs, carry):
        if part.columns.size > fits and carry.step > 3:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes")
        return advance(part, inputs, carry)

    monkeypatch.setattr(block, "advance", hungry)
    fits = 2
    sweep.run(config(sweep__runs_per_device=3), tmp_path / "halved")
    assert "out of memory with 3 runs per device, half from here on" in caplog.text
    one, two = (pd.read_parquet(f / "curves.parquet") for f in (tmp_path / "halved", undisturbed))
    assert one.drop(columns="value").equals(two.drop(columns="value"))
    loss = one["metric"].str.endswith("loss")
    np.testing.assert_allclose(one[loss]["value"], two[loss]["value"], rtol=1e-4)
    fits = 0
    with pytest.raises(UserError, match=r"out of memory with 1 run per .* --config\.alignment"):
        sweep.run(config(), tmp_path / "never")


def test_a_workdir_serves_one_process_one_config_and_one_version(tmp_path, monkeypatch):
    stop_after(monkeypatch, tmp_path, 2)
    with workdir.held(tmp_path), pytest.raises(UserError, match="is in use by process"):
        sweep.run(config(), tmp_path)
    with pytest.raises(UserError, match=r"train\.batch was 32, now 16"):
        sweep.run(config(train__batch=16), tmp_path)
    path = tmp_path / "config.json"
    about = json.loads(path.read_text())
    about["versions"]["jax"] = "0.1"
    path.write_text(json.dumps(about))
    with pytest.raises(UserError, match=r'other versions: jax was "0\.1", now'):
        sweep.run(config(), tmp_path)


def test_a_report_while_the_sweep_goes_on(tmp_path, monkeypatch):
    stop_after(monkeypatch, tmp_path, 1, sweep__runs_per_device=3)
    with pytest.raises(UserError, match="holds no results"):
        report.make(tmp_path)
    stop_after(monkeypatch, tmp_path, SEGMENTS, sweep__runs_per_device=3)
    summary = report.make(tmp_path)
    assert summary["under_way"] == {"runs": 6, "of": 12}
    assert {row["redundancy"] for row in summary["best"]} == {0}
    assert "6 of 12 runs are" in (tmp_path / "report.html").read_text()
    sweep.run(config(sweep__runs_per_device=3), tmp_path)
    assert report.make(tmp_path)["under_way"] is None
