"""An experiment that runs in a second, for tests that need a whole one."""

from ml_collections import ConfigDict

from redalign_jax.config import base
from redalign_jax.data.sources import redundancy_bits


def experiment(**changes) -> ConfigDict:
    """A small sweep; `changes` are dotted fields with __ for the dot, e.g. train__steps=5."""
    data = redundancy_bits.defaults()
    data.redundancy = (0, 8)
    data.labels = (64,)
    data.valid, data.test = 50, 100
    config = base(data)
    config.encoder.hidden_sizes = (8,)
    config.encoder.embed_dim = (4,)
    config.hyper.strength = (0.0, 1.0, 4.0)
    config.train.steps = config.train.evaluations = 20
    config.train.batch = 32
    config.sweep.seeds = 2
    config.measure.examples = 40
    config.measure.neighbours = 5
    for field, value in changes.items():
        section, name = field.split("__")
        with config.unlocked():
            config[section][name] = value
    return config
