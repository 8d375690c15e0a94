r"""Where the law holds: labels × size of the embedding × label noise, three redundancies in each.

    python -m redalign_jax --job=sweep --config=configs/regimes.py --workdir=runs/regimes

864 runs in 18 regimes, four seeds; with --config.sweep.seeds=8, 8 minutes on 2 cores. Expected: a
map of how λ* follows what is shared in each regime, and of what is left of it when encoders are
stopped early. With 4 seeds no cell can be shown for the whole map at once, with 8 one is.
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import redundancy_bits


def get_config() -> ConfigDict:
    data = redundancy_bits.defaults()
    data.redundancy = (0, 4, 8)
    data.labels = (250, 1000, 4000)
    data.label_temperature = (0.02, 0.2)
    config = base(data)
    config.encoder.embed_dim = (4, 8, 32)
    config.hyper.strength = (0.0, 0.3, 1.0, 4.0)
    config.sweep.seeds = 4
    return config
