"""The six-view digits (UCI "Multiple Features"): 2,000 handwritten numerals, six feature sets.

| view | columns | what |
| --- | --- | --- |
| fac | 216 | profile correlations |
| fou | 76 | Fourier coefficients of the character shapes |
| kar | 64 | Karhunen-Loève coefficients |
| mor | 6 | morphological features |
| pix | 240 | pixel averages in 2 x 3 windows, 16 rows of 15 |
| zer | 47 | Zernike moments |

200 digits of each class. The data come with the package, see mfeat.LICENCE.md.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from redalign_jax.data import prepared, splits
from redalign_jax.task import Task

VIEWS = {  # columns, type in the file
    "fac": (216, np.int16),
    "fou": (76, np.float32),
    "kar": (64, np.float32),
    "mor": (6, np.float32),
    "pix": (240, np.uint8),
    "zer": (47, np.float32),
}
FILE = Path(__file__).with_name("mfeat.npz")


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "mfeat",
            "modalities": ("kar,pix",),  # comma-separated views; "" = all six
            "labels": (100,),  # labelled training pairs of 1,400; 0 = all
            "valid": 0.1,
            "test": 0.2,
            "data_dir": "",  # where the prepared dataset is kept, see prepared.directory
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """The six-view digits as a task of 10 classes, 1,400/200/400 pairs by default.

    Args:
      config: the fields of `defaults`, one value each.
      seed: of the splits.

    Returns:
      The task.

    Raises:
      UserError: an impossible field, or a `data_dir` that cannot be used.
    """
    names = splits.choose(config.modalities, list(VIEWS), "mfeat")
    arrays = prepared.read(prepared.prepare(Mfeat, config.data_dir), [*VIEWS, "label"])
    return splits.make_task(
        {name: arrays[name] for name in names},
        arrays["label"],
        labels=config.labels,
        valid=config.valid,
        test=config.test,
        seed=seed,
        source="mfeat",
    )


class Mfeat(prepared.LocalBuilder):
    """The TFDS builder: rows in published order, in the types of the file."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    **{
                        view: tfds.features.Tensor(shape=(columns,), dtype=dtype)
                        for view, (columns, dtype) in VIEWS.items()
                    },
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            homepage="https://doi.org/10.24432/C5HC70",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        with np.load(FILE) as file:
            arrays = dict(file)
        for i in range(len(arrays["label"])):
            yield i, {name: value[i] for name, value in arrays.items()}
