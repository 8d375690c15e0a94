r"""CMU-MOSI, the sentiment of sentences: which of vision, audio and text gains from which?

    python -m redalign_jax --job=sweep --config=configs/mosi.py --workdir=runs/mosi \
        --config.data.manual_dir=DIR

DIR holds MultiBench's `mosi_raw.pkl`, got by hand. Time: not measured, the file was not at hand.
Expected: nothing measured here, nothing published about its best λ.
The kin of `mosei.py` with a tenth of the sentences. A regression: mean absolute error,
correlation, the sign's accuracy.

One pair: --config.data.modalities=vision,text
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import mosi


def get_config() -> ConfigDict:
    config = base(mosi.defaults())
    config.encoder.kind = "auto"  # Transformers over the sequences
    config.encoder.embed_dim = (32,)
    config.alignment.projection = (64, 32)
    config.hyper.strength = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
    config.hyper.learning_rate = (1e-3,)
    config.sweep.seeds = 5
    config.sweep.balanced = True
    return config
