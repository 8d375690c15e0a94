"""MultiBench's pickles: cleaned as published, in the published splits; bad files are one line."""

import hashlib
import os
import pickle

import numpy as np
import pandas as pd
import pytest
from helpers.commands import refused, sweep
from ml_collections import ConfigDict

from redalign_jax import data
from redalign_jax.data import prepared
from redalign_jax.errors import UserError
from redalign_jax.task import lengths

pytestmark = pytest.mark.slow

# name: file, widths of vision, audio and text, shape of the labels after N, dtype of the labels
FORMATS = {
    "mosei": ("mosei_raw.pkl", (35, 74, 300), (1, 1), np.float32),
    "mosi": ("mosi_raw.pkl", (20, 5, 300), (1, 1), np.float64),
    "mustard": ("sarcasm.pkl", (371, 81, 300), (1,), np.int64),
    "ur_funny": ("humor.pkl", (371, 81, 300), (1, 1), np.float64),
}
SIZES = {"train": 30, "valid": 12, "test": 16}
EMPTY = 3  # this example of every split has no text


def content(name, seed=0, steps=50):
    """A file as it is distributed: padding in front, −∞ in audio, an empty text."""
    _, widths, rank, dtype = FORMATS[name]
    rng = np.random.default_rng(seed)
    whole = {}
    for split, n in SIZES.items():
        x = [rng.normal(3, 2, (n, steps, d)).astype(np.float64) for d in widths]
        vision, audio, text = x[0], x[1].astype(np.float32), x[2].astype(np.float32)
        start = rng.integers(0, steps, n)
        for i in range(n):
            vision[i, : start[i] // 2] = 0  # faces are there before the first word
            audio[i, : start[i]] = 0
            text[i, : start[i]] = 0
        audio[rng.random(audio.shape) < 0.01] = -np.inf
        text[EMPTY] = 0
        y = np.arange(n) % 2
        if name in ("mosei", "mosi"):
            y = rng.choice([-3, -1.5, 0, 1 / 3, 2.0, 3], n)
        elif name == "mustard":
            y = 2 * y - 1
        ids = np.array([[f"video{i}", "0.5", "1.5"] for i in range(n)])
        if name == "ur_funny":
            ids = np.array([i if i % 2 else f"talk {i}" for i in range(n)], object)
        whole[split] = {
            "vision": vision,
            "audio": audio,
            "text": text,
            "labels": y.reshape(n, *rank).astype(dtype),
            "id": ids,
        }
    return whole


def write(folder, name, whole=None, protocol=4):
    folder.mkdir(exist_ok=True)
    path = folder / FORMATS[name][0]
    path.write_bytes(pickle.dumps(content(name) if whole is None else whole, protocol))
    return path


def load(name, folder, data_dir, seed=0, **fields):
    given = {"modalities": "", "labels": 0, "manual_dir": str(folder), "data_dir": str(data_dir)}
    config = ConfigDict({**data.defaults(name), **given, **fields})
    return data.load(config, seed)


def expected(part, i, steps=50):
    """Example i of a split by hand, in float64: (vision, audio, text) from the first word on."""
    text = part["text"][i]
    start = next(t for t in range(steps) if any(text[t] != 0))
    sequences = []
    for name in ("vision", "audio", "text"):
        rows = [[0.0 if v == -np.inf else float(v) for v in row] for row in part[name][i][start:]]
        sequences.append(np.array(rows[:50]))
    return sequences


@pytest.mark.parametrize("name", FORMATS)
def test_the_published_splits_cleaned(tmp_path, name):
    write(tmp_path / "manual", name)
    task = load(name, tmp_path / "manual", tmp_path)
    assert task.fixed_test and 0 < task.resplit < 1
    whole = content(name)
    kept = {split: [i for i in range(n) if i != EMPTY] for split, n in SIZES.items()}
    assert task.modalities == ("vision", "audio", "text")
    train = [expected(whole["train"], i) for i in kept["train"]]
    mean, std = [], []
    for m in range(2):
        steps = np.concatenate([sequences[m] for sequences in train])
        mean.append(steps.mean(axis=0))
        std.append(steps.std(axis=0))
    for split in ("train", "valid", "test"):
        got = getattr(task, split)
        assert [x.shape for x in got.x] == [(SIZES[split] - 1, 50, d) for d in FORMATS[name][1]]
        assert all(x.dtype == np.float32 for x in got.x)
        order = np.arange(len(got.y))
        if (
            split == "train"
        ):  # shuffled: rows are found again by their words, which stay as they are
            words = [sequences[2][0] for sequences in train]
            order = [int(np.argmin([abs(w - x[0]).sum() for w in words])) for x in got.x[2]]
            assert sorted(order) == list(range(len(got.y)))
        for row, i in enumerate(np.array(kept[split])[order]):
            sequences = expected(whole[split], i)
            for m in range(3):
                want = (sequences[m] - mean[m]) / std[m] if m < 2 else sequences[m]
                np.testing.assert_allclose(
                    got.x[m][row, : len(want)], want, rtol=1e-3, atol=1e-3 if m < 2 else 0
                )
                assert not got.x[m][row, len(want) :].any()
                assert lengths(got.x[m])[row] == len(want)
            label = whole[split]["labels"].ravel()[i]
            back = got.y[row] * task.target_scale + task.target_mean
            assert back == pytest.approx(float(label if task.classes == 0 else label > 0), abs=1e-5)
            zero = -task.target_mean / task.target_scale
            assert task.classes or (got.y[row] == np.float32(zero)) == (label == 0)
    assert task.classes == (0 if name in ("mosei", "mosi") else 2)


def test_seeds_choose_labels_and_nothing_else(tmp_path):
    write(tmp_path / "manual", "mustard")
    pair = {"modalities": "text,vision", "labels": 8}
    one, two = (load("mustard", tmp_path / "manual", tmp_path, s, **pair) for s in (0, 1))
    assert one.modalities == ("text", "vision")
    assert np.array_equal(one.test.x[0], two.test.x[0])
    assert len(one.train.x[0]) == 29 and np.bincount(one.train.y).tolist() == [4, 4]
    assert not np.array_equal(one.train.x[0][:8], two.train.x[0][:8])
    rows = [sorted(x.tobytes() for x in task.train.x[1]) for task in (one, two)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("steps", [20, 60])
def test_other_numbers_of_steps_are_padded_and_cut(tmp_path, steps):
    whole = content("mosi", steps=steps)
    whole["test"]["text"][0] = 1  # as long as can be
    write(tmp_path, "mosi", whole)
    task = load("mosi", tmp_path, tmp_path / "data")
    assert task.test.x[0].shape == (15, 50, 20)
    assert lengths(task.test.x[2])[0] == min(steps, 50)
    np.testing.assert_array_equal(task.test.x[2][0, : min(steps, 50)], 1)


def test_files_of_python_2_and_protocol_2(tmp_path):
    path = write(tmp_path, "mosi", protocol=2)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    assert len(load("mosi", tmp_path, tmp_path / "data").test.y) == 15


def test_prepared_anew_when_the_file_changes_and_kept_when_it_goes(tmp_path):
    manual = prepared.directory(str(tmp_path)) / "downloads" / "manual" / "mosi"
    manual.parent.mkdir(parents=True)
    path = write(manual, "mosi")
    first = load("mosi", "", tmp_path)  # TFDS's own folder for such files
    write(manual, "mosi", content("mosi", seed=1))
    second = load("mosi", "", tmp_path)
    assert not np.array_equal(first.test.x[2], second.test.x[2])
    assert len(list((tmp_path / "mosi").glob("[!.]*"))) == 2
    path.unlink()
    assert np.array_equal(load("mosi", "", tmp_path).test.x[2], second.test.x[2])
    with pytest.raises(UserError, match="mosi_raw.pkl is missing: put MultiBench's file there"):
        load("mosi", tmp_path, tmp_path)


@pytest.mark.parametrize("name", ("mosei", "mustard"))  # a regression, and classes
def test_the_whole_command(tmp_path, name):
    # MOSI's other format is MOSEI's, and then one program serves both.
    write(tmp_path, name, content("mosei" if name == "mosi" else name))
    out = tmp_path / "out"
    places = {"manual_dir": tmp_path, "data_dir": tmp_path / "data"}
    done = sweep(f"affect:{name}", out, modalities="vision,text", **places)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    table = pd.read_parquet(out / "results.parquet")
    assert set(table["subject"]) == {"vision", "text", "vision|text", "fusion"}
    signs = {"sign_accuracy", "sign_accuracy_zeros"}
    wanted = {"mae", "corr"} | signs if name in ("mosei", "mosi") else {"accuracy"}
    assert wanted <= set(table.loc[table["subject"] == "vision", "metric"])
    assert not table["diverged"].any()
    page = (out / "report.html").read_text()
    assert ("Published (arXiv 2511.12121)" in page) == (name in ("mosei", "mustard"))


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


def change(split, key, value):
    def made(whole):
        whole[split][key] = value(whole[split][key]) if callable(value) else value

    return made


def put(array, at, value):
    array = array.copy()
    array[at] = value
    return array


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda w: w.pop("valid"), "mosei_raw.pkl: not a dictionary of train, valid and test"),
        (lambda w: w["test"].pop("audio"), "mosei_raw.pkl: test has no array 'audio'"),
        (change("test", "text", [1, 2]), "test has no array 'text'"),
        (change("train", "vision", lambda a: a[:, :49]), "'vision' is float64 (30, 49, 35), not"),
        (change("train", "vision", lambda a: a[:29]), "'vision' is float64 (29, 50, 35), not"),
        (change("train", "text", lambda a: a[..., 0]), "features); 'text' is (30, 50)"),
        (change("valid", "text", lambda a: a.astype(str)), "'text' is <U32 (12, 50, 300), not"),
        (
            change("test", "audio", lambda a: a[..., :70]),
            "'audio' has another width in every split",
        ),
        (change("test", "text", lambda a: a * 0), "test: every text is zero throughout"),
        (change("test", "vision", lambda a: put(a, (5, 49, 1), np.nan)), "not finite in example 5"),
        (change("test", "audio", lambda a: put(a, (6, 1, 1), np.inf)), "not finite in example 6"),
        (change("test", "text", lambda a: put(a, (7, 49, 1), -np.inf)), "'text' is not finite"),
        (
            change("train", "labels", lambda a: put(a, 4, 3.5)),
            "train: the label of example 4 is 3.5, outside [-3, 3]",
        ),
        (change("train", "labels", lambda a: put(a, 4, np.nan)), "example 4 is nan, outside"),
        (change("train", "labels", lambda a: a[:, 0].repeat(2, 1)), "'labels' is float32 (30, 2)"),
        (change("train", "labels", lambda a: a.astype(str)), "'labels' is <U32 (30, 1, 1), not a"),
        (change("train", "id", lambda _: Evil()), "asks for posix.system"),
    ],
)
def test_bad_files_are_one_clear_line_and_leave_nothing(tmp_path, damage, words):
    whole = content("mosei")
    damage(whole)
    write(tmp_path, "mosei", whole)
    with pytest.raises(UserError) as caught:
        load("mosei", tmp_path, tmp_path / "data")
    message = str(caught.value)
    assert words in message and message.startswith(str(tmp_path / "mosei_raw.pkl"))
    assert "\n" not in message and not os.path.exists("evil-was-here")
    assert not [p for p in (tmp_path / "data").rglob("*") if p.is_file() and p.name != ".lock"]


def test_labels_of_two_classes_only(tmp_path):
    for value, name in ((2, "ur_funny"), (-1, "ur_funny"), (0, "mustard")):
        whole = content(name)
        whole["valid"]["labels"][1] = value
        write(tmp_path, name, whole)
        with pytest.raises(UserError, match="valid: the label of example .* outside -1 and 1, or"):
            load(name, tmp_path, tmp_path / "data")


def test_the_command_refuses_in_one_line(tmp_path):
    places = {"manual_dir": tmp_path / "none", "data_dir": tmp_path / "data"}
    done = sweep("affect:mosei", tmp_path / "out", **places)
    refused(done, tmp_path / "none" / "mosei_raw.pkl", "is missing: put MultiBench's file there")
    path = write(tmp_path / "none", "mosei")
    os.truncate(path, path.stat().st_size // 2)
    refused(sweep("affect:mosei", tmp_path / "out", **places), path, "cut short or damaged")
    assert not (tmp_path / "out").exists()


def test_what_is_prepared_reads_as_any_tfds_dataset(tmp_path):
    path = write(tmp_path, "mosei")
    load("mosei", tmp_path, tmp_path / "data")
    (home,) = (tmp_path / "data" / "mosei").glob("*/1.0.0")
    info = prepared.open_directory(home).info
    assert {s: info.splits[s].num_examples for s in SIZES} == {s: n - 1 for s, n in SIZES.items()}
    assert "ACL 2018" in info.description and info.homepage.startswith("http")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.metadata["sha256"] == {f"{tmp_path.name}/mosei_raw.pkl": digest}
