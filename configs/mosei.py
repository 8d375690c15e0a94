r"""CMU-MOSEI, the sentiment of sentences: which of vision, audio and text gains from which?

    python -m redalign_jax --job=sweep --config=configs/mosei.py --workdir=runs/mosei \
        --config.data.manual_dir=DIR

DIR holds MultiBench's `mosei_raw.pkl`, got by hand. Time: not measured, the file was not at hand.
Expected: nothing measured here; published: vision gains beside text, which is best near λ = 0.75.
A regression: mean absolute error, correlation and the sign's accuracy.

One pair: --config.data.modalities=vision,text
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import mosei


def get_config() -> ConfigDict:
    config = base(mosei.defaults())
    config.encoder.kind = "auto"  # Transformers over the sequences
    config.encoder.embed_dim = (32,)
    config.alignment.projection = (64, 32)
    config.hyper.strength = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
    config.hyper.learning_rate = (1e-3,)
    config.sweep.seeds = 3
    config.sweep.balanced = True
    return config
