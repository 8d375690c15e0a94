r"""Your own arrays: one array per modality and `labels`, in one .npz file.

    python -m redalign_jax --job=sweep --config=configs/arrays.py --workdir=runs/mine \
        --config.data.path=mine.npz

Integer, boolean or text labels are classes, floating-point labels a regression; otherwise say
--config.data.target. What every array is (vectors, sequences, images, tokens) is guessed, or said
with --config.data.kinds=NAME=KIND,…; the encoder follows it. Other names in the file: `groups`
(rows that belong together), `split` (train, valid, test), `NAME_ids` (to join rows by id). See
`redalign_jax/data/arrays.py`.
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import arrays


def get_config() -> ConfigDict:
    config = base(arrays.defaults())
    config.encoder.kind, config.encoder.widths = "auto", (64,)
    config.encoder.embedding = (64,)
    config.alignment.projection = (64, 16)
    config.hyper.strength = (0.0, 0.1, 0.3, 1.0, 3.0)
    config.sweep.seeds = 8
    return config
