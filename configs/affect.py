r"""Spoken sentences, MultiBench's files: which of vision, audio and text gains from which?

    python -m redalign_jax --job=sweep --config=configs/affect.py:mosei --workdir=runs/mosei \
        --config.data.manual_dir=DIR

and the same with `mosi`, `mustard`, `ur_funny`. DIR holds the pickle, got by hand: `mosei_raw.pkl`,
`mosi_raw.pkl`, `sarcasm.pkl`, `humor.pkl`. Time: not measured, the files were not at hand.
Expected: nothing measured here. Published: on MOSEI vision gains beside text, which is best near
λ = 0.75; on MUStARD vision rises from 54 to 62 % and audio from 58 to 66 %. MOSEI and MOSI are
regressions (mean absolute error, correlation, the sign's accuracy), MUStARD and UR-FUNNY have two
classes.

One pair: --config.data.modalities=vision,text
"""

from ml_collections import ConfigDict

from redalign_jax import data
from redalign_jax.config import base

SEEDS = {"mosei": 3, "mosi": 5, "mustard": 10, "ur_funny": 5}  # fewer where there is more


def get_config(name: str = "mosei") -> ConfigDict:
    config = base(data.defaults(name))
    config.encoder.kind = "auto"  # Transformers over the sequences
    config.encoder.embed_dim = (32,)
    config.alignment.projection = (64, 32)
    config.hyper.strength = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
    config.hyper.learning_rate = (1e-3,)
    config.sweep.seeds = SEEDS[name]
    config.sweep.balanced = True
    return config
