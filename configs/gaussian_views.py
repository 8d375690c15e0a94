r"""Linear encoders of two normal views, over the part of the signal that is in common directions.

    python -m redalign_jax --job=sweep --config=configs/gaussian_views.py --workdir=runs/gaussian

280 runs: 2.5 minutes on 2 busy cores. Expected: λ = 10 costs .17 of mean absolute error at ρ = .1
and gains .01 at ρ = .9, where λ = 1 gains .02. What a solvable model says of it: docs/theory.md.
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import gaussian_views


def get_config() -> ConfigDict:
    data = gaussian_views.defaults()
    data.pairs = (1000,)
    config = base(data)
    config.encoder.hidden_sizes, config.encoder.embed_dim = (), (4,)
    config.hyper.strength = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    config.sweep.seeds = 8
    return config
