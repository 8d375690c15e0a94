r"""Your own arrays: one array per modality and `labels`, in one .npz file.

    python -m redalign_jax --job=sweep --config=configs/arrays.py --workdir=runs/mine \
        --config.data.path=mine.npz

Time and result are the data's: 40 runs of 1,000 steps. What labels, groups, splits, ids and kinds
of arrays may be: docs/data.md.
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import arrays


def get_config() -> ConfigDict:
    config = base(arrays.defaults())
    config.encoder.kind, config.encoder.hidden_sizes = "auto", (64,)
    config.encoder.embed_dim = (64,)
    config.alignment.projection = (64, 16)
    config.hyper.strength = (0.0, 0.1, 0.3, 1.0, 3.0)
    config.sweep.seeds = 8
    return config
