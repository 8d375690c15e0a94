"""The six-view digits: the published numbers, and a preparation that nothing can spoil."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from redalign_jax.data import prepared
from redalign_jax.data.sources import mfeat
from redalign_jax.errors import UserError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

# Of the published text files: columns, sha256 of the table with every number as "%.6g", and two
# numbers near its corners.
PUBLISHED = {
    "fac": (216, "f5e0df2e97079e6f", 236.0, 301.0),
    "fou": (76, "c23aa69d1bbe3abc", 0.19731, 0.24884),
    "kar": (64, "1ac868ce3356e4d9", -11.667, 6.9924),
    "mor": (6, "75d4fe77577ede56", 0.0, 1.0),
    "pix": (240, "022db831f151537e", 3.0, 0.0),
    "zer": (47, "e4993f86dbc1261f", 0.83147, 2.3559),
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("prepared"))


def load(data_dir, **fields):
    fields = {"modalities": "kar,pix", "labels": 100, **fields, "data_dir": data_dir}
    return mfeat.load(ConfigDict({**mfeat.defaults(), **fields}), seed=0)


def start(script, *arguments):
    """A fresh interpreter that cannot reach the network."""
    offline = """
import socket, sys
def refuse(*_, **__):
    raise AssertionError("the network was asked for")
socket.getaddrinfo = socket.socket.connect = refuse
"""
    return subprocess.Popen(
        [sys.executable, "-c", offline + script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_values_are_the_published_ones(data_dir):
    arrays = prepared.read(prepared.prepare(mfeat.Mfeat, data_dir), [*mfeat.VIEWS, "label"])
    for view, (columns, digest, second, later) in PUBLISHED.items():
        x = arrays[view]
        assert x.shape == (2000, columns) and x.dtype == mfeat.VIEWS[view][1]
        table = "\n".join(",".join(f"{v:.6g}" for v in row) for row in x.tolist())
        assert hashlib.sha256(table.encode()).hexdigest()[:16] == digest, view
        assert (x[0, 1], x[1234, 1]) == (x.dtype.type(second), x.dtype.type(later))
    assert np.array_equal(arrays["label"], np.repeat(np.arange(10), 200))


def test_task(data_dir):
    task = load(data_dir)
    assert task.modalities == ("kar", "pix") and task.classes == 10
    assert [x.shape for x in task.train.x] == [(1400, 64), (1400, 240)]
    for split, each in ((task.train, 10), (task.valid, 20), (task.test, 40)):
        assert np.bincount(split.y).tolist() == [each] * 10
        assert all(x.dtype == np.float32 for x in split.x)
    everything = load(data_dir, modalities="", labels=0)
    assert everything.modalities == tuple(mfeat.VIEWS)
    assert np.bincount(everything.train.y).tolist() == [140] * 10
    np.testing.assert_array_equal(everything.test.x[2], task.test.x[0])
    assert load(data_dir, modalities="mor").modalities == ("mor",)


def test_a_second_task_reads_nothing(data_dir):
    home = prepared.prepare(mfeat.Mfeat, data_dir)
    first, second = (prepared.read(home, ["kar"])["kar"] for _ in range(2))
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0  # and so nobody can spoil it for the next


def test_bad_fields(data_dir, tmp_path):
    with pytest.raises(UserError, match="no 'mfcc' in mfeat; it has fac, fou, kar, mor, pix, zer"):
        load(data_dir, modalities="mfcc")
    with pytest.raises(UserError, match="data.labels=9 is below the 10 classes of mfeat"):
        load(data_dir, labels=9)
    with pytest.raises(UserError, match="data.data_dir='gs://b/d': only local directories"):
        load("gs://b/d")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"/mfeat/1.0.0: cannot be prepared \(.*Not a directory"):
        load(str(tmp_path / "file"))


def test_data_dir_falls_back_to_the_environment(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/somewhere")
    assert prepared.directory("") == Path("/somewhere")
    assert prepared.directory("/else") == Path("/else")
    monkeypatch.setenv("TFDS_DATA_DIR", "")
    assert prepared.directory("") == Path.home() / "tensorflow_datasets"


# No process goes on generating before both have come for the dataset.
BOTH = """
import fcntl, hashlib, os, pathlib, time
from redalign_jax.data.sources import mfeat; from redalign_jax.data import prepared
data_dir, meet, locks = sys.argv[1:]
if locks == "False":
    def flock(*_):
        raise OSError(37, "No locks available")
    fcntl.flock = flock
def come(to):
    pathlib.Path(meet, to, str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(os.listdir(pathlib.Path(meet, to))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
generate = mfeat.Mfeat._generate_examples
def half_way(self):
    for key, example in generate(self):
        if key == 1000:
            pathlib.Path(meet, "generating", str(os.getpid())).touch()
            time.sleep(0.5)  # so that the other one, which has come, finds the lock taken
        yield key, example
mfeat.Mfeat._generate_examples = half_way
come("there")
arrays = prepared.read(prepared.prepare(mfeat.Mfeat, data_dir), ["kar"])
print("tensorflow" in sys.modules, hashlib.sha256(arrays["kar"].tobytes()).hexdigest())
"""


@pytest.mark.parametrize("locks", [True, False])
def test_two_processes_at_once_quietly_without_tensorflow_or_network(tmp_path, locks):
    meet, root = tmp_path / "meet", tmp_path / "data"
    for place in ("there", "generating"):
        (meet / place).mkdir(parents=True)
    both = [start(BOTH, root, meet, locks) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    with np.load(mfeat.FILE) as file:
        digest = hashlib.sha256(file["kar"].tobytes()).hexdigest()
    assert outputs == [(f"False {digest}\n", "")] * 2  # nothing else on stdout or stderr
    assert len(list((meet / "generating").iterdir())) == 1
    assert [p.name for p in root.iterdir()] == ["mfeat"]
    assert sorted(p.name for p in (root / "mfeat").iterdir()) == [".lock", "1.0.0"]


HALF = """
import time
from redalign_jax.data.sources import mfeat; from redalign_jax.data import prepared
generate = mfeat.Mfeat._generate_examples
def stuck(self):
    for key, example in generate(self):
        if key == 1000:
            print("half way", file=sys.__stdout__, flush=True)
            time.sleep(600)
        yield key, example
mfeat.Mfeat._generate_examples = stuck
prepared.prepare(mfeat.Mfeat, sys.argv[1])
"""


def test_a_killed_preparation_is_simply_repeated(tmp_path):
    process = start(HALF, tmp_path)
    assert process.stdout.readline() == "half way\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = sorted(p.name for p in tmp_path.iterdir())
    assert len(left) == 2 and left[0].startswith("incomplete.mfeat.") and left[1] == "mfeat"
    assert not list((tmp_path / "mfeat").glob("[!.]*"))
    assert len(load(str(tmp_path)).train.x[0]) == 1400


def test_a_half_copied_dataset_is_one_clear_line(tmp_path):
    home = tmp_path / "mfeat" / "1.0.0"
    home.mkdir(parents=True)
    (home / "features.json").write_text("{")
    with pytest.raises(UserError, match=r"mfeat/1.0.0: not a complete dataset, delete it"):
        load(str(tmp_path))
    (home / prepared.INFO).write_text("{")
    with pytest.raises(UserError, match=r"mfeat/1.0.0: not a complete dataset, delete it \("):
        load(str(tmp_path))


@pytest.mark.parametrize("damage", ["remove", "cut"])
def test_damaged_records_are_one_clear_line(tmp_path, damage):
    home = prepared.prepare(mfeat.Mfeat, str(tmp_path))
    (records,) = home.glob("*.array_record*")
    if damage == "remove":
        records.unlink()
    else:
        os.truncate(records, records.stat().st_size // 2)
    with pytest.raises(UserError) as caught:
        load(str(tmp_path))
    assert f"{home}: cannot be read" in str(caught.value) and "\n" not in str(caught.value)
