r"""UR-FUNNY, laughter in talks: which of vision, audio and text gains from which?

    python -m redalign_jax --job=sweep --config=configs/ur_funny.py --workdir=runs/ur_funny \
        --config.data.manual_dir=DIR

DIR holds MultiBench's `humor.pkl`, got by hand. Time: not measured, the file was not at hand.
Expected: nothing measured here, nothing published about its best λ.
The kin of `mustard.py`, larger. Two classes of equal size, chance is 50 %.

One pair: --config.data.modalities=vision,text
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import ur_funny


def get_config() -> ConfigDict:
    config = base(ur_funny.defaults())
    config.encoder.kind = "auto"  # Transformers over the sequences
    config.encoder.embed_dim = (32,)
    config.alignment.projection = (64, 32)
    config.hyper.strength = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
    config.hyper.learning_rate = (1e-3,)
    config.sweep.seeds = 5
    config.sweep.balanced = True
    return config
