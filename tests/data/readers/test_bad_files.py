"""Files that cannot be used, or should not be: one line each, before anything is made of them."""

import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.io
from ml_collections import ConfigDict

from redalign_jax.data.readers import bounds
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError

N = 30
X = np.random.default_rng(0).normal(size=(N, 4))
Y = np.arange(N) % 3
FIELDS = {n: v[0] if isinstance(v, tuple) else v for n, v in arrays.defaults().items()}


def refused(path, *words, **fields):
    tracemalloc.start()
    with pytest.raises(UserError) as caught:
        arrays.load(ConfigDict({**FIELDS, "path": str(path), **fields}), 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in words), line
    assert peak < 100e6, "memory was made for what was refused"


def header(shape, dtype="<f8", fill=0):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(fill)
    length = 64 - (len(text) + 11) % 64
    text += " " * length + "\n"
    if len(text) < 2**16:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text.encode()


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "mine"
    home.mkdir()
    np.save(home / "a.npy", X)
    np.save(home / "b.npy", X)
    np.save(home / "labels.npy", Y)
    return home


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header((10**9, 10**6)) + X.tobytes(), "promises 8,000,000,000,000,000 bytes"),
        (header((N, 400)) + X.tobytes(), "promises 96,000 bytes of values, and there are 960"),
        (header((N, 2)) + X.tobytes(), "promises 480 bytes of values, and there are 960"),
        (header((-N, -4)) + X.tobytes(), "not a .npy file that can be read"),
        (header((N, 4), fill=2**21) + X.tobytes(), "its header says that it is 2,"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "its header says that it is 4,294,967,295 bytes"),
        (b"\x93NUMPY\x01\x00\x10\x00__import__('os')", "not a .npy file that can be read"),
        (b"", "not a .npy file that can be read"),
        (b"\x93NUMPY\x07\x00" + bytes(99), "version 7.0 of the format"),
        (header((1,), "|O") + b"cos\nsystem\n", "holds Python objects (pickle)"),
        (header((N, 4), "<c16") + np.zeros((N, 4), complex).tobytes(), "holds complex128"),
    ],
)
def test_a_npy_file_that_lies(folder, content, words):
    (folder / "a.npy").write_bytes(content)
    refused(folder, words)
    with zipfile.ZipFile(folder / "mine.npz", "w") as file:
        file.writestr("a.npy", content)
        for name in ("b.npy", "labels.npy"):
            file.write(folder / name, name)
    refused(folder / "mine.npz", "mine.npz: array 'a'")


def test_a_zip_that_unpacks_beyond_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "ALWAYS", 2**22)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, a=np.zeros((N, 2**18)), b=X, labels=Y)
    refused(path, "bytes unpack to", "more than 200 times")


def test_sizes_beyond_the_memory(tmp_path, folder):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "huge.h5ad", "w") as file:
        file.create_dataset("X", (10**7, 10**6), "f8", chunks=(10, 10))  # takes no room
        file.create_group("obs")
    refused(tmp_path / "huge.h5ad", "unpacks to 80,000.0 GB, above this machine's memory")


def test_parquet_that_unpacks_beyond_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "ALWAYS", 2**22)
    pd.DataFrame(np.zeros((2**15, 40)), columns=list(map(str, range(40)))).to_parquet(
        tmp_path / "bomb.parquet"
    )
    refused(tmp_path / "bomb.parquet", "bytes unpack to")


@pytest.mark.parametrize("ending", ["h5ad", "h5mu", "mat"])
def test_links_to_other_files_are_not_followed(tmp_path, ending):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = X
    path = tmp_path / f"linked.{ending}"
    with h5py.File(path, "w") as file:
        file["obs/y"] = Y
        file["mod/rna/X"] = h5py.ExternalLink("secret.h5", "x")
    with open(path, "r+b") as file:  # a .mat file says what it is in front of HDF5
        head = file.read(8)
    assert head[1:4] == b"HDF"
    refused(path, "/mod/rna/X is a link to another file, 'secret.h5'") if ending != "mat" else None
    outside = tmp_path / f"outside.{ending}"
    with h5py.File(outside, "w", userblock_size=512 if ending == "mat" else 0) as file:
        file.create_dataset(
            "X", X.shape, "f8", external=[(str(tmp_path / "secret.h5"), 0, X.nbytes)]
        )
    if ending == "mat":
        with open(outside, "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file")
    refused(outside, "the values of /X are in another file")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "not a table that can be read"),
        ("a.csv", b"x,x,labels\n1,2,3\n", "two columns are called 'x'"),
        ("a.csv", b"rna_1,rna_2,labels\n", "has no rows"),
        ("a.csv", b"x,labels\n\xff\xfe\x00,1\n", "not a table that can be read"),
        ("a.csv", b"\x00\x01\x02" * 99, "a.csv"),
        ("a.parquet", b"PAR1 no more", "not a table that can be read"),
        ("a.mat", b"MATLAB 5.0 MAT-file" + bytes(200), "not a .mat file that can be read"),
        ("a.mat", b"MATLAB 7.3 MAT-file" + bytes(600), "not an HDF5 file that can be read"),
        ("a.mat", b"", "not a .mat file that can be read"),
        ("a.h5ad", b"\x89HDF\r\n\x1a\n" + bytes(90), "not an HDF5 file that can be read"),
        ("a.pkl", b"cos\nsystem\n(S'true'\ntR.", ".pkl files are not read; data.path may be .npz"),
        ("a.xlsx", b"PK\x03\x04", ".xlsx files are not read"),
    ],
)
def test_damaged_and_foreign_files(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, words, label="labels")


def test_what_is_missing_is_named(tmp_path, folder):
    refused(tmp_path / "none.csv", "none.csv: cannot be read (No such file")
    refused(tmp_path / "none.h5ad", "none.h5ad: cannot be read (No such file")
    refused(f"{folder}/a.npy,{folder}/c.npy,{folder}/labels.npy", "c.npy: cannot be read")
    refused(f"{folder}/a.npy,{folder}/a.npy,{folder}/labels.npy", "are both called 'a'")
    refused(f"{folder}/a.npy,{folder}/b.npy", "no tables, and no labels.npy")
    refused(f"{folder}/a.npy,{folder}/b.h5ad", "is no .npy file and no table")
    (folder / "labels.npy").unlink()
    refused(folder, "no labels.npy; the labels are in labels.npy or in one table")
    for name in ("c", "d"):
        (folder / f"{name}.csv").write_text("label\n" + "1\n" * N)
    refused(folder, "2 tables, and no labels.npy")
    (folder / "d.csv").unlink()
    (folder / "c.csv").write_text("mood,age\n" + "1,2\n" * N)
    refused(folder, "which column holds the labels? --config.data.label=NAME, one of mood, age")
    refused(folder, "data.label='sex': no such array", label="sex")
    (folder / "c.csv").write_text("label\n" + "1\n" * 9)
    refused(folder, "has 30 rows, but there are 9 labels")


def test_a_saved_dataset_that_points_out_of_itself(tmp_path):
    home = tmp_path / "hf"
    home.mkdir()
    (home / "dataset_info.json").write_text("{}")
    for name, words in (
        ("../../etc/passwd", "which is no file in it; not read"),
        ("gone.arrow", "gone.arrow: cannot be read"),
    ):
        (home / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        refused(home, words, label="y")
    (home / "state.json").write_text("[")
    refused(home, "state.json: cannot be read")


def test_a_matlab_file_that_lies_about_its_sizes(tmp_path):
    """The number of rows in the header of an array, a thousand times what follows."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"a": X, "b": X, "labels": Y})
    content = path.read_bytes()
    at = content.index(struct.pack("<ii", N, 4))
    path.write_bytes(content[:at] + struct.pack("<ii", N * 10**6, 4) + content[at + 8 :])
    refused(path, "a.mat")


def test_the_extra_is_named_where_a_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "a.h5ad").write_bytes(b"\x89HDF")
    refused(tmp_path / "a.h5ad", "needs h5py", "pip install 'redalign-jax[omics]'")
