"""Your own arrays: what a file becomes, and which file is refused with which line."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from ml_collections import ConfigDict

from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
AUDIO = RNG.normal(size=(60, 5))
IMAGE = RNG.integers(0, 256, (60, 4, 4)).astype(np.uint8)


def load(path, **fields):
    fields = {"modalities": "", "labels": 0, **fields, "path": str(path)}
    return arrays.load(ConfigDict({**arrays.defaults(), **fields}), seed=0)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, image=IMAGE, labels=Y, audio=AUDIO)
    return path


def test_all_arrays_in_file_order(path):
    task = load(path)
    assert task.modalities == ("image", "audio") and task.classes == 3
    assert task.kinds == ("image", "vector")
    assert [x.shape for x in task.train.x] == [(42, 4, 4, 1), (42, 5)]
    assert [x.dtype for x in task.train.x] == [np.uint8, np.float32]


def test_rows_stay_paired(tmp_path):
    """A copy of a modality, scaled and shifted, standardises to the same rows."""
    np.savez(tmp_path / "pair.npz", a=AUDIO, b=3 * AUDIO + 2, labels=Y)
    task = load(tmp_path / "pair.npz")
    for split in (task.train, task.valid, task.test):
        np.testing.assert_allclose(split.x[0], split.x[1], atol=1e-6)


def test_named_modalities_and_fields(path, monkeypatch):
    task = load(path, modalities="audio, image", labels=9, valid=0.2, test=0.3)
    assert task.modalities == ("audio", "image")
    assert [len(s.y) for s in (task.train, task.valid, task.test)] == [9, 12, 18]
    assert len(task.train.x[0]) == 30
    alone = load(path, modalities="audio", labels=9, valid=0.2, test=0.3)
    np.testing.assert_array_equal(alone.test.x[0], task.test.x[0])
    monkeypatch.setenv("HOME", str(path.parent))
    assert load("~/mine.npz").modalities == ("image", "audio")


def test_floating_labels_are_a_regression(tmp_path):
    np.savez_compressed(tmp_path / "r.npz", a=AUDIO, b=IMAGE, labels=AUDIO[:, 0])
    task = load(tmp_path / "r.npz")
    assert task.classes == 0 and task.train.y.dtype == np.float32


def write(path, **members):
    np.savez(path, **members)


def objects(path):
    write(path, a=AUDIO, b=np.array([[1], "x"] * 30, dtype=object), labels=Y)


def object_labels(path):
    write(path, a=AUDIO, b=AUDIO, labels=np.array(["x", "y"] * 30, dtype=object))


def damaged(path):
    write(path, a=AUDIO, b=AUDIO, labels=Y)
    content = bytearray(path.read_bytes())
    content[600] ^= 0xFF  # inside the numbers of `a`
    path.write_bytes(content)


def short_member(path):
    """A member whose header promises more rows than follow."""
    buffer = io.BytesIO()
    np.save(buffer, AUDIO)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", buffer.getvalue()[:-8])
        file.writestr("b.npy", buffer.getvalue())
        file.writestr("labels.npy", buffer.getvalue())


def text_member(path):
    write(path, a=AUDIO, labels=Y)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("readme.txt", "hello")


def npy(path):
    with path.open("wb") as file:
        np.save(file, AUDIO)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: None, "cannot be read (No such file or directory)"),
        (lambda path: path.mkdir(), "a folder without .npy files"),
        (lambda path: path.write_bytes(b""), "not an .npz file"),
        (lambda path: path.write_text("1,2,3\n"), "not an .npz file"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut off"), "not an .npz file"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "not an .npz file"),
        (npy, "not an .npz file"),
        (lambda path: write(path, a=AUDIO, b=AUDIO), "no array named 'labels'; it has a, b"),
        (lambda path: write(path, labels=Y), "needs two modalities or more besides 'labels'"),
        (
            lambda path: write(path, a=AUDIO, labels=Y),
            "besides 'labels'; it has a",
        ),
        (lambda path: write(path, a=AUDIO, b=AUDIO[:9], labels=Y), "array 'b' has 9 rows"),
        (objects, "array 'b' holds Python objects (pickle), which are never loaded"),
        (object_labels, "array 'labels' holds Python objects (pickle)"),
        (damaged, "array 'a' cannot be read (Bad CRC-32"),
        (short_member, "array 'a' cannot be read ("),
        (text_member, "array 'readme.txt' holds |S5, not numbers"),
    ],
)
def test_bad_file_is_one_clear_line(tmp_path, make, words):
    path = tmp_path / "mine.npz"
    make(path)
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_fields(path):
    with pytest.raises(UserError, match="data.path is empty"):
        load("")
    with pytest.raises(UserError, match=r"no 'video' in .*mine.npz; it has image, audio"):
        load(path, modalities="audio,video")
    with pytest.raises(UserError, match=r"data.labels=2 is below the 3 classes"):
        load(path, labels=2)
