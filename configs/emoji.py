r"""Emoji, pictures and names, labelled by group: does either encoder gain from the other?

    python -m redalign_jax --job=sweep --config=configs/emoji.py --workdir=runs/emoji

Takes a quarter of an hour on 2 cores. Expected: no gain of either encoder is shown (docs/real.md);
the largest of the eight groups is 24 %, linear models on pixels and words reach 53 % and 59 %.

Two drawings of the same emoji instead: --config.data.modalities=image,twitter
Transformers: --config.encoder.kind=vit,transformer --config.encoder.patch_size=8
--config.data.pieces=600
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import emoji


def get_config() -> ConfigDict:
    config = base(emoji.defaults())
    config.data.downsample = 2
    config.encoder.kind, config.encoder.hidden_sizes = "auto", (16, 32, 64)
    config.encoder.embed_dim = (32,)
    config.alignment.projection = (64, 16)
    config.hyper.strength = (0.0, 0.1, 0.3, 1.0, 3.0)
    config.train.steps, config.train.batch = 600, 64
    config.sweep.seeds = 5
    config.sweep.balanced = True
    return config
