r"""How the best alignment strength moves with redundancy.

    python -m redalign_jax --job=sweep --config=configs/redundancy.py --workdir=runs/redundancy

1,152 runs: 3.5 minutes on 2 cores. Expected: λ* rises from 0.3 at R = 0 to 4 at R = 8;
λ = 4 costs 26 points at R = 0 and gains 1.6 at R = 8.
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import redundancy_bits


def get_config() -> ConfigDict:
    config = base(redundancy_bits.defaults())
    config.sweep.balanced = True
    return config
