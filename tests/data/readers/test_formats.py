"""The same arrays in every format, written by that format's own library, are the same task."""

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from ml_collections import ConfigDict

from redalign_jax.data import identity, notes
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError

N = 90
RNG = np.random.default_rng(0)
RNA, PROT = RNG.poisson(3, (N, 6)).astype(float), RNG.normal(size=(N, 4))
TYPES = np.array(["T", "B", "NK"])[np.arange(N) % 3]
KNOWN = np.arange(N) % 6 != 2
HOLED = np.where(KNOWN, TYPES, None)
NAMES = np.array([f"cell{i:03}" for i in range(N)])
SHUFFLED = RNG.permutation(N)
FIELDS = {n: v[0] if isinstance(v, tuple) else v for n, v in arrays.defaults().items()}


@pytest.fixture(autouse=True)
def said(caplog):
    notes.forget()
    caplog.set_level(logging.WARNING)
    return caplog


def load(path, seed=0, **fields):
    return arrays.load(ConfigDict({**FIELDS, "path": str(path), **fields}), seed)


def same(one, two):
    assert (one.modalities, one.classes) == (two.modalities, two.classes)
    for s, t in ((one.train, two.train), (one.valid, two.valid), (one.test, two.test)):
        np.testing.assert_array_equal(s.y, t.y)
        for x, y in zip(s.x, t.x, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-5)


@pytest.fixture
def want(tmp_path):
    np.savez(tmp_path / "want.npz", rna=RNA, protein=PROT, labels=np.where(KNOWN, TYPES, ""))
    return load(tmp_path / "want.npz")


def frame():
    columns = {f"rna_{i}": RNA[:, i] for i in range(6)} | {f"prot_{i}": PROT[:, i] for i in (0, 1)}
    columns |= {"subtype": HOLED} | {f"prot_{i}": PROT[:, i] for i in (2, 3)}
    return pd.DataFrame(columns)


TABLE = {"modalities": "rna=rna_*,protein=prot_*", "label": "subtype"}


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "euro.csv"])
def test_a_table(tmp_path, want, ending):
    path = tmp_path / f"cells.{ending}"
    if ending == "parquet":
        frame().to_parquet(path)
    elif ending == "euro.csv":
        frame().to_csv(path, sep=";", decimal=",", index=False, encoding="utf-8-sig")
    else:
        frame().to_csv(path, sep="\t" if ending == "tsv" else ",", index=False)
    same(load(path, **TABLE), want)
    with pytest.raises(UserError, match=r'modalities="rna=rna_\*,prot=prot_\*" would fit 10 of 10'):
        load(path, label="subtype")
    with pytest.raises(UserError, match="which column holds the labels"):
        load(path)
    with pytest.raises(UserError, match="nothing in .* is called 'gene_"):
        load(path, **TABLE | {"modalities": "a=gene_*,b=prot_*"})
    with pytest.raises(UserError, match="'rna_0' is in 'a' and 'b'"):
        load(path, **TABLE | {"modalities": "a=rna_*,b=*"})


def test_columns_that_are_no_numbers_are_named(tmp_path):
    frame().assign(rna_9=TYPES).to_csv(tmp_path / "t.csv")
    with pytest.raises(UserError, match="column 'rna_9' holds 'T', not numbers"):
        load(tmp_path / "t.csv", **TABLE)
    table = frame().drop(columns="subtype").assign(label=np.where(KNOWN, np.arange(N) % 3, None))
    table.to_csv(tmp_path / "u.csv", index=False)
    task = load(tmp_path / "u.csv", modalities=TABLE["modalities"])
    assert task.classes == 3  # whole numbers with holes are classes, not a regression


def test_columns_of_lists(tmp_path, want):
    """Embeddings as lists of a column, as many write Parquet."""
    table = pd.DataFrame({"rna": list(RNA), "protein": list(PROT), "label": HOLED})
    table.to_parquet(tmp_path / "t.parquet")
    same(load(tmp_path / "t.parquet"), want)


def test_a_folder_and_a_list_of_npy(tmp_path, want):
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "rna.npy", RNA)
    np.save(folder / "protein.npy", PROT)
    np.save(folder / "labels.npy", np.where(KNOWN, TYPES, ""))
    fields = {"modalities": "rna,protein"}
    same(load(folder, **fields), want)
    files = [folder / f"{name}.npy" for name in ("rna", "protein", "labels")]
    same(load(",".join(map(str, files))), want)
    assert isinstance(arrays.readers.npy.mapped(str(files[0])), np.memmap)


def test_npy_files_and_a_table_of_labels_in_another_order(tmp_path, want, said):
    folder = tmp_path / "folder"
    folder.mkdir()
    order = np.random.default_rng(3).permutation(N)
    np.save(folder / "rna.npy", RNA[order])
    np.save(folder / "protein.npy", PROT)
    np.save(folder / "rna_ids.npy", NAMES[order])
    np.save(folder / "protein_ids.npy", NAMES)
    pd.DataFrame({"id": NAMES, "label": HOLED}).to_csv(folder / "labels.csv", index=False)
    fields = {"modalities": "rna,protein"}
    same(load(folder, **fields), want)
    assert "joined by id: 90 rows are in all of rna (90), protein (90), labels (90)" in said.text
    # the table shuffled, and without those that have no label: they are in the arrays all the same
    table = pd.DataFrame({"id": NAMES, "label": HOLED})[KNOWN].iloc[::-1]
    table.to_csv(folder / "labels.csv", index=False)
    task = load(folder, **fields)
    assert "75 rows are in all" in said.text and "15 are in all modalities and have no label" in (
        said.text
    )
    assert len(task.train.x[0]) - len(task.train.y) == 15 and task.classes == 3
    for part in (task.train, task.valid, task.test):  # still the rows that belong together
        rows = [np.flatnonzero((r == RNA).all(1)) for r in raw(part.x[0], RNA, task)]
        kinds = np.array([TYPES[r[0]] for r in rows[: len(part.y)]])
        assert np.array_equal(np.unique(TYPES)[part.y], kinds)


def raw(z, x, task):
    """Rows of x before they were standardised, by the order of the values of a column."""
    both = np.concatenate([part.x[0] for part in (task.train, task.valid, task.test)])
    out = np.empty(z.shape)
    for k in range(z.shape[1]):
        steps = np.unique(both[:, k])
        values = np.unique(x[:, k])
        out[:, k] = values[np.searchsorted(steps, z[:, k])]
    return out


def test_ids_that_are_numbers_of_rows(tmp_path, want, said):
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "rna.npy", RNA)
    np.save(folder / "protein.npy", PROT)
    table = pd.DataFrame({"id": np.arange(N), "label": HOLED})
    fields = {"modalities": "rna,protein"}
    table.to_csv(folder / "labels.csv", index=False)
    same(load(folder, **fields), want)
    assert "joined" not in said.text
    table.iloc[SHUFFLED].to_csv(folder / "labels.csv", index=False)
    load(folder, **fields)
    assert "taken for numbers of rows" in said.text and "joined by id: 90" in said.text
    table.assign(id=NAMES).to_csv(folder / "labels.csv", index=False)
    with pytest.raises(UserError, match="has ids .* and the arrays have none; put ids.npy"):
        load(folder, **fields)
    same(load(folder, id="none", **fields), want)
    (folder / "ids.txt").write_text("\n".join(NAMES))
    same(load(folder, **fields), want)


def test_matlab(tmp_path, want, said):
    cells = np.array([t if k else "" for t, k in zip(TYPES, KNOWN, strict=True)], object)
    scipy.io.savemat(tmp_path / "a.mat", {"rna": RNA, "protein": PROT, "Y": cells[:, None]})
    same(load(tmp_path / "a.mat"), want)
    assert "turned" not in said.text
    sparse = scipy.sparse.csc_array(RNA.T)
    scipy.io.savemat(tmp_path / "b.mat", {"rna": sparse, "protein": PROT.T, "gt": cells})
    same(load(tmp_path / "b.mat"), want)
    assert "'rna' (6 × 90), 'protein' (4 × 90) taken as features × samples, and turned" in said.text
    views = np.empty((1, 2), object)
    views[0, 0], views[0, 1] = RNA, PROT.T  # one view per cell, as multi-view data are shared
    y = np.arange(N)[:, None] % 3 + 1.0
    scipy.io.savemat(tmp_path / "c.mat", {"X": views, "Y": y, "n": 3.0})
    task = load(tmp_path / "c.mat")
    assert task.modalities == ("X1", "X2") and task.classes == 3
    assert "'n' left out" in said.text


def test_matlab_7_3(tmp_path, want, said):
    """As MATLAB lays it out in HDF5: axes reversed, texts as numbers, cells as references."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = tmp_path / "new.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["rna"] = RNA.T
        file["protein"] = PROT  # features × samples in MATLAB
        refs = file.create_dataset("labels", (1, N), h5py.ref_dtype)
        refs.attrs["MATLAB_class"] = np.bytes_("cell")
        for i in range(N):
            text = TYPES[i] if KNOWN[i] else ""
            one = file.create_dataset(f"#refs#/{i}", data=np.array([[ord(c)] for c in text], "u2"))
            one.attrs["MATLAB_class"] = np.bytes_("char")
            refs[0, i] = one.ref
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    same(load(path, modalities="rna,protein"), want)
    assert "'protein' (4 × 90) taken as features × samples" in said.text


def observations(h5py, group, index, **columns):
    obs = group.create_group("obs")
    obs.attrs["_index"], obs.attrs["column-order"] = "_index", list(columns)
    obs["_index"] = [str(name) for name in index]
    for name, values in columns.items():
        categories, codes = np.unique(values[values != ""], return_inverse=True)
        one = obs.create_group(name)
        one.attrs["encoding-type"] = "categorical"
        one["categories"] = [str(c) for c in categories]
        one["codes"] = np.full(len(values), -1, np.int8)
        one["codes"][values != ""] = codes


def test_the_layout_of_h5ad_and_h5mu(tmp_path, want, said):
    """Written by h5py as anndata documents it; the test below has anndata itself."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    label = np.where(KNOWN, TYPES, "")
    matrix = scipy.sparse.csr_array(RNA)
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        x = file.create_group("X")
        x.attrs["encoding-type"], x.attrs["shape"] = "csr_matrix", matrix.shape
        for name in ("data", "indices", "indptr"):
            x[name] = getattr(matrix, name)
        file["obsm/protein"], file["obsm/X_pca"] = PROT, PROT
        observations(h5py, file, NAMES, subtype=label)
    task = load(tmp_path / "a.h5ad", label="subtype")
    assert task.modalities == ("X", "protein") and "X_pca left out" in said.text
    same(load(tmp_path / "a.h5ad", label="subtype", modalities="rna=X,protein=protein"), want)
    with pytest.raises(UserError, match="which column of `obs` holds the labels.* it has subtype"):
        load(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5mu", "w") as file:
        for name, value, order in (("rna", RNA, SHUFFLED), ("protein", PROT, np.arange(N))):
            file[f"mod/{name}/X"] = value[order]
            observations(h5py, file[f"mod/{name}"], NAMES[order])
        file["mod"].attrs["mod-order"] = ["rna", "protein"]
        observations(h5py, file, NAMES, subtype=label)
    same(load(tmp_path / "a.h5mu", label="subtype"), want)
    assert "joined by id: 90 rows are in all of rna (90), protein (90)" in said.text


def test_what_anndata_and_mudata_write(tmp_path, want):
    anndata = pytest.importorskip("anndata", reason="anndata is not installed")
    mudata = pytest.importorskip("mudata", reason="mudata is not installed")
    anndata.settings.allow_write_nullable_strings = True
    obs = pd.DataFrame({"subtype": pd.Categorical(HOLED)}, index=NAMES)
    one = anndata.AnnData(scipy.sparse.csr_matrix(RNA), obs=obs, obsm={"protein": PROT})
    one.write_h5ad(tmp_path / "a.h5ad")
    same(load(tmp_path / "a.h5ad", label="subtype", modalities="rna=X,protein=protein"), want)
    other = anndata.AnnData(PROT[SHUFFLED], obs=pd.DataFrame(index=NAMES[SHUFFLED]))
    both = mudata.MuData({"rna": one, "protein": other})
    both.obs["type"] = HOLED
    both.write(tmp_path / "a.h5mu")
    for label in ("type", "rna:subtype"):
        same(load(tmp_path / "a.h5mu", label=label), want)


def test_a_folder_of_datasets(tmp_path, want, said):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = datasets.Features(
        {
            "rna": datasets.Sequence(datasets.Value("float64"), length=6),
            "protein": datasets.Array2D((2, 2), "float64"),
            "label": datasets.ClassLabel(names=["B", "NK", "T"]),
        }
    )
    names = {"B": 0, "NK": 1, "T": 2, None: -1}
    rows = {"rna": RNA, "protein": PROT.reshape(N, 2, 2), "label": [names[t] for t in HOLED]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    whole.save_to_disk(tmp_path / "hf")
    task = load(tmp_path / "hf", kinds="protein=vector")
    for split in (task.train, task.valid, task.test):
        split.x[1].shape = (len(split.x[1]), -1)
    same(task, want)
    parts = {"train": range(60), "validation": range(60, 75), "test": range(75, N)}
    parts = {n: whole.select(r).filter(lambda row: row["label"] >= 0) for n, r in parts.items()}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "dict")
    task = load(tmp_path / "dict", kinds="protein=vector")
    assert [len(s.y) for s in (task.train, task.valid, task.test)] == [50, 12, 13]
    np.testing.assert_allclose(
        task.test.x[0],
        (RNA[75:][KNOWN[75:]] - RNA[:60][KNOWN[:60]].mean(0)) / RNA[:60][KNOWN[:60]].std(0),
        atol=1e-5,
    )


@pytest.mark.parametrize("ending", ["csv", "parquet", "mat", "npy"])
def test_other_content_is_other_data(tmp_path, ending):
    """The digest is of content: of a file that was moved the same, of one number changed not."""

    def content(name, x):
        where = tmp_path / name
        where.mkdir()
        if ending == "npy":
            for one, value in {"rna": x, "protein": PROT, "labels": TYPES}.items():
                np.save(where / f"{one}.npy", value)
            path, fields = where, {"modalities": "rna,protein"}
        elif ending == "mat":
            path, fields = where / "a.mat", {}
            held = {"rna": x, "protein": PROT, "labels": TYPES.astype(object)}
            scipy.io.savemat(path, held)
        else:
            path, fields = where / f"a.{ending}", TABLE
            table = frame()
            table["rna_0"] = x[:, 0]
            table.to_csv(path) if ending == "csv" else table.to_parquet(path)
        with identity.recorded() as found:
            load(path, **fields)
        return found

    changed = RNA.copy()
    changed[7, 0] += 1
    first = content("a", RNA)
    assert first and first == content("b", RNA) and first != content("c", changed)
