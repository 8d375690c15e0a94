"""Datasets prepared elsewhere: read by name, with no code of their own; bad input is one line."""

import io
import json
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from PIL import Image

from redalign_jax.data import prepared
from redalign_jax.data.sources import tfds_source
from redalign_jax.errors import UserError

pytestmark = pytest.mark.slow

N_TRAIN, N_TEST = 60, 40
ROWS = np.arange(N_TRAIN + N_TEST)
PIXELS = np.random.default_rng(0).integers(0, 256, (len(ROWS), 3, 2)).astype(np.uint8)


class Pictures(prepared.LocalBuilder):
    """A little of everything."""

    VERSION = tfds.core.Version("1.2.0")
    rows = ROWS

    def _info(self):
        f = tfds.features
        return tfds.core.DatasetInfo(
            builder=self,
            features=f.FeaturesDict(
                {
                    "image": f.Image(shape=(3, 2, 1)),
                    "sound": f.Tensor(shape=(4,), dtype=np.float32),
                    "even": np.bool_,
                    "row": f.Scalar(np.int32),
                    "ragged": f.Sequence(np.int64),
                    "nested": {"a": np.int64},
                    "word": f.Text(),
                    "score": f.Scalar(np.float32),
                    "label": f.ClassLabel(names=["a", "b", "c", "d"]),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(self.rows[:N_TRAIN]),
            "test": self._generate_examples(self.rows[N_TRAIN:]),
        }

    def _generate_examples(self, rows):
        for i in map(int, rows):
            png = io.BytesIO()
            Image.fromarray(PIXELS[i]).save(png, format="png")
            png.seek(0)
            yield (
                i,
                {
                    "image": png,
                    "sound": np.arange(4, dtype=np.float32) + i,
                    "even": i % 2 == 0,
                    "row": i,
                    "ragged": [0] * (i % 3),
                    "nested": {"a": i},
                    "word": ["yes", "no", "maybe"][i % 3],
                    "score": i / 2,
                    "label": i % 4,
                },
            )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    prepared.prepare(Pictures, str(root))
    return root


def load(data_dir, **fields):
    fields = {"dataset": "pictures", "modalities": "row,sound", "labels": 0, **fields}
    fields["data_dir"] = str(data_dir)
    return tfds_source.load(ConfigDict({**tfds_source.defaults(), **fields}), seed=0)


def rows(task, split):
    """The original rows, from the modality `row` and the label's remainder, via its ranks."""
    column = task.modalities.index("row")
    everything = np.sort(np.concatenate([s.x[column][:, 0] for s in parts(task)]))
    return np.searchsorted(everything, split.x[column][:, 0])


def parts(task):
    return task.train, task.valid, task.test


def test_rows_of_all_splits_with_their_labels(data_dir):
    task = load(data_dir)
    assert task.modalities == ("row", "sound") and task.classes == 4
    assert [len(s.x[0]) for s in parts(task)] == [70, 10, 20]
    for split in parts(task):
        assert np.array_equal(split.y, rows(task, split) % 4)
        np.testing.assert_allclose(split.x[1][:, 2], split.x[0][:, 0], atol=1e-6)


def test_an_image_keeps_its_levels_and_can_be_called_a_vector(data_dir):
    task = load(data_dir, modalities="image,row", labels=8)
    assert len(task.train.y) == 8 and task.kinds == ("image", "vector")
    for split in parts(task):
        assert split.x[0].dtype == np.uint8
        assert np.array_equal(split.x[0][..., 0], PIXELS[rows(task, split)])
    task = load(data_dir, modalities="image,row", kinds="image=vector")
    train = PIXELS[rows(task, task.train)].astype(np.float64)
    want = (PIXELS[rows(task, task.test)] - train.mean(axis=0)) / train.std(axis=0)
    assert task.test.x[0].shape == (20, 3, 2, 1) and task.test.x[0].dtype == np.float32
    np.testing.assert_allclose(task.test.x[0], want[..., None], rtol=1e-5, atol=1e-6)


def test_other_labels(data_dir):
    words = load(data_dir, label="word")
    assert words.classes == 3  # maybe < no < yes
    assert np.array_equal(words.test.y, 2 - rows(words, words.test) % 3)
    scores = load(data_dir, label="score")
    assert scores.classes == 0
    back = scores.test.y * scores.target_scale + scores.target_mean
    np.testing.assert_allclose(back, rows(scores, scores.test) / 2, rtol=1e-5, atol=1e-5)


def test_split_and_version(data_dir):
    assert [len(s.x[0]) for s in parts(load(data_dir, split="train"))] == [42, 6, 12]
    assert len(load(data_dir, split="test[:50%]+train").train.x[0]) == 56
    assert load(data_dir, dataset="pictures:1.2.0").classes == 4


def test_configs_and_the_newest_version(data_dir, tmp_path):
    home = data_dir / "pictures" / "1.2.0"
    for version in ("1.2.0", "1.10.0"):
        copy = tmp_path / "pictures" / "small" / version
        shutil.copytree(home, copy)
        info = json.loads((copy / prepared.INFO).read_text())
        info["version"], info["configName"] = version, "small"
        if version == "1.2.0":
            info["splits"] = [s for s in info["splits"] if s["name"] == "train"]
        (copy / prepared.INFO).write_text(json.dumps(info))
    assert len(load(tmp_path, dataset="pictures/small").train.x[0]) == 70
    assert len(load(tmp_path, dataset="pictures/small:1.2.0").train.x[0]) == 42
    with pytest.raises(UserError, match="data.dataset='pictures' is not prepared in"):
        load(tmp_path)


def test_a_dataset_prepared_anew_is_read_anew(tmp_path, monkeypatch):
    before = prepared.read(prepared.prepare(Pictures, str(tmp_path)), ["row"])["row"]
    assert np.array_equal(np.sort(before), ROWS)
    shutil.rmtree(tmp_path / "pictures")
    monkeypatch.setattr(Pictures, "rows", ROWS[20:])
    after = prepared.read(prepared.prepare(Pictures, str(tmp_path)), ["row"])["row"]
    assert np.array_equal(np.sort(after), ROWS[20:])


def test_all_numeric_features_need_one_shape(data_dir):
    with pytest.raises(UserError, match="the shape of feature 'ragged' varies between rows"):
        load(data_dir, modalities="")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"dataset": ""}, "data.dataset is empty"),
        ({"dataset": "mnist"}, "data.dataset='mnist' is not prepared in {root}"),
        ({"dataset": "pictures:9.9.9"}, "data.dataset='pictures:9.9.9' is not prepared in {root}"),
        ({"dataset": "pictures/big"}, "'pictures/big' is not prepared in {root}"),
        ({"split": "dev"}, "data.split='dev' of {home}: Unknown split 'dev'. Should be one of"),
        ({"split": "train[1"}, "data.split='train[1' of {home}: "),
        ({"split": "train[:0]"}, "data.split='train[:0]' of {home}: "),
        ({"label": "class"}, "data.label='class': {home} has "),
        ({"label": "ragged"}, "the shape of feature 'ragged' varies between rows"),
        ({"label": "image"}, "the labels must be one per example, not of shape (100, 3, 2, 1)"),
        ({"label": "nested"}, "labels of type object"),
        ({"label": "row"}, "20 test: each needs one of every class, and there are 100"),
        (
            {"modalities": "image,word"},
            "no 'word' in {home}; it has even, image, ragged, row, score, sound",
        ),
        ({"modalities": "image,label"}, "no 'label' in {home}"),
    ],
)
def test_bad_fields_are_one_clear_line(data_dir, fields, words):
    if fields.get("label") == "row":
        fields = {**fields, "modalities": "sound"}
    with pytest.raises(UserError) as caught:
        load(data_dir, **fields)
    home = data_dir / "pictures" / "1.2.0"
    assert words.format(root=data_dir, home=home) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_format_without_random_access_is_refused(data_dir, tmp_path):
    home = tmp_path / "pictures" / "1.2.0"
    shutil.copytree(data_dir / "pictures" / "1.2.0", home)
    info = json.loads((home / prepared.INFO).read_text())
    (home / prepared.INFO).write_text(json.dumps({**info, "fileFormat": "tfrecord"}))
    with pytest.raises(UserError, match="is stored as tfrecord, which needs TensorFlow") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
