"""MultiBench's affective datasets: `mosei`, `mosi`, `mustard`, `ur_funny`, in one format.

One pickle, {"train", "valid", "test"} → {"vision", "audio", "text", "labels", "id"}: features of T
steps, aligned to the words, (N, T, d), text as GloVe vectors, zeros before the first word; labels
(N,), (N, 1) or (N, 1, 1). The pickle is read, not run, see `pickles`.

> P. P. Liang, Y. Lyu, X. Fan et al. MultiBench: Multiscale Benchmarks for Multimodal Representation
> Learning. NeurIPS 2021 Datasets and Benchmarks. arXiv 2107.07502
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from redalign_jax.data import manual, pickles, prepared, scaling, splits
from redalign_jax.errors import UserError
from redalign_jax.task import Task

MODALITIES = ("vision", "audio", "text")
SPLITS = ("train", "valid", "test")
STEPS = 50  # of a sequence, at most

Arrays = dict[str, np.ndarray]


class Dataset(NamedTuple):
    """One of the datasets.

    Attributes:
      file: the name of the pickle.
      sentiment: whether labels are a sentiment in [−3, 3], a regression; otherwise two classes,
        −1 or 0 and 1.
      homepage: of the dataset.
      words: what it is and whom to cite.
    """

    file: str
    sentiment: bool
    homepage: str
    words: str


DATASETS = {
    "mosei": Dataset(
        "mosei_raw.pkl",
        True,
        "http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/",
        "CMU-MOSEI: the sentiment of sentences from online videos. Features per word: facial (35), "
        "acoustic (74), GloVe (300). A. Zadeh, P. P. Liang, S. Poria, E. Cambria, L.-P. Morency. "
        "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable Dynamic "
        "Fusion Graph. ACL 2018.",
    ),
    "mosi": Dataset(
        "mosi_raw.pkl",
        True,
        "http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/",
        "CMU-MOSI: the sentiment of sentences from online film reviews. Features per word: facial "
        "(20 or 35), acoustic (5 or 74), GloVe (300). A. Zadeh, R. Zellers, E. Pincus, L.-P. "
        "Morency. MOSI: Multimodal Corpus of Sentiment Intensity and Subjectivity Analysis in "
        "Online Opinion Videos. IEEE Intelligent Systems 31(6), 2016.",
    ),
    "mustard": Dataset(
        "sarcasm.pkl",
        False,
        "https://github.com/soujanyaporia/MUStARD",
        "MUStARD: whether an utterance from a television show is sarcastic. Features per word: "
        "visual (371), acoustic (81), GloVe (300). S. Castro, D. Hazarika, V. Pérez-Rosas, R. "
        "Zimmermann, R. Mihalcea, S. Poria. Towards Multimodal Sarcasm Detection (An _Obviously_ "
        "Perfect Paper). ACL 2019.",
    ),
    "ur_funny": Dataset(
        "humor.pkl",
        False,
        "https://github.com/ROC-HCI/UR-FUNNY",
        "UR-FUNNY: whether a sentence of a talk makes the audience laugh. Features per word: "
        "visual (371), acoustic (81), GloVe (300). M. K. Hasan, W. Rahman, A. Zadeh et al. "
        "UR-FUNNY: A Multimodal Language Dataset for Understanding Humor. EMNLP 2019.",
    ),
}


class Affect(prepared.LocalBuilder, skip_registration=True):
    """Base of the builders: sequences from their first word on, in the units of the file.

    Attributes:
      OF: which of them.
    """

    VERSION = tfds.core.Version("1.0.0")
    OF: ClassVar[Dataset]

    @functools.cached_property
    def _content(self) -> dict[str, Arrays]:
        (path,) = self.files
        return clean(pickles.load(path), self.OF.sentiment, path)

    def _info(self) -> tfds.core.DatasetInfo:
        f = tfds.features
        train = self._content["train"]
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.OF.words,
            features=f.FeaturesDict(
                {
                    **{m: f.Tensor(shape=train[m].shape[1:], dtype=np.float32) for m in MODALITIES},
                    "steps": f.Scalar(np.int32),
                    "label": f.Scalar(np.float32)
                    if self.OF.sentiment
                    else f.ClassLabel(num_classes=2),
                }
            ),
            homepage=self.OF.homepage,
            license="the dataset's own, see its homepage; nothing of it is distributed here",
            metadata=manual.checksums(self.files),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        arrays = self._content[split]
        for i in range(len(arrays["label"])):
            yield i, {name: value[i] for name, value in arrays.items()}


@functools.cache
def builder(name: str) -> type[Affect]:
    """The TFDS builder of one of `DATASETS`; TFDS calls it by the name of its class."""
    of = {"OF": DATASETS[name], "__module__": __name__, "__doc__": DATASETS[name].words}
    return type("".join(part.title() for part in name.split("_")), (Affect,), of)


def defaults() -> ConfigDict:
    """The fields of `data`, of the first of them; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "mosei",
            "modalities": ("vision,audio", "vision,text", "audio,text"),  # "" = all three
            "labels": (0,),  # labelled training pairs; 0 = all
            "manual_dir": "",  # the folder of the pickle, see manual.folder
            "data_dir": "",  # where the prepared dataset is kept, see prepared.directory
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """The published splits as a task of sequences, (n, STEPS, d).

    Vision and audio are standardised per feature over the real steps of all training examples; text
    stays in the units of its word vectors. See `Split.x` for where a sequence ends.

    Args:
      config: the fields of `defaults`, one value each; `source` is one of `DATASETS`.
      seed: of the choice of labelled examples.

    Returns:
      The task: a regression, or two classes.

    Raises:
      UserError: an impossible field, or a file that is missing or cannot be used.
    """
    name, file = config.source, DATASETS[config.source].file
    names = splits.choose(config.modalities, MODALITIES, name)
    home = manual.prepare(
        builder(name), [file], "MultiBench's file", config.manual_dir, config.data_dir
    )
    x, scales, y, parts = _ready(home, prepared.used(home))
    task = splits.make_split_task(
        {name: x[name] for name in names},
        y,
        parts,
        labels=config.labels,
        seed=seed,
        source=name,
        scales=scales,
    )
    return replace(task, fixed_test=True)


@functools.lru_cache(maxsize=1)  # the published splits are the same for every seed
def _ready(
    home: Path, written: int
) -> tuple[Arrays, dict[str, scaling.Scale], np.ndarray, list[np.ndarray]]:
    del written
    arrays, parts = prepared.read_splits(home, [*MODALITIES, "steps", "label"], SPLITS)
    x, scales = {"text": arrays["text"]}, {}
    for name in ("vision", "audio"):
        x[name], scales[name] = scaling.sequences(arrays[name], arrays["steps"], parts[0])
    return x, scales, arrays["label"], parts


def clean(content: Any, sentiment: bool, path: Path) -> dict[str, Arrays]:
    """What a pickle of the common format holds, checked.

    Examples whose text is zero throughout are dropped; −∞ in audio, a logarithm of nothing, becomes
    0; every sequence starts at the first step with a word, in all modalities.

    Args:
      content: of the file.
      sentiment: see `Dataset`.
      path: the file, for the message of an error.

    Returns:
      Per split: MODALITIES (n, STEPS, d) float32, zero after the end; "steps" (n,) int32, the end;
      "label" (n,), float32 or 0 and 1.

    Raises:
      UserError: one line that names the file, the split and what is wrong.
    """
    if not isinstance(content, dict) or not all(isinstance(content.get(s), dict) for s in SPLITS):
        raise UserError(f"{path}: not a dictionary of train, valid and test")
    found = {split: _clean_split(content[split], sentiment, f"{path}: {split}") for split in SPLITS}
    for name in MODALITIES:
        widths = {split: arrays[name].shape[2] for split, arrays in found.items()}
        if len(set(widths.values())) > 1:
            raise UserError(f"{path}: {name!r} has another width in every split, {widths}")
    return found


def _clean_split(content: dict[str, Any], sentiment: bool, where: str) -> Arrays:
    for name in (*MODALITIES, "labels"):
        if not isinstance(content.get(name), np.ndarray):
            raise UserError(f"{where} has no array {name!r}")
    x = {name: np.asarray(content[name]) for name in MODALITIES}
    shape = x["text"].shape[:2]
    for name, value in x.items():
        if value.dtype.kind not in "fiu" or value.ndim != 3 or value.shape[:2] != shape:
            raise UserError(
                f"{where}: {name!r} is {value.dtype} {value.shape}, not numbers of shape "
                f"(examples, steps, features); 'text' is {x['text'].shape}"
            )
    y = _labels(np.asarray(content["labels"]), shape[0], sentiment, where)
    x["audio"] = np.where(np.isneginf(x["audio"]), 0, x["audio"])
    for name, value in x.items():
        with np.errstate(over="ignore"):
            x[name] = value.astype(np.float32)
        bad = ~np.isfinite(x[name]).all(axis=(1, 2))
        if bad.any():
            raise UserError(f"{where}: {name!r} is not finite in example {bad.argmax()}")

    words = (x["text"] != 0).any(axis=2)
    kept = np.flatnonzero(words.any(axis=1))
    if not len(kept):
        raise UserError(f"{where}: every text is zero throughout")
    first = words[kept].argmax(axis=1)
    steps = np.minimum(shape[1] - first, STEPS)
    at = np.minimum(first[:, None] + np.arange(STEPS), shape[1] - 1)
    real = np.arange(STEPS) < steps[:, None]
    sequences = {n: np.where(real[..., None], v[kept[:, None], at], 0) for n, v in x.items()}
    return sequences | {"steps": steps.astype(np.int32), "label": y[kept]}


def _labels(y: np.ndarray, n: int, sentiment: bool, where: str) -> np.ndarray:
    if y.dtype.kind not in "fiub" or y.size != n or y.shape[:1] != (n,):
        raise UserError(f"{where}: 'labels' is {y.dtype} {y.shape}, not a number for each of {n}")
    y = y.reshape(n).astype(np.float64)
    allowed = "[-3, 3]" if sentiment else "-1 and 1, or 0 and 1"
    fine = np.abs(y) <= 3 if sentiment else np.isin(y, (-1, 1) if (y < 0).any() else (0, 1))
    if not fine.all():
        at = fine.argmin()
        raise UserError(f"{where}: the label of example {at} is {y[at]:g}, outside {allowed}")
    return y.astype(np.float32) if sentiment else (y > 0).astype(np.int64)
