r"""AV-MNIST, digits seen and heard: does either encoder gain from the other?

    python -m redalign_jax --job=sweep --config=configs/avmnist.py --workdir=runs/avmnist \
        --config.data.manual_dir=DIR

DIR holds MultiBench's `image/`, `audio/` and the two files of labels, got by hand. 55,000 labels,
ten classes. Time: not measured, the files were not at hand. Expected: nothing measured here;
published: the image encoder loses slightly.
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import avmnist


def get_config() -> ConfigDict:
    config = base(avmnist.defaults())
    config.encoder.kind, config.encoder.hidden_sizes = "auto", (8, 16, 32)  # convolutions
    config.encoder.embed_dim = (64,)
    config.alignment.projection = (64, 32)
    config.hyper.strength = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
    config.hyper.learning_rate = (1e-3,)
    config.sweep.seeds = 2
    config.sweep.balanced = True
    return config
