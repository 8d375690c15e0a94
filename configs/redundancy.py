r"""How the best alignment strength moves with redundancy.

python -m redalign_jax --job=sweep --config=configs/redundancy.py --workdir=runs/redundancy
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import redundancy_bits


def get_config() -> ConfigDict:
    config = base(redundancy_bits.defaults())
    config.sweep.balanced = True
    return config
