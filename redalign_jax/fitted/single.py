"""One run of one task in memory, without a grid, a workdir or measures: as fast as it compiles."""

from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax.runtime import devices
from redalign_jax.sweep import grid
from redalign_jax.task import Task
from redalign_jax.training.loop import TrainSpec, segment
from redalign_jax.training.start import start

_start = jax.jit(start, static_argnums=0)
_segment = partial(jax.jit, static_argnums=(0, 1), donate_argnums=5)(segment)


def train(config: ConfigDict, task: Task, seed: int) -> np.ndarray:
    """Parameters, flat as `Layout` reads them, each encoder's at its best validation score.

    Args:
      config: an experiment with one setting.
      task: on which.
      seed: of init and batches.
    """
    devices.prepare()
    train, data = config.train, grid.arrays(task)
    batch, *_ = grid.fitted(config, data)
    spec = grid.build_model(config, task, config.encoder.embed_dim[0])
    plan = TrainSpec(train.steps, batch, train.evaluations, precision=train.precision)
    hyper = grid.hyper_arrays(configs.settings(config), len(task.modalities))
    hyper, data = jax.tree.map(jax.numpy.asarray, (jax.tree.map(lambda a: a[0], hyper), data))
    key = jax.random.key(seed)
    state = _start(spec, hyper, key, data)
    for step in range(0, train.steps, train.steps // train.evaluations):
        state, _ = _segment(spec, plan, hyper, key, data, state, np.int32(step))
    return jax.device_get(state.best)
