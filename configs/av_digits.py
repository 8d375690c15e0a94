r"""Written and spoken digits in four pairings: does alignment help where they say the same?

    python -m redalign_jax --job=sweep --config=configs/av_digits.py --workdir=runs/av_digits

Takes ten minutes on 2 cores. Expected: the image gains 4 points where both say the same, no
change is shown elsewhere. With MLPs, longer, four minutes, it gains 9, and loses 8 where it alone
tells: --config.encoder.kind=mlp --config.encoder.hidden_sizes=64, --config.train.steps=1600
--config.sweep.seeds=10 (docs/real.md).

The pairing sets the redundancy, see `redalign_jax/data/sources/av_digits.py`. Speech is synthesised
unless TFDS has prepared `spoken_digit`; the modality's name says which. Three modalities at once:
--config.data.modalities=image,speech,name
"""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import av_digits


def get_config() -> ConfigDict:
    config = base(av_digits.defaults())
    config.data.labels = (300,)
    config.data.downsample = 2
    config.data.test = 0.2  # of few voices, so that one does not decide
    config.encoder.kind, config.encoder.hidden_sizes = "auto", (8, 16)
    config.encoder.embed_dim = (32,)
    config.alignment.projection = (64, 16)
    config.hyper.strength = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
    config.train.steps, config.train.batch = 400, 64
    config.sweep.seeds = 8
    config.sweep.balanced = True
    return config
