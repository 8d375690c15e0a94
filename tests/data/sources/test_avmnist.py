"""AV-MNIST's files: levels stay levels, coefficients are standardised, bad files are one line."""

import os

import numpy as np
import pandas as pd
import pytest
from helpers.commands import refused, sweep
from ml_collections import ConfigDict

from redalign_jax.data.sources import avmnist
from redalign_jax.errors import UserError

pytestmark = pytest.mark.slow

N = {"train": 240, "test": 40}


def content(part, mfcc=False):
    rng = np.random.default_rng(len(part))
    n = N[part]
    label = np.arange(n) % 10
    image = rng.integers(0, 256, (n, 784)).astype(np.float32)
    image[:, 0] = label  # by which the tests know a row again
    audio = rng.integers(0, 256, (n, 112, 112)).astype(np.uint8)
    if mfcc:
        audio = rng.normal(np.arange(20)[:, None], 1 + np.arange(20)[:, None], (n, 20, 36))
    return {"image/{}_data": image, "audio/{}_data": audio, "{}_labels": label.astype(np.float64)}


def write(folder, mfcc=False, **changes):
    """The six files; a change is a function of an array, by the file's name with __ for /."""
    for part in N:
        for name, array in content(part, mfcc).items():
            path = folder / f"{name.format(part)}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            change = changes.get(name.format(part).replace("/", "__"))
            np.save(path, change(array) if change else array)
    return folder


def load(folder, **fields):
    given = {"modalities": "", "labels": 0, "manual_dir": str(folder), "data_dir": str(folder)}
    return avmnist.load(ConfigDict({**avmnist.defaults(), **given, **fields}), seed=0)


def test_spectrograms_and_the_published_splits(tmp_path):
    task = load(write(tmp_path), labels=20)
    assert task.fixed_test and 0 < task.resplit < 1
    assert task.modalities == ("image", "audio") and task.classes == 10
    assert [len(s.x[0]) for s in (task.train, task.valid, task.test)] == [220, 20, 40]
    assert np.bincount(task.train.y).tolist() == [2] * 10
    train, test = content("train"), content("test")
    for split, whole, rows in (
        (task.valid, train, slice(220, 240)),
        (task.test, test, slice(0, 40)),
    ):
        image, audio = split.x
        assert image.dtype == audio.dtype == np.uint8
        want = whole["image/{}_data"][rows].reshape(-1, 28, 28, 1)
        assert np.array_equal(image, want)
        assert np.array_equal(audio[..., 0], whole["audio/{}_data"][rows])
        assert np.array_equal(split.y, whole["{}_labels"][rows])
    # Training pairs are shuffled, together.
    key = {a.tobytes(): i for i, a in enumerate(train["audio/{}_data"][:220])}
    rows = [key[a.tobytes()] for a in np.ascontiguousarray(task.train.x[1][..., 0])]
    assert sorted(rows) == list(range(220))
    assert np.array_equal(task.train.x[0].reshape(-1, 784), train["image/{}_data"][rows])
    assert np.array_equal(task.train.y, train["{}_labels"][rows[:20]])


def test_coefficients_are_standardised_each_over_training_pairs_and_frames(tmp_path):
    task = load(write(tmp_path, mfcc=True), modalities="audio,image")
    audio = content("train", mfcc=True)["audio/{}_data"]
    mean = np.array([audio[:220, c].mean() for c in range(20)])
    std = np.array([audio[:220, c].std() for c in range(20)])
    want = (content("test", mfcc=True)["audio/{}_data"].transpose(0, 2, 1) - mean) / std
    assert task.test.x[0].dtype == np.float32 and task.test.x[0].shape == (40, 36, 20)
    np.testing.assert_allclose(task.test.x[0], want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("off", [0.3, -0.3])
def test_levels_in_any_type_are_rounded(tmp_path, off):
    write(tmp_path, image__test_data=lambda a: np.clip(a.astype(np.float64) + off, 0, 255))
    want = content("test")["image/{}_data"]
    assert np.array_equal(load(tmp_path).test.x[0].reshape(40, 784), want)


def test_the_whole_command(tmp_path):
    write(tmp_path / "files")
    places = {"manual_dir": tmp_path / "files", "data_dir": tmp_path / "data"}
    done = sweep("avmnist", tmp_path / "out", labels=40, **places)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    table = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert set(table["subject"]) == {"image", "audio", "image|audio", "fusion"}
    assert (tmp_path / "out" / "report.html").stat().st_size > 0


def put(at, value):
    def changed(array):
        array = array.astype(np.float64)
        array[at] = value
        return array

    return changed


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("image/train_data", lambda a: a[:, :783], "(240, 783) is not the shape of square images"),
        ("image/train_data", lambda a: a[0], "(784,) is not the shape of square images"),
        ("image/test_data", lambda a: a[:39], None),
        ("image/test_data", put((7, 3), 256), "example 7 is not of levels 0..255"),
        ("image/test_data", put((7, 3), np.nan), "example 7 is not of levels 0..255"),
        (
            "image/test_data",
            lambda a: a[:, :400],
            "image has the shape (20, 20, 1), that for train",
        ),
        ("audio/train_data", lambda a: a.reshape(240, -1), "(240, 12544) is not the shape of spec"),
        ("audio/train_data", lambda a: a[1:], "uint8 (239, 112, 112), not numbers for each of 240"),
        ("audio/test_data", lambda a: a.astype(str), "<U3 (40, 112, 112), not numbers"),
        ("audio/test_data", put((3, 5, 5), -1), "example 3 is not of levels 0..255"),
        ("audio/test_data", lambda a: a[:, :20, :36], "its audio has the shape (36, 20), that for"),
        ("train_labels", put(9, 10), "the label of example 9 is 10, outside 0..9"),
        ("train_labels", put(9, 0.5), "the label of example 9 is 0.5, outside 0..9"),
        ("train_labels", lambda a: np.stack([a, a], 1), "(240, 2) is not one label per image"),
        (
            "train_labels",
            lambda a: a.astype(object),
            "holds Python objects, which are never loaded",
        ),
    ],
)
def test_bad_files_are_one_clear_line_and_leave_nothing(tmp_path, name, change, words):
    write(tmp_path, **{name.replace("/", "__"): change})
    path = tmp_path / f"{name}.npy"
    if words is None:  # the other two have one row too many
        path, words = tmp_path / "audio/test_data.npy", "not numbers for each of 39 images"
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert words in str(caught.value) and str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "avmnist").rglob("*.json"))


def test_infinite_coefficients(tmp_path):
    write(tmp_path, mfcc=True, audio__train_data=put((5, 1, 1), np.inf))
    with pytest.raises(UserError, match="audio/train_data.npy: example 5 is not finite"):
        load(tmp_path)


def test_the_command_refuses_in_one_line(tmp_path):
    write(tmp_path / "files")
    places = {"manual_dir": tmp_path / "files", "data_dir": tmp_path / "data"}
    path = tmp_path / "files" / "audio" / "test_data.npy"
    os.truncate(path, path.stat().st_size - 9)
    refused(
        sweep("avmnist", tmp_path / "out", **places), path, "not a whole .npy file of numbers ("
    )
    path.unlink()
    done = sweep("avmnist", tmp_path / "out", **places)
    refused(done, path, "is missing: put MultiBench's file there")
    assert not (tmp_path / "out").exists()
