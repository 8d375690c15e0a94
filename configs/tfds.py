r"""Any prepared TFDS dataset: its features as modalities.

    python -m redalign_jax --job=sweep --config=configs/tfds.py --workdir=runs/tfds \
        --config.data.dataset=NAME --config.data.modalities=FEATURE,FEATURE

Time and result are the dataset's: 40 runs of 1,000 steps per task. See docs/data.md.
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import tfds_source


def get_config() -> ConfigDict:
    config = base(tfds_source.defaults())
    config.encoder.hidden_sizes = (64,)
    config.encoder.embed_dim = (64,)
    config.alignment.projection = (64, 16)
    config.hyper.strength = (0.0, 0.1, 0.3, 1.0, 3.0)
    config.sweep.seeds = 8
    return config
