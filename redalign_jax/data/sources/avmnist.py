"""AV-MNIST: handwritten digits, much reduced, paired with recordings of the same digit in noise.

The files of MultiBench: `image/{train,test}_data.npy` (N, 784) in 0..255, and either spectrograms
`audio/{train,test}_data.npy` (N, S, S) in 0..255 or cepstral coefficients (N, coefficients, frames)
at the same paths, and `{train,test}_labels.npy`. The last twelfth of the training set validates,
55,000 of 60,000 remain.

> V. Vielzeuf, A. Lechervy, S. Pateux, F. Jurie. CentralNet: a Multilayer Approach for Multimodal
> Fusion. ECCV Workshops 2018. arXiv 1808.07275
> P. P. Liang, Y. Lyu, X. Fan et al. MultiBench: Multiscale Benchmarks for Multimodal Representation
> Learning. NeurIPS 2021 Datasets and Benchmarks. arXiv 2107.07502
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from redalign_jax.data import manual, prepared, scaling, splits
from redalign_jax.errors import UserError
from redalign_jax.task import Task

MODALITIES = ("image", "audio")
FILES = tuple(
    name.format(part)
    for part in ("train", "test")
    for name in ("image/{}_data.npy", "audio/{}_data.npy", "{}_labels.npy")
)
CLASSES = 10


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "avmnist",
            "modalities": ("image,audio",),
            "labels": (0,),  # labelled training pairs; 0 = all
            "manual_dir": "",  # the folder of the files, see manual.folder
            "data_dir": "",  # where the prepared dataset is kept, see prepared.directory
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """Digits seen and heard, 10 classes, in the published splits.

    Images, (n, 28, 28, 1), and spectrograms, (n, S, S, 1), are uint8 levels; cepstral coefficients,
    (n, frames, coefficients), are standardised per coefficient over all training pairs and frames.

    Args:
      config: the fields of `defaults`, one value each.
      seed: of the choice of labelled examples.

    Returns:
      The task.

    Raises:
      UserError: an impossible field, or a file that is missing or cannot be used.
    """
    names = splits.choose(config.modalities, MODALITIES, "avmnist")
    home = manual.prepare(Avmnist, FILES, "MultiBench's file", config.manual_dir, config.data_dir)
    x, scales, y, parts = _ready(home, prepared.used(home))
    task = splits.make_split_task(
        {name: x[name] for name in names},
        y,
        parts,
        labels=config.labels,
        seed=seed,
        source="avmnist",
        scales=scales,
    )
    return replace(task, fixed_test=True)


@functools.lru_cache(maxsize=1)  # the published splits are the same for every seed
def _ready(home: Path, written: int) -> tuple[dict, dict, np.ndarray, list[np.ndarray]]:
    """Arrays and scales by name, labels, the rows of the splits."""
    del written
    arrays, parts = prepared.read_splits(home, [*MODALITIES, "label"])
    audio, scales = arrays["audio"], {}
    if audio.dtype != np.uint8:
        frames = np.full(len(audio), audio.shape[1])
        audio, scales["audio"] = scaling.sequences(audio, frames, parts[0])
    return {"image": arrays["image"], "audio": audio}, scales, arrays["label"], parts


class Avmnist(prepared.LocalBuilder):
    """The TFDS builder: levels as uint8, or float32 coefficients of every frame."""

    VERSION = tfds.core.Version("1.0.0")

    @functools.cached_property
    def _content(self) -> dict[str, dict[str, np.ndarray]]:
        train, test = _part(self.files[:3]), _part(self.files[3:])
        for name in MODALITIES:
            if train[name].shape[1:] != test[name].shape[1:]:
                raise UserError(
                    f"{self.files[3 + MODALITIES.index(name)]}: its {name} has the shape "
                    f"{test[name].shape[1:]}, that for training {train[name].shape[1:]}"
                )
        rest = len(train["label"]) * 11 // 12
        return {
            "train": {name: value[:rest] for name, value in train.items()},
            "valid": {name: value[rest:] for name, value in train.items()},
            "test": test,
        }

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        train = self._content["train"]
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=f.FeaturesDict(
                {
                    **{
                        name: f.Tensor(shape=train[name].shape[1:], dtype=train[name].dtype)
                        for name in MODALITIES
                    },
                    "label": f.ClassLabel(num_classes=CLASSES),
                }
            ),
            homepage="https://github.com/pliang279/MultiBench",
            license="the dataset's own; nothing of it is distributed here",
            metadata=manual.checksums(self.files),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in self._content}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        arrays = self._content[split]
        for i in range(len(arrays["label"])):
            yield i, {name: value[i] for name, value in arrays.items()}


def _part(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """The arrays of image, audio and labels, in this order, as they are prepared."""
    image, audio, label = (_open(path) for path in files)
    side = math.isqrt(image.shape[1]) if image.ndim == 2 else 0
    if not side or side * side != image.shape[1]:
        raise UserError(f"{files[0]}: {image.shape} is not the shape of square images, (N, 784)")
    if audio.ndim != 3 or 0 in audio.shape:
        raise UserError(
            f"{files[1]}: {audio.shape} is not the shape of spectrograms, (N, 112, 112), or of "
            "cepstral coefficients, (N, 20, 36)"
        )
    for path, array in zip(files, (image, audio, label), strict=True):
        if array.dtype.kind not in "fiub" or array.shape[:1] != image.shape[:1]:
            raise UserError(
                f"{path}: {array.dtype} {array.shape}, not numbers for each of {len(image)} images"
            )
    if label.size != len(label):
        raise UserError(f"{files[2]}: {label.shape} is not one label per image")
    label = np.asarray(label, np.float64).reshape(-1)
    bad = ~np.isin(label, np.arange(CLASSES))
    if bad.any():
        at = bad.argmax()
        raise UserError(f"{files[2]}: the label of example {at} is {label[at]:g}, outside 0..9")
    return {
        "image": _levels(image, files[0]).reshape(len(image), side, side, 1),
        "audio": _levels(audio, files[1])[..., None]
        if audio.shape[1] == audio.shape[2]
        else _coefficients(audio, files[1]),
        "label": label.astype(np.int64),
    }


def _open(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        reason = str(error).split("\n")[0]
        if "objects" in reason.lower():
            reason = "it holds Python objects, which are never loaded"
        raise UserError(f"{path}: not a whole .npy file of numbers ({reason})") from None


def _levels(x: np.ndarray, path: Path) -> np.ndarray:
    """Rounded to uint8, a few thousand rows at a time: the files may be eight times as large."""
    levels = np.empty(x.shape, np.uint8)
    for first in range(0, len(x), 4096):
        rows = x[first : first + 4096]
        fine = ((rows >= 0) & (rows <= 255)).reshape(len(rows), -1).all(axis=1)
        if not fine.all():
            raise UserError(f"{path}: example {first + fine.argmin()} is not of levels 0..255")
        levels[first : first + 4096] = np.rint(rows)
    return levels


def _coefficients(x: np.ndarray, path: Path) -> np.ndarray:
    """(N, coefficients, frames) as sequences of frames."""
    with np.errstate(over="ignore"):
        frames = np.asarray(x, np.float32).transpose(0, 2, 1)
    fine = np.isfinite(frames).all(axis=(1, 2))
    if not fine.all():
        raise UserError(f"{path}: example {fine.argmin()} is not finite")
    return frames
