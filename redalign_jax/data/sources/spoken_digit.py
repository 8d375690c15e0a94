"""Recorded digits: the TFDS dataset `spoken_digit` (Free Spoken Digit Dataset), where prepared.

> Z. Jackson, C. Souza, J. Flaks, Y. Pan, H. Nicolas, A. Thite. Free Spoken Digit Dataset. 2018.
> https://doi.org/10.5281/zenodo.1342401. CC BY-SA 4.0
"""

import functools
from pathlib import Path

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from redalign_jax.data import identity, prepared, spectrogram
from redalign_jax.errors import UserError

RATE = 8000


def find(root: Path) -> Path | None:
    """Its newest version directory below `root`, if it is prepared as array_record."""
    records = (root / "spoken_digit").glob("*/*.array_record*")
    homes = {path.parent for path in records if (path.parent / prepared.INFO).exists()}
    return max(homes, key=lambda home: [int(n) for n in home.name.split(".")], default=None)


@functools.lru_cache(maxsize=1)
def read(home: Path, written: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Its clips: spectrograms (n, FRAMES, BANDS) uint8, digits (n,) and speakers (n,).

    The records are read as they are, since TFDS's feature for audio needs TensorFlow.

    Args:
      home: from `find`.
      written: see `prepared.used`.

    Raises:
      UserError: they are not of this dataset, or damaged.
    """
    clips, digits, speakers = [], [], []
    try:
        paths = sorted(map(str, home.glob("*.array_record*")))
        for record in ArrayRecordDataSource(paths):
            fields = tf_example_pb2.Example.FromString(record).features.feature
            sound = np.array(fields["audio"].int64_list.value)
            name = fields["audio/filename"].bytes_list.value[0].decode()  # 7_jackson_32.wav
            clips.append(spectrogram.log_mel(sound, RATE))
            digits.append(fields["label"].int64_list.value[0])
            speakers.append(name.split("_")[1])
    except Exception as error:  # whatever a damaged file makes of the parser
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UserError(f"{home}: cannot be read as spoken_digit ({reason})") from None
    found = np.stack(clips), np.array(digits), np.array(speakers)
    content = {f"spoken_digit.{k}": identity.digest(array) for k, array in enumerate(found)}
    identity.know((home, written), content)
    return found
