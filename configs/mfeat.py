r"""Six views of the same handwritten digits, 100 labels: which view gains from which?

    python -m redalign_jax --job=sweep --config=configs/mfeat.py --workdir=runs/mfeat

All 15 pairs, 900 runs: 12 minutes on 2 cores, 6 of them compiling. One pair, 60 runs:
--config.data.modalities=kar,pix. Expected: the weak `fou` changes most, by 6 points beside `fac`, λ
chosen on validation data; with all 30 encoders counted a gain is shown of one or none.
"""

from itertools import combinations

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import mfeat


def get_config() -> ConfigDict:
    data = mfeat.defaults()
    data.modalities = tuple(",".join(pair) for pair in combinations(mfeat.VIEWS, 2))
    data.labels = (100,)
    config = base(data)
    config.encoder.hidden_sizes = (64,)
    config.encoder.embed_dim = (64,)
    config.alignment.projection = (64, 16)
    config.hyper.strength = (0.0, 0.1, 0.3, 1.0, 3.0)
    config.sweep.seeds = 10
    config.sweep.balanced = True
    return config
