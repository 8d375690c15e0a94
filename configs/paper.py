r"""The published synthetic setting, as close as it is known: small encoders, plenty of labels.

    python -m redalign_jax --job=sweep --config=configs/paper.py --workdir=runs/paper

600 runs of batches of 512, four minutes on 2 cores. Expected: no gain at any R, and at λ = 4 a cost
that falls from 10 points at R = 0 to 0.4 at R = 8: with this many labels the encoders sit near the
Bayes ceiling at λ = 0. Hidden width 12, every training example labelled, λ from 0 to 2 and 4.
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import redundancy_bits


def get_config() -> ConfigDict:
    data = redundancy_bits.defaults()
    data.redundancy = (0, 2, 4, 6, 8)
    data.labels = (45_000,)
    config = base(data)
    config.encoder.hidden_sizes = (12,)
    config.encoder.embed_dim = (12,)
    config.hyper.strength = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 4.0)
    config.train.batch = 512
    config.sweep.seeds = 12
    return config
