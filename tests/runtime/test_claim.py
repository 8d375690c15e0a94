"""What a workdir is the home of: the same data wherever they lie, and never other data."""

import errno
import io
import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.small import experiment
from ml_collections import ConfigDict

from redalign_jax import report, sweep
from redalign_jax.config import base, check
from redalign_jax.data import identity
from redalign_jax.data.sources import arrays, mfeat
from redalign_jax.errors import UserError
from redalign_jax.pid import decomposition
from redalign_jax.runtime import claim, results
from redalign_jax.sweep import block, runner, shards

pytestmark = pytest.mark.slow


def save(path: Path, shift: float = 0.0, **more) -> str:
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    rna = rng.standard_normal((150, 4)) + y[:, None]
    protein = rng.standard_normal((150, 3)) - y[:, None]
    protein[0, 0] += shift
    np.savez(path, rna=rna, protein=protein, labels=y, **more)
    return str(path)


def config(path: str, **changes) -> ConfigDict:
    """Two runs on the arrays of a file; nothing of it takes a second but compiling."""
    found = experiment(hyper__strength=(0.0, 1.0), sweep__seeds=1, measure__examples=20)
    found.data = arrays.defaults()
    found.data.path = path
    found.train.steps = found.train.evaluations = 4
    for field, value in changes.items():
        section, name = field.split("__")
        found[section][name] = value
    return found


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished workdir and its data."""
    folder = tmp_path_factory.mktemp("swept")
    path = save(folder / "mine.npz")
    table = sweep.run(config(path), folder / "out", progress=False)
    return folder, table


@pytest.fixture
def own(swept, tmp_path):
    """A copy of it that may be harmed; training would fail."""
    shutil.copytree(swept[0] / "out", tmp_path / "out")
    shutil.copy(swept[0] / "mine.npz", tmp_path / "mine.npz")
    return tmp_path, swept[1]


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr(block, "train", None)


def test_moved_copied_and_compressed_data_are_the_same(own, untrained, monkeypatch):
    folder, table = own
    (folder / "elsewhere").mkdir()
    (folder / "mine.npz").rename(folder / "elsewhere" / "other.npz")
    monkeypatch.chdir(folder / "elsewhere")
    assert sweep.run(config("other.npz"), folder / "out").equals(table)
    with np.load("other.npz") as file:
        np.savez_compressed(
            "small.npz",
            labels=file["labels"],
            protein=np.asfortranarray(file["protein"]),
            rna=file["rna"],
        )
    one = config("small.npz", data__modalities=("rna,protein",))
    with pytest.raises(UserError, match="data.modalities was"):  # asked for otherwise
        sweep.run(one, folder / "out")
    with identity.recorded() as old:
        identity.note_file("other.npz")
    with identity.recorded() as new:
        identity.note_file("small.npz")
    assert old == new and set(old) == {"rna", "protein", "labels"}


def test_a_finished_workdir_does_not_answer_for_other_data(own, untrained):
    folder, _ = own
    before = {p: p.read_bytes() for p in (folder / "out").iterdir()}
    save(folder / "mine.npz", shift=1e-9, note=np.arange(150.0))
    with pytest.raises(UserError, match="of other data: 'protein' has changed, 'note' is new"):
        sweep.run(config(str(folder / "mine.npz")), folder / "out")
    assert before == {p: p.read_bytes() for p in (folder / "out").iterdir()}


def test_a_sweep_does_not_go_on_with_other_data(tmp_path, monkeypatch):
    """Stopped after its first block, the file overwritten: no table is mixed from both."""
    path = save(tmp_path / "mine.npz")
    two = config(path, sweep__seeds=2, sweep__runs_per_device=1)
    two.sweep.checkpoint_seconds = 1e9
    add = shards.add

    def once(*args):
        add(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shards, "add", once)
        with pytest.raises(KeyboardInterrupt):
            sweep.run(two, tmp_path / "out", progress=False)
    assert shards.places(tmp_path / "out")
    save(path, shift=1.0)
    with pytest.raises(UserError, match="'protein' has changed"):
        sweep.run(two, tmp_path / "out", progress=False)
    with pytest.raises(UserError, match="'protein' has changed"):
        decomposition.run(two, tmp_path / "out")


def test_another_data_dir_is_the_same_experiment(tmp_path):
    contents = []
    for name in ("one", "two"):
        data = mfeat.defaults()
        data.modalities, data.data_dir = ("mor,zer",), str(tmp_path / name)
        one = base(data)
        with identity.recorded() as content:
            identity.check_new({}, {}, sweep.grid.cells(one)[0].load())
        contents.append(content)
        (tmp_path / "out").mkdir(exist_ok=True)
        claim.claim(tmp_path / "out", one, content)
        (tmp_path / "out" / "results.parquet").touch()
    assert contents[0] == contents[1]
    assert {"mfeat[all].mor", "mfeat[all].zer", "mfeat[all].label"} <= set(contents[0])


def test_a_deleted_config_is_refused_and_not_rewritten(own, untrained):
    folder, _ = own
    (folder / "out" / "config.json").unlink()
    for job in (sweep.run, decomposition.run):
        with pytest.raises(UserError, match=r"holds results but no config\.json"):
            job(config(str(folder / "mine.npz")), folder / "out")


NO_CONFIGS = [
    *("{", "null", "[]", "{}", '"config"', '{"config": null}', '{"config": {"data": {}}}'),
    '{"config": {"data": {}, "hyper": {}}}',
    '{"config": {"data": 1, "hyper": 2}, "jobs": 3}',
]


@pytest.mark.parametrize("text", [*NO_CONFIGS, "data", "train", "hyper"])
def test_a_damaged_config_is_one_line(own, untrained, text):
    """A section's name stands for a config whose section is a number."""
    folder, _ = own
    path = folder / "out" / "config.json"
    if text not in NO_CONFIGS:
        about = json.loads(path.read_text())
        about["config"][text] = 3
        text = json.dumps(about)
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        sweep.run(config(str(folder / "mine.npz")), folder / "out")
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        report.make(folder / "out")
    assert path.read_text() == text


def test_a_workdir_without_digests_is_read_with_a_warning(own, untrained, caplog):
    folder, table = own
    path = folder / "out" / "config.json"
    about = json.loads(path.read_text())
    del about["data"]
    path.write_text(json.dumps(about))
    assert sweep.run(config(str(folder / "mine.npz")), folder / "out").equals(table)
    assert "does not say what its data were" in caplog.text
    assert json.loads(path.read_text()) == about  # how it was made stays as it was said


def test_what_failed_before_its_first_result_owns_nothing(tmp_path, monkeypatch):
    path = save(tmp_path / "mine.npz")
    with monkeypatch.context() as patch:

        def starved(*_):
            raise UserError("out of memory, see --config.alignment.block")

        patch.setattr(runner, "_train_group", starved)
        with pytest.raises(UserError, match="out of memory"):
            sweep.run(config(path), tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "config.json").exists()
    other = config(path, train__batch=16, alignment__block=8)
    about = claim.admit(tmp_path / "out", check(other), {})
    assert about["config"]["train"]["batch"] == 16


def test_how_the_loss_is_cut_does_not_make_another_experiment(own, untrained):
    folder, table = own
    one = config(str(folder / "mine.npz"), alignment__block=8)
    assert sweep.run(one, folder / "out").equals(table)


def test_a_failed_decomposition_leaves_the_one_before(own, monkeypatch):
    folder, _ = own
    one = config(str(folder / "mine.npz"))
    one.decompose.update(folds=2, ensemble_size=1, hidden_sizes=(4,), steps=10, n_resamples=0)
    before = decomposition.run(one, folder / "out", progress=False)
    one.decompose.folds = 60  # of 50 examples of a class
    with pytest.raises(UserError, match="folds"):
        decomposition.run(one, folder / "out", progress=False)
    assert results.read(folder / "out", results.DECOMPOSITION).equals(before)
    one.decompose.folds = 2
    monkeypatch.setattr(decomposition, "_estimate", None)
    assert decomposition.run(one, folder / "out").equals(before)


@pytest.mark.parametrize("name", ["results", "curves"])
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_damaged_table_is_made_again_from_its_csv(own, untrained, caplog, name, how):
    folder, table = own
    path = folder / "out" / f"{name}.parquet"
    whole = path.read_bytes()
    harm(path, how)
    if name == "curves" and how == "cut":
        path.unlink()
    assert sweep.run(config(str(folder / "mine.npz")), folder / "out").equals(table)
    pd.testing.assert_frame_equal(results.load(path), pd.read_parquet(whole_at(folder, whole)))
    assert "missing or damaged" in caplog.text


def whole_at(folder: Path, content: bytes) -> Path:
    (folder / "whole.parquet").write_bytes(content)
    return folder / "whole.parquet"


def harm(path: Path, how: str) -> None:
    """Cuts a file, or flips a bit that changes the table for a reader who trusts it."""
    whole = path.read_bytes()
    if how == "cut":
        path.write_bytes(whole[: len(whole) // 2])
        return
    table = pd.read_parquet(io.BytesIO(whole))
    for at in range(len(whole) // 4, len(whole)):
        content = bytearray(whole)
        content[at] ^= 16
        try:
            if not pd.read_parquet(io.BytesIO(content)).equals(table):
                break
        except Exception:  # this bit does more than change a number
            continue
    path.write_bytes(content)


@pytest.mark.parametrize("cut", ["row", "rows", "deleted", "old"])
def test_with_both_tables_damaged_the_line_says_what_to_delete(own, untrained, cut):
    """Of the csv a part of a row is gone, whole rows, or all; an old workdir has no checksum."""
    folder, _ = own
    harm(folder / "out" / "results.parquet", "cut")
    csv = folder / "out" / "results.csv"
    text = csv.read_text()
    lines = text.splitlines(keepends=True)
    csv.write_text("".join(lines[:-5]) if cut == "rows" else text[: text.rindex(",") - 1])
    if cut == "old":
        (folder / "out" / results.SUMS).unlink()
    if cut == "deleted":
        csv.unlink()
    for act in (partial(sweep.run, config(str(folder / "mine.npz"))), report.make):
        with pytest.raises(UserError, match=r"results\.parquet cannot be read .*; delete both"):
            act(folder / "out")


def test_a_deleted_table_is_read_from_its_csv(own, untrained):
    folder, table = own
    for path in (folder / "out").glob("*.parquet"):
        path.unlink()
    report.make(folder / "out")
    assert sweep.run(config(str(folder / "mine.npz")), folder / "out").equals(table)
    assert (folder / "out" / "results.parquet").exists()


def test_checksums_of_tables_are_those_of_sha256sum(own):
    done = subprocess.run(["sha256sum", "-c", results.SUMS], cwd=own[0] / "out", timeout=60)
    assert done.returncode == 0


def test_a_block_that_cannot_be_read_now_is_not_deleted(tmp_path, monkeypatch):
    rows = pd.DataFrame({"place": [0, 1], "seed": [0, 1], "value": [0.5, 1.0], "diverged": False})
    for _ in range(2):
        shards.add(tmp_path, rows, rows)
    files = sorted((tmp_path / shards.FOLDER).iterdir())
    assert len(files) == 4

    def fails(path):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fails)
        for act in (shards.places, shards.merge):
            with pytest.raises(UserError, match="Input/output error; nothing is deleted"):
                act(tmp_path)
    assert sorted((tmp_path / shards.FOLDER).iterdir()) == files
    assert shards.places(tmp_path) == [0, 1]
    harm(files[1], "flipped")
    assert shards.places(tmp_path) == [0, 1]  # of the other block
    assert files[1] not in (tmp_path / shards.FOLDER).iterdir()


def test_no_bit_of_a_table_changes_in_silence(tmp_path):
    table = pd.DataFrame({"place": [0, 1], "value": [0.5, 1.0], "diverged": [False, True]})
    path = tmp_path / "one.parquet"
    results.write_parquet(table, path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        content = bytearray(whole)
        content[at] ^= 16
        path.write_bytes(content)
        try:
            assert results.load(path).equals(table), at
        except results.Damaged:
            continue
