"""Any byte changed, any length cut: a file loads, or is one line."""

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.io
from ml_collections import ConfigDict

from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, N, 3))
Y = np.array(["u", "v", "w"])[np.arange(N) % 3]
FIELDS = {n: v[0] if isinstance(v, tuple) else v for n, v in arrays.defaults().items()}


def npy(folder):
    np.save(folder / "a.npy", X[0])
    np.save(folder / "b.npy", X[1])
    np.save(folder / "labels.npy", Y)
    return folder / "a.npy", {"path": str(folder)}


def mat(folder):
    scipy.io.savemat(folder / "x.mat", {"a": X[0], "b": X[1].T, "Y": Y.astype(object)})
    return folder / "x.mat", {}


def frame():
    columns = {f"{'ab'[k]}_{i}": X[k][:, i] for k in (0, 1) for i in range(3)}
    return pd.DataFrame(columns | {"label": np.where(np.arange(N) % 7 == 1, None, Y)})


def csv(folder):
    frame().to_csv(folder / "x.csv", index=False)
    return folder / "x.csv", {"modalities": "a_*,b_*"}


def parquet(folder):
    frame().to_parquet(folder / "x.parquet")
    return folder / "x.parquet", {"modalities": "a_*,b_*"}


def h5ad(folder):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(folder / "x.h5ad", "w") as file:
        file["X"], file["obsm/b"] = X
        file["obs/label"], file["obs/_index"] = Y.tolist(), [str(i) for i in range(N)]
        file["obs"].attrs["_index"] = "_index"
    return folder / "x.h5ad", {"label": "label"}


@pytest.mark.parametrize("write", [npy, mat, csv, parquet, h5ad])
def test_a_damaged_file_loads_or_is_one_line(write, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    path, fields = write(tmp_path)
    fields = {**FIELDS, "path": str(path), **fields}
    whole = path.read_bytes()
    assert arrays.load(ConfigDict(fields), 0).classes == 3
    outcomes = []
    for k in range(30):
        content = bytearray(whole)
        at = int(RNG.integers(len(content)))
        if k % 3 == 0:
            del content[at:]
        else:  # headers are at the ends
            at = [at, at % 256, len(content) - 1 - at % 256][k // 3 % 3]
            content[at] ^= int(RNG.integers(1, 256))
        path.write_bytes(content)
        try:
            outcomes.append(arrays.load(ConfigDict(fields), 0).classes)
        except UserError as error:
            assert "\n" not in str(error) and str(tmp_path) in str(error)
            outcomes.append(-1)
    assert -1 in outcomes
