"""The choices and hyperparameters of one small run."""

import jax
import jax.numpy as jnp

from redalign_jax.encoders import MLP
from redalign_jax.task import Split
from redalign_jax.training.data import Data
from redalign_jax.training.model import Hyper, ModelSpec

KEY = jax.random.key(7)


def model(modalities=("a", "b"), **changes):
    choices = {
        "modalities": modalities,
        "classes": 3,
        "encoders": (MLP((16,), 6),) * len(modalities),
        "projector": MLP((8,), 5),
        "objective": "info_nce",
        "schedule": "constant",
        "learned_temperature": False,
        "bounded": True,
    }
    return ModelSpec(**(choices | changes))


def hyper(strength, **changes):
    values = dict.fromkeys(Hyper._fields, 1.0) | {
        "temperature": 0.2,
        "learning_rate": 3e-3,
        "weight_decay": 0.0,
    }
    values |= changes | {"strength": strength}
    return Hyper(**{k: jnp.asarray(v, jnp.float32) for k, v in values.items()})


def only(d, m):
    """The task with modality m alone."""
    return jax.tree.map(lambda x: x, Data(*(Split((s.x[m],), s.y) for s in d[:3])))
